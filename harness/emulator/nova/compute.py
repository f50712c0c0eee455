"""nova-compute, many in one process: simulated hypervisors that build, stop, start and delete nothing, at real cost.

Each host has a queue, a service record, a compute node, a placement provider and a limit on concurrent builds of its
own. All writes go through the conductor. What a host knows about its instances is gone when the process ends; on its
next start it does with unfinished ones what Nova's `init_host` does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from harness.emulator.messaging import CallContext, MessagingError, RemoteError
from harness.emulator.nova import states
from harness.emulator.nova.compute_build import Builder
from harness.emulator.nova.compute_hosts import Host, Hosts
from harness.emulator.nova.compute_network import ComputeNetwork, cached
from harness.emulator.nova.compute_rpc import ConductorClient, event_row
from harness.emulator.timestamps import utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.compute")
Step = Callable[[], Awaitable[None]]


class Compute:
    """RPC endpoint of `compute.<host>`, for all hosts of this process; `context.server` says which."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.settings = runtime.settings.nova
        self.conductor = ConductorClient(runtime.bus)
        self.network = ComputeNetwork(runtime)
        self.placement = runtime.service("placement", user="nova")
        self.hosts = Hosts(runtime, self.conductor)
        self.builder = Builder(self)
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- RPC methods: each begins a task and returns, as Nova hands its work to threads ----

    async def build_and_run_instance(
        self,
        context: CallContext,
        *,
        instance: dict[str, Any],
        image: dict[str, Any],
        request_spec: dict[str, Any],
        filter_properties: dict[str, Any],
        requested_networks: list[dict[str, Any]],
        node: str,
        host_list: list[dict[str, Any]],
    ) -> None:
        """Build one instance, `max_concurrent_builds` at a time on a host."""
        host = self.hosts.of(context.server)
        instance["image"] = image

        async def build() -> None:
            async with host.builds:
                await self.builder.build(
                    context, host, instance, request_spec, filter_properties, requested_networks, host_list
                )

        self._spawn(self._locked(instance["uuid"], build))

    async def terminate_instance(
        self, context: CallContext, *, instance: dict[str, Any], bdms: list[Any] | None = None
    ) -> None:
        """Delete an instance, its ports and its allocations."""
        host = self.hosts.of(context.server)
        self._spawn(self._locked(instance["uuid"], lambda: self._terminate(context, host, instance)))

    async def external_instance_event(
        self, context: CallContext, *, instances: list[dict[str, Any]], events: list[dict[str, Any]]
    ) -> None:
        """News from neutron."""
        for event in events:
            if event["name"] == "network-vif-plugged":
                self.builder.plugged(event["server_uuid"], event["tag"])
            elif event["name"] in ("network-changed", "network-vif-deleted"):
                uuid = event["server_uuid"]
                if uuid not in self.builder.building:  # a build's own binding causes one; it has just read the port
                    self._spawn(self._locked(uuid, lambda u=uuid: self._refresh(context, u)))  # type: ignore[misc]

    async def stop_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "stop", states.STOPPED, states.SHUTDOWN, terminated=True)

    async def start_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "start", states.ACTIVE, states.RUNNING)

    async def pause_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "pause", states.PAUSED, states.POWER_PAUSED)

    async def unpause_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "unpause", states.ACTIVE, states.RUNNING)

    async def suspend_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "suspend", states.SUSPENDED, states.POWER_SUSPENDED)

    async def resume_instance(self, context: CallContext, *, instance: dict[str, Any]) -> None:
        await self._change(context, instance, "resume", states.ACTIVE, states.RUNNING)

    async def reboot_instance(self, context: CallContext, *, instance: dict[str, Any], reboot_type: str) -> None:
        """Pending, started, done: two states in between."""
        suffix = "_hard" if reboot_type == "HARD" else ""
        uuid = instance["uuid"]

        async def reboot() -> None:
            started = utcnow_iso()
            await self.conductor.save(context, uuid, {"task_state": f"reboot_pending{suffix}"})
            await self.conductor.save(context, uuid, {"task_state": f"reboot_started{suffix}"})
            changes = {"vm_state": states.ACTIVE, "task_state": None, "power_state": states.RUNNING}
            await self.conductor.save(context, uuid, changes)
            await self.finish_event(context, uuid, "compute_reboot_instance", started)

        self._spawn(self._locked(uuid, reboot))

    # ---- what the methods share ----

    async def finish_event(
        self, context: CallContext, uuid: str, event: str, started: str, error: BaseException | None = None
    ) -> None:
        """The event of an action, as `os-instance-actions` shows it."""
        await self.conductor.event(context, event_row(context, uuid, event, started, error))

    async def free_allocations(self, uuid: str, *, leaks: bool = True) -> None:
        """Delete the instance's allocations in placement. Args: leaks: the truth switch applies."""
        if leaks and self.runtime.strikes("leaked_allocation"):
            return
        response = await self.placement.delete(f"/allocations/{uuid}", microversion="1.28")
        if response.status not in (204, 404):
            log.error("placement answered %d when asked to delete allocations of %s", response.status, uuid)

    async def _change(
        self,
        context: CallContext,
        instance: Mapping[str, Any],
        action: str,
        vm_state: str,
        power_state: int,
        *,
        terminated: bool = False,
    ) -> None:
        uuid = instance["uuid"]

        async def change() -> None:
            started = utcnow_iso()
            changes: dict[str, Any] = {"vm_state": vm_state, "task_state": None, "power_state": power_state}
            if terminated:
                changes["terminated_at"] = None
            await self.conductor.save(context, uuid, changes, instance["task_state"])
            await self.finish_event(context, uuid, f"compute_{action}_instance", started)

        self._spawn(self._locked(uuid, change))

    async def _terminate(self, context: CallContext, host: Host, instance: Mapping[str, Any]) -> None:
        uuid = instance["uuid"]
        started = utcnow_iso()
        try:
            await self.builder.pause("delete", self.settings.delete)
            if not self.runtime.strikes("orphan_port"):
                await self.network.deallocate(uuid, frozenset(instance.get("own_ports") or ()))
            host.release(uuid, orjson.loads(instance["flavor"]))
            changes = {
                "vm_state": states.DELETED,
                "task_state": None,
                "power_state": states.NOSTATE,
                "terminated_at": utcnow_iso(),
            }
            await self.conductor.save(context, uuid, changes, network_info="[]")
            if not self.runtime.strikes("quota_drift"):
                await self.conductor.action(context, {"name": "Instance", "uuid": uuid}, "destroy")
            await self.finish_event(context, uuid, "compute_terminate_instance", started)
            await self.free_allocations(uuid)
        except RemoteError as error:
            if error.exc_type != "InstanceNotFound":
                await self._delete_failed(context, uuid)
                raise
        except Exception:
            await self._delete_failed(context, uuid)
            raise

    async def _delete_failed(self, context: CallContext, uuid: str) -> None:
        """A delete that failed half way leaves ERROR, for the user to delete again."""
        try:
            await self.conductor.save(context, uuid, {"vm_state": states.ERROR, "task_state": None})
        except MessagingError as error:
            log.error("cannot set %s to ERROR: %s", uuid, error)

    async def _refresh(self, context: CallContext, uuid: str) -> None:
        """What neutron says now; which ports the user brought along is known only from before."""
        kept = await self.conductor.of_class(context, "InstanceInfoCache", "get_by_instance_uuid", {"uuid": uuid})
        own = {vif["id"] for vif in orjson.loads(kept or "[]") if vif["preserve_on_delete"]}
        info = cached(await self.network.describe(uuid), own)
        if info != kept:  # Nova's ORM does not write what did not change either
            objinst = {"name": "InstanceInfoCache", "uuid": uuid, "changes": {"network_info": info}}
            await self.conductor.action(context, objinst, "save")

    async def resume_unfinished(self, context: CallContext) -> None:
        """What an earlier process left: interrupted builds end in ERROR, deletes go on, other tasks are forgotten."""
        rows = await self.conductor.of_class(
            context, "InstanceList", "get_unsettled", {"hosts": [host.name for host in self.hosts.all()]}
        )
        for row in rows:
            if row["vm_state"] == states.BUILDING:
                changes = {"vm_state": states.ERROR, "task_state": None}
                await self.conductor.save(context, row["uuid"], changes)
            elif row["task_state"] == "deleting":
                host = self.hosts.of(row["host"])
                self._spawn(self._locked(row["uuid"], lambda r=row, h=host: self._terminate(context, h, r)))  # type: ignore[misc]
            else:
                await self.conductor.save(context, row["uuid"], {"task_state": None})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            log.error("%s: %s", type(error).__name__, error)

    async def _locked(self, uuid: str, step: Step) -> None:
        """One thing at a time for each instance, in the order in which it came."""
        lock, users = self._locks.get(uuid) or (asyncio.Lock(), 0)
        self._locks[uuid] = (lock, users + 1)
        try:
            async with lock:
                await step()
        finally:
            lock, users = self._locks[uuid]
            if users == 1:
                del self._locks[uuid]
            else:
                self._locks[uuid] = (lock, users - 1)

    async def close(self) -> None:
        """Drop everything under way: the process ends."""
        await self.hosts.close()
        for task in list(self._tasks):
            task.cancel()


async def start(runtime: "Runtime") -> Compute:
    """Register the hosts of this process and serve their queues; returns when all of them take requests."""
    compute = Compute(runtime)
    context = CallContext(request_id="", is_admin=True)
    await compute.hosts.register(context)
    names = [host.name for host in compute.hosts.all()]
    await runtime.bus.serve_many("compute", compute, servers=names, concurrency=4096)
    await compute.resume_unfinished(context)
    compute.hosts.start()
    return compute
