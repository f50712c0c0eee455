"""nova-scheduler: chooses a host for each instance and claims its resources in placement, a few claims in flight."""

import asyncio
import heapq
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from harness.emulator.database import Statement, in_list
from harness.emulator.in_flight import for_each
from harness.emulator.messaging import CallContext
from harness.emulator.nova.claims import claim_resources
from harness.emulator.nova.compute_api import has_reported, oldest_report
from harness.emulator.nova.errors import NoValidHost
from harness.emulator.nova.schema import compute_nodes, services
from harness.emulator.nova.service_record import ServiceRecord

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.scheduler")
MICROVERSION = "1.36"
HOST_STATES_KEPT_S = 1.0  # Nova reads host states anew for each request; a burst of single requests shares a second's
PROVIDERS_KEPT_MAX = 20_000

GET_HOSTS = Statement(
    select(
        compute_nodes.c.uuid,
        compute_nodes.c.host,
        compute_nodes.c.failed_builds,
        services.c.disabled,
        services.c.forced_down,
        services.c.last_seen_up,
        services.c.created_at,
    )
    .select_from(compute_nodes.join(services, services.c.host == compute_nodes.c.host))
    .where(services.c.binary == "nova-compute", in_list(compute_nodes.c.uuid, "uuids"))
)


class _Request(msgspec.Struct):
    """An allocation request, its parts left as text until somebody takes it."""

    allocations: dict[str, msgspec.Raw]
    mappings: msgspec.Raw = msgspec.Raw()

    def parsed(self) -> dict[str, Any]:
        allocations = {uuid: msgspec.json.decode(raw) for uuid, raw in self.allocations.items()}
        found: dict[str, Any] = {"allocations": allocations}
        if self.mappings:
            found["mappings"] = msgspec.json.decode(self.mappings)
        return found


class _Candidates(msgspec.Struct):
    """Placement's answer. A thousand summaries are mostly those of the last answer: they stay text until compared."""

    allocation_requests: list[_Request]
    provider_summaries: dict[str, msgspec.Raw]


class _Amount(msgspec.Struct):
    capacity: int
    used: int


class _Summary(msgspec.Struct):
    resources: dict[str, _Amount]


class _Free:
    """What a provider has left, as one text of its summary says."""

    __slots__ = ("amounts", "text")

    def __init__(self, text: msgspec.Raw) -> None:
        self.text = text.copy()  # else it would keep the whole answer in memory
        resources = _SUMMARY.decode(text).resources
        self.amounts = {name: amount.capacity - amount.used for name, amount in resources.items()}


_CANDIDATES = msgspec.json.Decoder(_Candidates)
_SUMMARY = msgspec.json.Decoder(_Summary)


class _Host:
    """A candidate: what is free there, and the allocation request that takes a share of it."""

    __slots__ = ("_parsed", "free", "name", "order", "request", "shunned", "uuid")

    def __init__(
        self, name: str, uuid: str, failed_builds: int, request: _Request, free: Mapping[str, int], order: int
    ) -> None:
        self.name = name
        self.uuid = uuid
        self.shunned = float(failed_builds)  # a weight once all candidates are known, see `_shun`
        self.request = request
        self.free = free
        self.order = order
        self._parsed: dict[str, Any] | None = None

    def weight(self, largest: Mapping[str, int]) -> float:
        """Sum of the free shares, each relative to the roomiest candidate: Nova's RAM, CPU and disk weighers."""
        free = self.free
        total = 0.0
        for name, most in largest.items():
            total += free[name] / most
        return total

    def has_room(self, wanted: Mapping[str, int]) -> bool:
        return all(self.free.get(name, 0) >= amount for name, amount in wanted.items())

    def take(self, wanted: Mapping[str, int]) -> None:
        """Count a share out. The amounts as they were are shared with other requests."""
        self.free = {name: amount - wanted.get(name, 0) for name, amount in self.free.items()}

    @property
    def allocation(self) -> dict[str, Any]:
        """The allocation request."""
        if self._parsed is None:
            self._parsed = self.request.parsed()
        return self._parsed

    def selection(self) -> dict[str, Any]:
        return {
            "service_host": self.name,
            "nodename": self.name,
            "compute_node_uuid": self.uuid,
            "allocation_request": self.allocation,
            "allocation_request_version": MICROVERSION,
        }


