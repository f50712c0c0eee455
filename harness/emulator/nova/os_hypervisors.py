"""`/os-hypervisors`: the simulated hosts, their size and use."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import bindparam, func, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, require
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.flavors import limit_of, next_link
from harness.emulator.nova.schema import CELL1_ID, compute_nodes, instances, services

_CPU = {
    "arch": "x86_64",
    "model": "Nehalem",
    "vendor": "Intel",
    "features": ["pge", "clflush"],
    "topology": {"cores": 1, "threads": 1, "sockets": 4},
}
_JOINED = select(
    compute_nodes,
    services.c.id.label("service_id"),
    services.c.uuid.label("service_uuid"),
    services.c.disabled,
    services.c.disabled_reason,
    services.c.forced_down,
    services.c.last_seen_up,
    services.c.created_at,
).select_from(compute_nodes.join(services, services.c.host == compute_nodes.c.host))
LIST = Statement(_JOINED.where(services.c.binary == "nova-compute").order_by(compute_nodes.c.id))
GET = Statement(_JOINED.where(services.c.binary == "nova-compute", compute_nodes.c.id == bindparam("id")))
GET_BY_UUID = Statement(_JOINED.where(services.c.binary == "nova-compute", compute_nodes.c.uuid == bindparam("uuid")))
SERVERS = Statement(
    select(instances.c.uuid, instances.c.id, instances.c.host).where(
        instances.c.host == bindparam("host"), instances.c.deleted == 0
    )
)
_SUMS = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "local_gb", "local_gb_used", "running_vms")
STATISTICS = Statement(
    select(
        func.count(compute_nodes.c.id).label("count"),
        *(func.coalesce(func.sum(compute_nodes.c[name]), 0).label(name) for name in _SUMS),
    )
)
_QUERY: validation.Schema = {
    **validation.PAGING,
    "hypervisor_hostname_pattern": {"type": "string", "minLength": 1, "maxLength": 255},
    "with_servers": validation.BOOLEAN,
}


class HypervisorsResource:
    """List, detail and the sums over all (until 2.87)."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        await self._list(req, resp, "list", detail=False)

    async def on_get_detail(self, req: Any, resp: Any) -> None:
        await self._list(req, resp, "list-detail", detail=True)

    async def on_get_statistics(self, req: Any, resp: Any) -> None:
        if req.context.version >= (2, 88):
            raise ApiError(404, "The resource could not be found.")
        require(req.context.caller.is_admin, "os_compute_api:os-hypervisors:statistics")
        row = await self.api.cells.by_id[CELL1_ID].fetch_one(STATISTICS)
        assert row is not None
        sums = {name: int(row[name]) for name in ("count", *_SUMS)}
        sums["free_ram_mb"] = sums["memory_mb"] - sums["memory_mb_used"]
        sums["free_disk_gb"] = sums["local_gb"] - sums["local_gb_used"]
        sums["current_workload"] = sums["disk_available_least"] = 0
        self.api.app.json(resp, {"hypervisor_statistics": sums})

    async def _list(self, req: Any, resp: Any, rule: str, *, detail: bool) -> None:
        require(req.context.caller.is_admin, f"os_compute_api:os-hypervisors:{rule}")
        minor = req.context.version[1]
        if minor >= 33:
            validation.check_query(req, _QUERY if minor >= 53 else validation.PAGING, strict_since=33)
        rows = list(await self.api.cells.by_id[CELL1_ID].fetch(LIST))
        pattern = req.get_param("hypervisor_hostname_pattern") if minor >= 53 else None
        if pattern:
            rows = [row for row in rows if pattern in row["hypervisor_hostname"]]
            if not rows:
                raise ApiError(404, f"No hypervisor matching '{pattern}' could be found.")
        link: dict[str, Any] = {}
        if minor >= 33:
            limit = limit_of(req, self.api.settings.max_limit)
            key = "uuid" if minor >= 53 else "id"
            marker = req.get_param("marker")
            if marker is not None:
                ids = [str(row[key]) for row in rows]
                if marker not in ids:
                    raise ApiError(400, f"marker [{marker}] not found")
                rows = rows[ids.index(marker) + 1 :]
            rows = rows[:limit]
            path = "os-hypervisors/detail" if detail else "os-hypervisors"
            link = next_link(req, path, [str(row[key]) for row in rows], limit)
        shown = [self._shown(req, row, detail=detail) for row in rows]
        self.api.app.json(resp, {"hypervisors": shown, **link})

    def _shown(self, req: Any, row: Mapping[str, Any], *, detail: bool) -> dict[str, Any]:
        return hypervisor(self.api, req.context.version[1], row, detail=detail)


