"""Rules of security groups: checked as neutron checks them, unique within their group."""

import ipaddress
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, insert, select

from harness.emulator import timestamps
from harness.emulator.database import Row, Statement, Transaction
from harness.emulator.http import ApiError, Caller
from harness.emulator.neutron import errors, policy, quotas, schema, security_groups
from harness.emulator.neutron.attributes import REQUIRED, Attribute, Resource, Values, standard
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.validation import one_of, text, to_bool

_WITH_PORTS = frozenset(("tcp", "udp", "dccp", "sctp", "udplite", "6", "17", "33", "132", "136"))
_ICMP = frozenset(("icmp", "ipv6-icmp", "icmpv6", "1", "58"))
_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "ipv6-icmp": "58", "icmpv6": "58", "sctp": "132", "dccp": "33"}
_SAME = (
    "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "normalized_cidr", "remote_group_id",
)  # fmt: skip

RESOURCE = Resource(
    "security_group_rule",
    "security_group_rules",
    schema.securitygrouprules,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("security_group_id", post=True, default=REQUIRED, check=text(36), filters=True, sorts=True),
        Attribute(
            "direction", post=True, default=REQUIRED, check=one_of("ingress", "egress"), filters=True, sorts=True
        ),
        Attribute("ethertype", post=True, default="IPv4", filters=True, sorts=True),
        Attribute("protocol", post=True, filters=True, sorts=True),
        Attribute("port_range_min", "int", post=True, filters=True, sorts=True),
        Attribute("port_range_max", "int", post=True, filters=True, sorts=True),
        Attribute("remote_ip_prefix", post=True, filters=True, sorts=True),
        Attribute("normalized_cidr", filters=True, sorts=True),
        Attribute("remote_group_id", post=True, filters=True, sorts=True),
        Attribute("remote_address_group_id", "", post=True),
        Attribute("belongs_to_default_sg", "bool", convert=to_bool, filters=True),
        *standard(tagged=False),
    ),
)

_BY_ID = Statement(select(schema.securitygrouprules).where(schema.securitygrouprules.c.id == bindparam("id")))
_OF_GROUP = Statement(
    select(schema.securitygrouprules).where(schema.securitygrouprules.c.security_group_id == bindparam("group_id"))
)
_INSERT = Statement(insert(schema.securitygrouprules))
_DELETE = Statement(delete(schema.securitygrouprules).where(schema.securitygrouprules.c.id == bindparam("which")))


def rows() -> Select[Any]:
    return select(schema.securitygrouprules)


def scope(caller: Caller) -> list[Condition]:
    """The rules that the caller sees: those of its project's groups."""
    if policy.is_global(caller):
        return []

    def clause() -> ColumnElement[bool]:
        return schema.securitygrouprules.c.project_id == bindparam("scope")

    return [Condition("scope", clause, {"scope": caller.project_id})]


async def get(neutron: Neutron, caller: Caller, rule_id: str) -> Row:
    """Raises: ApiError 404, also when the rule is another project's."""
    row = await neutron.database.fetch_one(_BY_ID, id=rule_id)
    if row is None:
        raise errors.not_found("security_group_rule", rule_id)
    if not (policy.is_global(caller) or row["project_id"] == caller.project_id):
        raise ApiError(404)  # the policy hides it behind a plain error
    return row


async def create(neutron: Neutron, caller: Caller, values: Values) -> dict[str, Any]:
    """Add one rule. Raises: ApiError; StaleDataError when the group changed in between."""
    _check(values)
    group = await security_groups.get(neutron, caller, values["security_group_id"])
    policy.require_member(caller, group["project_id"], "create_security_group_rule")
    if values.get("remote_group_id"):
        await security_groups.get(neutron, caller, values["remote_group_id"])
    row = security_groups.new_rule(
        group["project_id"],
        group["id"],
        values["direction"],
        values["ethertype"],
        protocol=values.get("protocol"),
        port_range_min=values.get("port_range_min"),
        port_range_max=values.get("port_range_max"),
        remote_ip_prefix=values.get("remote_ip_prefix"),
        normalized_cidr=values.get("normalized_cidr"),
        remote_group_id=values.get("remote_group_id"),
        belongs_to_default_sg=int(group["name"] == security_groups.DEFAULT_NAME),
        description=values["description"],
    )
    for other in await neutron.database.fetch(_OF_GROUP, group_id=group["id"]):
        if _key(other) == _key(row):
            raise errors.rule_exists(other["id"])
    async with (
        quotas.reserved(neutron, group["project_id"], "security_group_rule"),
        neutron.database.transaction() as transaction,
    ):
        await transaction.execute(_INSERT, **row)
        await _touch(transaction, group)
    await neutron.agents.security_groups_rule_updated([group["id"]])
    return security_groups.rule_view(row)


