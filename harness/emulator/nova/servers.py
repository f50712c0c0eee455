"""`/servers`, `/servers/detail` and `/servers/{server_id}`."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import instances, server_query, validation
from harness.emulator.nova.compute_api import ComputeApi, base_of
from harness.emulator.nova.flavors import limit_of
from harness.emulator.nova.server_create import HOSTNAME, create
from harness.emulator.nova.server_delete import delete_server
from harness.emulator.nova.server_list import Filters, Page, find_page, status_filter
from harness.emulator.nova.server_views import View, basic, detailed, rendered, server_groups, version_of
from harness.emulator.timestamps import utcnow_iso

YIELD_EVERY = 100  # rows rendered before other requests get a turn
_BOOLEANS = "'0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
_TAG_FILTERS = {"tags": "tags", "tags-any": "tags-any", "not-tags": "not-tags", "not-tags-any": "not-tags-any"}
_EXACT_FOR_ALL = {"reservation_id": "reservation_id", "image": "image_ref"}
_EXACT_SINCE_83 = ("availability_zone", "config_drive", "key_name", "power_state", "task_state", "vm_state", "user_id")
_EXACT_FOR_ADMIN = {
    "host": "host",
    "node": "node",
    "uuid": "uuid",
    "user_id": "user_id",
    "hostname": "hostname",
    "vm_state": "vm_state",
    "task_state": "task_state",
    "power_state": "power_state",
    "key_name": "key_name",
    "availability_zone": "availability_zone",
    "launch_index": "launch_index",
}
_RENAMED = {"changes-since": "changes-since", "project_id": "project_id", "tenant_id": "project_id"}
_UPDATED: dict[str, validation.Schema] = {
    "name": validation.NAME,
    "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
    "accessIPv4": validation.ADDRESS_V4,
    "accessIPv6": validation.ADDRESS_V6,
}
_UPDATED_SINCE_19 = {**_UPDATED, "description": {"type": ["string", "null"], "maxLength": 255}}
_UPDATED_SINCE_90 = {**_UPDATED_SINCE_19, "hostname": HOSTNAME}


def _update_schema(minor: int) -> validation.Schema:
    properties = _UPDATED_SINCE_90 if minor >= 90 else _UPDATED_SINCE_19 if minor >= 19 else _UPDATED
    server = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"type": "object", "required": ["server"], "additionalProperties": False, "properties": {"server": server}}


class ServersResource:
    """`GET` and `POST /servers`, `GET /servers/detail`."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_post(self, req: Any, resp: Any) -> None:
        await create(self.api, req, resp)

    async def on_get(self, req: Any, resp: Any) -> None:
        page, limit = await self._page(req, "index")
        base = base_of(req)
        shown: list[dict[str, Any]] = []
        for rows in await self._by_cell(page):
            shown.extend(basic(row, base) for row in rows)
        self.api.app.json(resp, {"servers": shown, **_next(req, "servers", page, limit)})

    async def on_get_detail(self, req: Any, resp: Any) -> None:
        page, limit = await self._page(req, "detail")
        view = self.api.view(req)
        fragments = await self._fragments(page, view)
        if view.is_admin and view.minor >= 16:
            fragments = await self._with_host_status(page, fragments)
        document = {
            "servers": orjson.Fragment(b"[" + b",".join(fragments) + b"]"),
            **_next(req, "servers/detail", page, limit),
        }
        self.api.app.json(resp, document)

    async def _page(self, req: Any, rule: str) -> tuple[Page, int]:
        caller: Caller = req.context.caller
        require(caller.is_reader, f"os_compute_api:servers:{rule}")
        limit = limit_of(req, self.api.settings.max_limit)
        server_query.check(req)
        filters, project_id = filters_of(req, rule)
        sort = server_query.sort_of(req)
        marker = req.get_param("marker")
        page = await find_page(self.api.cells, filters, project_id=project_id, limit=limit, marker=marker, sort=sort)
        return page, limit

    async def _by_cell(self, page: Page) -> list[list[Mapping[str, Any]]]:
        """The rows of a page, in its order."""
        rows: dict[str, Mapping[str, Any]] = {}
        for cell_id, database in self.api.cells.by_id.items():
            uuids = [uuid for uuid, _, cell, _ in page.entries if cell == cell_id]
            if uuids:
                found = await database.fetch(instances.GET_INSTANCES, uuids=uuids)
                rows.update((row["uuid"], row) for row in found)
        ordered = [row if row is not None else rows.get(uuid) for uuid, _, _, row in page.entries]
        return [[row for row in ordered if row is not None]]

    async def _fragments(self, page: Page, view: View) -> list[bytes]:
        """Rendered servers of a page; only those whose row changed since they were last shown are read and rendered."""
        kept = self.api.fragments.of(view)
        now = utcnow_iso()
        done: dict[str, bytes] = {}
        missing: dict[int, list[str]] = {}
        for uuid, version, cell_id, row in page.entries:
            cached = kept.get(uuid)
            if row is not None:
                if cached is None or cached[0] != (version, now):
                    cached = kept[uuid] = ((version, now), rendered(detailed(row, view)))
                done[uuid] = cached[1]
                continue
            assert cell_id is not None
            if cached is not None and cached[0] in (version, (version, now)):
                done[uuid] = cached[1]
            else:
                missing.setdefault(cell_id, []).append(uuid)
        for cell_id, uuids in missing.items():
            rows = await self.api.cells.by_id[cell_id].fetch(instances.GET_INSTANCES, uuids=uuids)
            broken = [row["uuid"] for row in rows if row["vm_state"] == "error" or row["deleted"]]
            faults = await self.api.cells.faults(cell_id, broken)
            for number, row in enumerate(rows, 1):
                uuid = row["uuid"]
                done[uuid] = text = rendered(detailed(row, view, fault=faults.get(uuid)))
                kept[uuid] = (version_of(row, now), text)
                if number % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
        return [done[uuid] for uuid, _, _, _ in page.entries if uuid in done]

    async def _with_host_status(self, page: Page, fragments: list[bytes]) -> list[bytes]:
        statuses = await self.api.host_statuses()
        hosts: dict[str, str | None] = {}
        for rows in await self._by_cell(page):
            hosts.update((row["uuid"], row["host"]) for row in rows)
        found = [hosts[uuid] for uuid, _, _, _ in page.entries if uuid in hosts]
        return [
            _add(fragment, "host_status", statuses.get(host or "", "UNKNOWN") if host else "")
            for fragment, host in zip(fragments, found, strict=False)
        ]


