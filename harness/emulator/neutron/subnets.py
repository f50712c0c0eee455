"""Subnets: address ranges of networks, their gateways and allocation pools."""

import ipaddress
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, bindparam, delete, insert, or_, select, update

from harness.emulator import timestamps
from harness.emulator.database import Row, Statement
from harness.emulator.http import ApiError, Caller
from harness.emulator.neutron import errors, networks, policy, quotas, schema
from harness.emulator.neutron.attributes import REQUIRED, Attribute, Resource, Values, standard
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron, new_id
from harness.emulator.neutron.validation import (
    allocation_pools,
    host_routes,
    ip_address_or_none,
    name_servers,
    none_to_list,
    one_of,
    text,
    to_bool,
    to_int,
    to_ip,
    uuid,
)

Range = ipaddress.IPv4Network | ipaddress.IPv6Network
_V6_MODES = one_of("dhcpv6-stateful", "dhcpv6-stateless", "slaac", None)
ADMIN_ONLY = frozenset(("segment_id", "service_types"))

RESOURCE = Resource(
    "subnet",
    "subnets",
    schema.subnets,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("name", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute(
            "ip_version",
            "int",
            post=True,
            default=REQUIRED,
            convert=to_int,
            check=one_of(4, 6),
            filters=True,
            sorts=True,
        ),
        Attribute("network_id", post=True, default=REQUIRED, check=uuid, filters=True, sorts=True),
        Attribute("subnetpool_id", "", post=True),
        Attribute("prefixlen", "", post=True),
        Attribute("cidr", post=True, filters=True, sorts=True),
        Attribute("gateway_ip", post=True, put=True, convert=to_ip, check=ip_address_or_none, filters=True, sorts=True),
        Attribute("allocation_pools", "json", post=True, put=True, check=allocation_pools),
        Attribute("dns_nameservers", "json", post=True, put=True, check=name_servers),
        Attribute("host_routes", "json", post=True, put=True, check=host_routes),
        Attribute("enable_dhcp", "bool", post=True, put=True, default=True, convert=to_bool, filters=True, sorts=True),
        Attribute("ipv6_ra_mode", post=True, check=_V6_MODES, filters=True, sorts=True),
        Attribute("ipv6_address_mode", post=True, check=_V6_MODES, filters=True, sorts=True),
        Attribute("service_types", "json", post=True, put=True),
        Attribute("router:external", "", filters=True),
        Attribute("shared", "", filters=True),
        *standard(),
    ),
)

_NETWORK = schema.networks.c


def rows() -> Select[Any]:
    """Subnets with what they show of their network."""
    joined = schema.subnets.join(schema.networks, _NETWORK.id == schema.subnets.c.network_id)
    return select(
        schema.subnets,
        _NETWORK.router_external.label("router_external"),
        _NETWORK.shared.label("network_shared"),
        _NETWORK.project_id.label("network_project_id"),
    ).select_from(joined)


_BY_ID = Statement(rows().where(schema.subnets.c.id == bindparam("id")))
_OF_NETWORK = Statement(
    select(schema.subnets.c.id, schema.subnets.c.cidr).where(schema.subnets.c.network_id == bindparam("network_id"))
)
_INSERT = Statement(insert(schema.subnets))
_UPDATE = Statement(
    update(schema.subnets).where(
        schema.subnets.c.id == bindparam("which"), schema.subnets.c.revision_number == bindparam("was")
    )
)
_DELETE = Statement(delete(schema.subnets).where(schema.subnets.c.id == bindparam("which")))
_NETWORK_BY_ID = Statement(select(schema.networks.c.id).where(schema.networks.c.id == bindparam("id")))
_USED = Statement(
    select(schema.ipallocations.c.port_id).where(schema.ipallocations.c.subnet_id == bindparam("subnet_id")).limit(1)
)
_DROP_TAGS = Statement(delete(schema.tags).where(schema.tags.c.resource_id == bindparam("which")))


