"""neutron-rpc-server: what the L2 agents ask of ML2 (`q-plugin`) and where they report (`q-reports-plugin`).

Source: neutron.plugins.ml2.rpc.RpcCallbacks 1.9, neutron.db.agents_db.AgentExtRpcCallback 1.4 (29.0.0).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from sqlalchemy import bindparam, select, update

from harness.emulator import timestamps
from harness.emulator.database import DBError, Row, Statement, in_list, upsert
from harness.emulator.messaging import CallContext
from harness.emulator.neutron import schema
from harness.emulator.neutron.agent_notifier import EXCHANGE
from harness.emulator.neutron.nova_notifier import NovaNotifier
from harness.emulator.neutron.retry import retry_db_errors
from harness.emulator.neutron.service import new_id
from harness.emulator.runtime import Runtime

log = logging.getLogger(__name__)
T = TypeVar("T")

PLUGIN_TOPIC = "q-plugin"
REPORTS_TOPIC = "q-reports-plugin"
# How long reports wait for others when `coalesce_heartbeats` is on: this part of their interval, at most a second.
GATHER_PART = 1 / 15
GATHER_MAX_S = 1.0
GATHER_NEW_S = 0.05  # a new agent waits for its answer

_PORT, _NET = schema.ports.c, schema.networks.c
_DEVICES = Statement(
    select(
        schema.ports,
        _NET.network_type,
        _NET.segmentation_id,
        _NET.physical_network,
        _NET.mtu,
    )
    .select_from(schema.ports.join(schema.networks, _NET.id == _PORT.network_id))
    .where(in_list(_PORT.id, "devices"))
)
_SET_STATUS = (
    update(schema.ports)
    .where(in_list(_PORT.id, "devices"), _PORT.host == bindparam("bound_to"), _PORT.status != bindparam("new"))
    .values(status=bindparam("new"), revision_number=_PORT.revision_number + 1, updated_at=bindparam("now"))
)
_SET = Statement(_SET_STATUS)
_SET_AND_TELL = Statement(_SET_STATUS.returning(_PORT.id, _PORT.device_owner, _PORT.device_id))  # not on MariaDB
_AGENT = upsert(schema.agents, ["agent_type", "host"], ["heartbeat_timestamp", "configurations"])
_AGENT_STARTED = upsert(schema.agents, ["agent_type", "host"], ["heartbeat_timestamp", "configurations", "started_at"])
_HEARTBEATS = Statement(
    update(schema.agents)
    .where(schema.agents.c.agent_type == bindparam("kind"), in_list(schema.agents.c.host, "hosts"))
    .values(heartbeat_timestamp=bindparam("now"))
)


class PluginRpc:
    """Endpoint of `q-plugin`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._database = runtime.database("neutron")
        self._nova = NovaNotifier(runtime)

    async def get_devices_details_list_and_failed_devices(
        self, context: CallContext, devices: list[str], host: str, agent_id: str = ""
    ) -> dict[str, Any]:
        """What an agent needs to wire its ports.

        Neutron also writes status BUILD here, for the moment until the agent is done; that commit is left out.
        """
        rows = await self._fetch(devices)
        return {"devices": [_details(rows.get(device), device, host) for device in devices], "failed_devices": []}

    async def get_devices_details_list(
        self, context: CallContext, devices: list[str], host: str, agent_id: str = ""
    ) -> list[dict[str, Any]]:
        found = await self.get_devices_details_list_and_failed_devices(context, devices, host, agent_id)
        details: list[dict[str, Any]] = found["devices"]
        return details

    async def update_device_list(
        self,
        context: CallContext,
        devices_up: list[str],
        devices_down: list[str],
        host: str,
        agent_id: str = "",
        refresh_tunnels: bool = False,
    ) -> dict[str, Any]:
        """Ports that an agent has wired become ACTIVE, those it has lost DOWN; nova hears of both."""
        answer: dict[str, Any] = {}
        for name, devices, status in (("up", devices_up, "ACTIVE"), ("down", devices_down, "DOWN")):
            done: list[Any] = []
            failed: list[str] = []
            if devices:
                try:
                    done, failed = await self._wired(host, devices, status), []
                except DBError as error:
                    log.error("failed to update devices %s %s: %s", devices, name, error)
                    failed = devices
            answer[f"devices_{name}"] = done
            answer[f"failed_devices_{name}"] = failed
        return answer

    async def update_device_up(self, context: CallContext, device: str, host: str, agent_id: str = "") -> None:
        await self._wired(host, [device], "ACTIVE")

    async def update_device_down(
        self, context: CallContext, device: str, host: str, agent_id: str = ""
    ) -> dict[str, Any]:
        (answer,) = await self._wired(host, [device], "DOWN")
        assert isinstance(answer, dict)
        return answer

    async def close(self) -> None:
        await self._nova.close()

    async def _wired(self, host: str, devices: list[str], status: str) -> list[Any]:
        """One commit for all, retried as neutron's update_port_status is; then the events for nova."""
        if status == "ACTIVE" and self._database.dialect == "postgresql":
            params = {"devices": devices, "bound_to": host, "new": status, "now": timestamps.utcnow_iso()}
            for row in await self._retrying(lambda: self._database.fetch(_SET_AND_TELL, **params)):
                self._nova.status_changed(row["id"], row["device_owner"], row["device_id"], "DOWN", status)
            return devices
        rows = await self._fetch(devices)
        changing = [row for row in rows.values() if row["host"] == host and row["status"] != status]
        if changing:
            ids = [row["id"] for row in changing]
            now = timestamps.utcnow_iso()
            await self._retrying(lambda: self._database.execute(_SET, devices=ids, bound_to=host, new=status, now=now))
        for row in changing:
            self._nova.status_changed(row["id"], row["device_owner"], row["device_id"], row["status"], status)
        return devices if status == "ACTIVE" else [{"device": one, "exists": one in rows} for one in devices]

    async def _fetch(self, devices: list[str]) -> dict[str, Row]:
        rows = await self._database.fetch(_DEVICES, devices=devices)
        return {row["id"]: row for row in rows}

    async def _retrying(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retry_db_errors(call, self._runtime.settings, self._runtime.rng)


class ReportsRpc:
    """Endpoint of `q-reports-plugin`. With `coalesce_heartbeats` many reports become one statement."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._database = runtime.database("neutron")
        self._gathered: dict[tuple[str, str], dict[str, Any]] = {}
        self._new: dict[tuple[str, str], dict[str, Any]] = {}
        self._gathering: dict[bool, asyncio.Task[None]] = {}  # writes that have not begun: reports may still join
        self._flushes: set[asyncio.Task[None]] = set()
        interval_s = runtime.scaled(runtime.settings.neutron.agent_report_interval_s)
        self._gather_s = min(GATHER_MAX_S, interval_s * GATHER_PART)

    async def report_state(self, context: CallContext, agent_state: dict[str, Any], time: str) -> str:
        """An agent lives. Returns its status as neutron names it; a new agent waits until it is known."""
        state = agent_state["agent_state"]
        is_new = bool(state.get("start_flag"))
        (self._new if is_new else self._gathered)[state["agent_type"], state["host"]] = state
        if not self._runtime.settings.coalesce_heartbeats:
            await self._write(is_new)
            return "new" if is_new else "alive"
        flush = self._gathering.get(is_new)
        if flush is None:
            flush = self._gathering[is_new] = asyncio.create_task(self._write_later(is_new), name="agent-reports")
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        if not is_new:
            return "alive"
        await asyncio.shield(flush)
        return "new"

    async def has_alive_neutron_server(self, context: CallContext) -> bool:
        return True

    async def close(self) -> None:
        flushes = list(self._flushes)
        for flush in flushes:
            flush.cancel()
        await asyncio.gather(*flushes, return_exceptions=True)

    async def _write_later(self, is_new: bool) -> None:
        try:
            await asyncio.sleep(GATHER_NEW_S if is_new else self._gather_s)
        finally:
            del self._gathering[is_new]
        try:
            await self._write(is_new)
        except DBError as error:  # lost, as the cast that brought them; the next reports come
            log.error("agent reports were not written: %s", error)
            if is_new:
                raise

    async def _write(self, is_new: bool) -> None:
        now = timestamps.utcnow_plain_micro()
        if is_new:
            states, self._new = list(self._new.values()), {}
            await self._database.execute_many(_AGENT_STARTED, [_row(state, now) for state in states])
            return
        states, self._gathered = list(self._gathered.values()), {}
        by_kind: dict[str, dict[str, dict[str, Any]]] = {}
        for state in states:
            by_kind.setdefault(state["agent_type"], {})[state["host"]] = state
        for kind, by_host in by_kind.items():
            known = await self._database.execute(_HEARTBEATS, kind=kind, hosts=list(by_host), now=now)
            if known < len(by_host):  # some were deleted meanwhile: they come back, as in neutron
                await self._database.execute_many(_AGENT, [_row(state, now) for state in by_host.values()])


class PluginServer:
    """Both endpoints, served."""

    def __init__(self, plugin: PluginRpc, reports: ReportsRpc) -> None:
        self.plugin = plugin
        self.reports = reports

    async def close(self) -> None:
        await self.plugin.close()
        await self.reports.close()


async def start(runtime: Runtime) -> PluginServer:
    """Serve the agents of the whole cloud; several processes share the queues."""
    server = PluginServer(PluginRpc(runtime), ReportsRpc(runtime))
    name = f"neutron-rpc-{runtime.index}"
    await runtime.bus.serve(PLUGIN_TOPIC, server.plugin, server=name, exchange=EXCHANGE)
    # Room for a whole cloud's agents that start at once and wait for their first report to be written.
    await runtime.bus.serve(REPORTS_TOPIC, server.reports, server=name, exchange=EXCHANGE, concurrency=1024)
    return server


def _row(state: dict[str, Any], now: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "agent_type": state["agent_type"],
        "binary": state["binary"],
        "topic": state["topic"],
        "host": state["host"],
        "availability_zone": state.get("availability_zone"),
        "admin_state_up": 1,
        "created_at": now,
        "started_at": now,
        "heartbeat_timestamp": now,
        "description": None,
        "configurations": orjson.dumps(state.get("configurations") or {}).decode(),
    }


def _details(row: Row | None, device: str, host: str) -> dict[str, Any]:
    if row is None:
        return {"device": device}
    if row["host"] != host:
        return {"device": device, "no_active_binding": True}
    return {
        "device": device,
        "network_id": row["network_id"],
        "port_id": row["id"],
        "mac_address": row["mac_address"],
        "admin_state_up": bool(row["admin_state_up"]),
        "network_type": row["network_type"],
        "segmentation_id": row["segmentation_id"],
        "physical_network": row["physical_network"],
        "mtu": row["mtu"],
        "fixed_ips": orjson.loads(row["fixed_ips"]),
        "device_owner": row["device_owner"],
        "allowed_address_pairs": orjson.loads(row["allowed_address_pairs"]),
        "port_security_enabled": bool(row["port_security_enabled"]),
        "profile": orjson.loads(row["profile"]),
    }
