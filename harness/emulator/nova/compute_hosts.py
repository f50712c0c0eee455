"""The simulated hypervisors of a process: what each has and uses, and how they make themselves known."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from harness.emulator.messaging import CallContext, MessagingError
from harness.emulator.nova.compute_rpc import ConductorClient
from harness.emulator.timestamps import utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.compute")
MICROVERSION = "1.38"
REGISTER_AT_ONCE = 500  # hosts in one message
PROVIDERS_AT_ONCE = 8  # requests to placement in flight
TICK_S = 0.5  # service reports are sent in small groups, spread over the interval
NODES_SAVED_EVERY_S = 2.0  # in Nova each claim saves its node; here those of a moment share a transaction


class Host:
    """One hypervisor: what runs on it."""

    __slots__ = ("builds", "changed", "failed_builds", "instances", "name", "reporting", "used", "uuid")

    def __init__(self, name: str, uuid: str, builds_at_once: int) -> None:
        self.name = name
        self.uuid = uuid
        self.builds = asyncio.Semaphore(builds_at_once)
        self.used = {"vcpus": 0, "memory_mb": 0, "local_gb": 0, "running_vms": 0}
        self.instances: set[str] = set()
        self.failed_builds = 0
        self.changed = False
        self.reporting = False

    def claim(self, uuid: str, flavor: Mapping[str, Any]) -> None:
        """Count an instance that is built here."""
        if uuid not in self.instances:
            self.instances.add(uuid)
            self._count(flavor, 1)

    def release(self, uuid: str, flavor: Mapping[str, Any]) -> None:
        """Count an instance out that ran here; it may be from before this process' start."""
        self.instances.discard(uuid)
        self._count(flavor, -1)

    def abort(self, uuid: str, flavor: Mapping[str, Any]) -> None:
        """Count an instance out whose build ended badly, if it was counted."""
        if uuid in self.instances:
            self.release(uuid, flavor)

    def _count(self, flavor: Mapping[str, Any], sign: int) -> None:
        used = self.used
        used["vcpus"] = max(0, used["vcpus"] + sign * flavor["vcpus"])
        used["memory_mb"] = max(0, used["memory_mb"] + sign * flavor["memory_mb"])
        used["local_gb"] = max(0, used["local_gb"] + sign * (flavor["root_gb"] + flavor["ephemeral_gb"]))
        used["running_vms"] = max(0, used["running_vms"] + sign)
        self.changed = True

    def build_failed(self) -> None:
        """One more failed build: the scheduler avoids a host that has more of them than others."""
        self.failed_builds += 1
        self.changed = True

    def build_succeeded(self) -> None:
        if self.failed_builds:
            self.failed_builds = 0
            self.changed = True