class Scheduler:
    """RPC endpoint of topic `scheduler`."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.settings = runtime.settings.nova
        self.cell = runtime.database("nova_cell1")
        self.placement = runtime.service("placement", user="nova")
        self._states: dict[str, Mapping[str, Any]] = {}
        self._states_until = 0.0
        self._free: dict[str, _Free] = {}

    async def select_destinations(
        self,
        context: CallContext,
        *,
        request_spec: dict[str, Any],
        instance_uuids: list[str],
        return_objects: bool = True,
        return_alternates: bool = True,
    ) -> list[list[dict[str, Any]]]:
        """A list of selections for each instance: the claimed host first, alternates after it.

        Raises: NoValidHost; the claims made so far are then given back.
        """
        flavor = request_spec["flavor"]
        wanted = {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["memory_mb"]}
        disk = flavor["root_gb"] + flavor["ephemeral_gb"] + (flavor["swap"] + 1023) // 1024
        if disk:
            wanted["DISK_GB"] = disk
        candidates = await self._candidates(wanted)
        hosts = await self._filtered(candidates, request_spec)
        claimed: list[str] = []
        try:
            return await self._place(hosts, wanted, request_spec, instance_uuids, claimed, context)
        except BaseException:
            for uuid in claimed:
                await self.placement.delete(f"/allocations/{uuid}", microversion=MICROVERSION)
            raise

    async def _place(
        self,
        hosts: list[_Host],
        wanted: Mapping[str, int],
        spec: Mapping[str, Any],
        instance_uuids: Sequence[str],
        claimed: list[str],
        context: CallContext,
    ) -> list[list[dict[str, Any]]]:
        largest = {name: max((host.free.get(name, 0) for host in hosts), default=1) or 1 for name in wanted}
        heap = [(host.shunned - host.weight(largest), host.order, host) for host in hosts]
        heapq.heapify(heap)
        chosen: dict[str, _Host] = {}
        full: set[_Host] = set()

        async def choose(uuid: str) -> None:
            """The best host that can be claimed. Its share is counted out at once: the next claim does not wait."""
            while heap:
                host = self._take(heap)
                if host in full:
                    continue
                host.take(wanted)
                if host.has_room(wanted):
                    heapq.heappush(heap, (host.shunned - host.weight(largest), host.order, host))
                if await claim_resources(
                    self.placement,
                    uuid,
                    host.allocation["allocations"],
                    spec,
                    microversion=MICROVERSION,
                    request_id=context.request_id or None,
                ):
                    claimed.append(uuid)
                    chosen[uuid] = host
                    return
                full.add(host)
            raise NoValidHost("There are not enough hosts available.")

        await for_each(instance_uuids, choose)
        # As in Nova no host that anything of this request goes to is an alternate, and all get the same ones.
        taken = set(chosen.values()) | full
        unclaimed = (entry for entry in heap if entry[2] not in taken)
        best = heapq.nsmallest(self.settings.scheduler_max_attempts - 1, unclaimed)
        alternates = [entry[2].selection() for entry in best]
        return [[chosen[uuid].selection(), *alternates] for uuid in instance_uuids]

    def _take(self, heap: list[tuple[float, int, _Host]]) -> _Host:
        """The best host, or one of the best `host_subset_size` by lot."""
        size = min(self.settings.host_subset_size, len(heap))
        if size == 1:
            return heapq.heappop(heap)[2]
        best = [heapq.heappop(heap) for _ in range(size)]
        picked = best.pop(self.runtime.dice("host").randrange(size))
        for entry in best:
            heapq.heappush(heap, entry)
        return picked[2]

    async def _candidates(self, wanted: Mapping[str, int]) -> _Candidates:
        resources = ",".join(f"{name}:{amount}" for name, amount in wanted.items())
        limit = self.runtime.settings.placement.max_allocation_candidates
        response = await self.placement.get(
            f"/allocation_candidates?limit={limit}&resources={resources}", microversion=MICROVERSION
        )
        if not response.ok:
            raise RuntimeError(f"placement answered {response.status} when asked for candidates")
        return _CANDIDATES.decode(response.body)

    async def _filtered(self, candidates: _Candidates, spec: Mapping[str, Any]) -> list[_Host]:
        requests: dict[str, _Request] = {}
        for request in candidates.allocation_requests:
            requests.setdefault(next(iter(request.allocations)), request)
        states = await self._host_states(list(requests))
        oldest = oldest_report(self.runtime.scaled(self.settings.service_down_time_s))
        forced = spec.get("force_hosts")
        hosts: list[_Host] = []
        for uuid, request in requests.items():
            state = states.get(uuid)
            if state is None or state["disabled"] or not has_reported(state, oldest):
                continue
            if forced and state["host"] not in forced:
                continue
            free = self._free_of(uuid, candidates.provider_summaries[uuid])
            hosts.append(_Host(state["host"], uuid, state["failed_builds"], request, free, len(hosts)))
        if not hosts:
            raise NoValidHost("There are not enough hosts available.")
        self._shun(hosts)
        if self.settings.shuffle_best_same_weighed_hosts:
            orders = list(range(len(hosts)))
            self.runtime.rng.shuffle(orders)
            for host, order in zip(hosts, orders, strict=True):
                host.order = order
        return hosts

    def _shun(self, hosts: list[_Host]) -> None:
        """Nova's build failure weigher: from 0 for the fewest recent failures to the multiplier for the most."""
        least = min(host.shunned for host in hosts)
        span = max(host.shunned for host in hosts) - least
        for host in hosts:
            share = (host.shunned - least) / span if span else 0.0
            host.shunned = share * self.settings.build_failure_weight_multiplier

    def _free_of(self, uuid: str, text: msgspec.Raw) -> Mapping[str, int]:
        known = self._free.get(uuid)
        if known is None or known.text != text:
            if len(self._free) >= PROVIDERS_KEPT_MAX:
                self._free.clear()
            known = self._free[uuid] = _Free(text)
        return known.amounts

    async def _host_states(self, uuids: list[str]) -> dict[str, Mapping[str, Any]]:
        now = asyncio.get_running_loop().time()
        if now < self._states_until and all(uuid in self._states for uuid in uuids):
            return self._states
        rows = await self.cell.fetch(GET_HOSTS, uuids=uuids)
        self._states = {row["uuid"]: row for row in rows}
        self._states_until = now + self.runtime.scaled(HOST_STATES_KEPT_S)
        return self._states


async def start(runtime: "Runtime") -> ServiceRecord:
    """Serve topic `scheduler`; returns when requests are taken."""
    name = f"scheduler-{runtime.index}" if runtime.index else "scheduler"
    record = ServiceRecord(runtime, host=name, binary="nova-scheduler", topic="scheduler")
    await record.start()
    await runtime.bus.serve("scheduler", Scheduler(runtime), server=name)
    return record
