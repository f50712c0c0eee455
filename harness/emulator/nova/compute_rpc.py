"""What a compute asks of the conductor: it has no database of its own, each of its writes is an RPC call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.emulator.messaging import CallContext
from harness.emulator.nova.instances import NO_TASK_CHECK

if TYPE_CHECKING:
    from harness.emulator.messaging import Bus


class ConductorClient:
    """Object calls on topic `conductor`. All raise MessagingTimeout and RemoteError."""

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus

    async def save(
        self,
        context: CallContext,
        uuid: str,
        changes: Mapping[str, Any],
        expected: Any = NO_TASK_CHECK,
        network_info: str | None = None,
    ) -> None:
        """`Instance.save`, with its info cache if that changed. RemoteError's `exc_type` says what is wrong."""
        objinst: dict[str, Any] = {"name": "Instance", "uuid": uuid, "changes": changes}
        if network_info is not None:
            objinst["info_cache"] = {"network_info": network_info}
        arguments: dict[str, Any] = {"objinst": objinst, "objmethod": "save"}
        if expected != NO_TASK_CHECK:
            arguments["kwargs"] = {"expected_task_state": expected}
        await self._bus.call("conductor", "object_action", arguments, context=context)

    async def action(
        self, context: CallContext, objinst: Mapping[str, Any], method: str, kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Another method of an object."""
        arguments = {"objinst": objinst, "objmethod": method, "kwargs": kwargs}
        return await self._bus.call("conductor", "object_action", arguments, context=context)

    async def event(self, context: CallContext, changes: Mapping[str, Any]) -> None:
        """Record that a step of an action ended. Nobody waits for it."""
        objinst = {"name": "InstanceActionEvent", "changes": changes}
        arguments = {"objinst": objinst, "objmethod": "event_finish"}
        await self._bus.cast("conductor", "object_action", arguments, context=context)

    async def of_class(self, context: CallContext, name: str, method: str, kwargs: Mapping[str, Any]) -> Any:
        """A method of a class."""
        arguments = {"objname": name, "objmethod": method, "kwargs": kwargs}
        return await self._bus.call("conductor", "object_class_action_versions", arguments, context=context)
