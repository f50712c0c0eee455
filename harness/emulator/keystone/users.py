"""Users: `/v3/users` and what hangs under one user. Checked against keystone 30.0.0 on 2026-11-22."""

from typing import Any
from uuid import uuid4

import falcon
from sqlalchemy import bindparam, delete

from harness.emulator.database import DBDuplicateEntry, Statement, upsert
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, passwords, schema_errors, validation
from harness.emulator.keystone.auth import check_password
from harness.emulator.keystone.auth_resources import views_of_projects
from harness.emulator.keystone.groups import group_view
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, flag, loads
from harness.emulator.keystone.schema import password, user_group_membership

_OWN = (
    "id",
    "name",
    "domain_id",
    "enabled",
    "default_project_id",
    "password",
    "password_expires_at",
    "options",
    "links",
)
_PROPERTIES = {
    "name": validation.NAME,
    "domain_id": validation.ID,
    "description": validation.TEXT_OR_NONE,
    "default_project_id": validation.TEXT_OR_NONE,
    "password": validation.TEXT_OR_NONE,
    "enabled": validation.BOOLEAN,
    "options": validation.USER_OPTIONS,
}
_SET_PASSWORD = upsert(password, ("user_id",))
_DROP_PASSWORD = Statement(delete(password).where(password.c.user_id == bindparam("user_id")))
_LEAVE_GROUPS = Statement(delete(user_group_membership).where(user_group_membership.c.user_id == bindparam("user_id")))


def user_view(row: Row, base: str) -> dict[str, Any]:
    """A user as keystone shows it; `default_project_id` only where there is one."""
    view = {
        **loads(row["extra"]),
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "enabled": bool(row["enabled"]),
    }
    if row["default_project_id"]:
        view["default_project_id"] = row["default_project_id"]
    view |= {
        "password_expires_at": None,
        "options": loads(row["options"]),
        "links": {"self": f"{base}/users/{row['id']}"},
    }
    return view


