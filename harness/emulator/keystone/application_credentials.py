"""Application credentials: `/v3/users/{user_id}/application_credentials`.

Checked against keystone 30.0.0 on 2026-11-22. Access rules are not here: none can be made, and lists of them are empty.
"""

import secrets
from typing import Any
from uuid import uuid4

import falcon

from harness.emulator import timestamps
from harness.emulator.database import DBDuplicateEntry
from harness.emulator.keystone import faults, passwords, validation
from harness.emulator.keystone.grants import role_view
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, loads
from harness.emulator.keystone.service import Principal

_PROPERTIES = {
    "name": validation.NAME,
    "description": validation.TEXT_OR_NONE,
    "secret": validation.TEXT_OR_NONE,
    "expires_at": validation.TEXT_OR_NONE,
    "roles": {"type": "array", "items": {"type": "object", "minProperties": 1}},
    "unrestricted": {"type": ["boolean", "null"]},
}
_KNOWN = {*_PROPERTIES, "access_rules", "id", "user_id", "project_id", "system", "links"}


async def _view(resource: Resource, row: Row) -> dict[str, Any]:
    rows = [await resource.keystone.roles.get(role_id) for role_id in loads(row["roles"])]
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "user_id": row["user_id"],
        "project_id": row["project_id"],
        "system": None,
        "expires_at": row["expires_at"],
        "unrestricted": None if row["unrestricted"] is None else bool(row["unrestricted"]),
        "roles": [role_view(role) for role in rows if role is not None],
        "links": resource.link("application_credentials", row["id"]),
    }


class ApplicationCredentials(Resource):
    """The credentials of one user; only the user itself can make one."""

    async def on_get(self, req: Request, resp: Response, user_id: str) -> None:
        caller = await self.keystone.caller(req)
        if not (caller.is_admin or caller.is_system_reader or caller.user_id == user_id):
            raise faults.forbidden("identity:list_application_credentials")
        equal = {"user_id": user_id, **{name: value for name, value in query(req).items() if name == "name"}}
        views = [await _view(self, row) for row in await self.keystone.credentials.find(**equal)]
        self.show_list(req, resp, "application_credentials", views, ("name",))

    async def on_post(self, req: Request, resp: Response, user_id: str) -> None:
        caller = await self.keystone.caller(req)
        given = validation.members(await self.app.body(req), "application_credential")
        if caller.user_id != user_id:
            raise faults.forbidden("identity:create_application_credential")
        validation.check(given, "application_credential", _PROPERTIES, ("name",))
        problem = validation.unexpected(given, _KNOWN)
        if problem:
            raise faults.bad_request(
                f"Invalid input for field/attribute application_credential. Value: {given}. {problem}"
            )
        await _refuse_restricted(self, caller)
        project_id = caller.token.project_id
        if project_id is None:
            raise faults.bad_request("Invalid application credential: Could not find project: None.")
        secret = given.get("secret") or secrets.token_urlsafe(64)
        expires = given.get("expires_at")
        if expires is not None:
            expires = _checked_expiry(expires)
        identity = uuid4().hex
        unrestricted = given.get("unrestricted")
        try:
            await self.keystone.credentials.add(
                id=identity,
                name=given["name"],
                secret_hash=await passwords.hash_secret(secret, self.keystone.settings.bcrypt_rounds),
                description=given.get("description"),
                user_id=user_id,
                project_id=project_id,
                expires_at=expires,
                unrestricted=None if unrestricted is None else int(unrestricted),
                roles=dumps(await self._roles(given.get("roles"), caller)),
            )
        except DBDuplicateEntry:
            raise faults.conflict(
                "application_credential", f"Duplicate entry found with name {given['name']}"
            ) from None
        row = await self.keystone.credentials.get(identity)
        assert row is not None
        view = await _view(self, row)
        links = view.pop("links")
        self.show(resp, {"application_credential": {**view, "secret": secret, "links": links}}, falcon.HTTP_201)

    async def _roles(self, wanted: list[dict[str, Any]] | None, caller: Principal) -> list[str]:
        if not wanted:
            return list(caller.role_ids)
        names = await self.keystone.grants.names()
        by_name = {name: role_id for role_id, name in names.items()}
        chosen = []
        for one in wanted:
            role_id = one.get("id") or by_name.get(str(one.get("name")))
            if role_id is None or role_id not in names:
                if "name" in one:
                    raise faults.token_not_found(f"Role {one['name']} is not defined")
                raise faults.not_found("role", str(one.get("id")))
            if role_id not in caller.role_ids:
                raise faults.bad_request(
                    "Invalid application credential: Cannot create an application credential with unassigned role"
                )
            chosen.append(role_id)
        return chosen


class ApplicationCredential(Resource):
    """One credential."""

    async def on_get(self, req: Request, resp: Response, user_id: str, credential_id: str) -> None:
        caller = await self.keystone.caller(req)
        if not (caller.is_admin or caller.is_system_reader or caller.user_id == user_id):
            raise faults.forbidden("identity:get_application_credential")
        self.show(resp, {"application_credential": await _view(self, await self._row(user_id, credential_id))})

    async def on_delete(self, req: Request, resp: Response, user_id: str, credential_id: str) -> None:
        caller = await self.keystone.caller(req)
        if not (caller.is_admin or caller.user_id == user_id):
            raise faults.forbidden("identity:delete_application_credential")
        await _refuse_restricted(self, caller)
        await self._row(user_id, credential_id)
        await self.keystone.credentials.remove(credential_id)
        self.keystone.forget()
        self.nothing(resp)

    async def _row(self, user_id: str, credential_id: str) -> Row:
        row = await self.keystone.credentials.get(credential_id)
        if row is None or row["user_id"] != user_id:
            raise faults.not_found("Application Credential", credential_id)
        return row


async def _refuse_restricted(resource: Resource, caller: Principal) -> None:
    """A credential may not manage credentials, unless it was made unrestricted."""
    credential_id = caller.token.application_credential_id
    if credential_id is None:
        return
    row = await resource.keystone.credentials.get(credential_id)
    if row is None or not row["unrestricted"]:
        raise faults.forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials."
        )


def _checked_expiry(text: str) -> str:
    try:
        moment = timestamps.parse(text)
    except ValueError:
        raise faults.malformed("Timestamp not in expected format.") from None
    if moment <= timestamps.now():
        raise faults.malformed("The 'expires_at' must not be before now.")
    return timestamps.plain_micro(moment)
