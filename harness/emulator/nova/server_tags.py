"""`/servers/{server_id}/tags` (2.26) and one tag of it. Kept twice: in the row, and in `tags`, where filters look."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import instances, states, validation
from harness.emulator.nova.compute_api import ComputeApi, base_of, check_state

TAGS_MAX = 50
_ALL: validation.Schema = {
    "type": "object",
    "required": ["tags"],
    "additionalProperties": False,
    "properties": {"tags": validation.TAGS},
}
_STATES = (states.ACTIVE, states.PAUSED, states.SUSPENDED, states.STOPPED)


class ServerTagsResource:
    """Tags of a server."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        _, tags = await self._tags(req, server_id)
        self.api.app.json(resp, {"tags": tags})

    async def on_put(self, req: Any, resp: Any, server_id: str) -> None:
        body = await self.api.app.body(req)
        validation.check(body, _ALL)
        cell_id, _, _ = await self._changeable(req, server_id, "update tags")
        wanted = sorted(set(body["tags"]))
        await self._write(cell_id, server_id, wanted)
        self.api.app.json(resp, {"tags": wanted})

    async def on_delete(self, req: Any, resp: Any, server_id: str) -> None:
        cell_id, _, _ = await self._changeable(req, server_id, "delete tags")
        await self._write(cell_id, server_id, [])
        resp.status = 204

    async def on_get_tag(self, req: Any, resp: Any, server_id: str, tag: str) -> None:
        _, tags = await self._tags(req, server_id)
        if tag not in tags:
            raise ApiError(404, f"Server {server_id} has no tag '{tag}'")
        resp.status = 204

    async def on_put_tag(self, req: Any, resp: Any, server_id: str, tag: str) -> None:
        cell_id, _, tags = await self._changeable(req, server_id, "update tag")
        why = validation.why_not(tag, validation.TAG)
        if why is not None:
            raise ApiError(
                400,
                f"Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ','. "
                f"Validation error message: {why}",
            )
        if len(tags) >= TAGS_MAX:
            raise ApiError(400, f"The number of tags exceeded the per-server limit {TAGS_MAX}")
        resp.content_type = "text/html; charset=UTF-8"  # nova returns an answer of its own without a body
        if tag in tags:
            resp.status = 204
            return
        await self._write(cell_id, server_id, sorted([*tags, tag]))
        resp.status = 201
        resp.set_header("Location", f"{base_of(req)}/v2.1/servers/{server_id}/tags/{quote(tag)}")

    async def on_delete_tag(self, req: Any, resp: Any, server_id: str, tag: str) -> None:
        cell_id, _, tags = await self._changeable(req, server_id, "delete tag")
        if tag not in tags:
            raise ApiError(404, f"Instance {server_id} has no tag '{tag}'")
        await self._write(cell_id, server_id, [have for have in tags if have != tag])
        resp.status = 204

    async def _tags(self, req: Any, server_id: str) -> tuple[Mapping[str, Any], list[str]]:
        if req.context.version < (2, 26):
            raise ApiError(404, "The resource could not be found.")
        _, row = await self.api.instance(req.context.caller, server_id)
        tags: list[str] = orjson.loads(row["tags"])
        return row, tags

    async def _changeable(self, req: Any, server_id: str, action: str) -> tuple[int, Mapping[str, Any], list[str]]:
        if req.context.version < (2, 26):
            raise ApiError(404, "The resource could not be found.")
        caller: Caller = req.context.caller
        require(caller.is_member, f"os_compute_api:os-server-tags:{action.replace(' tags', '_all').split()[0]}")
        cell_id, row = await self.api.instance(caller, server_id)
        check_state(row, action, vm_states=_STATES, task_states=None, must_have_launched=False)
        if cell_id is None:
            raise ApiError(404, f"Instance {server_id} could not be found.")
        tags: list[str] = orjson.loads(row["tags"])
        return cell_id, row, tags

    async def _write(self, cell_id: int, uuid: str, tags: list[str]) -> None:
        database = self.api.cells.by_id[cell_id]
        async with database.transaction() as transaction:
            await transaction.execute(instances.DELETE_TAGS, uuid=uuid)
            await transaction.execute_many(instances.INSERT_TAG, [{"resource_id": uuid, "tag": tag} for tag in tags])
        await self.api.save(cell_id, uuid, {"tags": orjson.dumps(tags).decode()})
