"""Roles, and their grants to users and groups on projects, domains and the system.

Checked against keystone 30.0.0 on 2026-11-22.
"""

from typing import Any
from uuid import uuid4

import falcon

from harness.emulator.database import DBDuplicateEntry
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, validation
from harness.emulator.keystone.grants import SYSTEM, Grant, role_view
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, loads

_OWN = ("id", "name", "domain_id", "description", "options", "links")
_PROPERTIES = {
    "name": validation.NAME,
    "description": validation.TEXT_OR_NONE,
    "options": validation.OBJECT,
    "domain_id": validation.ID_OR_NONE,
}


class Roles(Resource):
    """`/v3/roles`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.reader(req, "list_roles")
        params = query(req)
        equal = {"domain_id": params.get("domain_id", "")}  # without the filter only global roles are listed
        if "name" in params:
            equal["name"] = params["name"]
        views = [role_view(row, self.base) for row in await self.keystone.roles.find(**equal)]
        self.show_list(req, resp, "roles", views, ("name",))

    async def on_post(self, req: Request, resp: Response) -> None:
        await self.keystone.admin(req, "create_role")
        given = validation.members(await self.app.body(req), "role")
        validation.check(given, "role", _PROPERTIES, ("name",))
        identity = uuid4().hex
        try:
            await self.keystone.roles.add(
                id=identity,
                name=given["name"],
                domain_id=given.get("domain_id") or "",
                description=given.get("description"),
                options=dumps(given.get("options", {})),
                extra=dumps({name: value for name, value in given.items() if name not in _OWN}),
            )
        except DBDuplicateEntry:
            raise _conflict(given["name"]) from None
        self.keystone.forget()
        self.show(resp, {"role": role_view(await _role(self, identity), self.base)}, falcon.HTTP_201)


class Role(Resource):
    """`/v3/roles/{role_id}`; a role that does not exist is 404 to everybody, as in keystone."""

    async def on_get(self, req: Request, resp: Response, role_id: str) -> None:
        await self.keystone.caller(req)
        row = await _role(self, role_id)
        await self.keystone.reader(req, "get_role")
        self.show(resp, {"role": role_view(row, self.base)})

    async def on_patch(self, req: Request, resp: Response, role_id: str) -> None:
        row = await self._managed(req, role_id, "update_role")
        given = validation.members(await self.app.body(req), "role")
        validation.check(given, "role", _PROPERTIES)
        options = loads(row["options"])
        if options.get("immutable") and given.get("options", {}).get("immutable") is not False:
            raise _immutable("update", role_id)
        values: dict[str, Any] = {name: given[name] for name in ("name", "description") if name in given}
        if "options" in given:
            values["options"] = dumps(given["options"])
        extra = {name: value for name, value in given.items() if name not in _OWN}
        if extra:
            values["extra"] = dumps({**loads(row["extra"]), **extra})
        try:
            await self.keystone.roles.change(role_id, **values)
        except DBDuplicateEntry:
            raise _conflict(given["name"]) from None
        self.keystone.forget()
        self.show(resp, {"role": role_view(await _role(self, role_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, role_id: str) -> None:
        row = await self._managed(req, role_id, "delete_role")
        if loads(row["options"]).get("immutable"):
            raise _immutable("delete", role_id)
        await self.keystone.grants.drop_all("role_id", role_id)
        await self.keystone.roles.remove(role_id)
        self.keystone.forget()
        self.nothing(resp)

    async def _managed(self, req: Request, role_id: str, action: str) -> Row:
        await self.keystone.caller(req)
        row = await _role(self, role_id)
        await self.keystone.admin(req, action)
        return row


class TargetRoles(Resource):
    """`GET /v3/{projects|domains}/{id}/{users|groups}/{id}/roles`, `/v3/system/...`. Args: target, actor: singular."""

    def __init__(self, target: str, actor: str, *shared: Any) -> None:
        super().__init__(*shared)
        self.target = target
        self.actor = actor

    async def on_get(self, req: Request, resp: Response, **path: str) -> None:
        caller = await self.keystone.caller(req)
        action = "list_grants" if self.target != SYSTEM else f"list_system_grants_for_{self.actor}"
        if not (caller.is_admin or caller.is_system_reader):
            raise faults.forbidden(f"identity:{action}")
        target_id, actor_id = await self._ends(path)
        role_ids = await self.keystone.grants.direct(actor_id, target_id)
        rows = [await self.keystone.roles.get(role_id) for role_id in role_ids]
        views = [role_view(row, self.base) for row in rows if row is not None]
        self.show_list(req, resp, "roles", views, ("name",))

    async def _ends(self, path: dict[str, str]) -> tuple[str, str]:
        """Ids of the target and of the actor in a path. Raises: ApiError 404 when one does not exist."""
        actor_id = path[f"{self.actor}_id"]
        target_id = path.get(f"{self.target}_id", SYSTEM)
        actors = self.keystone.users if self.actor == "user" else self.keystone.groups
        if await actors.get(actor_id) is None:
            raise faults.not_found(self.actor, actor_id)
        if self.target != SYSTEM:
            row = await self.keystone.projects.get(target_id)
            if row is None or bool(row["is_domain"]) != (self.target == "domain"):
                raise faults.not_found(self.target, target_id)
        return target_id, actor_id


class TargetRole(TargetRoles):
    """`PUT|HEAD|GET|DELETE .../roles/{role_id}`: one grant."""

    async def on_get(self, req: Request, resp: Response, **path: str) -> None:
        caller = await self.keystone.caller(req)
        if not (caller.is_admin or caller.is_system_reader):
            raise faults.forbidden(self._action("check"))
        grant = await self._grant(path)
        if grant.role_id not in await self.keystone.grants.direct(grant.actor_id, grant.target_id):
            raise self._no_grant(grant)
        self.nothing(resp)

    async def on_put(self, req: Request, resp: Response, **path: str) -> None:
        caller = await self.keystone.caller(req)
        if not caller.is_admin:
            raise faults.forbidden(self._action("create"))
        await self.keystone.grants.add(await self._grant(path))
        self.keystone.forget()
        self.nothing(resp)

    async def on_delete(self, req: Request, resp: Response, **path: str) -> None:
        caller = await self.keystone.caller(req)
        if not caller.is_admin:
            raise faults.forbidden(self._action("revoke"))
        grant = await self._grant(path)
        if not await self.keystone.grants.drop(grant):
            raise self._no_grant(grant)
        self.keystone.forget()
        self.nothing(resp)

    async def _grant(self, path: dict[str, str]) -> Grant:
        target_id, actor_id = await self._ends(path)
        await _role(self, path["role_id"])
        return Grant(self.actor == "group", self.target, actor_id, target_id, path["role_id"])

    def _action(self, verb: str) -> str:
        if self.target != SYSTEM:
            return f"identity:{verb}_grant"
        return f"identity:{verb}_system_grant_for_{self.actor}"

    def _no_grant(self, grant: Grant) -> ApiError:
        return faults.token_not_found(
            f"Could not find role assignment with role: {grant.role_id}, user or group: {grant.actor_id}, "
            f"project, domain, or system: {grant.target_id}."
        )


async def _role(resource: Resource, role_id: str) -> Row:
    row = await resource.keystone.roles.get(role_id)
    if row is None:
        raise faults.not_found("role", role_id)
    return row


def _conflict(name: str) -> ApiError:
    return faults.conflict("role", f"Duplicate entry found with name {name}")


def _immutable(action: str, role_id: str) -> ApiError:
    return faults.refused(
        f'Unable to {action} immutable role resource: `{role_id}. Set resource option "immutable" to false first.'
    )