class ServerResource:
    """`/servers/{server_id}`."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        caller: Caller = req.context.caller
        require(caller.is_reader, "os_compute_api:servers:show")
        # A server that was shown before and did not change since is not read again, only its version.
        cell_id, row = await self.api.instance(caller, server_id, statement=instances.GET_HEAD)
        if self.api.runtime.strikes("stale_read"):
            raise ApiError(404, f"Instance {server_id} could not be found.")
        view = self.api.view(req)
        text: bytes | None = None
        kept = self.api.fragments.of(view)
        version = version_of(row, utcnow_iso())
        cached = kept.get(server_id)
        if cached is not None and cached[0] == version:
            text = cached[1]
        if text is None:
            fault = None
            if cell_id is not None:
                cell_id, row = await self.api.instance(caller, server_id)
                version = version_of(row, utcnow_iso())
            if row["vm_state"] == "error":
                fault = (await self.api.cells.faults(cell_id, [server_id])).get(server_id)
            text = rendered(detailed(row, view, fault=fault))
            kept[server_id] = (version, text)
        if view.minor >= 71:
            text = _add(text, "server_groups", server_groups(row))
        if view.is_admin and view.minor >= 16:
            status = (await self.api.host_statuses()).get(row["host"], "UNKNOWN") if row["host"] else ""
            text = _add(text, "host_status", status)
        resp.data = b'{"server":' + text + b"}"
        resp.content_type = "application/json"

    async def on_put(self, req: Any, resp: Any, server_id: str) -> None:
        caller: Caller = req.context.caller
        require(caller.is_member, "os_compute_api:servers:update")
        body = await self.api.app.body(req)
        validation.check(body, _update_schema(req.context.version[1]))
        cell_id, row = await self.api.instance(caller, server_id)
        changes = _changes(body["server"], req.context.version[1])
        if cell_id is None:
            instance = {**{name: row[name] for name in instances.COLUMNS}, **changes}
            text = orjson.dumps(instance).decode()
            await self.api.cells.api.execute(instances.UPDATE_BUILD_REQUEST, uuid=server_id, new_instance=text)
        elif changes:
            await self.api.save(cell_id, server_id, changes)
        cell_id, row = await self.api.instance(caller, server_id)
        view = self.api.view(req)
        shown = detailed(row, view, updated=True)
        if view.minor >= 71:
            shown["server_groups"] = server_groups(row)
        self.api.app.json(resp, {"server": shown})

    async def on_delete(self, req: Any, resp: Any, server_id: str) -> None:
        caller: Caller = req.context.caller
        require(caller.is_member, "os_compute_api:servers:delete")
        await delete_server(self.api, req, server_id)
        resp.status = 204


def filters_of(req: Any, rule: str) -> tuple[Filters, str | None]:
    """Filters of a list as this caller may use them, and the project to look in (None: all).

    Raises: ApiError 400, 403.
    """
    caller: Caller = req.context.caller
    filters = Filters()
    project_id: str | None = caller.project_id
    if req.get_param("all_tenants") is not None and _boolean(req.get_param("all_tenants") or "1"):
        if not caller.is_admin:
            raise ApiError(403, f"Policy doesn't allow os_compute_api:servers:{rule}:get_all_tenants to be performed.")
        project_id = req.get_param("project_id") or req.get_param("tenant_id")
    _take_common(req, filters)
    if req.context.version >= (2, 26):
        for name, kind in _TAG_FILTERS.items():
            text = req.get_param(name)
            if text:
                filters.tags[kind] = [tag for tag in text.split(",") if tag]
    if req.context.version >= (2, 73) and req.get_param("locked") is not None:
        filters.locked = _boolean(req.get_param("locked"))
    names = dict(_EXACT_FOR_ALL)
    if caller.is_admin:
        names.update(_EXACT_FOR_ADMIN)
    elif req.context.version >= (2, 83):
        names.update({name: name for name in _EXACT_SINCE_83})
    for name, column in names.items():
        text = req.get_param(name)
        if text:
            filters.exact[column] = _number(text) if column in ("power_state", "launch_index") else text
    if caller.is_admin and req.get_param("deleted") is not None:
        filters.deleted = _boolean(req.get_param("deleted"))
    _take_status(req, filters, caller)
    _take_times(req, filters)
    return filters, project_id


def _take_common(req: Any, filters: Filters) -> None:
    name = req.get_param("name") or req.get_param("display_name")
    if name:
        filters.patterns["display_name"] = name
    filters.ip = req.get_param("ip") or None
    filters.flavor = req.get_param("flavor") or None
    metadata = req.get_param("metadata")
    if metadata:
        try:
            found = orjson.loads(metadata)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            filters.metadata = found


def _take_status(req: Any, filters: Filters, caller: Caller) -> None:
    statuses = req.get_param_as_list("status") or []
    if not statuses:
        return
    status_filter(filters, statuses)
    if filters.nothing and req.context.version >= (2, 38):
        raise ApiError(400, "Invalid status value")
    if filters.vm_states is not None and "deleted" in filters.vm_states:
        if not caller.is_admin:
            raise ApiError(403, "Only administrators may list deleted instances")
        filters.deleted = True
        filters.vm_states = None


def _take_times(req: Any, filters: Filters) -> None:
    since = req.get_param("changes-since")
    before = req.get_param("changes-before") if req.context.version >= (2, 66) else None
    if since is not None or before is not None:
        filters.set_times(since, before)
        if req.get_param("deleted") is None or not req.context.caller.is_admin:
            filters.deleted = None  # shows what was deleted meanwhile, to everybody


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "t", "true", "on", "y", "yes"):
        return True
    if text.lower() in ("0", "f", "false", "off", "n", "no"):
        return False
    raise ApiError(400, f"Unrecognized value '{text}', acceptable values are: {_BOOLEANS}")


def _next(req: Any, path: str, page: Page, limit: int) -> dict[str, Any]:
    if not page.entries or len(page.entries) < limit:
        return {}
    # Of a parameter that is there twice nova keeps the last; the marker stays where it is when there is one.
    query = {name: value[-1] if isinstance(value, list) else value for name, value in sorted(req.params.items())}
    query["marker"] = page.entries[-1][0]
    return {"servers_links": [{"rel": "next", "href": f"{base_of(req)}/v2.1/{path}?{urlencode(query)}"}]}


def _add(text: bytes, name: str, value: Any) -> bytes:
    """One more field at the end of a rendered object."""
    return text[:-1] + b',"' + name.encode() + b'":' + orjson.dumps(value) + b"}"


def _changes(asked: Mapping[str, Any], minor: int) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "name" in asked:
        changes["display_name"] = asked["name"].strip()
    if "description" in asked and minor >= 19:
        changes["display_description"] = asked["description"]
    if "hostname" in asked and minor >= 90:
        changes["hostname"] = asked["hostname"]
    if "accessIPv4" in asked:
        changes["access_ip_v4"] = asked["accessIPv4"] or None
    if "accessIPv6" in asked:
        changes["access_ip_v6"] = asked["accessIPv6"] or None
    if "OS-DCF:diskConfig" in asked:
        changes["auto_disk_config"] = int(asked["OS-DCF:diskConfig"] == "AUTO")
    return changes


def _number(text: str) -> int:
    """A filter's value for a column of numbers; -1, which no server has, for one that is none."""
    return validation.digits(text) if text.isascii() and text.isdigit() else -1