def view(row: Row | Values) -> dict[str, Any]:
    """A subnet as everybody sees it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "project_id": row["project_id"],
        "network_id": row["network_id"],
        "ip_version": row["ip_version"],
        "subnetpool_id": None,
        "enable_dhcp": bool(row["enable_dhcp"]),
        "ipv6_ra_mode": row["ipv6_ra_mode"],
        "ipv6_address_mode": row["ipv6_address_mode"],
        "gateway_ip": row["gateway_ip"],
        "cidr": row["cidr"],
        "allocation_pools": orjson.Fragment(row["allocation_pools"]),
        "host_routes": orjson.Fragment(row["host_routes"]),
        "dns_nameservers": orjson.Fragment(row["dns_nameservers"]),
        "description": row["description"],
        "router:external": bool(row["router_external"]),
        "service_types": orjson.Fragment(row["service_types"]),
        "tags": orjson.Fragment(row["tags"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "revision_number": row["revision_number"],
        "tenant_id": row["project_id"],
    }


def scope(caller: Caller) -> list[Condition]:
    """The subnets that the caller sees: its own, and those of networks that are its own, shared or external."""
    if policy.is_global(caller):
        return []

    def clause() -> ColumnElement[bool]:
        return or_(
            schema.subnets.c.project_id == bindparam("scope"),
            _NETWORK.project_id == bindparam("scope"),
            _NETWORK.shared == 1,
            _NETWORK.router_external == 1,
        )

    return [Condition("scope", clause, {"scope": caller.project_id})]


def network_filters(filters: dict[str, list[str]]) -> list[Condition]:
    """The filters that look at the network: `router:external` and `shared`."""
    found = []
    for name, column in (("router:external", _NETWORK.router_external), ("shared", _NETWORK.shared)):
        if name in filters:
            key = f"n_{column.key}"
            value = int(to_bool(filters[name][-1]))
            found.append(Condition(key, lambda column=column, key=key: column == bindparam(key), {key: value}))  # type: ignore[misc]
    return found


async def get(neutron: Neutron, caller: Caller, subnet_id: str) -> Row:
    """Raises: ApiError 404, also when the subnet is not for the caller's eyes."""
    row = await neutron.database.fetch_one(_BY_ID, id=subnet_id)
    if row is None or not (
        policy.is_global(caller)
        or caller.project_id in (row["project_id"], row["network_project_id"])
        or row["network_shared"]
        or row["router_external"]
    ):
        raise errors.not_found("subnet", subnet_id)
    return row


async def create(neutron: Neutron, caller: Caller, values: Values) -> dict[str, Any]:
    """Make one subnet. Raises: ApiError; StaleDataError when the network changed in between."""
    network_id = values["network_id"]
    network = await _network(neutron, caller, network_id)
    policy.require_member(caller, network["project_id"], "create_subnet")
    policy.require_attributes(caller, "create_subnet", values, ADMIN_ONLY)
    if values.get("subnetpool_id"):
        raise errors.not_found("subnetpool", values["subnetpool_id"])
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        if values.get(name) and values["ip_version"] == 4:
            raise errors.invalid_input(f"{name} is not valid when ip_version is 4")
    cidr = _range(values)
    gateway = _gateway(values, cidr)
    pools = _pools(values.get("allocation_pools"), cidr, gateway)
    project_id = values["project_id"]
    async with quotas.reserved(neutron, project_id, "subnet"):
        for other in await neutron.database.fetch(_OF_NETWORK, network_id=network_id):
            if ipaddress.ip_network(other["cidr"]).overlaps(cidr):
                raise errors.invalid_input(
                    f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet"
                )
        now = timestamps.utcnow_iso()
        row: Values = {
            "id": new_id(),
            "project_id": project_id,
            "network_id": network_id,
            "name": values["name"],
            "ip_version": values["ip_version"],
            "cidr": str(cidr),
            "gateway_ip": gateway,
            "enable_dhcp": int(values["enable_dhcp"]),
            "ipv6_ra_mode": values.get("ipv6_ra_mode"),
            "ipv6_address_mode": values.get("ipv6_address_mode"),
            "allocation_pools": _json(pools),
            "dns_nameservers": _json(none_to_list(values.get("dns_nameservers"))),
            "host_routes": _json(none_to_list(values.get("host_routes"))),
            "service_types": _json(values.get("service_types") or []),
            "description": values["description"],
            "tags": "[]",
            "created_at": now,
            "updated_at": now,
            "revision_number": 0,
        }
        # A subnet changes its network, so two at once cannot both pass the check for overlap.
        ids = sorted([*orjson.loads(network["subnet_ids"]), row["id"]])
        async with neutron.database.transaction() as transaction:
            await transaction.execute(_INSERT, **row)
            if not await transaction.execute(
                networks.UPDATE,
                which=network_id,
                was=network["revision_number"],
                subnet_ids=_json(ids),
                updated_at=now,
                revision_number=network["revision_number"] + 1,
            ):
                raise StaleDataError(network_id)
    return view({**row, "router_external": network["router_external"]})


