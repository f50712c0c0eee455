"""What is left: addresses of networks (`network-ip-availabilities`), and zones (`availability_zones`)."""

import ipaddress
import json
from typing import Any

import orjson
from falcon.asgi import Request, Response
from sqlalchemy import ColumnElement, Select, bindparam, func, select

from harness.emulator.database import Row, Statement, in_list
from harness.emulator.http import ServiceApp
from harness.emulator.neutron import errors, queries, schema
from harness.emulator.neutron.attributes import Attribute, Resource
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.validation import to_int

# Filters are those of neutron: by network and by IP version.
RESOURCE = Resource(
    "network_ip_availability",
    "network_ip_availabilities",
    schema.networks,
    (
        Attribute("id"),
        Attribute("network_id", column="id", filters=True),
        Attribute("network_name", column="name", filters=True),
        Attribute("project_id", filters=True),
        Attribute("ip_version", "", filters=True),
    ),
)
_SUBNETS = Statement(
    select(schema.subnets)
    .where(in_list(schema.subnets.c.network_id, "networks"))
    .order_by(schema.subnets.c.network_id, schema.subnets.c.id)
)
_USED = Statement(
    select(
        schema.ipallocations.c.subnet_id,
        func.count().label("used"),
        func.sum(schema.ipallocations.c.in_pool).label("in_pool"),
    )
    .where(in_list(schema.ipallocations.c.subnet_id, "subnets"))
    .group_by(schema.ipallocations.c.subnet_id)
)
_COUNTS = ("total_ips_in_subnet", "total_ips_in_allocation_pool", "used_ips_in_subnet", "used_ips_in_allocation_pool")
_ZONES = Statement(
    select(schema.agents.c.availability_zone, schema.agents.c.agent_type)
    .where(schema.agents.c.availability_zone.is_not(None), schema.agents.c.admin_state_up == 1)
    .distinct()
)


class IpAvailabilities:
    """`/v2.0/network-ip-availabilities`: empty for all but administrators, as neutron's policy has it."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response) -> None:
        neutron = self._neutron
        query = queries.parse(RESOURCE, req.query_string, neutron.settings.neutron.pagination_max_limit)
        found: list[dict[str, Any]] = []
        if req.context.caller.is_admin or req.context.caller.is_service:
            versions = {to_int(value) for value in query.filters.get("ip_version", ())}
            where = queries.conditions(RESOURCE, query, ("ip_version",))
            rows = await queries.fetch(neutron.database, _networks, RESOURCE, query, where)
            found = await _availabilities(neutron, rows, versions)
        _answer(resp, {RESOURCE.collection: [queries.trimmed(one, query.fields) for one in found]})


class IpAvailability:
    """`/v2.0/network-ip-availabilities/{network_id}`."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response, identity: str) -> None:
        caller = req.context.caller
        query = queries.parse(RESOURCE, "", -1)
        where = [Condition("one", _one, {"network": identity})]
        rows = await queries.fetch(self._neutron.database, _networks, RESOURCE, query, where)
        if not rows or not (caller.is_admin or caller.is_service):
            raise errors.not_found("network", identity)
        (found,) = await _availabilities(self._neutron, rows, set())
        _answer(resp, {RESOURCE.singular: found})


def _answer(resp: Response, document: dict[str, Any]) -> None:
    """With Python's json: the addresses of two IPv6 subnets are more than orjson can count (64 bits)."""
    resp.data = json.dumps(document).encode()
    resp.content_type = "application/json"


class AvailabilityZones:
    """`/v2.0/availability_zones`: those of DHCP and L3 agents, of which this cloud has none unless they report."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response) -> None:
        zones = []
        for row in await self._neutron.database.fetch(_ZONES):
            kind = {"DHCP agent": "network", "L3 agent": "router"}.get(row["agent_type"])
            if kind is not None:
                zones.append({"name": row["availability_zone"], "resource": kind, "state": "available"})
        self._app.json(resp, {"availability_zones": zones})


def _networks() -> Select[Any]:
    return select(schema.networks)


def _one() -> ColumnElement[bool]:
    return schema.networks.c.id == bindparam("network")


async def _availabilities(neutron: Neutron, rows: list[Row], versions: set[int]) -> list[dict[str, Any]]:
    subnets: dict[str, list[Row]] = {row["id"]: [] for row in rows}
    for subnet in await neutron.database.fetch(_SUBNETS, networks=list(subnets)):
        if not versions or subnet["ip_version"] in versions:
            subnets[subnet["network_id"]].append(subnet)
    ids = [subnet["id"] for group in subnets.values() for subnet in group]
    used = {row["subnet_id"]: row for row in await neutron.database.fetch(_USED, subnets=ids)}
    found = []
    for row in rows:
        parts = [_of_subnet(subnet, used.get(subnet["id"])) for subnet in subnets[row["id"]]]
        details = {name: sum(part["ip_availability_details"][name] for part in parts) for name in _COUNTS}
        found.append(
            {
                "network_id": row["id"],
                "network_name": row["name"],
                "project_id": row["project_id"],
                "subnet_ip_availability": parts,
                "used_ips": sum(part["used_ips"] for part in parts),
                "total_ips": sum(part["total_ips"] for part in parts),
                "ip_availability_details": details,
                "tenant_id": row["project_id"],
            }
        )
    return found


def _of_subnet(subnet: Row, used: Row | None) -> dict[str, Any]:
    cidr = ipaddress.ip_network(subnet["cidr"])
    hosts = cidr.num_addresses - (2 if cidr.version == 4 and cidr.prefixlen < 31 else 0)
    pooled = sum(
        int(ipaddress.ip_address(pool["end"])) - int(ipaddress.ip_address(pool["start"])) + 1
        for pool in orjson.loads(subnet["allocation_pools"])
    )
    # orjson writes integers of 64 bits at most; neutron's own figure for a /64 is 2**64.
    hosts, pooled = min(hosts, (1 << 64) - 1), min(pooled, (1 << 64) - 1)
    count = int(used["used"]) if used is not None else 0
    return {
        "subnet_id": subnet["id"],
        "ip_version": subnet["ip_version"],
        "cidr": subnet["cidr"],
        "subnet_name": subnet["name"],
        "used_ips": count,
        "total_ips": pooled,
        "ip_availability_details": {
            "total_ips_in_subnet": hosts,
            "total_ips_in_allocation_pool": pooled,
            "used_ips_in_subnet": count,
            "used_ips_in_allocation_pool": int(used["in_pool"] or 0) if used is not None else 0,
        },
    }
