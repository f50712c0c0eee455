"""`POST /servers/{server_id}/action`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import states, validation
from harness.emulator.nova.compute_api import ComputeApi, check_lock, check_state, describe
from harness.emulator.nova.os_security_groups import add_to_server, remove_from_server
from harness.emulator.nova.server_actions_refused import refuse
from harness.emulator.nova.server_create import bus_context
from harness.emulator.nova.server_delete import delete_server

_REBOOT_TYPES = ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]
_HARD_STATES = (states.ACTIVE, states.STOPPED, states.PAUSED, states.SUSPENDED, states.ERROR)
_BODIES: dict[str, validation.Schema] = {
    "reboot": {
        "type": "object",
        "required": ["type"],
        "additionalProperties": False,
        "properties": {"type": {"type": "string", "enum": _REBOOT_TYPES}},
    },
    "os-resetState": {
        "type": "object",
        "required": ["state"],
        "additionalProperties": False,
        "properties": {"state": {"type": "string", "enum": ["active", "error"]}},
    },
    "lock": {
        "type": ["object", "null"],
        "properties": {"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}},
    },
}
_GROUP: validation.Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255}},
}
_BODIES |= {"addSecurityGroup": _GROUP, "removeSecurityGroup": _GROUP}
# action of the request: (name in messages, record, RPC method, task state, vm states it may begin in)
_SIMPLE = {
    "os-stop": ("stop", "stop_instance", "powering-off", (states.ACTIVE, states.ERROR)),
    "os-start": ("start", "start_instance", "powering-on", (states.STOPPED,)),
    "pause": ("pause", "pause_instance", "pausing", (states.ACTIVE,)),
    "unpause": ("unpause", "unpause_instance", "unpausing", (states.PAUSED,)),
    "suspend": ("suspend", "suspend_instance", "suspending", (states.ACTIVE,)),
    "resume": ("resume", "resume_instance", "resuming", (states.SUSPENDED,)),
}
Handler = Callable[[Any, int, Mapping[str, Any], Any], Awaitable[None]]


class ServerActionResource:
    """One method for each action; the simple ones share `_simple`."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api
        self._handlers: dict[str, Handler] = {
            "reboot": self._reboot,
            "os-resetState": self._reset_state,
            "lock": self._lock,
            "unlock": self._unlock,
            "addSecurityGroup": self._add_security_group,
            "removeSecurityGroup": self._remove_security_group,
        }

    async def on_post(self, req: Any, resp: Any, server_id: str) -> None:
        caller: Caller = req.context.caller
        body = await self.api.app.body(req, required=False)
        if not isinstance(body, dict) or len(body) != 1:
            raise ApiError(400, "Malformed request body")
        name, arguments = next(iter(body.items()))
        resp.status = 202
        if name in ("forceDelete", "os-forceDelete"):
            require(caller.is_member, "os_compute_api:os-deferred-delete:force")
            await delete_server(self.api, req, server_id, forced=True)
            return
        if name not in _SIMPLE and name not in self._handlers:
            await refuse(self.api, req, server_id, body)
        if name in _BODIES:
            validation.check(body, {"type": "object", "properties": {name: _BODIES[name]}})
        found, row = await self.api.instance(caller, server_id)
        require(caller.is_admin if name == "os-resetState" else caller.is_member, _rule(name))
        if name in _SIMPLE:
            self._check_simple(req, row, name)
        cell_id, row = (found, row) if found is not None else await self.api.placed(caller, server_id)
        if name in _SIMPLE:
            await self._simple(req, cell_id, row, name)
        else:
            await self._handlers[name](req, cell_id, row, arguments)

    def _check_simple(self, req: Any, row: Mapping[str, Any], name: str) -> None:
        action, _, _, vm_states = _SIMPLE[name]
        check_lock(row, req.context.caller)
        check_state(row, action, vm_states=vm_states, must_have_launched=name not in ("pause", "unpause"))

    async def _simple(self, req: Any, cell_id: int, row: Mapping[str, Any], name: str) -> None:
        action, method, task_state, _ = _SIMPLE[name]
        await self._hand_over(req, cell_id, row, action, method, task_state, {})

    async def _reboot(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        kind = arguments["type"].upper()
        check_lock(row, req.context.caller)
        check_state(row, "reboot", vm_states=_HARD_STATES if kind == "HARD" else (states.ACTIVE,), task_states=None)
        if kind == "SOFT":
            check_state(row, "reboot")
        task_state = "rebooting_hard" if kind == "HARD" else "rebooting"
        await self._hand_over(req, cell_id, row, "reboot", "reboot_instance", task_state, {"reboot_type": kind})

    async def _hand_over(
        self,
        req: Any,
        cell_id: int,
        row: Mapping[str, Any],
        action: str,
        method: str,
        task_state: str,
        arguments: Mapping[str, Any],
    ) -> None:
        """Set the task state (a compare-and-swap), record the action, tell the host."""
        uuid = row["uuid"]
        if not await self.api.save(cell_id, uuid, {"task_state": task_state}, [row["task_state"]]):
            _, now = await self.api.placed(req.context.caller, uuid)
            raise ApiError(409, f"Cannot '{action}' instance {uuid} while it is in task_state {now['task_state']}")
        await self.api.start_action(req, cell_id, uuid, action)
        instance = {**describe(row), "task_state": task_state}
        await self.api.runtime.bus.cast(
            "compute", method, {"instance": instance, **arguments}, server=row["host"], context=bus_context(req)
        )

    async def _reset_state(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        await self.api.save(cell_id, row["uuid"], {"vm_state": arguments["state"], "task_state": None})

    async def _lock(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        caller: Caller = req.context.caller
        system = orjson.loads(row["system_metadata"])
        reason = (arguments or {}).get("locked_reason")
        if reason is not None:
            system["locked_reason"] = reason
        owner = "owner" if row["project_id"] == caller.project_id and not caller.is_admin else "admin"
        changes = {"locked_by": owner, "system_metadata": orjson.dumps(system).decode()}
        await self.api.save(cell_id, row["uuid"], changes)

    async def _unlock(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        system = orjson.loads(row["system_metadata"])
        system.pop("locked_reason", None)
        changes = {"locked_by": None, "system_metadata": orjson.dumps(system).decode()}
        await self.api.save(cell_id, row["uuid"], changes)

    async def _add_security_group(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        await add_to_server(self.api, req, cell_id, row, arguments["name"])

    async def _remove_security_group(self, req: Any, cell_id: int, row: Mapping[str, Any], arguments: Any) -> None:
        await remove_from_server(self.api, req, cell_id, row, arguments["name"])


def _rule(name: str) -> str:
    if name.endswith("SecurityGroup"):
        return f"os_compute_api:os-security-groups:{name.removesuffix('SecurityGroup')}"
    if name == "os-resetState":
        return "os_compute_api:os-admin-actions:reset_state"
    if name in ("lock", "unlock"):
        return f"os_compute_api:os-lock-server:{name}"
    if name in ("pause", "unpause"):
        return f"os_compute_api:os-pause-server:{name}"
    if name in ("suspend", "resume"):
        return f"os_compute_api:os-suspend-server:{name}"
    return f"os_compute_api:servers:{name.removeprefix('os-')}"
