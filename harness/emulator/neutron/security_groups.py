"""Security groups: what they are made of, and each project's default group, made when it is first needed."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update

from harness.emulator import timestamps
from harness.emulator.database import DBDuplicateEntry, Row, Statement, in_list
from harness.emulator.database.together import Together
from harness.emulator.http import Caller
from harness.emulator.neutron import errors, policy, quotas, schema
from harness.emulator.neutron.attributes import Attribute, Resource, Values, standard
from harness.emulator.neutron.queries import Condition
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron, new_id
from harness.emulator.neutron.validation import text, to_bool

DEFAULT_NAME = "default"

RESOURCE = Resource(
    "security_group",
    "security_groups",
    schema.securitygroups,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("name", post=True, put=True, default="", check=text(255), filters=True, sorts=True),
        Attribute("stateful", "bool", post=True, put=True, default=True, convert=to_bool, filters=True),
        Attribute("shared", "", filters=True),
        Attribute("security_group_rules", ""),
        *standard(),
    ),
)

_BY_ID = Statement(select(schema.securitygroups).where(schema.securitygroups.c.id == bindparam("id")))
_RULES_OF = Statement(
    select(schema.securitygrouprules)
    .where(in_list(schema.securitygrouprules.c.security_group_id, "groups"))
    .order_by(schema.securitygrouprules.c.id)
)
_DEFAULT = Statement(
    select(schema.default_security_group.c.security_group_id).where(
        schema.default_security_group.c.project_id == bindparam("project_id")
    )
)
_PROJECTS_OF = Statement(
    select(schema.securitygroups.c.id, schema.securitygroups.c.project_id).where(
        in_list(schema.securitygroups.c.id, "ids")
    )
)
_INSERT = Statement(insert(schema.securitygroups))
_INSERT_RULE = Statement(insert(schema.securitygrouprules))
_INSERT_DEFAULT = Statement(insert(schema.default_security_group))
UPDATE = Statement(
    update(schema.securitygroups).where(
        schema.securitygroups.c.id == bindparam("which"), schema.securitygroups.c.revision_number == bindparam("was")
    )
)
# Rules of other groups that name this one as their remote go too, as neutron's foreign key has it.
_DELETE = Together(
    delete(schema.securitygrouprules).where(
        (schema.securitygrouprules.c.security_group_id == bindparam("which"))
        | (schema.securitygrouprules.c.remote_group_id == bindparam("which"))
    ),
    delete(schema.default_security_group).where(
        schema.default_security_group.c.security_group_id == bindparam("which")
    ),
    delete(schema.tags).where(schema.tags.c.resource_id == bindparam("which")),
    delete(schema.securitygroups).where(schema.securitygroups.c.id == bindparam("which")),
)
_BOUND = Statement(
    select(schema.securitygroupportbindings.c.port_id)
    .where(schema.securitygroupportbindings.c.security_group_id == bindparam("group_id"))
    .limit(1)
)


def rule_view(row: Row | Values, *, nested: bool = False) -> dict[str, Any]:
    """A rule; inside its group it shows its tags too, as neutron does."""
    found = {
        "id": row["id"],
        "project_id": row["project_id"],
        "security_group_id": row["security_group_id"],
        "ethertype": row["ethertype"],
        "direction": row["direction"],
        "protocol": row["protocol"],
        "port_range_min": row["port_range_min"],
        "port_range_max": row["port_range_max"],
        "remote_ip_prefix": row["remote_ip_prefix"],
        "remote_address_group_id": None,
        "normalized_cidr": row["normalized_cidr"],
        "remote_group_id": row["remote_group_id"],
        "belongs_to_default_sg": None if row["belongs_to_default_sg"] is None else bool(row["belongs_to_default_sg"]),
        "description": row["description"],
    }
    if nested:
        found["tags"] = []
    found["created_at"] = row["created_at"]
    found["updated_at"] = row["updated_at"]
    found["revision_number"] = row["revision_number"]
    found["tenant_id"] = row["project_id"]
    return found


def view(row: Row | Values, rules: Sequence[Row | Values]) -> dict[str, Any]:
    """A group with its rules."""
    return {
        "id": row["id"],
        "name": row["name"],
        "stateful": bool(row["stateful"]),
        "tenant_id": row["project_id"],
        "project_id": row["project_id"],
        "description": row["description"],
        "shared": False,
        "security_group_rules": [rule_view(rule, nested=True) for rule in rules],
        "tags": orjson.Fragment(row["tags"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "revision_number": row["revision_number"],
    }


def scope(caller: Caller) -> list[Condition]:
    """The groups that the caller sees: those of its project."""
    if policy.is_global(caller):
        return []

    def clause() -> ColumnElement[bool]:
        return schema.securitygroups.c.project_id == bindparam("scope")

    return [Condition("scope", clause, {"scope": caller.project_id})]


async def rules_of(neutron: Neutron, group_ids: Sequence[str]) -> dict[str, list[Row]]:
    """Rules by group, each list by id."""
    found: dict[str, list[Row]] = {identity: [] for identity in group_ids}
    if group_ids:
        for row in await neutron.database.fetch(_RULES_OF, groups=list(group_ids)):
            found[row["security_group_id"]].append(row)
    return found


async def get(neutron: Neutron, caller: Caller, group_id: str) -> Row:
    """Raises: ApiError 404, also when the group is another project's."""
    row = await neutron.database.fetch_one(_BY_ID, id=group_id)
    if row is None or not (policy.is_global(caller) or row["project_id"] == caller.project_id):
        raise errors.not_found("security_group", group_id)
    return row


