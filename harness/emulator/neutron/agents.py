"""The simulated Open vSwitch agents, one for each hypervisor, many in a process.

Each reports its state and wires the ports that are bound to its host: it hears `port_update` on the fanout, asks for
the details, and tells the plugin which devices are up. What fails is tried again in the next round, as by the real
agent; a notification that never came is not made up for, so that port stays DOWN.
Source: neutron.plugins.ml2.drivers.openvswitch.agent (29.0.0), which polls every 2 s; this one acts at once.
"""

import asyncio
import logging
import random
from typing import Any

from harness.emulator import timestamps
from harness.emulator.messaging import Bus, CallContext, MessagingError
from harness.emulator.neutron.agent_notifier import EXCHANGE, PORT_DELETE, PORT_UPDATE
from harness.emulator.neutron.binding import OVS_AGENT
from harness.emulator.neutron.plugin_rpc import PLUGIN_TOPIC, REPORTS_TOPIC
from harness.emulator.runtime import Runtime

log = logging.getLogger(__name__)
ROUND_S = 2.0  # polling_interval: how long an agent waits before it tries again what failed
AT_ONCE = 64  # agents of this process that talk to the plugin at the same time
REGISTER_AT_ONCE = 1000
TICK_PART = 1 / 15  # agents report in small groups: this part of the interval apart, at most a second
TICK_MAX_S = 1.0
_CONFIGURATIONS = {
    "arp_responder_enabled": False,
    "bridge_mappings": {"public": "br-ex"},
    "datapath_type": "system",
    "devices": 0,
    "in_distributed_mode": False,
    "integration_bridge": "br-int",
    "l2_population": False,
    "tunnel_types": ["vxlan"],
    "tunneling_ip": "127.0.0.1",
    "vhostuser_socket_dir": "/var/run/openvswitch",
}


class Agents:
    """All agents of one process. Endpoint of the fanout topics."""

    def __init__(self, runtime: Runtime, hosts: list[str]) -> None:
        self._runtime = runtime
        self._bus: Bus = runtime.bus
        self._pending: dict[str, set[str]] = {host: set() for host in hosts}  # host -> ports to wire
        self._rounds: dict[str, asyncio.Task[None]] = {}
        self._talks = asyncio.Semaphore(AT_ONCE)
        self._reporter: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, report once for every host, and go on reporting."""
        for topic in (PORT_UPDATE, PORT_DELETE):
            await self._bus.serve_many(topic, self, servers=[], exchange=EXCHANGE, fanout=True)
        self._reporter = asyncio.create_task(self._report_for_ever(), name="agents-report")

    async def close(self) -> None:
        tasks = [task for task in (self._reporter, *self._rounds.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the plugin casts.

    async def port_update(self, context: CallContext, port: dict[str, Any], **segment: Any) -> None:
        host = port["binding:host_id"]
        pending = self._pending.get(host)
        if pending is None:
            return
        pending.add(port["id"])
        if host not in self._rounds:
            self._rounds[host] = asyncio.create_task(self._wire(host), name=f"agent-{host}")

    async def port_delete(self, context: CallContext, port_id: str) -> None:
        for pending in self._pending.values():
            pending.discard(port_id)

    # What one agent does.

    async def _wire(self, host: str) -> None:
        pending = self._pending[host]
        try:
            while pending:
                devices = sorted(pending)
                try:
                    async with self._talks:
                        failed = await self._wire_devices(host, devices)
                except MessagingError as error:
                    log.warning("agent on %s: %s", host, error)
                    failed = set(devices)
                pending.difference_update(set(devices) - failed)
                if failed:
                    await asyncio.sleep(self._runtime.scaled(ROUND_S))
        finally:
            del self._rounds[host]

    async def _wire_devices(self, host: str, devices: list[str]) -> set[str]:
        """Returns the devices to try again."""
        agent_id = f"ovs-agent-{host}"
        details = await self._bus.call(
            PLUGIN_TOPIC,
            "get_devices_details_list_and_failed_devices",
            {"devices": devices, "agent_id": agent_id, "host": host},
            exchange=EXCHANGE,
            version="1.9",
        )
        up = [entry["device"] for entry in details["devices"] if entry.get("admin_state_up")]
        down = [entry["device"] for entry in details["devices"] if entry.get("admin_state_up") is False]
        failed = set(details["failed_devices"])
        if up or down:
            answer = await self._bus.call(
                PLUGIN_TOPIC,
                "update_device_list",
                {
                    "devices_up": up,
                    "devices_down": down,
                    "agent_id": agent_id,
                    "host": host,
                    "refresh_tunnels": False,
                },
                exchange=EXCHANGE,
                version="1.9",
            )
            failed.update(answer["failed_devices_up"], answer["failed_devices_down"])
        return failed

    # Reports.

    async def _report_for_ever(self) -> None:
        hosts = list(self._pending)
        for first in range(0, len(hosts), REGISTER_AT_ONCE):
            await asyncio.gather(*(self._first_report(host) for host in hosts[first : first + REGISTER_AT_ONCE]))
        interval_s = self._runtime.scaled(self._runtime.settings.neutron.agent_report_interval_s)
        # Agents were started at different moments: their reports are spread over the interval.
        random.Random(self._runtime.settings.seed).shuffle(hosts)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sent = 0
        while hosts:
            await asyncio.sleep(min(TICK_MAX_S, interval_s * TICK_PART))
            due = int((loop.time() - begun) / interval_s * len(hosts))
            # After a broker that hung, what was missed is not sent in a heap: each agent reports once.
            sent = max(sent, due - len(hosts))
            turns = range(sent, due)
            await asyncio.gather(*(self._report(hosts[turn % len(hosts)]) for turn in turns))
            sent = due

    async def _first_report(self, host: str) -> None:
        """Register, as a call, until the server answers."""
        while True:
            try:
                await self._report(host, start=True)
            except MessagingError as error:
                log.warning("agent on %s cannot register: %s", host, error)
                await asyncio.sleep(self._runtime.scaled(ROUND_S))
            else:
                return

    async def _report(self, host: str, *, start: bool = False) -> None:
        state: dict[str, Any] = {
            "binary": "neutron-openvswitch-agent",
            "host": host,
            "topic": "N/A",
            "agent_type": OVS_AGENT,
            "configurations": _CONFIGURATIONS,
            "uuid": host,
        }
        if start:
            state["start_flag"] = True
        args = {"agent_state": {"agent_state": state}, "time": timestamps.utcnow_plain_micro()}
        send = self._bus.call if start else self._bus.cast
        await send(REPORTS_TOPIC, "report_state", args, exchange=EXCHANGE, version="1.4")


async def start(runtime: Runtime) -> Agents:
    """Run this process's share of the agents."""
    hosts = runtime.settings.hypervisors.hosts()[runtime.index :: runtime.settings.networks]
    agents = Agents(runtime, hosts)
    await agents.start()
    return agents
