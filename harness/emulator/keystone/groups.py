"""Groups of users: `/v3/groups`. Checked against keystone 30.0.0 on 2026-11-22."""

from typing import Any
from uuid import uuid4

import falcon
from sqlalchemy import bindparam, delete, select

from harness.emulator.database import DBDuplicateEntry, Statement, upsert
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, validation
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, loads
from harness.emulator.keystone.schema import user_group_membership as membership

_OWN = ("id", "name", "domain_id", "description", "links")
_PROPERTIES = {"name": validation.PROJECT_NAME, "description": validation.TEXT_OR_NONE, "domain_id": validation.ID}
_JOIN = upsert(membership, ("user_id", "group_id"), ())
_LEAVE = Statement(
    delete(membership).where(
        membership.c.user_id == bindparam("user_id"), membership.c.group_id == bindparam("group_id")
    )
)
_EMPTY = Statement(delete(membership).where(membership.c.group_id == bindparam("group_id")))
_MEMBERS = Statement(
    select(membership.c.user_id).where(membership.c.group_id == bindparam("group_id")).order_by(membership.c.user_id)
)


def group_view(row: Row, base: str) -> dict[str, Any]:
    """A group as keystone shows it."""
    return {
        **loads(row["extra"]),
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "description": row["description"],
        "links": {"self": f"{base}/groups/{row['id']}"},
    }


class Groups(Resource):
    """`/v3/groups`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.reader(req, "list_groups")
        params = query(req)
        equal = {name: params[name] for name in ("name", "domain_id") if name in params}
        views = [group_view(row, self.base) for row in await self.keystone.groups.find(**equal)]
        self.show_list(req, resp, "groups", views, ("name", "domain_id"))

    async def on_post(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.admin(req, "create_group")
        given = validation.members(await self.app.body(req), "group")
        validation.check(given, "group", _PROPERTIES, ("name",))
        domain_id = given.get("domain_id") or (caller.project["domain"]["id"] if caller.project else "default")
        domain = await self.keystone.projects.get(domain_id)
        if domain is None or not domain["is_domain"]:
            raise faults.not_found("domain", domain_id)
        identity = uuid4().hex
        try:
            await self.keystone.groups.add(
                id=identity,
                name=given["name"],
                domain_id=domain_id,
                description=given.get("description") or "",
                extra=dumps({name: value for name, value in given.items() if name not in _OWN}),
            )
        except DBDuplicateEntry:
            raise faults.conflict(
                "group", f"Duplicate entry found with name {given['name']} at domain ID {domain_id}"
            ) from None
        self.show(resp, {"group": group_view(await _row(self, identity), self.base)}, falcon.HTTP_201)


class Group(Resource):
    """`/v3/groups/{group_id}`."""

    async def on_get(self, req: Request, resp: Response, group_id: str) -> None:
        await self.keystone.reader(req, "get_group")
        self.show(resp, {"group": group_view(await _row(self, group_id), self.base)})

    async def on_patch(self, req: Request, resp: Response, group_id: str) -> None:
        await self.keystone.admin(req, "update_group")
        given = validation.members(await self.app.body(req), "group")
        validation.check(given, "group", _PROPERTIES)
        row = await _row(self, group_id)
        values: dict[str, Any] = {name: given[name] or "" for name in ("name", "description") if name in given}
        extra = {name: value for name, value in given.items() if name not in _OWN}
        if extra:
            values["extra"] = dumps({**loads(row["extra"]), **extra})
        try:
            await self.keystone.groups.change(group_id, **values)
        except DBDuplicateEntry:
            raise faults.conflict("group", f"Duplicate entry found with name {given['name']}") from None
        self.show(resp, {"group": group_view(await _row(self, group_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, group_id: str) -> None:
        await self.keystone.admin(req, "delete_group")
        await _row(self, group_id)
        await self.keystone.grants.drop_all("actor_id", group_id)
        await self.keystone.database.execute(_EMPTY, group_id=group_id)
        await self.keystone.groups.remove(group_id)
        self.keystone.forget()
        self.nothing(resp)


class GroupUsers(Resource):
    """`GET /v3/groups/{group_id}/users`."""

    async def on_get(self, req: Request, resp: Response, group_id: str) -> None:
        from harness.emulator.keystone.users import user_view  # users lists groups and groups list users

        await self.keystone.reader(req, "list_users_in_group")
        await _row(self, group_id)
        views = []
        for user_id in await members(self, group_id):
            row = await self.keystone.users.get(user_id)
            if row is not None:
                views.append(user_view(row, self.base))
        self.show_list(req, resp, "users", views, ("name", "enabled", "domain_id"))


class GroupUser(Resource):
    """`/v3/groups/{group_id}/users/{user_id}`: membership."""

    async def on_put(self, req: Request, resp: Response, group_id: str, user_id: str) -> None:
        await self.keystone.admin(req, "add_user_to_group")
        await self._both(group_id, user_id)
        await self.keystone.database.execute(_JOIN, user_id=user_id, group_id=group_id)
        self.keystone.forget()
        self.nothing(resp)

    async def on_get(self, req: Request, resp: Response, group_id: str, user_id: str) -> None:
        await self.keystone.reader(req, "check_user_in_group")
        await self._both(group_id, user_id)
        if group_id not in await self.keystone.grants.groups_of(user_id):
            raise _no_member(group_id, user_id)
        self.nothing(resp)

    on_head = on_get

    async def on_delete(self, req: Request, resp: Response, group_id: str, user_id: str) -> None:
        await self.keystone.admin(req, "remove_user_from_group")
        await self._both(group_id, user_id)
        if not await self.keystone.database.execute(_LEAVE, user_id=user_id, group_id=group_id):
            raise _no_member(group_id, user_id)
        await self.keystone.revocations.add(self.keystone.now_us(), user_id=user_id)
        self.keystone.forget()
        self.nothing(resp)

    async def _both(self, group_id: str, user_id: str) -> None:
        if await self.keystone.users.get(user_id) is None:
            raise faults.not_found("user", user_id)
        await _row(self, group_id)


def _no_member(group_id: str, user_id: str) -> ApiError:
    return faults.token_not_found(f"User '{user_id}' not found in group '{group_id}'")


async def _row(resource: Resource, group_id: str) -> Row:
    row = await resource.keystone.groups.get(group_id)
    if row is None:
        raise faults.not_found("group", group_id)
    return row


async def members(resource: Resource, group_id: str) -> list[str]:
    """Ids of the users in a group, sorted."""
    rows = await resource.keystone.database.fetch(_MEMBERS, group_id=group_id)
    return [row["user_id"] for row in rows]
