"""Flavors and their extra specs. Kept in nova_api; an instance carries a copy of its flavor as it was."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import bindparam, delete, insert, select, update

from harness.emulator.database import Database, DBDuplicateEntry, Statement, in_list, upsert
from harness.emulator.http import ApiError, require
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import ComputeApi, base_of
from harness.emulator.nova.schema import flavor_extra_specs, flavors
from harness.emulator.timestamps import utcnow_iso

GET = Statement(select(flavors).where(flavors.c.flavorid == bindparam("flavorid")))
LIST = Statement(select(flavors).order_by(flavors.c.flavorid, flavors.c.id))
INSERT = Statement(insert(flavors))
DELETE = Statement(delete(flavors).where(flavors.c.flavorid == bindparam("flavorid")))
DESCRIBE = Statement(
    update(flavors).where(flavors.c.flavorid == bindparam("flavorid")).values(description=bindparam("text"))
)
SPECS = Statement(
    select(flavor_extra_specs.c.flavor_id, flavor_extra_specs.c.key, flavor_extra_specs.c.value).where(
        in_list(flavor_extra_specs.c.flavor_id, "ids")
    )
)
SET_SPEC = upsert(flavor_extra_specs, ["flavor_id", "key"], ["value"])
DELETE_SPEC = Statement(
    delete(flavor_extra_specs).where(
        flavor_extra_specs.c.flavor_id == bindparam("id"), flavor_extra_specs.c.key == bindparam("key")
    )
)
DELETE_SPECS = Statement(delete(flavor_extra_specs).where(flavor_extra_specs.c.flavor_id == bindparam("id")))

_SIZE: validation.Schema = {**validation.NUMERIC, "maximum": validation.INTEGER_MAX}
_DESCRIPTION: validation.Schema = {"type": ["string", "null"], "maxLength": 65535}
_ID: validation.Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^(?! )[a-zA-Z0-9. _-]+(?<! )$",
}
_FACTOR: validation.Schema = {
    "type": ["number", "string"],
    "pattern": r"^[0-9]+(\.[0-9]+)?$",
    "exclusiveMinimum": 0,
    "maximum": 3.40282e38,
}
_SORT_KEYS = [
    "created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public", "memory_mb", "name",
    "root_gb", "rxtx_factor", "swap", "updated_at", "vcpu_weight", "vcpus",
]  # fmt: skip
_QUERY: validation.Schema = {
    **validation.PAGING,
    "is_public": {"type": "string"},
    "minRam": {"type": "string"},
    "minDisk": {"type": "string"},
    "sort_key": {"type": "string", "enum": _SORT_KEYS},
    "sort_dir": validation.SORT_DIR,
}
_CREATE: validation.Schema = {
    "type": "object",
    "required": ["flavor"],
    "additionalProperties": False,
    "properties": {
        "flavor": {
            "type": "object",
            "required": ["name", "ram", "vcpus", "disk"],
            "additionalProperties": False,
            "properties": {
                "name": validation.NAME,
                "id": {
                    "type": ["string", "integer", "null"],
                    "minLength": 1,
                    "maxLength": 255,
                    "pattern": "^(?! )[a-zA-Z0-9. _-]+(?<! )$",
                },
                "ram": {**_SIZE, "minimum": 1},
                "vcpus": {**_SIZE, "minimum": 1},
                "disk": _SIZE,
                "OS-FLV-EXT-DATA:ephemeral": _SIZE,
                "swap": _SIZE,
                "rxtx_factor": _FACTOR,
                "os-flavor-access:is_public": validation.BOOLEAN,
            },
        }
    },
}
_FLAVOR = _CREATE["properties"]["flavor"]
_CREATE_SINCE_55: validation.Schema = {
    **_CREATE,
    "properties": {"flavor": {**_FLAVOR, "properties": {**_FLAVOR["properties"], "description": _DESCRIPTION}}},
}
_SPECS: validation.Schema = {
    "type": "object",
    "required": ["extra_specs"],
    "properties": {
        "extra_specs": {
            "type": "object",
            "keys": "^[a-zA-Z0-9-_:. ]{1,255}$",
            "values": {"type": ["string", "number"], "maxLength": 255},
        }
    },
}


async def find(database: Database, flavorid: str) -> dict[str, Any] | None:
    """A flavor with its extra specs, as an instance keeps it."""
    row = await database.fetch_one(GET, flavorid=flavorid)
    if row is None:
        return None
    found = dict(row)
    specs = await database.fetch(SPECS, ids=[row["id"]])
    found["extra_specs"] = {spec["key"]: spec["value"] for spec in specs}
    return found


class FlavorsResource:
    """`/flavors`."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        rows, link = await self._page(req, "flavors")
        base = base_of(req)
        shown = []
        for row in rows:
            entry = {"id": row["flavorid"], "name": row["name"], "links": links(base, row["flavorid"])}
            if req.context.version >= (2, 55):
                entry["description"] = row["description"]
            shown.append(entry)
        self.api.app.json(resp, {"flavors": shown, **link})

    async def on_get_detail(self, req: Any, resp: Any) -> None:
        rows, link = await self._page(req, "flavors/detail")
        specs = await _specs(self.api.cells.api, rows) if req.context.version >= (2, 61) else {}
        base = base_of(req)
        shown = [detail(row, base, req.context.version[1], specs.get(row["id"], {})) for row in rows]
        self.api.app.json(resp, {"flavors": shown, **link})

    async def on_post(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-manage:create")
        body = await self.api.app.body(req)
        validation.check(body, _CREATE_SINCE_55 if req.context.version >= (2, 55) else _CREATE)
        wanted = body["flavor"]
        name = wanted["name"].strip()
        flavorid = str(wanted.get("id") or "auto")
        flavorid = str(uuid4()) if flavorid == "auto" else flavorid
        row = {
            "created_at": utcnow_iso(),
            "name": name,
            "flavorid": flavorid,
            "memory_mb": int(wanted["ram"]),
            "vcpus": int(wanted["vcpus"]),
            "root_gb": int(wanted["disk"]),
            "ephemeral_gb": int(wanted.get("OS-FLV-EXT-DATA:ephemeral", 0)),
            "swap": int(wanted.get("swap", 0)),
            "rxtx_factor": float(wanted.get("rxtx_factor", 1.0)),
            "disabled": 0,
            "is_public": int(validation.is_true(wanted.get("os-flavor-access:is_public", True))),
            "description": wanted.get("description"),
        }
        try:
            await self.api.cells.api.execute(INSERT, **row)
        except DBDuplicateEntry:
            if await self.api.cells.api.fetch_one(GET, flavorid=flavorid) is not None:
                raise ApiError(409, f"Flavor with ID {flavorid} already exists.") from None
            raise ApiError(409, f"Flavor with name {name} already exists.") from None
        self.api.app.json(resp, {"flavor": detail(row, base_of(req), req.context.version[1], {})})

    async def _page(self, req: Any, path: str) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
        validation.check_query(req, _QUERY)
        limit = limit_of(req, self.api.settings.max_limit)
        rows = list(await self.api.cells.api.fetch(LIST))
        if not (req.context.caller.is_admin and (req.get_param("is_public") or "").lower() == "none"):
            rows = [row for row in rows if row["is_public"]]
        for name, column in (("minRam", "memory_mb"), ("minDisk", "root_gb")):
            least = req.get_param(name)
            if least is not None and not least.isdigit():
                raise ApiError(400, f"Invalid {name} filter [{least}]")
            if least is not None:
                rows = [row for row in rows if row[column] >= int(least)]
        key = {"name": "name", "memory_mb": "memory_mb", "vcpus": "vcpus", "root_gb": "root_gb"}.get(
            req.get_param("sort_key") or "", "flavorid"
        )
        rows.sort(key=lambda row: row[key], reverse=req.get_param("sort_dir") == "desc")
        marker = req.get_param("marker")
        if marker is not None:
            ids = [row["flavorid"] for row in rows]
            if marker not in ids:
                raise ApiError(400, f"marker [{marker}] not found")
            rows = rows[ids.index(marker) + 1 :]
        page = rows[:limit]
        return page, next_link(req, path, [row["flavorid"] for row in page], limit)


class FlavorResource:
    """`/flavors/{flavor_id}`."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, flavor_id: str) -> None:
        flavor = await existing(self.api, flavor_id)
        self.api.app.json(resp, {"flavor": detail(flavor, base_of(req), req.context.version[1], flavor["extra_specs"])})

    async def on_put(self, req: Any, resp: Any, flavor_id: str) -> None:
        if req.context.version < (2, 55):
            raise ApiError(404, "The resource could not be found.")
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-manage:update")
        body = await self.api.app.body(req)
        text = {"type": ["string", "null"], "maxLength": 65535}
        inner = {"type": "object", "required": ["description"], "properties": {"description": text}}
        validation.check(body, {"type": "object", "required": ["flavor"], "properties": {"flavor": inner}})
        await existing(self.api, flavor_id)
        await self.api.cells.api.execute(DESCRIBE, flavorid=flavor_id, text=body["flavor"]["description"])
        flavor = await existing(self.api, flavor_id)
        self.api.app.json(resp, {"flavor": detail(flavor, base_of(req), req.context.version[1], flavor["extra_specs"])})

    async def on_delete(self, req: Any, resp: Any, flavor_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-manage:delete")
        flavor = await existing(self.api, flavor_id)
        async with self.api.cells.api.transaction() as transaction:
            await transaction.execute(DELETE_SPECS, id=flavor["id"])
            await transaction.execute(DELETE, flavorid=flavor_id)
        resp.status = 202

    async def on_get_access(self, req: Any, resp: Any, flavor_id: str) -> None:
        """Which projects may use a private flavor: here none but administrators'."""
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-access")
        flavor = await existing(self.api, flavor_id)
        if flavor["is_public"]:
            raise ApiError(404, "Access list not available for public flavors.")
        self.api.app.json(resp, {"flavor_access": []})

    async def on_post_action(self, req: Any, resp: Any, flavor_id: str) -> None:
        """Nova has two, which give a private flavor to a project and take it back; here there are none."""
        body = await self.api.app.body(req, required=False)
        if not isinstance(body, dict) or len(body) != 1:
            raise ApiError(400, "Malformed request body")
        raise ApiError(400, f"There is no such action: {next(iter(body))}")


class FlavorSpecsResource:
    """`/flavors/{flavor_id}/os-extra_specs` and one key of it."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, flavor_id: str) -> None:
        flavor = await existing(self.api, flavor_id)
        self.api.app.json(resp, {"extra_specs": flavor["extra_specs"]})

    async def on_post(self, req: Any, resp: Any, flavor_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-extra-specs:create")
        body = await self.api.app.body(req)
        validation.check(body, _SPECS)
        flavor = await existing(self.api, flavor_id)
        specs = {key: str(value) for key, value in body["extra_specs"].items()}
        rows = [{"flavor_id": flavor["id"], "key": key, "value": value} for key, value in specs.items()]
        await self.api.cells.api.execute_many(SET_SPEC, rows)
        self.api.app.json(resp, {"extra_specs": specs})

    async def on_get_key(self, req: Any, resp: Any, flavor_id: str, key: str) -> None:
        flavor = await existing(self.api, flavor_id)
        _known(flavor, flavor_id, key)
        self.api.app.json(resp, {key: flavor["extra_specs"][key]})

    async def on_put_key(self, req: Any, resp: Any, flavor_id: str, key: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-extra-specs:update")
        body = await self.api.app.body(req)
        flavor = await existing(self.api, flavor_id)
        if not isinstance(body, dict) or key not in body:
            raise ApiError(400, "Request body and URI mismatch")
        await self.api.cells.api.execute(SET_SPEC, flavor_id=flavor["id"], key=key, value=str(body[key]))
        self.api.app.json(resp, {key: str(body[key])})

    async def on_delete_key(self, req: Any, resp: Any, flavor_id: str, key: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-flavor-extra-specs:delete")
        flavor = await existing(self.api, flavor_id)
        _known(flavor, flavor_id, key)
        await self.api.cells.api.execute(DELETE_SPEC, id=flavor["id"], key=key)


def links(base: str, flavorid: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{base}/v2.1/flavors/{flavorid}"},
        {"rel": "bookmark", "href": f"{base}/flavors/{flavorid}"},
    ]


def detail(row: Mapping[str, Any], base: str, minor: int, specs: Mapping[str, Any]) -> dict[str, Any]:
    """The long form of a flavor."""
    swap: Any = row["swap"]
    shown = {
        "id": row["flavorid"],
        "name": row["name"],
        "ram": row["memory_mb"],
        "disk": row["root_gb"],
        "swap": swap if swap or minor >= 75 else "",
        "OS-FLV-EXT-DATA:ephemeral": row["ephemeral_gb"],
        "OS-FLV-DISABLED:disabled": bool(row["disabled"]),
        "vcpus": row["vcpus"],
        "os-flavor-access:is_public": bool(row["is_public"]),
        "rxtx_factor": row["rxtx_factor"],
        "links": links(base, row["flavorid"]),
    }
    if minor >= 102:
        del shown["OS-FLV-DISABLED:disabled"], shown["rxtx_factor"]
    if minor >= 55:
        shown["description"] = row["description"]
    if minor >= 61:
        shown["extra_specs"] = dict(specs)
    return shown


async def existing(api: ComputeApi, flavorid: str) -> dict[str, Any]:
    """A flavor, or 404."""
    flavor = await find(api.cells.api, flavorid)
    if flavor is None:
        raise ApiError(404, f"Flavor {flavorid} could not be found.")
    return flavor


def limit_of(req: Any, maximum: int) -> int:
    """The page length asked for; at most `maximum`.

    Raises: ApiError 400 in the words of Nova's query schema.
    """
    text = _last(req.params.get("limit"))
    if text is None:
        return maximum
    if not (text.isascii() and text.isdigit()):
        raise ApiError(
            400,
            f"Invalid input for query parameters limit. Value: {text}. '{text}' does not match '^[0-9]*$'",
        )
    return min(validation.digits(text), maximum)


def next_link(req: Any, path: str, markers: list[str], limit: int) -> dict[str, Any]:
    """`{"flavors_links": [...]}` when the page is full, else nothing."""
    if not markers or len(markers) < limit:
        return {}
    query: list[tuple[str, str]] = []
    for name, value in sorted(req.params.items()):
        if name != "marker":
            query.append((name, _last(value)))
    query.append(("marker", markers[-1]))
    href = f"{base_of(req)}/v2.1/{path}?{urlencode(query)}"
    return {f"{path.partition('/')[0].removeprefix('os-')}_links": [{"rel": "next", "href": href}]}


def _last(value: Any) -> Any:
    """Of a parameter that is there twice, the later counts."""
    return value[-1] if isinstance(value, list) else value


def _known(flavor: Mapping[str, Any], flavor_id: str, key: str) -> None:
    if key not in flavor["extra_specs"]:
        raise ApiError(404, f"Flavor {flavor_id} has no extra specs with key {key}.")


async def _specs(database: Database, rows: list[Mapping[str, Any]]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for spec in await database.fetch(SPECS, ids=[row["id"] for row in rows]):
        found.setdefault(spec["flavor_id"], {})[spec["key"]] = spec["value"]
    return found
