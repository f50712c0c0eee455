"""Limits of a project and what it uses of them, counted from the cells as Nova does since Pike."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from harness.emulator.database import Statement, upsert
from harness.emulator.http import ApiError
from harness.emulator.nova.errors import TooManyInstances
from harness.emulator.nova.instances import Cells
from harness.emulator.nova.schema import instance_groups, instances, quotas
from harness.emulator.settings import NovaSettings

GET_LIMITS = Statement(
    select(quotas.c.resource, quotas.c.hard_limit).where(quotas.c.project_id == bindparam("project"))
)
SET_LIMIT = upsert(quotas, ["project_id", "resource"])
DELETE_LIMITS = Statement(delete(quotas).where(quotas.c.project_id == bindparam("project")))
COUNT_USE = Statement(
    select(
        func.count(instances.c.id).label("instances"),
        func.coalesce(func.sum(instances.c.vcpus), 0).label("cores"),
        func.coalesce(func.sum(instances.c.memory_mb), 0).label("ram"),
    ).where(instances.c.project_id == bindparam("project"), instances.c.deleted == 0)
)
COUNT_GROUPS = Statement(
    select(func.count(instance_groups.c.id)).where(instance_groups.c.project_id == bindparam("project"))
)

# Nova's own defaults; instances, cores and ram come from the settings of the cloud.
DEFAULTS = {
    "instances": 10,
    "cores": 20,
    "ram": 51200,
    "metadata_items": 128,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "fixed_ips": -1,
    "floating_ips": -1,
    "security_groups": -1,
    "security_group_rules": -1,
}
COUNTED = ("instances", "cores", "ram")


def defaults(settings: NovaSettings) -> dict[str, int]:
    """Limits of a project that has none of its own."""
    return {
        **DEFAULTS,
        "instances": settings.quota_instances,
        "cores": settings.quota_cores,
        "ram": settings.quota_ram_mb,
    }


async def limits(cells: Cells, settings: NovaSettings, project_id: str) -> dict[str, int]:
    """Limits that hold for a project; -1 is none."""
    found = defaults(settings)
    for row in await cells.api.fetch(GET_LIMITS, project=project_id):
        found[row["resource"]] = row["hard_limit"]
    return found


async def usage(cells: Cells, project_id: str) -> dict[str, int]:
    """Instances, cores and ram in use, over all cells; deleted ones do not count."""
    total = dict.fromkeys(COUNTED, 0)
    for database in cells.by_id.values():
        row = await database.fetch_one(COUNT_USE, project=project_id)
        assert row is not None
        for name in COUNTED:
            total[name] += int(row[name])
    return total


async def check_instances(
    cells: Cells, settings: NovaSettings, project_id: str, flavor: Mapping[str, Any], min_count: int, max_count: int
) -> int:
    """How many of the wanted instances fit: max_count, or fewer but at least min_count.

    Raises: ApiError 403 in Nova's words when not even min_count fit.
    """
    allowed = await limits(cells, settings, project_id)
    if all(allowed[name] < 0 for name in COUNTED):
        await usage(cells, project_id)  # Nova counts even when there is no limit
        return max_count
    used = await usage(cells, project_id)
    each = {"instances": 1, "cores": int(flavor["vcpus"]), "ram": int(flavor["memory_mb"])}
    fits = max_count
    overs = []
    for name in COUNTED:
        if allowed[name] < 0:
            continue
        room = max(0, allowed[name] - used[name])
        if each[name] * max_count > room:
            overs.append(name)
        if each[name]:
            fits = min(fits, room // each[name])
    if fits >= min_count:
        return fits
    overs.sort()
    span = str(min_count) if min_count == max_count else f"{min_count}-{max_count}"
    requested = {"instances": span, "cores": max_count * each["cores"], "ram": max_count * each["ram"]}
    if min_count != max_count:
        requested.update(cores=min_count * each["cores"], ram=min_count * each["ram"])
    raise ApiError(
        403,
        f"Quota exceeded for {', '.join(overs)}: "
        f"Requested {', '.join(str(requested[name]) for name in overs)}, "
        f"but already used {', '.join(str(used[name]) for name in overs)} "
        f"of {', '.join(str(allowed[name]) for name in overs)} {', '.join(overs)}",
    )


async def recheck(
    cells: Cells, settings: NovaSettings, project_id: str, flavor: Mapping[str, Any], count: int
) -> TooManyInstances | None:
    """The conductor's recheck: the error when a project is over its limits by now, two requests having raced."""
    allowed = await limits(cells, settings, project_id)
    used = await usage(cells, project_id)
    wanted = {"instances": count, "cores": count * int(flavor["vcpus"]), "ram": count * int(flavor["memory_mb"])}
    overs = {name: wanted[name] for name in COUNTED if 0 <= allowed[name] < used[name]}
    return TooManyInstances(overs, allowed) if overs else None