async def remove(neutron: Neutron, caller: Caller, rule_id: str) -> None:
    """Raises: ApiError; StaleDataError when the group changed in between."""
    row = await get(neutron, caller, rule_id)
    policy.require_member(caller, row["project_id"], "delete_security_group_rule")
    group = await security_groups.get(neutron, caller, row["security_group_id"])
    async with neutron.database.transaction() as transaction:
        await transaction.execute(_DELETE, which=rule_id)
        await _touch(transaction, group)
    await neutron.agents.security_groups_rule_updated([group["id"]])


async def change(neutron: Neutron, caller: Caller, rule_id: str, values: Values) -> dict[str, Any]:
    """Neutron has no such call: its plugin lacks the method, and the answer is 500."""
    await get(neutron, caller, rule_id)
    raise ApiError(500)


async def _touch(transaction: Transaction, group: Row) -> None:
    """A group's revision rises with its rules."""
    revision = group["revision_number"]
    changed = {"updated_at": timestamps.utcnow_iso(), "revision_number": revision + 1}
    if not await transaction.execute(security_groups.UPDATE, which=group["id"], was=revision, **changed):
        raise StaleDataError(group["id"])


def _key(row: Row | Values) -> tuple[Any, ...]:
    found = {name: row[name] for name in _SAME}
    found["protocol"] = _NUMBERS.get(found["protocol"], found["protocol"])
    return tuple(found.values())


def _check(values: Values) -> None:
    """Normalise protocol, ports and prefix. Raises: ApiError 400."""
    ethertype = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(values["ethertype"]).lower())
    if ethertype is None:
        text_ = f"Security group rule for ethertype '{values['ethertype']}' not supported. Allowed values are ['IPv4', 'IPv6']."  # noqa: E501
        raise errors.neutron(400, "SecurityGroupRuleInvalidEtherType", text_)
    values["ethertype"] = ethertype
    protocol = _protocol(values.get("protocol"))
    values["protocol"] = protocol
    _check_ports(values, protocol)
    remotes = [name for name in ("remote_ip_prefix", "remote_group_id", "remote_address_group_id") if values.get(name)]
    if len(remotes) > 1:
        text_ = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise errors.neutron(400, "SecurityGroupMultipleRemoteEntites", text_)
    prefix = values.get("remote_ip_prefix")
    if prefix:
        try:
            network = ipaddress.ip_network(prefix if isinstance(prefix, str) else str(prefix), strict=False)
        except ValueError:
            raise errors.neutron(400, "InvalidCIDR", f"Invalid CIDR {prefix} given as IP prefix.") from None
        if f"IPv{network.version}" != ethertype:
            text_ = f"Conflicting value ethertype {ethertype} for CIDR {prefix}"
            raise errors.neutron(400, "SecurityGroupRuleParameterConflict", text_)
        values["normalized_cidr"] = str(network)
        if "/" not in prefix:
            values["remote_ip_prefix"] = str(network)


def _protocol(given: Any) -> str | None:
    if given is None or (isinstance(given, str) and given.lower() == "any"):
        return None
    name = str(given).lower()
    if name.isdigit():
        if int(name) > 255:
            raise errors.invalid_protocol(given)
        return None if int(name) == 0 else name
    if name not in errors.PROTOCOLS:
        raise errors.invalid_protocol(given)
    return name


def _check_ports(values: Values, protocol: str | None) -> None:
    bounds: list[int | None] = []
    for name in ("port_range_min", "port_range_max"):
        given = values.get(name)
        if given is None:
            bounds.append(None)
            continue
        try:
            number = int(given)
        except (TypeError, ValueError):
            raise errors.neutron(400, "SecurityGroupInvalidPortValue", f"Invalid value for port {given}") from None
        if not 0 <= number <= 65535:
            raise errors.neutron(400, "SecurityGroupInvalidPortValue", f"Invalid value for port {given}")
        values[name] = number
        bounds.append(number)
    low, high = bounds
    if low is None and high is None:
        return
    if protocol is None:
        text_ = "Must also specify protocol if port range is given."
        raise errors.neutron(400, "SecurityGroupProtocolRequiredWithPorts", text_)
    if protocol in _WITH_PORTS:
        if low == 0:
            raise errors.neutron(400, "SecurityGroupInvalidPortValue", "Invalid value for port 0")
        if low is None or high is None or low > high:
            text_ = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
            raise errors.neutron(400, "SecurityGroupInvalidPortRange", text_)
    elif protocol in _ICMP:
        for name, given in (("type", low), ("code", high)):
            if given is not None and given > 255:
                field = "port_range_min" if name == "type" else "port_range_max"
                text_ = f"Invalid value for ICMP {name} ({field}) {given}. It must be 0 to 255."
                raise errors.neutron(400, "SecurityGroupInvalidIcmpValue", text_)
        if low is None:
            text_ = f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing."
            raise errors.neutron(400, "SecurityGroupMissingIcmpType", text_)
    else:
        text_ = f"Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP."
        raise errors.neutron(400, "SecurityGroupInvalidProtocolForPort", text_)