async def check_usable(neutron: Neutron, project_id: str, group_ids: Sequence[str]) -> None:
    """Raises: ApiError 404 naming the first group that a port of this project cannot have."""
    rows = await neutron.database.fetch(_PROJECTS_OF, ids=list(group_ids))
    usable = {row["id"] for row in rows if row["project_id"] == project_id}
    for identity in group_ids:
        if identity not in usable:
            raise errors.not_found("security_group", identity)


async def ensure_default(neutron: Neutron, project_id: str) -> str:
    """The id of the project's default group; made, with its four rules, when there is none."""
    found: str | None = await neutron.database.fetch_value(_DEFAULT, project_id=project_id)
    if found is not None or not project_id:
        return found or ""
    row, rules = _new(project_id, DEFAULT_NAME, "Default security group", stateful=True, default=True)
    try:
        async with neutron.database.transaction() as transaction:
            await transaction.execute(_INSERT_DEFAULT, project_id=project_id, security_group_id=row["id"])
            await transaction.execute(_INSERT, **row)
            await transaction.execute_many(_INSERT_RULE, rules)
    except DBDuplicateEntry:  # another request was first
        found = await neutron.database.fetch_value(_DEFAULT, project_id=project_id)
        if found is None:
            raise
        return found
    return str(row["id"])


async def create(neutron: Neutron, caller: Caller, values: Values) -> dict[str, Any]:
    """Make one group. Raises: ApiError."""
    project_id = values["project_id"]
    policy.require_member(caller, project_id, "create_security_group")
    _refuse_default(values)
    async with quotas.reserved(neutron, project_id, "security_group"):
        await ensure_default(neutron, project_id)
        row, rules = _new(project_id, values["name"], values["description"], stateful=values["stateful"], default=False)
        async with neutron.database.transaction() as transaction:
            await transaction.execute(_INSERT, **row)
            await transaction.execute_many(_INSERT_RULE, rules)
    return view(row, sorted(rules, key=lambda rule: str(rule["id"])))


async def change(neutron: Neutron, caller: Caller, group_id: str, values: Values) -> dict[str, Any]:
    """Raises: ApiError; StaleDataError when the group changed in between."""
    row = await get(neutron, caller, group_id)
    policy.require_member(caller, row["project_id"], "update_security_group")
    if "name" in values:
        if row["name"] == DEFAULT_NAME:
            text_ = "Updating default security group not allowed."
            raise errors.neutron(409, "SecurityGroupCannotUpdateDefault", text_)
        _refuse_default(values)
    changes = {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}
    changes["updated_at"] = timestamps.utcnow_iso()
    changes["revision_number"] = row["revision_number"] + 1
    if not await neutron.database.execute(UPDATE, which=group_id, was=row["revision_number"], **changes):
        raise StaleDataError(group_id)
    return view({**dict(row), **changes}, (await rules_of(neutron, [group_id]))[group_id])


async def remove(neutron: Neutron, caller: Caller, group_id: str) -> None:
    """Raises: ApiError, 409 while a port has the group."""
    row = await get(neutron, caller, group_id)
    policy.require_member(caller, row["project_id"], "delete_security_group")
    if await neutron.database.fetch_one(_BOUND, group_id=group_id) is not None:
        raise errors.security_group_in_use(group_id)
    if row["name"] == DEFAULT_NAME and not caller.is_admin:
        text_ = "Insufficient rights for removing default security group."
        raise errors.neutron(409, "SecurityGroupCannotRemoveDefault", text_)
    if not await _DELETE.run(neutron.database, which=group_id):
        raise errors.not_found("security_group", group_id)


def new_rule(project_id: str, group_id: str, direction: str, ethertype: str, **values: Any) -> Values:
    """A row of `securitygrouprules`."""
    now = timestamps.utcnow_iso()
    row: Values = {
        "id": new_id(),
        "project_id": project_id,
        "security_group_id": group_id,
        "direction": direction,
        "ethertype": ethertype,
        "protocol": None,
        "port_range_min": None,
        "port_range_max": None,
        "remote_ip_prefix": None,
        "normalized_cidr": None,
        "remote_group_id": None,
        "belongs_to_default_sg": None,
        "description": None,
        "created_at": now,
        "updated_at": now,
        "revision_number": 0,
    }
    row.update(values)
    return row


def _new(project_id: str, name: str, description: str, *, stateful: bool, default: bool) -> tuple[Values, list[Values]]:
    """A group and the rules it is born with: all out; for the default group also in from its own members."""
    now = timestamps.utcnow_iso()
    row: Values = {
        "id": new_id(),
        "project_id": project_id,
        "name": name,
        "stateful": int(stateful),
        "description": description,
        "tags": "[]",
        "created_at": now,
        "updated_at": now,
        "revision_number": 1,
    }
    rules = []
    belongs = None if default else 0  # neutron 29 leaves it null in the default group's own first rules
    for ethertype in ("IPv4", "IPv6"):
        if default:
            rules.append(new_rule(project_id, row["id"], "ingress", ethertype, remote_group_id=row["id"]))
        rules.append(new_rule(project_id, row["id"], "egress", ethertype, belongs_to_default_sg=belongs))
    return row, rules


def _refuse_default(values: Values) -> None:
    if values["name"].lower() == DEFAULT_NAME:
        raise errors.neutron(409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