class Users(Resource):
    """`/v3/users`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        params = query(req)
        equal: dict[str, Any] = {name: params[name] for name in ("name", "domain_id") if name in params}
        if "enabled" in params:
            equal["enabled"] = int(flag(params["enabled"]))
        if not (caller.is_admin or caller.is_system_reader):
            if not caller.may_in_domain("reader", caller.token.domain_id):
                raise faults.forbidden("identity:list_users")
            equal["domain_id"] = caller.token.domain_id
        elif caller.token.domain_id is not None and "domain_id" not in equal:
            equal["domain_id"] = caller.token.domain_id
        views = [user_view(row, self.base) for row in await self.keystone.users.find(**equal)]
        self.show_list(req, resp, "users", views, ("name", "domain_id", "enabled"))

    async def on_post(self, req: Request, resp: Response) -> None:
        given = validation.members(await self.app.body(req), "user")
        validation.check(given, "user", _PROPERTIES, ("name",))
        caller = await self.keystone.caller(req)
        domain_id = given.get("domain_id") or caller.token.domain_id
        if domain_id is None:
            domain_id = caller.project["domain"]["id"] if caller.project else "default"
        if not (caller.is_admin or caller.may_in_domain("manager", domain_id)):
            raise faults.forbidden("identity:create_user")
        domain = await self.keystone.projects.get(domain_id)
        if domain is None or not domain["is_domain"]:
            raise faults.not_found("domain", domain_id)
        identity = uuid4().hex
        try:
            await self.keystone.users.add(
                id=identity,
                name=given["name"],
                domain_id=domain_id,
                enabled=int(given.get("enabled", True)),
                default_project_id=given.get("default_project_id"),
                options=dumps(given.get("options", {})),
                extra=dumps({name: value for name, value in given.items() if name not in _OWN}),
            )
        except DBDuplicateEntry:
            raise _conflict(given["name"], domain_id) from None
        if given.get("password") is not None:
            await set_password(self, identity, given["password"])
        self.show(resp, {"user": user_view(await self._row(identity), self.base)}, falcon.HTTP_201)

    async def _row(self, user_id: str) -> Row:
        row = await self.keystone.users.get(user_id)
        assert row is not None
        return row


class User(Resource):
    """`/v3/users/{user_id}`."""

    async def on_get(self, req: Request, resp: Response, user_id: str) -> None:
        caller = await self.keystone.caller(req)
        row = await self.keystone.users.get(user_id)
        allowed = caller.is_admin or caller.is_system_reader or caller.user_id == user_id
        if not allowed and row is not None:
            allowed = caller.may_in_domain("reader", row["domain_id"])
        if not allowed:
            raise faults.forbidden("identity:get_user")
        if row is None:
            raise faults.not_found("user", user_id)
        self.show(resp, {"user": user_view(row, self.base)})

    async def on_patch(self, req: Request, resp: Response, user_id: str) -> None:
        row = await self._managed(req, user_id, "update_user")
        given = validation.members(await self.app.body(req), "user")
        if not given:
            raise faults.bad_request("Invalid input for field/attribute user. Value: {}. {} should be non-empty")
        validation.check(given, "user", _PROPERTIES)
        if "domain_id" in given and given["domain_id"] != row["domain_id"]:
            raise faults.bad_request("Cannot change Domain ID")
        values: dict[str, Any] = {name: given[name] for name in ("name", "default_project_id") if name in given}
        if "enabled" in given:
            values["enabled"] = int(given["enabled"])
        if "options" in given:
            values["options"] = dumps(given["options"])
        extra = {name: value for name, value in given.items() if name not in _OWN}
        if extra:
            values["extra"] = dumps({**loads(row["extra"]), **extra})
        try:
            await self.keystone.users.change(user_id, **values)
        except DBDuplicateEntry:
            raise faults.conflict("user", f"Duplicate entry found with name {given['name']}") from None
        if given.get("password") is not None:
            await set_password(self, user_id, given["password"])
        if given.get("password") is not None or given.get("enabled") is False:
            await self.keystone.revocations.add(self.keystone.now_us(), user_id=user_id)
        self.keystone.forget()
        changed = await self.keystone.users.get(user_id)
        if changed is None:
            raise faults.not_found("user", user_id)
        stored = loads(changed["extra"])
        self.show(resp, {"user": {**user_view(changed, self.base), **({"extra": stored} if stored else {})}})

    async def on_delete(self, req: Request, resp: Response, user_id: str) -> None:
        await self._managed(req, user_id, "delete_user")
        await self.keystone.grants.drop_all("actor_id", user_id)
        for credential in await self.keystone.credentials.find(user_id=user_id):
            await self.keystone.credentials.remove(credential["id"])
        await self.keystone.database.execute(_LEAVE_GROUPS, user_id=user_id)
        await self.keystone.database.execute(_DROP_PASSWORD, user_id=user_id)
        await self.keystone.users.remove(user_id)
        await self.keystone.revocations.add(self.keystone.now_us(), user_id=user_id)
        self.keystone.forget()
        self.nothing(resp)

    async def _managed(self, req: Request, user_id: str, action: str) -> Row:
        caller = await self.keystone.caller(req)
        row = await self.keystone.users.get(user_id)
        if not caller.is_admin and not (row is not None and caller.may_in_domain("manager", row["domain_id"])):
            raise faults.forbidden(f"identity:{action}")
        if row is None:
            raise faults.not_found("user", user_id)
        return row


class UserPassword(Resource):
    """`POST /v3/users/{user_id}/password`: no token needed, the old password is the proof."""

    async def on_post(self, req: Request, resp: Response, user_id: str) -> None:
        body = await self.app.body(req)
        given = body.get("user", {})
        schema_errors.check(given, schema_errors.PASSWORD_CHANGE)
        row = await self.keystone.users.get(user_id)
        if (
            row is None
            or not row["enabled"]
            or not await check_password(self.keystone, row, given["original_password"])
        ):
            raise faults.unauthorized()
        await set_password(self, user_id, given["password"])
        self.nothing(resp)


class UserProjects(Resource):
    """`GET /v3/users/{user_id}/projects`: projects on which the user has a role."""

    async def on_get(self, req: Request, resp: Response, user_id: str) -> None:
        await _self_or_reader(self, req, user_id, "list_user_projects")
        project_ids, _domains = await self.keystone.grants.targets(user_id)
        views = await views_of_projects(self, project_ids)
        self.show_list(req, resp, "projects", views, ("name", "enabled", "domain_id"))


class UserGroups(Resource):
    """`GET /v3/users/{user_id}/groups`."""

    async def on_get(self, req: Request, resp: Response, user_id: str) -> None:
        await _self_or_reader(self, req, user_id, "list_groups_for_user")
        views = []
        for group_id in sorted(await self.keystone.grants.groups_of(user_id)):
            row = await self.keystone.groups.get(group_id)
            if row is not None:
                view = group_view(row, self.base)
                links = view.pop("links")
                views.append({**view, "membership_expires_at": None, "links": links})
        self.show_list(req, resp, "groups", views, ("name",))


async def _self_or_reader(resource: Resource, req: Request, user_id: str, action: str) -> None:
    caller = await resource.keystone.caller(req)
    if not (caller.is_admin or caller.is_system_reader or caller.user_id == user_id):
        raise faults.forbidden(f"identity:{action}")
    if await resource.keystone.users.get(user_id) is None:
        raise faults.not_found("user", user_id)


async def set_password(resource: Resource, user_id: str, secret: str) -> None:
    """Hash and store a password."""
    keystone = resource.keystone
    hashed = await passwords.hash_secret(secret, keystone.settings.bcrypt_rounds)
    await keystone.database.execute(
        _SET_PASSWORD, user_id=user_id, password_hash=hashed, created_at_us=keystone.now_us()
    )


def _conflict(name: str, domain_id: str) -> ApiError:
    return faults.conflict("user", f"Duplicate entry found with name {name} at domain ID {domain_id}")