class HypervisorResource:
    """One hypervisor, by number before 2.53, by UUID since."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, hypervisor_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-hypervisors:show")
        minor = req.context.version[1]
        row = await self._existing(req, hypervisor_id)
        shown = hypervisor(self.api, minor, row, detail=True)
        if minor >= 53 and validation.is_true(req.get_param("with_servers") or "0"):
            servers = await _servers(self.api, row["host"])
            if servers or minor >= 75:  # before, a host without any has no list
                shown["servers"] = servers
        self.api.app.json(resp, {"hypervisor": shown})

    async def on_get_search(self, req: Any, resp: Any, hypervisor_id: str) -> None:
        await self._search(req, resp, hypervisor_id, "search", with_servers=False)

    async def on_get_servers(self, req: Any, resp: Any, hypervisor_id: str) -> None:
        await self._search(req, resp, hypervisor_id, "servers", with_servers=True)

    async def on_get_uptime(self, req: Any, resp: Any, hypervisor_id: str) -> None:
        """The simulated driver does not know it, like Nova's fake one."""
        if req.context.version >= (2, 88):
            raise ApiError(404, "The resource could not be found.")
        require(req.context.caller.is_admin, "os_compute_api:os-hypervisors:uptime")
        await self._existing(req, hypervisor_id)
        raise ApiError(501, "Virt driver does not implement uptime function.")

    async def _existing(self, req: Any, hypervisor_id: str) -> Mapping[str, Any]:
        database = self.api.cells.by_id[CELL1_ID]
        row: Mapping[str, Any] | None = None
        if req.context.version >= (2, 53):
            if not validation.is_uuid(hypervisor_id):
                raise ApiError(400, f"Invalid uuid {hypervisor_id}")
            row = await database.fetch_one(GET_BY_UUID, uuid=hypervisor_id)
        elif hypervisor_id.isdigit():
            row = await database.fetch_one(GET, id=int(hypervisor_id))
        if row is None:
            raise ApiError(404, f"Hypervisor with ID '{hypervisor_id}' could not be found.")
        return row

    async def _search(self, req: Any, resp: Any, pattern: str, rule: str, *, with_servers: bool) -> None:
        """By a part of the name, until 2.52."""
        if req.context.version >= (2, 53):
            raise ApiError(404, "The resource could not be found.")
        require(req.context.caller.is_admin, f"os_compute_api:os-hypervisors:{rule}")
        database = self.api.cells.by_id[CELL1_ID]
        rows = [row for row in await database.fetch(LIST) if pattern in row["hypervisor_hostname"]]
        if not rows:
            raise ApiError(404, f"No hypervisor matching '{pattern}' could be found.")
        shown = [hypervisor(self.api, req.context.version[1], row, detail=False) for row in rows]
        if with_servers:
            for one, row in zip(shown, rows, strict=True):
                if servers := await _servers(self.api, row["host"]):
                    one["servers"] = servers
        self.api.app.json(resp, {"hypervisors": shown})


async def _servers(api: ComputeApi, host: str) -> list[dict[str, str]]:
    rows = await api.cells.by_id[CELL1_ID].fetch(SERVERS, host=host)
    return [{"uuid": server["uuid"], "name": f"instance-{server['id']:08x}"} for server in rows]


def hypervisor(api: ComputeApi, minor: int, row: Mapping[str, Any], *, detail: bool) -> dict[str, Any]:
    """One entry of an answer."""
    by_uuid = minor >= 53
    shown: dict[str, Any] = {
        "id": row["uuid"] if by_uuid else row["id"],
        "hypervisor_hostname": row["hypervisor_hostname"],
        "state": "up" if api.is_up(row) else "down",
        "status": "disabled" if row["disabled"] else "enabled",
    }
    if not detail:
        return shown
    shown["hypervisor_type"] = "fake"
    shown["hypervisor_version"] = 1000
    shown["host_ip"] = "127.0.0.1"
    shown["service"] = {
        "id": row["service_uuid"] if by_uuid else row["service_id"],
        "host": row["host"],
        "disabled_reason": row["disabled_reason"],
    }
    if minor >= 88:
        shown["uptime"] = None
        return shown
    for name in ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "running_vms"):
        shown[name] = row[name]
    shown["free_ram_mb"] = row["memory_mb"] - row["memory_mb_used"]
    shown["free_disk_gb"] = row["local_gb"] - row["local_gb_used"]
    shown["current_workload"] = shown["disk_available_least"] = 0
    shown["cpu_info"] = _CPU if minor >= 28 else orjson.dumps(_CPU).decode()
    return shown
