"""`GET /v3/role_assignments`: who has which role where; filters, names, and the effective view.

Checked against keystone 30.0.0 on 2026-11-22. Not here: inherited assignments (OS-INHERIT), `include_subtree`.
"""

from dataclasses import dataclass
from typing import Any

from harness.emulator.keystone import faults
from harness.emulator.keystone.grants import SYSTEM, Grant
from harness.emulator.keystone.groups import members
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import flag

_Names = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """One line of the answer: the grant, for whom it counts, and the role it counts as."""

    grant: Grant
    user_id: str | None  # set when a group's grant is shown for one of its users
    role_id: str
    prior_role_id: str | None


class RoleAssignments(Resource):
    """`/v3/role_assignments`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        if not (caller.is_admin or caller.is_system_reader):
            raise faults.forbidden("identity:list_role_assignments")
        params = query(req)
        if "user.id" in params and "group.id" in params:
            given = ", ".join(f"({name!r}, {value!r})" for name, value in params.items())
            raise faults.bad_request(
                f"ImmutableMultiDict([{given}]) is valid under each of {{'required': ['group.id']}}, "
                "{'required': ['user.id']}"
            )
        if "scope.project.id" in params and "scope.domain.id" in params:
            raise faults.bad_request("Specify a domain or project, not both")
        if "include_subtree" in params and "scope.project.id" not in params:
            raise faults.bad_request("'scope.project.id' is a dependency of 'include_subtree'")
        effective = "effective" in params and flag(params["effective"])
        with_names = "include_names" in params and flag(params["include_names"])
        if effective and "group.id" in params:
            raise faults.bad_request("Combining effective and group filter will always result in an empty list.")
        shown = await self._chosen(params, effective)
        names: _Names | None = {} if with_names else None
        views = [await self._view(one, names) for one in shown]
        self.show_list(req, resp, "role_assignments", views)

    async def _chosen(self, params: dict[str, str], effective: bool) -> list[_Shown]:
        grants = self.keystone.grants
        user_id, group_id = params.get("user.id"), params.get("group.id")
        target_id = params.get("scope.project.id") or params.get("scope.domain.id")
        if "scope.system" in params:
            target_id = SYSTEM
        if user_id is not None and not effective:
            found = await grants.all(actor_id=user_id)
        elif group_id is not None:
            found = await grants.all(actor_id=group_id)
        elif user_id is not None:
            found = [grant for actor in await grants.actors(user_id) for grant in await grants.all(actor_id=actor)]
        else:
            found = await grants.all(target_id=target_id)
        actors = set(await grants.actors(user_id)) if user_id and effective else {user_id or group_id}
        shown: list[_Shown] = []
        for grant in dict.fromkeys(found):
            if (user_id or group_id) and grant.actor_id not in actors:
                continue
            if target_id is not None and grant.target_id != target_id:
                continue
            shown.extend(await self._expanded(grant, user_id) if effective else [_plain(grant)])
        role_id = params.get("role.id")
        return [one for one in shown if role_id is None or one.role_id == role_id]

    async def _expanded(self, grant: Grant, user_id: str | None) -> list[_Shown]:
        users: list[str | None] = [None]
        if grant.is_group:
            users = [user_id] if user_id else list(await members(self, grant.actor_id))
        implied = await self.keystone.grants.implied()
        lines: list[tuple[str, str | None]] = [(grant.role_id, None)]
        for role_id, _prior in lines:  # grows while it is read: what is implied may imply more
            lines.extend((one, role_id) for one in implied.get(role_id, ()) if all(one != had for had, _ in lines))
        return [_Shown(grant, user, role_id, prior) for user in users for role_id, prior in lines]

    async def _view(self, one: _Shown, names: _Names | None) -> dict[str, Any]:
        grant = one.grant
        kind = "groups" if grant.is_group else "users"
        where = "system" if grant.target_type == SYSTEM else f"{grant.target_type}s/{grant.target_id}"
        links = {"assignment": f"{self.base}/{where}/{kind}/{grant.actor_id}/roles/{grant.role_id}"}
        if one.prior_role_id is not None:
            # Keystone 30 names the two the wrong way round.
            links["prior_role"] = f"{self.base}/prior_role/{one.role_id}/implies/{one.prior_role_id}"
        if one.user_id is not None:
            links["membership"] = f"{self.base}/groups/{grant.actor_id}/users/{one.user_id}"
        scope: dict[str, Any]
        if grant.target_type == SYSTEM:
            scope = {"system": {"all": True}}
        else:
            scope = {grant.target_type: await self._ref(grant.target_type, grant.target_id, names)}
        actor = "user" if one.user_id is not None or not grant.is_group else "group"
        return {
            "links": links,
            "scope": scope,
            actor: await self._ref(actor, one.user_id or grant.actor_id, names),
            "role": await self._ref("role", one.role_id, names),
        }

    async def _ref(self, kind: str, identity: str, names: _Names | None) -> dict[str, Any]:
        if names is None:
            return {"id": identity}
        known = names.get((kind, identity))
        if known is None:
            keystone = self.keystone
            stores = {"user": keystone.users, "group": keystone.groups, "role": keystone.roles}
            row = await stores.get(kind, keystone.projects).get(identity)
            known = {"id": identity, "name": row["name"] if row else ""}
            if row is not None and kind in ("user", "group", "project"):
                domain = await keystone.projects.get(row["domain_id"])
                known["domain"] = {"id": row["domain_id"], "name": domain["name"] if domain else ""}
            names[(kind, identity)] = known
        return known


def _plain(grant: Grant) -> _Shown:
    return _Shown(grant, None, grant.role_id, None)
