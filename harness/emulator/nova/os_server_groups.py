"""`/os-server-groups`. A group is kept with its members; its policy is not enforced when hosts are chosen."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import bindparam, delete, insert, select

from harness.emulator.database import Statement, in_list
from harness.emulator.http import ApiError, require
from harness.emulator.nova import quota, validation
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.flavors import limit_of
from harness.emulator.nova.schema import instance_group_member, instance_groups

LIST = Statement(
    select(instance_groups).where(instance_groups.c.project_id == bindparam("project")).order_by(instance_groups.c.id)
)
LIST_ALL = Statement(select(instance_groups).order_by(instance_groups.c.id))
GET = Statement(select(instance_groups).where(instance_groups.c.uuid == bindparam("uuid")))
INSERT = Statement(insert(instance_groups))
DELETE = Statement(delete(instance_groups).where(instance_groups.c.id == bindparam("id")))
MEMBERS = Statement(
    select(instance_group_member.c.group_id, instance_group_member.c.instance_uuid)
    .where(in_list(instance_group_member.c.group_id, "ids"))
    .order_by(instance_group_member.c.id)
)
DELETE_MEMBERS = Statement(delete(instance_group_member).where(instance_group_member.c.group_id == bindparam("id")))
_POLICIES = ["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]
_RULES: validation.Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"max_server_per_host": validation.POSITIVE},
}


class ServerGroupsResource:
    """List and create."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        caller = req.context.caller
        require(caller.is_reader, "os_compute_api:os-server-groups:index")
        text: validation.Schema = {"type": "string"}
        number: validation.Schema = {"type": "string", "pattern": "^[0-9]*$"}
        validation.check_query(req, {"all_projects": text, "offset": number, "limit": number})
        everybody = caller.is_admin and req.get_param("all_projects") is not None
        database = self.api.cells.api
        rows = await database.fetch(LIST_ALL) if everybody else await database.fetch(LIST, project=caller.project_id)
        offset = validation.digits(req.get_param("offset") or "0")
        rows = rows[offset : offset + limit_of(req, self.api.settings.max_limit)]
        shown = [_shown(req, row, members) for row, members in await _with_members(self.api, rows)]
        self.api.app.json(resp, {"server_groups": shown})

    async def on_post(self, req: Any, resp: Any) -> None:
        caller = req.context.caller
        require(caller.is_member, "os_compute_api:os-server-groups:create")
        body = await self.api.app.body(req)
        policy = {"type": "string", "enum": _POLICIES if req.context.version >= (2, 15) else _POLICIES[:2]}
        many = {"type": "array", "minItems": 1, "maxItems": 1, "items": policy}
        new = req.context.version >= (2, 64)
        properties: dict[str, Any] = {"name": validation.NAME}
        properties.update({"policy": policy, "rules": _RULES} if new else {"policies": many})
        inner = {
            "type": "object",
            "required": ["name", "policy" if new else "policies"],
            "additionalProperties": False,
            "properties": properties,
        }
        validation.check(body, {"type": "object", "required": ["server_group"], "properties": {"server_group": inner}})
        wanted = body["server_group"]
        if wanted.get("rules") and wanted["policy"] != "anti-affinity":
            raise ApiError(400, "Only anti-affinity policy supports rules.")
        allowed = (await quota.limits(self.api.cells, self.api.settings, caller.project_id))["server_groups"]
        used = await self.api.cells.api.fetch_value(quota.COUNT_GROUPS, project=caller.project_id)
        if 0 <= allowed <= used:
            raise ApiError(403, "Quota exceeded, too many server groups.")
        row = {
            "uuid": str(uuid4()),
            "name": wanted["name"],
            "project_id": caller.project_id,
            "user_id": caller.user_id,
            "policy": wanted["policy"] if new else wanted["policies"][0],
            "rules": orjson.dumps(wanted.get("rules") or {}).decode(),
        }
        await self.api.cells.api.execute(INSERT, **row)
        self.api.app.json(resp, {"server_group": _shown(req, row, [])})


class ServerGroupResource:
    """Show and delete."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, group_id: str) -> None:
        row = await self._existing(req, group_id)
        [(row, members)] = await _with_members(self.api, [row])
        self.api.app.json(resp, {"server_group": _shown(req, row, members)})

    async def on_delete(self, req: Any, resp: Any, group_id: str) -> None:
        require(req.context.caller.is_member, "os_compute_api:os-server-groups:delete")
        row = await self._existing(req, group_id)
        async with self.api.cells.api.transaction() as transaction:
            await transaction.execute(DELETE_MEMBERS, id=row["id"])
            await transaction.execute(DELETE, id=row["id"])
        resp.status = 204

    async def _existing(self, req: Any, group_id: str) -> Mapping[str, Any]:
        row = await self.api.cells.api.fetch_one(GET, uuid=group_id)
        if row is None or not req.context.caller.owns(row["project_id"]):
            raise ApiError(404, f"Instance group {group_id} could not be found.")
        return row


async def _with_members(api: ComputeApi, rows: list[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[str]]]:
    members: dict[int, list[str]] = {}
    for member in await api.cells.api.fetch(MEMBERS, ids=[row["id"] for row in rows]):
        members.setdefault(member["group_id"], []).append(member["instance_uuid"])
    return [(row, members.get(row["id"], [])) for row in rows]


def _shown(req: Any, row: Mapping[str, Any], members: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": row["uuid"], "name": row["name"], "members": members}
    if req.context.version >= (2, 64):
        shown.update(policy=row["policy"], rules=orjson.loads(row["rules"]))
    else:
        shown.update(policies=[row["policy"]], metadata={})
    if req.context.version >= (2, 13):
        shown.update(project_id=row["project_id"], user_id=row["user_id"])
    return shown
