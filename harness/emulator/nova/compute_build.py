"""The build of one instance on its host: claim, network, block devices, spawn, ACTIVE; and every way it can fail."""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from harness.emulator.messaging import CallContext, MessagingError, RemoteError
from harness.emulator.nova import states
from harness.emulator.nova.compute_hosts import Host
from harness.emulator.nova.compute_network import cached
from harness.emulator.nova.compute_rpc import event_row
from harness.emulator.nova.errors import BuildAbortException, RescheduledException, SpawnFailed
from harness.emulator.settings import SpreadSettings
from harness.emulator.timestamps import utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.nova.compute import Compute

log = logging.getLogger("squall.nova.compute")
_GONE = ("InstanceNotFound", "UnexpectedDeletingTaskStateError")
# What an instance on no host shows: its zone goes with the host.
_NO_HOST: dict[str, Any] = {"host": None, "node": None, "launched_on": None, "availability_zone": None}

_EVENT = "compute__do_build_and_run_instance"


class _Deleted(Exception):
    """The instance was deleted while it was built."""


class Builder:
    """Builds instances for all hosts of a process."""

    def __init__(self, compute: "Compute") -> None:
        self.compute = compute
        self.runtime = compute.runtime
        self.settings = compute.settings
        self.building: set[str] = set()
        self._plugs: dict[tuple[str, str], asyncio.Event] = {}

    def plugged(self, uuid: str, port_id: str) -> None:
        """Neutron says that a port is wired; whoever waits for it goes on, nobody else cares."""
        event = self._plugs.get((uuid, port_id))
        if event is not None:
            event.set()

    async def pause(self, work: str, spread: SpreadSettings) -> None:
        """The simulated duration of hypervisor work, drawn by the dice of its kind."""
        if spread.high_s > 0:
            await asyncio.sleep(self.runtime.dice(work).uniform(spread.low_s, spread.high_s))

    async def build(
        self,
        context: CallContext,
        host: Host,
        instance: dict[str, Any],
        spec: dict[str, Any],
        filter_properties: dict[str, Any],
        requested: list[dict[str, Any]],
        alternates: list[dict[str, Any]],
    ) -> None:
        """From BUILD/scheduling to ACTIVE, to ERROR, or back to the conductor for another host."""
        uuid = instance["uuid"]
        started = utcnow_iso()
        save = self.compute.conductor.save
        failure: Exception | None = None
        self.building.add(uuid)
        try:
            # Nova saves that it begins, the host as it claims, and that it asks for networks: one moment here.
            changes = {
                "vm_state": states.BUILDING,
                "task_state": "networking",
                "host": host.name,
                "node": host.name,
                "launched_on": host.name,
            }
            try:
                await save(context, uuid, changes, ["scheduling", None])
            except Exception as error:
                if not isinstance(error, RemoteError) or error.exc_type not in (*_GONE, "UnexpectedTaskStateError"):
                    failure = error
                await self._never_begun(context, host, uuid, failure)
            else:
                await self._on_host(context, host, instance, spec, requested, started)
                host.build_succeeded()
                return
        except _Deleted:
            host.build_failed()  # as Nova counts it
            host.abort(uuid, orjson.loads(instance["flavor"]))
            await self._free(uuid)
        except RescheduledException as error:
            host.build_failed()
            host.abort(uuid, orjson.loads(instance["flavor"]))
            if "retry" in filter_properties:
                failure = await self._reschedule(
                    context, host, instance, spec, filter_properties, requested, alternates, error
                )
            else:
                await self._set_error(context, host, instance, error, message=error.reason)
        except Exception as error:
            log.error(
                "build of %s on %s failed: %s: %s", uuid, host.name, type(error).__name__, error.__cause__ or error
            )
            host.build_failed()
            await self._set_error(context, host, instance, error)
        finally:
            self.building.discard(uuid)
        # Nova has dealt with a failed build by then, so that its event says Success, whatever became of it.
        await self.compute.finish_event(context, uuid, _EVENT, started, failure)

    async def _never_begun(self, context: CallContext, host: Host, uuid: str, error: Exception | None) -> None:
        """The very first save failed: nobody sets ERROR then. Without an error the instance is gone or taken."""
        host.build_failed()
        if error is not None:
            await self._stays_in_build(context, host, uuid, error)
        await self._free(uuid)

    async def _stays_in_build(self, context: CallContext, host: Host, uuid: str, error: Exception) -> None:
        """What Nova does about an error that none of its handlers expects: a fault that BUILD does not show."""
        log.error("%s stays in BUILD: %r", uuid, error)
        try:
            await self.compute.conductor.action(context, _fault(uuid, host, error), "create")
            await self.compute.conductor.save(context, uuid, {"task_state": None})
        except MessagingError as refused:
            log.error("%s stays as it is: %s", uuid, refused)

    async def _free(self, uuid: str) -> None:
        try:
            await self.compute.free_allocations(uuid)
        except Exception as error:
            log.error("allocations of %s were not deleted: %r", uuid, error)

    async def _on_host(
        self,
        context: CallContext,
        host: Host,
        instance: dict[str, Any],
        spec: Mapping[str, Any],
        requested: list[dict[str, Any]],
        started: str,
    ) -> None:
        """Raises: _Deleted, BuildAbortException, RescheduledException."""
        uuid = instance["uuid"]
        save = self.compute.conductor.save
        plugs: dict[str, asyncio.Event] = {}
        networking: asyncio.Task[list[dict[str, Any]]] | None = None

        def expect(port_id: str) -> None:
            plugs[port_id] = self._plugs[(uuid, port_id)] = asyncio.Event()

        try:
            host.claim(uuid, orjson.loads(instance["flavor"]))
            if requested:
                networking = asyncio.create_task(
                    self.compute.network.allocate(
                        context, instance, requested, spec.get("security_groups") or [], host.name, expect
                    )
                )
            changes: dict[str, Any] = {"task_state": "block_device_mapping", "root_device_name": "/dev/vda"}
            await save(context, uuid, changes, ["networking"])
            info = await networking if networking is not None else []
            # As in Nova the info cache is saved along with its instance.
            network_info = cached(info, {request.get("port_id") for request in requested}) if info else None
            await save(context, uuid, {"task_state": "spawning"}, ["block_device_mapping"], network_info)
            await self.pause("build", self.settings.build)
            self._may_fail(host)
            await self._wait_plugged(uuid, info, plugs)
            changes = {
                "vm_state": states.ACTIVE,
                "task_state": None,
                "power_state": states.RUNNING,
                "launched_at": utcnow_iso(),
            }
            # Nova writes the event right after; together they are one message and one commit.
            await save(context, uuid, changes, ["spawning"], finishes=event_row(context, uuid, _EVENT, started))
        except BuildAbortException:
            await self._undo_network(context, uuid, networking, requested)
            raise
        except Exception as error:
            await self._undo_network(context, uuid, networking, requested)
            if isinstance(error, RemoteError) and error.exc_type in _GONE:
                raise _Deleted from error
            raise RescheduledException(uuid, str(error)) from error
        finally:
            for port_id in plugs:
                self._plugs.pop((uuid, port_id), None)

    def _may_fail(self, host: Host) -> None:
        """What the settings say of spawns on this host. Raises: SpawnFailed."""
        failing = self.settings.spawn_failure
        if host.name in failing.hosts or self.runtime.dice("spawn_failure").random() < failing.probability:
            raise SpawnFailed

    async def _wait_plugged(self, uuid: str, info: list[dict[str, Any]], plugs: Mapping[str, asyncio.Event]) -> None:
        """Wait for the network's word on every port that was not up yet.

        Raises: BuildAbortException after `vif_plugging_timeout`, when that is fatal.
        """
        timeout_s = self.runtime.scaled(self.settings.vif_plugging_timeout_s)
        if timeout_s == 0:
            return
        waiting = [plugs[vif["id"]] for vif in info if not vif["active"] and not plugs[vif["id"]].is_set()]
        if not waiting:
            return
        try:
            async with asyncio.timeout(timeout_s):
                for event in waiting:
                    await event.wait()
        except TimeoutError:
            if self.settings.vif_plugging_is_fatal:
                text = "Failed to allocate the network(s), not rescheduling."
                raise BuildAbortException(uuid, text) from None

    async def _undo_network(
        self,
        context: CallContext,
        uuid: str,
        networking: "asyncio.Task[list[dict[str, Any]]] | None",
        requested: list[dict[str, Any]],
    ) -> None:
        if networking is None:
            return
        await asyncio.wait([networking])  # what it had created is gone if it failed, but not what it never heard of
        try:
            own = frozenset(request["port_id"] for request in requested if request.get("port_id"))
            await self.compute.network.deallocate(uuid, own)
            cache = {"name": "InstanceInfoCache", "uuid": uuid, "changes": {"network_info": "[]"}}
            await self.compute.conductor.action(context, cache, "save")
        except Exception as error:
            log.error("ports of %s were not removed: %s", uuid, error)

    async def _reschedule(
        self,
        context: CallContext,
        host: Host,
        instance: dict[str, Any],
        spec: dict[str, Any],
        filter_properties: dict[str, Any],
        requested: list[dict[str, Any]],
        alternates: list[dict[str, Any]],
        error: RescheduledException,
    ) -> Exception | None:
        """Give allocations and instance back; the conductor claims its next alternate. Returns why that failed."""
        uuid = instance["uuid"]
        filter_properties["retry"]["exc_reason"] = error.reason
        try:
            await self.compute.conductor.save(context, uuid, {**_NO_HOST, "task_state": "scheduling"})
            await self.compute.free_allocations(uuid, leaks=False)  # else no alternate could be claimed
        except Exception as refused:
            if isinstance(refused, RemoteError) and refused.exc_type in _GONE:
                return None
            await self._stays_in_build(context, host, uuid, refused)
            return refused
        log.info("%s is rescheduled: %s", uuid, error)
        kept = {name: value for name, value in instance.items() if name != "image"}
        await self.runtime.bus.cast(
            "conductor",
            "build_instances",
            {
                "instances": [kept],
                "image": instance["image"],
                "filter_properties": filter_properties,
                "requested_networks": requested,
                "request_spec": spec,
                "host_lists": [alternates],
            },
            context=context,
        )
        return None

    async def _set_error(
        self,
        context: CallContext,
        host: Host,
        instance: Mapping[str, Any],
        error: Exception,
        message: str | None = None,
    ) -> None:
        """ERROR with a fault, without a host; the allocations are given back."""
        uuid = instance["uuid"]
        conductor = self.compute.conductor
        host.abort(uuid, orjson.loads(instance["flavor"]))
        try:
            await conductor.action(context, _fault(uuid, host, error, message), "create")
            await conductor.save(context, uuid, {**_NO_HOST, "vm_state": states.ERROR, "task_state": None})
        except MessagingError as refused:
            log.error("%s cannot be set to ERROR: %s", uuid, refused)
        else:
            await self._free(uuid)


def _fault(uuid: str, host: Host, error: Exception, message: str | None = None) -> dict[str, Any]:
    """An InstanceFault. Nova shows the text of its own errors, and of others only the name of their class."""
    if message is None:
        message = str(error) if isinstance(error, BuildAbortException) else type(error).__name__
    changes = {
        "created_at": utcnow_iso(),
        "instance_uuid": uuid,
        "code": 500,
        "message": message[:255],
        "details": f"{type(error).__name__}: {error}",
        "host": host.name,
    }
    return {"name": "InstanceFault", "changes": changes}
