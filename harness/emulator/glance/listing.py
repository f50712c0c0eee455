"""`GET /v2/images`: visibility, filters, order, pages. Checked against glance 33.0.0 on 2026-11-22."""

import operator
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from falcon.asgi import Request
from sqlalchemy import and_, bindparam, or_, select

from harness.emulator import timestamps
from harness.emulator.database import Statement, in_list
from harness.emulator.glance import faults, schema
from harness.emulator.glance.service import Glance, Row, view
from harness.emulator.http import Caller

_images = schema.images
_members = schema.image_members
_SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_IN = ("container_format", "disk_format", "id", "name", "status", "os_hidden")
_TIMES = ("created_at", "updated_at")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_PAGING = ("limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "visibility", "tag", "deleted")

_MEMBERSHIPS = Statement(
    select(_members.c.image_id, _members.c.status).where(_members.c.member == bindparam("project"))
)
_EVERYTHING = Statement(select(_images).where(_images.c.deleted == 0))
_VISIBLE = Statement(
    select(_images).where(
        _images.c.deleted == 0,
        or_(
            _images.c.visibility == "public",
            _images.c.owner == bindparam("project"),
            and_(_images.c.visibility == "community", bindparam("with_community") == 1),
            and_(_images.c.visibility == "shared", in_list(_images.c.id, "shared_ids")),
        ),
    )
)


async def answer(glance: Glance, req: Request) -> dict[str, Any]:
    """The list document. Raises: ApiError 400."""
    pairs = parse_qsl(req.query_string, keep_blank_values=True)
    params = dict(pairs)
    tags = [value for name, value in pairs if name == "tag"]
    keys = [value for name, value in pairs if name == "sort_key"]
    directions = [value for name, value in pairs if name == "sort_dir"]
    limit = _limit(params.get("limit"), glance)
    order = _order(params.get("sort"), keys, directions)
    rows = await _rows(glance, req.context.caller, params)
    rows = [row for row in rows if _wanted(row, params, tags)]
    for key, descending in reversed(order):  # sorting is stable: the last key first
        rows.sort(key=lambda row: (row[key] is not None, row[key]), reverse=descending)
    marker = params.get("marker")
    if marker is not None:
        position = next((index for index, row in enumerate(rows) if row["id"] == marker), None)
        if position is None:
            raise faults.refuse(400, f"No image found with ID {marker}")
        rows = rows[position + 1 :]
    page = rows[:limit]
    rest = [(name, value) for name, value in pairs if name != "marker"]
    query = urlencode(rest)
    shown: dict[str, Any] = {
        "images": [view(row) for row in page],
        "first": "/v2/images" + (f"?{query}" if query else ""),
        "schema": "/v2/schemas/images",
    }
    if page and len(page) == limit:
        following = urlencode([*rest, ("marker", page[-1]["id"])])
        shown["next"] = f"/v2/images?{following}"
    return shown


async def _rows(glance: Glance, caller: Caller, params: dict[str, str]) -> list[Row]:
    """Images that the caller may list: its own, public ones, accepted shares; community ones only when asked for."""
    visibility = params.get("visibility")
    if visibility not in (None, "public", "private", "shared", "community", "all"):
        raise faults.refuse(400, f"Invalid visibility value: {visibility}")
    wanted = params.get("member_status", "accepted")
    if wanted not in ("pending", "accepted", "rejected", "all"):
        raise faults.refuse(400, f"Invalid status: {wanted}")
    if caller.is_admin:
        rows = list(await glance.database.fetch(_EVERYTHING))
        if visibility not in ("community", "all") and "owner" not in params:
            rows = [row for row in rows if row["visibility"] != "community" or row["owner"] == caller.project_id]
    else:
        memberships = await glance.database.fetch(_MEMBERSHIPS, project=caller.project_id)
        rows = list(
            await glance.database.fetch(
                _VISIBLE,
                project=caller.project_id,
                with_community=int(visibility in ("community", "all")),
                shared_ids=[row["image_id"] for row in memberships if wanted in ("all", row["status"])],
            )
        )
    if visibility not in (None, "all"):
        rows = [row for row in rows if row["visibility"] == visibility]
    return rows


def _wanted(row: Row, params: dict[str, str], tags: list[str]) -> bool:
    if "os_hidden" not in params and row["os_hidden"]:
        return False
    if tags and not set(tags) <= set(orjson.loads(row["tags"])):
        return False
    return all(_matches(row, name, value) for name, value in params.items() if name not in _PAGING)


def _matches(row: Row, name: str, value: str) -> bool:
    if name in ("size_min", "size_max"):
        if not value.isdigit():
            raise faults.refuse(400, "Unable to filter on a range with a non-numeric value.")
        size = row["size"] or 0
        return bool(size >= int(value)) if name == "size_min" else bool(size <= int(value))
    if name in _TIMES:
        return _by_time(row[name], name, value)
    if name in _IN and value.startswith("in:"):
        return str(row[name]) in value.removeprefix("in:").split(",")
    if name in ("protected", "os_hidden"):
        if value.lower() not in ("true", "false"):
            raise faults.refuse(
                400, f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'."
            )
        return bool(row[name]) == (value.lower() == "true")
    if name in ("min_ram", "min_disk", "size"):
        if not value.lstrip("-").isdigit():
            raise faults.refuse(400, "Unable to filter on a range with a non-numeric value.")
        return bool(row[name] == int(value))
    if name in row:
        return bool(row[name] == value)
    return bool(orjson.loads(row["properties"]).get(name) == value)


def _by_time(have: str, name: str, value: str) -> bool:
    word, colon, moment = value.partition(":")
    if not colon or word not in _COMPARE:
        word, moment = "eq", value
    try:
        wanted = timestamps.parse(moment)
    except ValueError:
        raise faults.refuse(400, f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.') from None
    return _COMPARE[word](timestamps.parse(have).replace(microsecond=0), wanted)


def _limit(text: str | None, glance: Glance) -> int:
    limit = glance.settings.limit_param_default
    if text is not None:
        try:
            limit = int(text)
        except ValueError:
            raise faults.refuse(400, "limit param must be an integer") from None
        if limit < 0:
            raise faults.refuse(400, "limit param must be positive")
    return min(limit, glance.settings.api_limit_max)


def _order(sort: str | None, keys: list[str], directions: list[str]) -> list[tuple[str, bool]]:
    """(column, descending) in order of weight; newest first when nothing is said."""
    if sort is not None:
        if keys or directions:
            raise faults.refuse(400, "Old and new sorting syntax cannot be combined")
        parts = [part.partition(":") for part in sort.split(",")]
        keys = [key.strip() for key, _colon, _direction in parts]
        directions = [direction.strip() or "desc" for _key, _colon, direction in parts]
    for direction in directions:
        if direction not in ("asc", "desc") and all(key in _SORT_KEYS for key in keys):
            raise faults.refuse(400, f"Invalid sort direction: {direction}")
    for key in keys:
        if key not in _SORT_KEYS:
            raise faults.refuse(
                400, f"Invalid sort key: {key}. It must be one of the following: {', '.join(_SORT_KEYS)}."
            )
    if len(directions) > 1 and len(directions) != len(keys):
        raise faults.refuse(400, "Number of sort dirs does not match the number of sort keys")
    if not keys:
        keys = ["created_at"]
    if len(directions) <= 1:
        directions = (directions or ["desc"]) * len(keys)
    order = [(key, direction == "desc") for key, direction in zip(keys, directions, strict=True)]
    last = order[-1][1]
    return order + [(key, last) for key in ("created_at", "id") if key not in keys]
