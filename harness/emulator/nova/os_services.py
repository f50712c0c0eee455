"""`/os-services`: conductors, schedulers and computes, and whether they report."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, require
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import GET_SERVICES, ComputeApi
from harness.emulator.nova.schema import CELL1_ID, services
from harness.emulator.timestamps import utcnow_plain_micro

GET = Statement(select(services).where(services.c.uuid == bindparam("uuid")))
GET_BY_HOST = Statement(
    select(services).where(services.c.host == bindparam("host"), services.c.binary == bindparam("binary"))
)
CHANGE = Statement(
    update(services)
    .where(services.c.id == bindparam("b_id"))
    .values(
        disabled=bindparam("disabled"),
        disabled_reason=bindparam("disabled_reason"),
        forced_down=bindparam("forced_down"),
    )
)
DELETE = Statement(delete(services).where(services.c.id == bindparam("id")))
_UPDATE: validation.Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "status": {"type": "string", "enum": ["enabled", "disabled"]},
        "disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255},
        "forced_down": validation.BOOLEAN,
    },
}
_BY_HOST: validation.Schema = {
    "type": "object",
    "required": ["host", "binary"],
    "additionalProperties": False,
    "properties": {
        "host": {"type": "string", "minLength": 1, "maxLength": 255},
        "binary": {"type": "string", "minLength": 1, "maxLength": 255},
        "disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255},
        "forced_down": validation.BOOLEAN,
    },
}


class ServicesResource:
    """The list."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-services:list")
        validation.check_query(req, {"binary": {"type": "string"}, "host": {"type": "string"}})
        rows = await self.api.cells.by_id[CELL1_ID].fetch(GET_SERVICES)
        for name in ("binary", "host"):
            wanted = req.get_param(name)
            if wanted:
                rows = [row for row in rows if row[name] == wanted]
        self.api.app.json(resp, {"services": [_shown(self.api, req, row) for row in rows]})


class ServiceResource:
    """One service by UUID (2.53); before, the words `enable`, `disable`, `force-down` stand in its place."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_put(self, req: Any, resp: Any, service_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-services:update")
        body = await self.api.app.body(req)
        if req.context.version < (2, 53):
            await self._put_by_host(req, resp, service_id, body)
            return
        validation.check(body, _UPDATE)
        if not validation.is_uuid(service_id):
            raise ApiError(400, f"Invalid uuid {service_id}")
        row = await self._existing(service_id)
        if "status" not in body and "forced_down" not in body:
            raise ApiError(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
        if row["binary"] != "nova-compute":
            raise ApiError(
                400, f"Updating a {row['binary']} service is not supported. Only nova-compute services can be updated."
            )
        if body.get("status") == "enabled" and "disabled_reason" in body:
            raise ApiError(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
        changes = _state(row)
        if "status" in body:
            changes["disabled"] = int(body["status"] == "disabled")
            changes["disabled_reason"] = body.get("disabled_reason")
        if "forced_down" in body:
            changes["forced_down"] = int(validation.is_true(body["forced_down"]))
        await self._change(row, changes)
        shown = _shown(self.api, req, {**dict(row), **changes})
        shown["updated_at"] = utcnow_plain_micro()
        self.api.app.json(resp, {"service": shown})

    async def on_delete(self, req: Any, resp: Any, service_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-services:delete")
        row = await self._existing(service_id, "Service {} not found.")
        await self.api.cells.by_id[CELL1_ID].execute(DELETE, id=row["id"])
        self.api.forget_services()
        resp.status = 204

    async def _put_by_host(self, req: Any, resp: Any, action: str, body: Any) -> None:
        if action not in ("enable", "disable", "disable-log-reason", "force-down"):
            raise ApiError(404, "Unknown action")
        validation.check(body, _BY_HOST)
        database = self.api.cells.by_id[CELL1_ID]
        host, binary = str(body.get("host")), str(body.get("binary"))
        row = await database.fetch_one(GET_BY_HOST, host=host, binary=binary)
        if row is None:
            if await database.fetch_one(GET_BY_HOST, host=host, binary="nova-compute") is None:
                raise ApiError(404, f"Host '{host}' is not mapped to any cell")
            raise ApiError(404, f"Could not find binary {binary} on host {host}.")
        changes = _state(row)
        shown: dict[str, Any] = {"host": host, "binary": binary}
        if action == "force-down":
            changes["forced_down"] = int(validation.is_true(body.get("forced_down", False)))
            shown["forced_down"] = bool(changes["forced_down"])
        else:
            changes["disabled"] = int(action != "enable")
            changes["disabled_reason"] = body.get("disabled_reason") if action != "enable" else None
            shown["status"] = "enabled" if action == "enable" else "disabled"
            if action == "disable-log-reason":
                shown["disabled_reason"] = changes["disabled_reason"]
        await self._change(row, changes)
        self.api.app.json(resp, {"service": shown})

    async def _existing(self, service_id: str, missing: str = "Service {} could not be found.") -> Mapping[str, Any]:
        row = await self.api.cells.by_id[CELL1_ID].fetch_one(GET, uuid=service_id)
        if row is None:
            raise ApiError(404, missing.format(service_id))
        return row

    async def _change(self, row: Mapping[str, Any], changes: dict[str, Any]) -> None:
        await self.api.cells.by_id[CELL1_ID].execute(CHANGE, b_id=row["id"], **changes)
        self.api.forget_services()


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("disabled", "disabled_reason", "forced_down")}


def _shown(api: ComputeApi, req: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    by_uuid = req.context.version >= (2, 53)
    updated = row["updated_at"]
    shown = {
        "binary": row["binary"],
        "host": row["host"],
        "id": row["uuid"] if by_uuid else row["id"],
        "zone": "nova" if row["binary"] == "nova-compute" else "internal",
        "status": "disabled" if row["disabled"] else "enabled",
        "state": "up" if api.is_up(row) else "down",
        "updated_at": updated[:19] + ".000000" if updated else None,
        "disabled_reason": row["disabled_reason"],
    }
    if req.context.version >= (2, 11):
        shown["forced_down"] = bool(row["forced_down"])
    return shown
