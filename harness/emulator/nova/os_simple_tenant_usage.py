"""`/os-simple-tenant-usage`: hours of use of each project over a period, from the instances of all cells."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import bindparam, or_, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, require
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.schema import instances
from harness.emulator.nova.server_views import stamp
from harness.emulator.timestamps import iso, now, parse, plain_micro

_ACTIVE = select(instances).where(
    instances.c.launched_at.isnot(None),
    instances.c.launched_at <= bindparam("end"),
    or_(instances.c.terminated_at.is_(None), instances.c.terminated_at >= bindparam("begin")),
)
LIST = Statement(_ACTIVE.order_by(instances.c.project_id, instances.c.id))
OF_PROJECT = Statement(_ACTIVE.where(instances.c.project_id == bindparam("project")).order_by(instances.c.id))


class TenantUsageResource:
    """All projects, or one."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-simple-tenant-usage:list")
        begin, end = _period(req)
        by_project: dict[str, list[Mapping[str, Any]]] = {}
        for row in await self._rows(LIST, begin, end):
            by_project.setdefault(row["project_id"], []).append(row)
        detailed = req.get_param("detailed") == "1"
        usages = [_usage(project, rows, begin, end, detailed=detailed) for project, rows in sorted(by_project.items())]
        self.api.app.json(resp, {"tenant_usages": usages})

    async def on_get_project(self, req: Any, resp: Any, project_id: str) -> None:
        require(req.context.caller.owns(project_id), "os_compute_api:os-simple-tenant-usage:show")
        begin, end = _period(req)
        rows = await self._rows(OF_PROJECT, begin, end, project=project_id)
        usage = _usage(project_id, rows, begin, end, detailed=True) if rows else {}
        self.api.app.json(resp, {"tenant_usage": usage})

    async def _rows(
        self, statement: Statement, begin: datetime, end: datetime, **parameters: str
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for database in self.api.cells.by_id.values():
            found.extend(await database.fetch(statement, begin=iso(begin), end=iso(end), **parameters))
        return found


def _period(req: Any) -> tuple[datetime, datetime]:
    moment = now()
    try:
        end = parse(req.get_param("end")) if req.get_param("end") else moment
        begin = parse(req.get_param("start")) if req.get_param("start") else moment
    except ValueError:
        raise ApiError(400, "Invalid datetime string: Datetime is in invalid format") from None
    if begin > end:
        raise ApiError(400, "Invalid start time. The start time cannot occur after the end time.")
    return begin, end


def _usage(
    project_id: str, rows: list[Mapping[str, Any]], begin: datetime, end: datetime, *, detailed: bool
) -> dict[str, Any]:
    usages = [_server(row, begin, end) for row in rows]
    shown: dict[str, Any] = {"tenant_id": project_id}
    if detailed:
        shown["server_usages"] = usages
    for name in ("local_gb", "vcpus", "memory_mb"):
        shown[f"total_{name}_usage"] = sum(usage[name] * usage["hours"] for usage in usages)
    shown["total_hours"] = sum(usage["hours"] for usage in usages)
    shown["start"] = plain_micro(begin)
    shown["stop"] = plain_micro(end)
    return shown


def _server(row: Mapping[str, Any], begin: datetime, end: datetime) -> dict[str, Any]:
    started = parse(row["launched_at"])
    ended = parse(row["terminated_at"]) if row["terminated_at"] else None
    upto = min(ended or end, end)
    used = max(timedelta(), upto - max(started, begin))
    return {
        "hours": used.total_seconds() / 3600.0,
        "flavor": orjson.loads(row["flavor"])["name"],
        "instance_id": row["uuid"],
        "name": row["display_name"],
        "tenant_id": row["project_id"],
        "memory_mb": row["memory_mb"],
        "local_gb": row["root_gb"] + row["ephemeral_gb"],
        "vcpus": row["vcpus"],
        "started_at": stamp(row["launched_at"]),
        "ended_at": stamp(row["terminated_at"]),
        "state": "terminated" if ended else row["vm_state"],
        "uptime": int(((ended or now()) - started).total_seconds()),
    }
