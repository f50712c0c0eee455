"""Quotas: limits of a project, what counts against them, and reservations while something is being made.

As neutron's default driver (DbQuotaNoLockDriver): nothing is locked; a reservation makes concurrent requests see each
other, but a violation can slip through. Without a limit nothing is counted.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, literal, select, union_all

from harness.emulator import timestamps
from harness.emulator.database import Database, Statement, upsert
from harness.emulator.neutron import errors, schema
from harness.emulator.neutron.service import Neutron, new_id
from harness.emulator.neutron.validation import to_int
from harness.emulator.settings import NeutronSettings

RESERVATION_S = 120  # neutron's default_reservation_expiration
# The order of neutron's answer. None: nothing of the kind exists here, and neutron's default is shown.
RESOURCES: dict[str, Any] = {
    "network": schema.networks,
    "subnet": schema.subnets,
    "subnetpool": None,
    "port": schema.ports,
    "router_route": None,
    "router": None,
    "floatingip": None,
    "rbac_policy": None,
    "security_group": schema.securitygroups,
    "security_group_rule": schema.securitygrouprules,
}
_OTHER_DEFAULTS = {"router_route": 30, "rbac_policy": 10}
COUNTED = {name: table for name, table in RESOURCES.items() if table is not None}

_LIMITS = Statement(
    select(schema.quotas.c.resource, schema.quotas.c.limit).where(schema.quotas.c.project_id == bindparam("project_id"))
)
_ALL_LIMITS = Statement(select(schema.quotas).order_by(schema.quotas.c.project_id))
_SET = upsert(schema.quotas, ["project_id", "resource"])
_DROP = Statement(delete(schema.quotas).where(schema.quotas.c.project_id == bindparam("which")))
_USED = {
    name: Statement(
        select(
            select(func.count())
            .select_from(table)
            .where(table.c.project_id == bindparam("project_id"))
            .scalar_subquery()
            .label("used"),
            select(func.coalesce(func.sum(schema.reservations.c.amount), 0))
            .where(
                schema.reservations.c.project_id == bindparam("project_id"),
                schema.reservations.c.resource == name,
                schema.reservations.c.expiration > bindparam("now"),
            )
            .scalar_subquery()
            .label("reserved"),
        )
    )
    for name, table in COUNTED.items()
}
_USED_ALL = Statement(
    union_all(
        *(
            select(literal(name).label("resource"), func.count().label("used"))
            .select_from(table)
            .where(table.c.project_id == bindparam("project_id"))
            for name, table in COUNTED.items()
        )
    )
)
_RESERVED_ALL = Statement(
    select(schema.reservations.c.resource, func.sum(schema.reservations.c.amount).label("reserved"))
    .where(
        schema.reservations.c.project_id == bindparam("project_id"),
        schema.reservations.c.expiration > bindparam("now"),
    )
    .group_by(schema.reservations.c.resource)
)
_RESERVE = Statement(insert(schema.reservations))
_RELEASE = Statement(delete(schema.reservations).where(schema.reservations.c.id == bindparam("which")))


def default_limits(settings: NeutronSettings) -> dict[str, int]:
    """Limits of a project that has none of its own; -1: no limit."""
    return {name: _OTHER_DEFAULTS.get(name, getattr(settings, f"quota_{name}", -1)) for name in RESOURCES}


async def limits(neutron: Neutron, project_id: str) -> dict[str, int]:
    found = default_limits(neutron.settings.neutron)
    for row in await neutron.database.fetch(_LIMITS, project_id=project_id):
        if row["resource"] in found:
            found[row["resource"]] = row["limit"]
    return found


async def usage(neutron: Neutron, project_id: str) -> dict[str, dict[str, int]]:
    """Limit, use and reservations of every resource."""
    used = {row["resource"]: row["used"] for row in await neutron.database.fetch(_USED_ALL, project_id=project_id)}
    rows = await neutron.database.fetch(_RESERVED_ALL, project_id=project_id, now=timestamps.utcnow_iso())
    reserved = {row["resource"]: int(row["reserved"]) for row in rows}
    return {
        name: {"limit": limit, "used": used.get(name, 0), "reserved": reserved.get(name, 0)}
        for name, limit in (await limits(neutron, project_id)).items()
    }


@asynccontextmanager
async def reserved(
    neutron: Neutron, project_id: str, resource: str, amount: int = 1, limit: int | None = None
) -> AsyncIterator[None]:
    """Hold `amount` of a resource while the body makes it.

    Args: limit: the project's limit when the caller has read it; None: read it here.
    Raises: ApiError 409 OverQuota.
    """
    if limit is None:
        limit = (await limits(neutron, project_id))[resource]
    if limit < 0:
        yield
        return
    database = neutron.database
    row = await database.fetch_one(_USED[resource], project_id=project_id, now=timestamps.utcnow_iso())
    if row is not None and row["used"] + int(row["reserved"]) + amount > limit:
        raise errors.over_quota([resource])
    identity = new_id()
    await database.execute(
        _RESERVE,
        id=identity,
        project_id=project_id,
        resource=resource,
        amount=amount,
        expiration=timestamps.iso(timestamps.after(neutron.settings.scaled(RESERVATION_S))),
    )
    try:
        yield
    finally:
        # When the database is gone the reservation stays until it expires, as in the real service.
        await database.execute(_RELEASE, which=identity)


async def change(database: Database, project_id: str, wanted: dict[str, Any]) -> None:
    """Set limits of a project. Raises: ApiError 400."""
    for name in wanted:
        if name not in RESOURCES and name not in ("tenant_id", "project_id", "force", "check_limit"):
            raise errors.bad_request(f"Unrecognized attribute(s) '{name}'")
    rows: list[dict[str, Any]] = [
        {"project_id": project_id, "resource": name, "limit": to_int(value)}
        for name, value in wanted.items()
        if name in RESOURCES
    ]
    for row in rows:
        if row["limit"] < -1:
            given = row["limit"]
            raise errors.invalid_attribute(str(row["resource"]), f"'{given}' is too small - must be at least '-1'.")
    await database.execute_many(_SET, rows)


async def drop(database: Database, project_id: str) -> bool:
    """Back to the defaults. Returns whether the project had limits of its own."""
    return await database.execute(_DROP, which=project_id) > 0


async def all_limits(neutron: Neutron) -> list[dict[str, Any]]:
    """Every project that has limits of its own."""
    found: dict[str, dict[str, Any]] = {}
    for row in await neutron.database.fetch(_ALL_LIMITS):
        project_id = row["project_id"]
        if project_id not in found:
            found[project_id] = default_limits(neutron.settings.neutron)
        found[project_id][row["resource"]] = row["limit"]
    return [{**values, "project_id": name, "tenant_id": name} for name, values in found.items()]
