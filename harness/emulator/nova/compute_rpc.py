"""What a compute asks of the conductor: it has no database of its own, each of its writes is an RPC call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.emulator.messaging import CallContext
from harness.emulator.nova.instances import NO_TASK_CHECK
from harness.emulator.timestamps import utcnow_iso

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
        finishes: Mapping[str, Any] | None = None,
    ) -> None:
        """`Instance.save`, with its info cache if that changed, and the event that ends with it (see `event_row`).

        RemoteError's `exc_type` says what is wrong; then neither is written.
        """
        objinst: dict[str, Any] = {"name": "Instance", "uuid": uuid, "changes": changes}
        if network_info is not None:
            objinst["info_cache"] = {"network_info": network_info}
        if finishes is not None:
            objinst["event"] = finishes
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


def event_row(
    context: CallContext, uuid: str, event: str, started: str, error: BaseException | None = None
) -> dict[str, Any]:
    """The row of an event that ends now."""
    return {
        "event": event,
        "instance_uuid": uuid,
        "request_id": context.request_id,
        "start_time": started,
        "finish_time": utcnow_iso(),
        "result": "Success" if error is None else "Error",
        "traceback": None if error is None else f"{type(error).__name__}: {error}",
        "host": context.server,
    }
