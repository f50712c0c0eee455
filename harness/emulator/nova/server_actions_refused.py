"""Server actions that nova has and this cloud has not: who may not, and bodies that are wrong, hear what nova says.

Whoever may, and asks in the right form, is told that there is no such action.
"""

from dataclasses import dataclass
from typing import Any

from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.server_absent import NOT_SUPPORTED

_ADDRESS: validation.Schema = {"oneOf": [validation.ADDRESS_V4, validation.ADDRESS_V6]}
_HOST: validation.Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255}
_LENGTH: validation.Schema = {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$", "minimum": -1}
_NOT_FOUND_IP = "floating IP not found"


def _body(required: tuple[str, ...] = (), **properties: validation.Schema) -> validation.Schema:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


@dataclass(frozen=True, slots=True)
class Refused:
    """One action. `until`: the last minor version that has it. `status`, `message`: for whoever may; None: no such
    action."""

    rule: str
    schema: validation.Schema | None = None
    admin: bool = False
    until: int | None = None
    status: int = 400
    message: str | None = None


_LIVE = {"block_migration": validation.BOOLEAN, "disk_over_commit": validation.BOOLEAN, "host": _HOST}
_LIVE_SINCE_25 = {"block_migration": {"enum": [*validation.BOOLEAN["enum"], "auto"]}, "host": _HOST}
_FORCE = {"force": validation.BOOLEAN}
_EVACUATE = {"host": _HOST, "adminPass": {"type": "string"}}
_FLOATING = {"address": _ADDRESS, "fixed_address": _ADDRESS}
_MULTINIC = "os_compute_api:os-multinic:"
_FLOATING_IPS = "os_compute_api:os-floating-ips:"
REFUSED = {
    "addFixedIp": Refused(
        f"{_MULTINIC}add", _body(("networkId",), networkId={"type": ["string", "integer"]}), until=43
    ),
    "removeFixedIp": Refused(f"{_MULTINIC}remove", _body(("address",), address=_ADDRESS), until=43),
    "addFloatingIp": Refused(
        f"{_FLOATING_IPS}add", _body(("address",), **_FLOATING), until=43, status=404, message=_NOT_FOUND_IP
    ),
    "removeFloatingIp": Refused(
        f"{_FLOATING_IPS}remove", _body(("address",), address=_ADDRESS), until=43, status=404, message=_NOT_FOUND_IP
    ),
    "os-getConsoleOutput": Refused(
        "os_compute_api:os-console-output", _body(length=_LENGTH), status=501, message=NOT_SUPPORTED
    ),
    "migrate": Refused("os_compute_api:os-migrate-server:migrate", admin=True),
    "os-migrateLive": Refused("os_compute_api:os-migrate-server:migrate_live", admin=True),
    "injectNetworkInfo": Refused("os_compute_api:os-admin-actions:inject_network_info", admin=True),
    "evacuate": Refused("os_compute_api:os-evacuate", admin=True),
}


def _schema(name: str, minor: int) -> validation.Schema | None:
    if name == "os-migrateLive":
        if minor < 25:
            return _body(("block_migration", "disk_over_commit", "host"), **_LIVE)
        return _body(("block_migration", "host"), **_LIVE_SINCE_25, **(_FORCE if 30 <= minor < 68 else {}))
    if name == "evacuate":
        if minor < 14:
            return _body(("onSharedStorage",), onSharedStorage=validation.BOOLEAN, **_EVACUATE)
        return _body((), **_EVACUATE, **(_FORCE if 29 <= minor < 68 else {}))
    if name == "migrate" and minor >= 56:
        return {**_body(host=_HOST), "type": ["object", "null"]}
    return REFUSED[name].schema


async def refuse(api: ComputeApi, req: Any, server_id: str, body: dict[str, Any]) -> None:
    """Raise the ApiError that nova answers, where `body` asks for one of these actions."""
    name = next(iter(body))
    caller: Caller = req.context.caller
    minor: int = req.context.version[1]
    if name == "resetNetwork":
        raise ApiError(410, "This resource is no longer available. No forwarding address is given.")
    action = REFUSED.get(name)
    if action is None or (action.until is not None and minor > action.until):
        raise ApiError(400, f"There is no such action: {name}")
    schema = _schema(name, minor)
    if schema is not None:
        validation.check(body, {"type": "object", "properties": {name: schema}})
    await api.instance(caller, server_id)
    require(caller.is_admin if action.admin else caller.is_member, action.rule)
    raise ApiError(action.status, action.message or f"There is no such action: {name}")
