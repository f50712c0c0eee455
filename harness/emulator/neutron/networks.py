"""Networks: what they are made of, who sees them, how they are stored."""

from typing import Any

import orjson
from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select, update

from harness.emulator import timestamps
from harness.emulator.database import DBDuplicateEntry, Row, Statement
from harness.emulator.database.together import Together
from harness.emulator.http import Caller
from harness.emulator.neutron import errors, policy, quotas, schema, security_groups
from harness.emulator.neutron.attributes import Attribute, Resource, Values, standard
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron, new_id
from harness.emulator.neutron.validation import not_negative, text, texts, to_bool, to_int, zone_hints

MTU_MAX = 1500  # global_physnet_mtu
VXLAN_OVERHEAD = 50
IPV4_MTU_MIN = 68
VNI_MAX = 1 << 20  # above any deployment's vni_ranges, below the 24 bits of VXLAN
_VNI_TRIES = 10
_TYPES = ("flat", "vlan", "vxlan", "local")
ADMIN_ONLY = frozenset(
    (
        "shared",
        "router:external",
        "is_default",
        "segments",
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
    )
)
_PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")

RESOURCE = Resource(
    "network",
    "networks",
    schema.networks,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("name", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute(
            "admin_state_up", "bool", post=True, put=True, default=True, convert=to_bool, filters=True, sorts=True
        ),
        Attribute("status", filters=True, sorts=True),
        Attribute("shared", "bool", post=True, put=True, default=False, convert=to_bool, filters=True),
        Attribute("subnets", ""),
        Attribute(
            "mtu", "int", post=True, put=True, default=0, convert=to_int, check=not_negative, filters=True, sorts=True
        ),
        Attribute("port_security_enabled", "bool", post=True, put=True, default=True, convert=to_bool),
        Attribute(
            "router:external",
            "bool",
            "router_external",
            post=True,
            put=True,
            default=False,
            convert=to_bool,
            filters=True,
        ),
        Attribute("is_default", "bool", post=True, put=True, default=False, convert=to_bool, filters=True),
        Attribute("provider:network_type", column="network_type", post=True, put=True, check=text(32), filters=True),
        Attribute(
            "provider:physical_network", column="physical_network", post=True, put=True, check=text(64), filters=True
        ),
        Attribute(
            "provider:segmentation_id", "int", "segmentation_id", post=True, put=True, convert=to_int, filters=True
        ),
        Attribute("availability_zone_hints", "json", post=True, check=texts, convert=zone_hints, sorts=True),
        Attribute("availability_zones", ""),
        Attribute("ipv4_address_scope", ""),
        Attribute("ipv6_address_scope", ""),
        Attribute("vlan_transparent", "", post=True, convert=to_bool),
        Attribute("qinq", "", post=True, convert=to_bool),
        *standard(),
    ),
)

_BY_ID = Statement(select(schema.networks).where(schema.networks.c.id == bindparam("id")))
_INSERT = {
    "vxlan": Together(
        insert(schema.ml2_vxlan_allocations).values(vxlan_vni=bindparam("segmentation_id"), network_id=bindparam("id")),
        insert(schema.networks).values({column.name: bindparam(column.name) for column in schema.networks.columns}),
    ),
    "flat": Together(
        insert(schema.ml2_flat_allocations).values(
            physical_network=bindparam("physical_network"), network_id=bindparam("id")
        ),
        insert(schema.networks).values({column.name: bindparam(column.name) for column in schema.networks.columns}),
    ),
}
_INSERT_PLAIN = Statement(insert(schema.networks))
UPDATE = Statement(
    update(schema.networks).where(
        schema.networks.c.id == bindparam("which"), schema.networks.c.revision_number == bindparam("was")
    )
)
_DELETE = Together(
    delete(schema.ml2_vxlan_allocations).where(schema.ml2_vxlan_allocations.c.network_id == bindparam("which")),
    delete(schema.ml2_flat_allocations).where(schema.ml2_flat_allocations.c.network_id == bindparam("which")),
    delete(schema.subnets).where(schema.subnets.c.network_id == bindparam("which")),
    delete(schema.tags).where(schema.tags.c.resource_id == bindparam("which")),
    delete(schema.networks).where(schema.networks.c.id == bindparam("which")),
)
_PORTS = Statement(
    select(schema.ports.c.id, schema.ports.c.device_owner)
    .where(schema.ports.c.network_id == bindparam("network_id"))
    .order_by(schema.ports.c.id)
)


def view(row: Row | Values, caller: Caller, *, created: bool = False) -> dict[str, Any]:
    """A network as the caller sees it."""
    project_id = row["project_id"]
    found: dict[str, Any] = {
        "id": row["id"],
        "name": row["name"],
        "tenant_id": project_id,
        "project_id": project_id,
        "admin_state_up": bool(row["admin_state_up"]),
        "mtu": row["mtu"],
        "status": row["status"],
        "subnets": orjson.Fragment(row["subnet_ids"]),
        "shared": bool(row["shared"]),
        "availability_zone_hints": orjson.Fragment(row["availability_zone_hints"]),
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "router:external": bool(row["router_external"]),
        "qinq": False,
        "vlan_transparent": False,
        "description": row["description"],
        "port_security_enabled": bool(row["port_security_enabled"]),
    }
    if created or row["router_external"]:
        found["is_default"] = bool(row["is_default"])
    found["tags"] = orjson.Fragment(row["tags"])
    found["created_at"] = row["created_at"]
    found["updated_at"] = row["updated_at"]
    found["revision_number"] = row["revision_number"]
    if caller.is_admin:
        found["provider:network_type"] = row["network_type"]
        found["provider:physical_network"] = row["physical_network"]
        found["provider:segmentation_id"] = row["segmentation_id"]
    return found


def sees(caller: Caller, row: Row) -> bool:
    return (
        policy.is_global(caller)
        or row["project_id"] == caller.project_id
        or bool(row["shared"])
        or bool(row["router_external"])
    )


def scope(caller: Caller) -> list[Condition]:
    """The networks that the caller sees: its own, shared ones and external ones."""
    if policy.is_global(caller):
        return []
    table = schema.networks

    def clause() -> ColumnElement[bool]:
        return or_(table.c.project_id == bindparam("scope"), table.c.shared == 1, table.c.router_external == 1)

    return [Condition("scope", clause, {"scope": caller.project_id})]


async def get(neutron: Neutron, caller: Caller, network_id: str) -> Row:
    """Raises: ApiError 404, also when the network is not for the caller's eyes."""
    row = await neutron.database.fetch_one(_BY_ID, id=network_id)
    if row is None or not sees(caller, row):
        raise errors.not_found("network", network_id)
    return row


async def create(neutron: Neutron, caller: Caller, values: Values) -> dict[str, Any]:
    """Make one network. Raises: ApiError."""
    project_id = values["project_id"]
    policy.require_member(caller, project_id, "create_network")
    for_admin = [name for name in values if name in ADMIN_ONLY and values[name] not in (False, None)]
    policy.require_attributes(caller, "create_network", for_admin, ADMIN_ONLY)
    _check_provider(values)
    async with quotas.reserved(neutron, project_id, "network"):
        await security_groups.ensure_default(neutron, project_id)
        row = await _insert(neutron, values)
    return view(row, caller, created=True)


async def change(neutron: Neutron, caller: Caller, network_id: str, values: Values) -> dict[str, Any]:
    """Raises: ApiError; StaleDataError when the network changed in between."""
    row = await get(neutron, caller, network_id)
    policy.require_member(caller, row["project_id"], "update_network")
    policy.require_attributes(caller, "update_network", values, ADMIN_ONLY)
    changed = [name for name in _PROVIDER if name in values and values[name] != row[RESOURCE.by_name[name].column]]
    if changed:
        raise errors.invalid_input(
            f"Plugin does not support updating the following provider network attributes: {', '.join(sorted(changed))}"
        )
    if "mtu" in values:
        values["mtu"] = _mtu(row["network_type"], values["mtu"])
        if orjson.loads(row["subnet_ids"]) and values["mtu"] < IPV4_MTU_MIN:
            text_ = f"MTU of {network_id} is not valid, subnet requires a minimum of {IPV4_MTU_MIN}"
            raise errors.neutron(409, "NetworkMTUSubnetConflict", text_)
    changes = {RESOURCE.by_name[name].column or name: _stored(value) for name, value in values.items()}
    if all(row[name] == value for name, value in changes.items()):
        return view(row, caller)
    changes["updated_at"] = timestamps.utcnow_iso()
    changes["revision_number"] = row["revision_number"] + 1
    if not await neutron.database.execute(UPDATE, which=network_id, was=row["revision_number"], **changes):
        raise StaleDataError(network_id)
    return view({**dict(row), **changes}, caller)


async def remove(neutron: Neutron, caller: Caller, network_id: str) -> None:
    """Raises: ApiError; 409 while ports are on the network."""
    row = await get(neutron, caller, network_id)
    policy.require_member(caller, row["project_id"], "delete_network")
    ports = await neutron.database.fetch(_PORTS, network_id=network_id)
    if ports:
        raise errors.network_in_use(network_id, [port["id"] for port in ports])
    if not await _DELETE.run(neutron.database, which=network_id):
        raise errors.not_found("network", network_id)
    for subnet_id in orjson.loads(row["subnet_ids"]):
        neutron.addresses.forget(subnet_id)
    await neutron.agents.network_delete(network_id)


async def _insert(neutron: Neutron, values: Values) -> Values:
    network_type = values.get("provider:network_type") or "vxlan"
    now = timestamps.utcnow_iso()
    row: Values = {
        "id": new_id(),
        "project_id": values["project_id"],
        "name": values["name"],
        "status": "ACTIVE",
        "admin_state_up": int(values["admin_state_up"]),
        "mtu": _mtu(network_type, values["mtu"]),
        "shared": int(values["shared"]),
        "router_external": int(values["router:external"]),
        "is_default": int(values["is_default"]),
        "port_security_enabled": int(values["port_security_enabled"]),
        "availability_zone_hints": _stored(values.get("availability_zone_hints") or []),
        "network_type": network_type,
        "physical_network": values.get("provider:physical_network"),
        "segmentation_id": values.get("provider:segmentation_id"),
        "subnet_ids": "[]",
        "description": values["description"],
        "tags": "[]",
        "created_at": now,
        "updated_at": now,
        "revision_number": 1,
    }
    database = neutron.database
    if network_type not in _INSERT:
        await database.execute(_INSERT_PLAIN, **row)
        return row
    chosen = row["segmentation_id"]
    for attempt in range(_VNI_TRIES):
        if network_type == "vxlan" and chosen is None:
            row["segmentation_id"] = neutron.runtime.rng.randrange(1, VNI_MAX)
        try:
            await _INSERT[network_type].run(database, **row)
        except DBDuplicateEntry:
            if network_type == "flat":
                text_ = f"Unable to create the flat network. Physical network {row['physical_network']} is in use."
                raise errors.neutron(409, "FlatNetworkInUse", text_) from None
            if chosen is not None:
                text_ = f"Unable to create the network. The tunnel ID {chosen} is in use."
                raise errors.neutron(409, "TunnelIdInUse", text_) from None
            if attempt == _VNI_TRIES - 1:
                raise
        else:
            break
    return row


def _check_provider(values: Values) -> None:
    kind = values.get("provider:network_type")
    if kind is None:
        return
    if kind not in _TYPES:
        raise errors.invalid_input(f"network_type value '{kind}' not supported")
    if kind in ("flat", "vlan") and not values.get("provider:physical_network"):
        if kind == "vlan":
            text_ = "Unable to create the network. No project network is available for allocation."
            raise errors.neutron(503, "NoNetworkAvailable", text_)
        raise errors.invalid_input("physical_network required for flat provider network")
    if kind == "flat" and values.get("provider:segmentation_id") is not None:
        raise errors.invalid_input("segmentation_id prohibited for flat provider network")


def _mtu(network_type: str, wanted: int) -> int:
    """The MTU of a network: the largest that its type allows, unless a smaller one is asked for."""
    largest = MTU_MAX - VXLAN_OVERHEAD if network_type == "vxlan" else MTU_MAX
    if wanted > largest:
        raise errors.invalid_input(f"Requested MTU is too big, maximum is {largest}")
    return wanted or largest


def _stored(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return value


def of_project(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Rows whose network belongs to the project that is the parameter `scope`."""
    return column.in_(select(schema.networks.c.id).where(schema.networks.c.project_id == bindparam("scope")))
