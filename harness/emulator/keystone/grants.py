"""Who has which role where: assignments of users and of their groups, and the roles that roles imply."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select

from harness.emulator.database import Database, Statement, in_list, upsert
from harness.emulator.keystone.rows import loads
from harness.emulator.keystone.schema import (
    assignment,
    implied_role,
    role,
    system_assignment,
    user_group_membership,
)

SYSTEM = "system"
_ROLES = Statement(select(role).order_by(role.c.id))
_IMPLIED = Statement(select(implied_role))
_OF_ACTORS_ON = Statement(
    select(assignment.c.role_id)
    .distinct()
    .where(in_list(assignment.c.actor_id, "actors"), assignment.c.target_id == bindparam("target"))
)
_SYSTEM_OF_ACTORS = Statement(
    select(system_assignment.c.role_id).distinct().where(in_list(system_assignment.c.actor_id, "actors"))
)
_TARGETS_OF = Statement(
    select(assignment.c.type, assignment.c.target_id).distinct().where(in_list(assignment.c.actor_id, "actors"))
)
_GROUPS_OF = Statement(
    select(user_group_membership.c.group_id).where(user_group_membership.c.user_id == bindparam("user_id"))
)
_ALL = Statement(select(assignment).order_by(assignment.c.actor_id, assignment.c.target_id, assignment.c.role_id))
_ALL_SYSTEM = Statement(select(system_assignment))
_OF_ACTOR = Statement(select(assignment).where(assignment.c.actor_id == bindparam("actor")))
_ON_TARGET = Statement(select(assignment).where(assignment.c.target_id == bindparam("target")))
_DIRECT = Statement(
    select(assignment.c.role_id)
    .where(assignment.c.actor_id == bindparam("actor"), assignment.c.target_id == bindparam("target"))
    .order_by(assignment.c.role_id)
)
_DIRECT_SYSTEM = Statement(
    select(system_assignment.c.role_id)
    .where(system_assignment.c.actor_id == bindparam("actor"))
    .order_by(system_assignment.c.role_id)
)
_ADD = upsert(assignment, ("type", "actor_id", "target_id", "role_id"), ())
_ADD_SYSTEM = upsert(system_assignment, ("type", "actor_id", "target_id", "role_id"), ())
_DROP = {
    table.name: Statement(
        delete(table).where(
            table.c.actor_id == bindparam("actor"),
            table.c.target_id == bindparam("target"),
            table.c.role_id == bindparam("role_id"),
        )
    )
    for table in (assignment, system_assignment)
}
_DROP_BY = {
    (table.name, column): Statement(delete(table).where(table.c[column] == bindparam("value")))
    for table in (assignment, system_assignment)
    for column in ("actor_id", "target_id", "role_id")
}


@dataclass(frozen=True, slots=True)
class Grant:
    """One assignment: `target_type` is project, domain or system; `is_group` tells what the actor is."""

    is_group: bool
    target_type: str
    actor_id: str
    target_id: str
    role_id: str


class Grants:
    """Assignments in the database; roles and what they imply are read once and kept until `forget`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[str, str] | None = None
        self._implied: dict[str, list[str]] = {}

    def forget(self) -> None:
        self._names = None

    async def names(self) -> dict[str, str]:
        """Role id -> role name."""
        if self._names is None:
            implied: dict[str, list[str]] = {}
            for row in await self._database.fetch(_IMPLIED):
                implied.setdefault(row["prior_role_id"], []).append(row["implied_role_id"])
            self._implied = implied
            self._names = {row["id"]: row["name"] for row in await self._database.fetch(_ROLES)}
        return self._names

    async def implied(self) -> dict[str, list[str]]:
        """Role id -> ids of the roles it implies directly."""
        await self.names()
        return self._implied

    async def expanded(self, role_ids: Iterable[str]) -> list[str]:
        """The roles and all that they imply, each once."""
        implied = await self.implied()
        found: dict[str, None] = {}
        waiting = list(role_ids)
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                waiting.extend(implied.get(one, ()))
        return list(found)

    async def groups_of(self, user_id: str) -> list[str]:
        return [row["group_id"] for row in await self._database.fetch(_GROUPS_OF, user_id=user_id)]

    async def actors(self, user_id: str) -> list[str]:
        """The user and the groups it is in."""
        return [user_id, *await self.groups_of(user_id)]

    async def effective(self, user_id: str, target: str) -> list[str]:
        """Role ids a user has on a project, on a domain, or on SYSTEM; implied ones included."""
        actors = await self.actors(user_id)
        if target == SYSTEM:
            rows = await self._database.fetch(_SYSTEM_OF_ACTORS, actors=actors)
        else:
            rows = await self._database.fetch(_OF_ACTORS_ON, actors=actors, target=target)
        return await self.expanded(row["role_id"] for row in rows)

    async def targets(self, user_id: str) -> tuple[list[str], list[str]]:
        """Ids of the projects and of the domains that a user has any role on."""
        projects: list[str] = []
        domains: list[str] = []
        for row in await self._database.fetch(_TARGETS_OF, actors=await self.actors(user_id)):
            (projects if row["type"].endswith("Project") else domains).append(row["target_id"])
        return projects, domains

    async def direct(self, actor_id: str, target: str) -> list[str]:
        """Role ids assigned directly to an actor, sorted."""
        if target == SYSTEM:
            return [row["role_id"] for row in await self._database.fetch(_DIRECT_SYSTEM, actor=actor_id)]
        return [row["role_id"] for row in await self._database.fetch(_DIRECT, actor=actor_id, target=target)]

    async def add(self, grant: Grant) -> None:
        """Assign; twice is once."""
        await self._database.execute(
            _ADD_SYSTEM if grant.target_type == SYSTEM else _ADD,
            type=("Group" if grant.is_group else "User") + grant.target_type.capitalize(),
            actor_id=grant.actor_id,
            target_id=grant.target_id,
            role_id=grant.role_id,
        )

    async def drop(self, grant: Grant) -> int:
        """How many assignments went: 0 or 1."""
        table = "system_assignment" if grant.target_type == SYSTEM else "assignment"
        return int(
            await self._database.execute(
                _DROP[table], actor=grant.actor_id, target=grant.target_id, role_id=grant.role_id
            )
        )

    async def drop_all(self, column: str, value: str) -> None:
        """Drop every assignment of an actor, on a target or of a role. Args: column: actor_id, target_id or role_id."""
        for table in ("assignment", "system_assignment"):
            await self._database.execute(_DROP_BY[(table, column)], value=value)

    async def all(self, actor_id: str | None = None, target_id: str | None = None) -> list[Grant]:
        """Assignments on projects and domains, of one actor or on one target when given, and on the system."""
        if actor_id is not None:
            rows = list(await self._database.fetch(_OF_ACTOR, actor=actor_id))
        elif target_id is not None:
            rows = list(await self._database.fetch(_ON_TARGET, target=target_id))
        else:
            rows = list(await self._database.fetch(_ALL))
        if target_id is None or target_id == SYSTEM:
            rows += await self._database.fetch(_ALL_SYSTEM)
        return [
            Grant(
                row["type"].startswith("Group"),
                row["type"].removeprefix("Group").removeprefix("User").lower(),
                row["actor_id"],
                row["target_id"],
                row["role_id"],
            )
            for row in rows
        ]


def role_view(row: Any, base: str | None = None) -> dict[str, Any]:
    """A role as keystone shows it; with its link when `base` (keystone's v3 URL) is given."""
    view = {
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"] or None,
        "description": row["description"],
        "options": loads(row["options"]),
    }
    if base is not None:
        view["links"] = {"self": f"{base}/roles/{row['id']}"}
    return {**loads(row["extra"]), **view}