async def _network(neutron: Neutron, caller: Caller, network_id: str) -> Row:
    """The network of a new subnet. Neutron's policy judges its owner first: a foreign one is forbidden, not missing."""
    try:
        return await networks.get(neutron, caller, network_id)
    except ApiError:
        if await neutron.database.fetch_one(_NETWORK_BY_ID, id=network_id) is not None:
            raise errors.forbidden("rule:create_subnet") from None
        raise


async def change(neutron: Neutron, caller: Caller, subnet_id: str, values: Values) -> dict[str, Any]:
    """Raises: ApiError; StaleDataError when the subnet changed in between."""
    row = await get(neutron, caller, subnet_id)
    _require_owner(caller, row, "update_subnet")
    policy.require_attributes(caller, "update_subnet", values, ADMIN_ONLY)
    cidr = ipaddress.ip_network(row["cidr"])
    gateway = values.get("gateway_ip", row["gateway_ip"])
    if "allocation_pools" in values:
        values["allocation_pools"] = _pools(values["allocation_pools"], cidr, gateway)
    elif "gateway_ip" in values and gateway is not None:
        _refuse_gateway_in(orjson.loads(row["allocation_pools"]), gateway)
    changes = {}
    for name, value in values.items():
        kind = RESOURCE.by_name[name].kind
        changes[name] = int(value) if kind == "bool" else _json(none_to_list(value)) if kind == "json" else value
    if all(row[name] == value for name, value in changes.items()):
        return view(row)
    # Neutron keeps the pools in a table of their own, which does not count as a change of the subnet.
    only_pools = all(row[name] == value for name, value in changes.items() if name != "allocation_pools")
    changes["updated_at"] = timestamps.utcnow_iso()
    changes["revision_number"] = row["revision_number"] + (0 if only_pools else 1)
    if not await neutron.database.execute(_UPDATE, which=subnet_id, was=row["revision_number"], **changes):
        raise StaleDataError(subnet_id)
    return view({**dict(row), **changes})


async def remove(neutron: Neutron, caller: Caller, subnet_id: str) -> None:
    """Raises: ApiError, 409 while a port has an address of it; StaleDataError when the network changed in between."""
    row = await get(neutron, caller, subnet_id)
    _require_owner(caller, row, "delete_subnet")
    if await neutron.database.fetch_one(_USED, subnet_id=subnet_id) is not None:
        raise errors.subnet_in_use(subnet_id)
    network = await networks.get(neutron, caller, row["network_id"])
    ids = [identity for identity in orjson.loads(network["subnet_ids"]) if identity != subnet_id]
    async with neutron.database.transaction() as transaction:
        if not await transaction.execute(
            networks.UPDATE,
            which=row["network_id"],
            was=network["revision_number"],
            subnet_ids=_json(ids),
            updated_at=timestamps.utcnow_iso(),
            revision_number=network["revision_number"] + 1,
        ):
            raise StaleDataError(subnet_id)
        await transaction.execute(_DROP_TAGS, which=subnet_id)
        await transaction.execute(_DELETE, which=subnet_id)
    neutron.addresses.forget(subnet_id)


def _require_owner(caller: Caller, row: Row, rule: str) -> None:
    if not (
        caller.is_admin
        or policy.is_member(caller, row["project_id"])
        or policy.is_member(caller, row["network_project_id"])
    ):
        raise errors.forbidden(f"rule:{rule}")


def _range(values: Values) -> Range:
    given = values.get("cidr")
    if given is None:
        text_ = "Bad subnets request: a subnetpool must be specified in the absence of a cidr."
        raise errors.neutron(400, "BadRequest", text_)
    try:
        cidr = ipaddress.ip_network(given, strict=False)
    except (TypeError, ValueError):
        raise errors.invalid_input(f"{given} is not in a CIDR format") from None
    if cidr.version != values["ip_version"]:
        raise errors.invalid_input(f"cidr '{given}' does not match the ip_version '{values['ip_version']}'")
    if values["enable_dhcp"]:
        if int(cidr.network_address) == 0:
            raise errors.invalid_input(
                f"First IP '{cidr.network_address}' of network is not supported if enable_dhcp is True."
            )
        if cidr.max_prefixlen - cidr.prefixlen < 2:
            raise errors.invalid_input("Subnet has a prefix length that is incompatible with DHCP service enabled")
    return cidr


def _gateway(values: Values, cidr: Range) -> str | None:
    if "gateway_ip" in values:
        given: str | None = values["gateway_ip"]
        if given is not None and ipaddress.ip_address(given).version != cidr.version:
            text_ = f"gateway_ip '{given}' does not match the ip_version '{cidr.version}'"
            raise errors.invalid_input(text_)
        return given
    # The first address of an IPv6 range is an address like any other; of an IPv4 range it names the network.
    return str(cidr.network_address + (1 if cidr.version == 4 and cidr.prefixlen < 31 else 0))


def _pools(given: Any, cidr: Range, gateway: str | None) -> list[dict[str, str]]:
    """Allocation pools: those given, checked, or all addresses around the gateway."""
    usable_first = int(cidr.network_address) + (1 if cidr.version == 4 and cidr.prefixlen < 31 else 0)
    usable_last = int(cidr.broadcast_address) - (1 if cidr.version == 4 and cidr.prefixlen < 31 else 0)
    family = type(cidr.network_address)
    if given is None:
        found = [(usable_first, usable_last)]
        if gateway is not None and (at := int(ipaddress.ip_address(gateway))) in range(usable_first, usable_last + 1):
            found = [(first, last) for first, last in ((usable_first, at - 1), (at + 1, usable_last)) if first <= last]
        return [{"start": str(family(first)), "end": str(family(last))} for first, last in found]
    if not isinstance(given, list):
        raise errors.invalid_input("Invalid data format for allocation pools")
    found = []
    for pool in given:
        try:
            first, last = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
        except (KeyError, TypeError, ValueError):
            raise errors.neutron(400, "InvalidAllocationPool", f"The allocation pool {pool} is not valid.") from None
        if first.version != cidr.version or last.version != cidr.version or int(last) < int(first):
            raise errors.neutron(400, "InvalidAllocationPool", f"The allocation pool {pool} is not valid.")
        if int(first) < usable_first or int(last) > usable_last:
            text_ = f"The allocation pool {first}-{last} spans beyond the subnet cidr {cidr}."
            raise errors.neutron(400, "OutOfBoundsAllocationPool", text_)
        found.append((int(first), int(last)))
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            if one[0] <= other[1] and other[0] <= one[1]:
                names = " ".join(f"{family(low)}-{family(high)}" for low, high in (one, other))
                text_ = f"Found overlapping allocation pools: {names} for subnet {cidr}."
                raise errors.neutron(409, "OverlappingAllocationPools", text_)
    pools = [{"start": str(family(first)), "end": str(family(last))} for first, last in found]
    if gateway is not None:
        _refuse_gateway_in(pools, gateway)
    return pools


def _refuse_gateway_in(pools: list[dict[str, str]], gateway: str) -> None:
    at = int(ipaddress.ip_address(gateway))
    for pool in pools:
        if int(ipaddress.ip_address(pool["start"])) <= at <= int(ipaddress.ip_address(pool["end"])):
            text_ = f"Gateway ip {gateway} conflicts with allocation pool {pool['start']}-{pool['end']}."
            raise errors.neutron(409, "GatewayConflictWithAllocationPools", text_)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