class Hosts:
    """The hosts of one process."""

    def __init__(self, runtime: "Runtime", conductor: ConductorClient) -> None:
        self._runtime = runtime
        self._conductor = conductor
        self._placement = runtime.service("placement", user="nova")
        settings = runtime.settings
        names = settings.hypervisors.hosts()[runtime.index :: settings.computes]
        limit = settings.nova.max_concurrent_builds
        self._hosts = {
            name: Host(name, str(uuid5(NAMESPACE_URL, f"{settings.name}/compute-node/{name}")), limit) for name in names
        }
        self._tasks: list[asyncio.Task[None]] = []

    def of(self, name: str) -> Host:
        return self._hosts[name]

    def all(self) -> list[Host]:
        return list(self._hosts.values())

    async def register(self, context: CallContext) -> None:
        """Service, compute node and placement provider of every host; repeated at each start, as for real."""
        hosts = self.all()
        for first in range(0, len(hosts), REGISTER_AT_ONCE):
            some = hosts[first : first + REGISTER_AT_ONCE]
            nodes = [self._node(host) for host in some]
            used = await self._conductor.of_class(context, "ComputeNodeList", "register", {"nodes": nodes})
            for row in used:
                host = self._hosts[row["host"]]
                host.used = {name: row[name] for name in host.used}
                host.changed = True
        await self._register_providers(hosts)

    def start(self) -> None:
        """Begin the periodic tasks: service reports and the resource tracker's update."""
        self._tasks = [asyncio.create_task(self._report()), asyncio.create_task(self._save_nodes())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _node(self, host: Host) -> dict[str, Any]:
        size = self._runtime.settings.hypervisors
        return {
            "uuid": host.uuid,
            "host": host.name,
            "hypervisor_hostname": host.name,
            "updated_at": utcnow_iso(),
            "vcpus": size.vcpus,
            "memory_mb": size.memory_mb,
            "local_gb": size.disk_gb,
            "vcpus_used": host.used["vcpus"],
            "memory_mb_used": host.used["memory_mb"] + size.reserved_host_memory_mb,
            "local_gb_used": host.used["local_gb"],
            "running_vms": host.used["running_vms"],
            "failed_builds": host.failed_builds,
        }

    # ---- placement ----

    async def _register_providers(self, hosts: Iterable[Host]) -> None:
        response = await self._placement.get("/resource_providers", microversion=MICROVERSION)
        if not response.ok:
            raise RuntimeError(f"placement answered {response.status} when asked for resource providers")
        known = {provider["uuid"]: provider["generation"] for provider in response.json()["resource_providers"]}
        # A provider whose generation is 0 has no inventory yet: an earlier start was cut short.
        missing = [host for host in hosts if not known.get(host.uuid)]
        queue = iter(missing)

        async def work() -> None:
            for host in queue:
                await self._register_provider(host, exists=host.uuid in known)

        await asyncio.gather(*(work() for _ in range(min(PROVIDERS_AT_ONCE, len(missing)))))

    async def _register_provider(self, host: Host, *, exists: bool) -> None:
        if not exists:
            body: dict[str, Any] = {"uuid": host.uuid, "name": host.name}
            response = await self._placement.post("/resource_providers", json=body, microversion=MICROVERSION)
            if response.status not in (200, 201, 409):
                raise RuntimeError(f"placement answered {response.status} to provider {host.name}")
        body = {"resource_provider_generation": 0, "inventories": self._inventories()}
        path = f"/resource_providers/{host.uuid}/inventories"
        response = await self._placement.put(path, json=body, microversion=MICROVERSION)
        if response.status not in (200, 409):
            raise RuntimeError(f"placement answered {response.status} to the inventory of {host.name}")

    def _inventories(self) -> dict[str, Any]:
        size = self._runtime.settings.hypervisors
        ratios = self._runtime.settings.placement
        return {
            "VCPU": _inventory(size.vcpus, 0, ratios.cpu_allocation_ratio),
            "MEMORY_MB": _inventory(size.memory_mb, size.reserved_host_memory_mb, ratios.ram_allocation_ratio),
            "DISK_GB": _inventory(size.disk_gb, 0, ratios.disk_allocation_ratio),
        }

    # ---- periodic tasks ----

    async def _report(self) -> None:
        """Every host once in each interval, evenly spread."""
        interval_s = self._runtime.scaled(self._runtime.settings.nova.report_interval_s)
        tick_s = min(TICK_S, interval_s / 4)
        hosts = self.all()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sent = 0
        pending: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(tick_s)
            due = int((loop.time() - begun) / interval_s * len(hosts))
            if due - sent > len(hosts):
                sent = due - len(hosts)  # the process was stopped for a while: nothing is made up for
            turns = [hosts[turn % len(hosts)] for turn in range(sent, due)]
            sent = due
            waiting = [host for host in turns if not host.reporting]  # whose last report still waits sends no other
            if not waiting:
                continue
            groups = [waiting] if self._runtime.settings.coalesce_heartbeats else [[host] for host in waiting]
            for group in groups:
                task = loop.create_task(self._report_some(group))
                pending.add(task)
                task.add_done_callback(pending.discard)

    async def _report_some(self, hosts: list[Host]) -> None:
        """One message; the hosts of a tick share one where heartbeats are coalesced."""
        for host in hosts:
            host.reporting = True
        try:
            objinst = {"name": "ServiceList", "hosts": [host.name for host in hosts], "binary": "nova-compute"}
            await self._conductor.action(_NOBODY, objinst, "save")
        except MessagingError as error:
            log.error("report of %s failed: %s", ", ".join(host.name for host in hosts), error)
        finally:
            for host in hosts:
                host.reporting = False

    async def _save_nodes(self) -> None:
        """Write the hosts that changed."""
        interval_s = self._runtime.scaled(NODES_SAVED_EVERY_S)
        while True:
            await asyncio.sleep(interval_s)
            changed = [host for host in self.all() if host.changed]
            for host in changed:
                host.changed = False
            rows = [self._saved(host) for host in changed]
            for first in range(0, len(rows), REGISTER_AT_ONCE):
                objinst = {"name": "ComputeNodeList", "changes": rows[first : first + REGISTER_AT_ONCE]}
                try:
                    await self._conductor.action(_NOBODY, objinst, "save")
                except MessagingError as error:
                    log.error("compute nodes were not saved: %s", error)
                    for host in changed:
                        host.changed = True
                    break

    def _saved(self, host: Host) -> dict[str, Any]:
        node = self._node(host)
        names = ("vcpus_used", "memory_mb_used", "local_gb_used", "running_vms", "failed_builds")
        return {"b_host": host.name, **{name: node[name] for name in names}}


_NOBODY = CallContext(is_admin=True)


def _inventory(total: int, reserved: int, ratio: float) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": reserved,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }
