"""Ports: what they are made of, how they are stored, who may read and change them."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, exists, insert, or_, select, update

from harness.emulator.database import Row, Statement, in_list
from harness.emulator.database.together import Together
from harness.emulator.http import Caller
from harness.emulator.neutron import errors, networks, policy, schema
from harness.emulator.neutron.attributes import REQUIRED, Attribute, Resource, Values, standard
from harness.emulator.neutron.binding import OVS_AGENT
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.validation import (
    dictionary_or_none,
    fixed_ips,
    mac_address,
    none_to_list,
    one_of,
    text,
    to_bool,
    uuid,
    uuids,
)

VNIC_TYPES = (
    "normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa",
    "accelerator-direct", "accelerator-direct-physical", "remote-managed",
)  # fmt: skip

RESOURCE = Resource(
    "port",
    "ports",
    schema.ports,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("name", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute("network_id", post=True, default=REQUIRED, check=uuid, filters=True, sorts=True),
        Attribute(
            "admin_state_up", "bool", post=True, put=True, default=True, convert=to_bool, filters=True, sorts=True
        ),
        Attribute("mac_address", post=True, put=True, check=mac_address, filters=True, sorts=True),
        Attribute("fixed_ips", "json", post=True, put=True, check=fixed_ips, filters=True),
        Attribute("device_id", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute("device_owner", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute("status", filters=True, sorts=True),
        Attribute("security_groups", "json", post=True, put=True, convert=none_to_list, check=uuids, filters=True),
        Attribute("port_security_enabled", "bool", post=True, put=True, convert=to_bool),
        Attribute("allowed_address_pairs", "json", post=True, put=True, convert=none_to_list),
        Attribute("extra_dhcp_opts", "json", post=True, put=True, convert=none_to_list),
        Attribute("binding:host_id", column="host", post=True, put=True, filters=True),
        Attribute(
            "binding:vnic_type", column="vnic_type", post=True, put=True, default="normal", check=one_of(*VNIC_TYPES)
        ),
        Attribute("binding:profile", "json", "profile", post=True, put=True, check=dictionary_or_none),
        Attribute("binding:vif_type", column="vif_type"),
        Attribute("binding:vif_details", "json", "vif_details"),
        *(attribute for attribute in standard() if attribute.name != "tags"),
        Attribute("tags", "json", post=True),  # taken and ignored at creation, as neutron without tag-ports-during-bulk
    ),
)

_COLUMNS = (
    schema.ports,
    schema.networks.c.project_id.label("network_project_id"),
    schema.networks.c.network_type,
    schema.networks.c.physical_network,
    schema.networks.c.segmentation_id,
)
_JOINED = schema.ports.outerjoin(schema.networks, schema.networks.c.id == schema.ports.c.network_id)
_BY_ID = Statement(select(*_COLUMNS).select_from(_JOINED).where(schema.ports.c.id == bindparam("id")))
# With the last report of the agent on the host that the port is to be bound to.
_BY_ID_FOR_HOST = Statement(
    select(*_COLUMNS, schema.agents.c.heartbeat_timestamp.label("agent_heartbeat"))
    .select_from(
        _JOINED.outerjoin(
            schema.agents,
            and_(schema.agents.c.host == bindparam("bind_to"), schema.agents.c.agent_type == OVS_AGENT),
        )
    )
    .where(schema.ports.c.id == bindparam("id"))
)

# Everything that a new port depends on, in one round trip: its network, that network's subnets, the project's default
# security group and its quota. One row for each subnet, at least one.
_NET, _SUB = schema.networks.c, schema.subnets.c
FOR_CREATE = Statement(
    select(
        _NET.id,
        _NET.project_id,
        _NET.shared,
        _NET.router_external,
        _NET.port_security_enabled,
        _NET.network_type,
        _NET.physical_network,
        _NET.segmentation_id,
        _SUB.id.label("subnet_id"),
        _SUB.cidr,
        _SUB.ip_version,
        _SUB.ipv6_address_mode,
        _SUB.allocation_pools,
        schema.default_security_group.c.security_group_id,
        schema.quotas.c.limit,
    )
    .select_from(
        schema.networks.outerjoin(schema.subnets, _SUB.network_id == _NET.id)
        .outerjoin(
            schema.default_security_group, schema.default_security_group.c.project_id == bindparam("port_project")
        )
        .outerjoin(
            schema.quotas,
            and_(schema.quotas.c.project_id == bindparam("port_project"), schema.quotas.c.resource == "port"),
        )
    )
    .where(_NET.id == bindparam("id"))
    .order_by(_SUB.id)
)
UPDATE = Statement(
    update(schema.ports).where(
        schema.ports.c.id == bindparam("which"), schema.ports.c.revision_number == bindparam("was")
    )
)
DELETE = Together(
    delete(schema.ipallocations).where(schema.ipallocations.c.port_id == bindparam("which")),
    delete(schema.securitygroupportbindings).where(schema.securitygroupportbindings.c.port_id == bindparam("which")),
    delete(schema.tags).where(schema.tags.c.resource_id == bindparam("which")),
    delete(schema.ports).where(schema.ports.c.id == bindparam("which")),
)
DROP_ADDRESS = Statement(
    delete(schema.ipallocations).where(
        schema.ipallocations.c.port_id == bindparam("which"),
        schema.ipallocations.c.subnet_id == bindparam("subnet"),
        schema.ipallocations.c.ip_address == bindparam("ip"),
    )
)
ADD_ADDRESS = Statement(insert(schema.ipallocations))
DROP_GROUPS = Statement(
    delete(schema.securitygroupportbindings).where(schema.securitygroupportbindings.c.port_id == bindparam("which"))
)
ADD_GROUP = Statement(insert(schema.securitygroupportbindings))
_inserts: dict[tuple[int, int], Together] = {}


def insert_statement(addresses: int, groups: int) -> Together:
    """A port with so many guarded addresses and security groups, committed at once.

    Parameters: the columns of `ports`; `subnet_id<n>`, `ip_address<n>`, `in_pool<n>`; `group<n>`.
    """
    found = _inserts.get((addresses, groups))
    if found is None:
        writes: list[Any] = []
        if addresses:
            writes.append(
                insert(schema.ipallocations).values(
                    [
                        {
                            "subnet_id": bindparam(f"subnet_id{n}"),
                            "ip_address": bindparam(f"ip_address{n}"),
                            "port_id": bindparam("id"),
                            "network_id": bindparam("network_id"),
                            "in_pool": bindparam(f"in_pool{n}"),
                        }
                        for n in range(addresses)
                    ]
                )
            )
        if groups:
            writes.append(
                insert(schema.securitygroupportbindings).values(
                    [{"port_id": bindparam("id"), "security_group_id": bindparam(f"group{n}")} for n in range(groups)]
                )
            )
        columns: dict[str, Any] = {column.name: bindparam(column.name) for column in schema.ports.columns}
        found = _inserts[addresses, groups] = Together(*writes, insert(schema.ports).values(columns))
    return found


def rows() -> Select[Any]:
    return select(schema.ports)


def view(row: Row | Values, caller: Caller) -> dict[str, Any]:
    """A port as the caller sees it; how it is bound is for administrators and services."""
    found: dict[str, Any] = {
        "id": row["id"],
        "name": row["name"],
        "network_id": row["network_id"],
        "project_id": row["project_id"],
        "mac_address": row["mac_address"],
        "admin_state_up": bool(row["admin_state_up"]),
        "status": row["status"],
        "device_id": row["device_id"],
        "device_owner": row["device_owner"],
        "fixed_ips": orjson.Fragment(row["fixed_ips"]),
        "allowed_address_pairs": orjson.Fragment(row["allowed_address_pairs"]),
        "extra_dhcp_opts": orjson.Fragment(row["extra_dhcp_opts"]),
        "security_groups": orjson.Fragment(row["security_groups"]),
        "description": row["description"],
        "binding:vnic_type": row["vnic_type"],
    }
    if policy.is_global(caller):
        found["binding:profile"] = orjson.Fragment(row["profile"])
        found["binding:host_id"] = row["host"]
        found["binding:vif_type"] = row["vif_type"]
        found["binding:vif_details"] = orjson.Fragment(row["vif_details"])
    found["port_security_enabled"] = bool(row["port_security_enabled"])
    found["tags"] = orjson.Fragment(row["tags"])
    found["created_at"] = row["created_at"]
    found["updated_at"] = row["updated_at"]
    found["revision_number"] = row["revision_number"]
    found["tenant_id"] = row["project_id"]
    return found


def sees(caller: Caller, row: Row) -> bool:
    return policy.is_global(caller) or caller.project_id in (row["project_id"], row["network_project_id"])


async def get(neutron: Neutron, caller: Caller, port_id: str, bind_to: str | None = None) -> Row:
    """A port; with `agent_heartbeat` of a host when `bind_to` names one.

    Raises: ApiError 404, also when the port is not for the caller's eyes.
    """
    if bind_to:
        row = await neutron.database.fetch_one(_BY_ID_FOR_HOST, id=port_id, bind_to=bind_to)
    else:
        row = await neutron.database.fetch_one(_BY_ID, id=port_id)
    if row is None or not sees(caller, row):
        raise errors.not_found("port", port_id)
    return row


def scope(caller: Caller) -> list[Condition]:
    """The ports that the caller sees: its own, and all on its own networks."""
    if policy.is_global(caller):
        return []

    def clause() -> ColumnElement[bool]:
        return or_(schema.ports.c.project_id == bindparam("scope"), networks.of_project(schema.ports.c.network_id))

    return [Condition("scope", clause, {"scope": caller.project_id})]


def special_conditions(filters: dict[str, list[str]]) -> list[Condition]:
    """The filters that are no plain columns: `fixed_ips` and `security_groups`."""
    found = []
    if "fixed_ips" in filters:
        found.extend(_address_conditions(filters["fixed_ips"]))
    if "security_groups" in filters:
        bindings = schema.securitygroupportbindings.c

        def having() -> ColumnElement[bool]:
            return exists(
                select(1).where(bindings.port_id == schema.ports.c.id, in_list(bindings.security_group_id, "f_groups"))
            )

        found.append(Condition("f_groups", having, {"f_groups": filters["security_groups"]}))
    return found


def _address_conditions(values: Sequence[str]) -> list[Condition]:
    wanted: dict[str, list[str]] = {}
    for value in values:
        key, separator, text_ = value.partition("=")
        if not separator:
            raise errors.invalid_input(f"'{value}' is not of the form <key>=[value]")
        wanted.setdefault(key, []).append(text_)
    allocations = schema.ipallocations.c
    # Through port_id IN (...), so that the index on the address is used rather than every port visited.
    found = []
    for key, column in (("ip_address", allocations.ip_address), ("subnet_id", allocations.subnet_id)):
        if key in wanted:
            name = f"f_{key}"

            def among(column: ColumnElement[str] = column, name: str = name) -> ColumnElement[bool]:
                return schema.ports.c.id.in_(select(allocations.port_id).where(in_list(column, name)))

            found.append(Condition(name, among, {name: wanted[key]}))
    if "ip_address_substr" in wanted:
        parts = wanted["ip_address_substr"]
        names = [f"f_part{n}" for n in range(len(parts))]

        def like() -> ColumnElement[bool]:
            clauses = [allocations.ip_address.like(bindparam(name)) for name in names]
            return schema.ports.c.id.in_(select(allocations.port_id).where(or_(*clauses)))

        escaped = [part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for part in parts]
        found.append(Condition(f"f_part{len(parts)}", like, {n: f"%{p}%" for n, p in zip(names, escaped, strict=True)}))
    return found
