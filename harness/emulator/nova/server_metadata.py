"""`/servers/{server_id}/metadata` and one key of it."""

from collections.abc import Mapping
from typing import Any

import orjson

from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import states, validation
from harness.emulator.nova.compute_api import ComputeApi, check_lock, check_state
from harness.emulator.nova.quota import limits

_ALL: validation.Schema = {
    "type": "object",
    "required": ["metadata"],
    "additionalProperties": False,
    "properties": {"metadata": validation.METADATA},
}
_ONE: validation.Schema = {
    "type": "object",
    "required": ["meta"],
    "additionalProperties": False,
    "properties": {"meta": {**validation.METADATA, "minProperties": 1, "maxProperties": 1}},
}
_STATES = (states.ACTIVE, states.PAUSED, states.SUSPENDED, states.STOPPED)


class ServerMetadataResource:
    """User metadata of a server."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        _, row = await self.api.instance(req.context.caller, server_id)
        self.api.app.json(resp, {"metadata": orjson.loads(row["metadata"])})

    async def on_post(self, req: Any, resp: Any, server_id: str) -> None:
        wanted = await self._body(req, _ALL, "metadata")
        self.api.app.json(resp, {"metadata": await self._change(req, server_id, wanted, "create")})

    async def on_put(self, req: Any, resp: Any, server_id: str) -> None:
        wanted = await self._body(req, _ALL, "metadata")
        self.api.app.json(resp, {"metadata": await self._change(req, server_id, wanted, "update_all")})

    async def on_get_key(self, req: Any, resp: Any, server_id: str, key: str) -> None:
        _, row = await self.api.instance(req.context.caller, server_id)
        metadata = orjson.loads(row["metadata"])
        if key not in metadata:
            raise ApiError(404, "Metadata item was not found")
        self.api.app.json(resp, {"meta": {key: metadata[key]}})

    async def on_put_key(self, req: Any, resp: Any, server_id: str, key: str) -> None:
        wanted = await self._body(req, _ONE, "meta")
        if key not in wanted:
            raise ApiError(400, "Request body and URI mismatch")
        await self._change(req, server_id, wanted, "update")
        self.api.app.json(resp, {"meta": wanted})

    async def on_delete_key(self, req: Any, resp: Any, server_id: str, key: str) -> None:
        cell_id, row, metadata = await self._changeable(req, server_id, "delete metadata", "delete")
        if key not in metadata:
            raise ApiError(404, "Metadata item was not found")
        del metadata[key]
        await self.api.save(cell_id, row["uuid"], {"metadata": orjson.dumps(metadata).decode()})
        resp.status = 204

    async def _body(self, req: Any, schema: validation.Schema, name: str) -> dict[str, str]:
        body = await self.api.app.body(req)
        validation.check(body, schema)
        wanted: dict[str, str] = body[name]
        return wanted

    async def _change(self, req: Any, server_id: str, wanted: dict[str, str], how: str) -> dict[str, str]:
        cell_id, row, metadata = await self._changeable(req, server_id, "update metadata", how)
        new = dict(wanted) if how == "update_all" else {**metadata, **wanted}
        allowed = (await limits(self.api.cells, self.api.settings, row["project_id"]))["metadata_items"]
        if 0 <= allowed < len(new):
            raise ApiError(403, f"Maximum number of metadata items exceeds {allowed}")
        await self.api.save(cell_id, row["uuid"], {"metadata": orjson.dumps(new).decode()})
        return new

    async def _changeable(
        self, req: Any, server_id: str, action: str, rule: str
    ) -> tuple[int, Mapping[str, Any], dict[str, str]]:
        caller: Caller = req.context.caller
        require(caller.is_member, f"os_compute_api:server-metadata:{rule}")
        cell_id, row = await self.api.placed(caller, server_id)
        check_lock(row, caller)
        check_state(row, action, vm_states=_STATES, task_states=None, must_have_launched=False)
        return cell_id, row, orjson.loads(row["metadata"])
