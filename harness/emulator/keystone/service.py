"""What keystone's resources share: tables, sealed tokens and what they grant, and who is asking."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import falcon.asgi
import orjson
from sqlalchemy import select

from harness.emulator import timestamps
from harness.emulator.database import Statement
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, schema
from harness.emulator.keystone.catalog import Catalog
from harness.emulator.keystone.grants import SYSTEM, Grants
from harness.emulator.keystone.revocations import Revocations
from harness.emulator.keystone.rows import Row, Rows, loads
from harness.emulator.keystone.tokens import Token, TokenSealer, iso_from_us
from harness.emulator.runtime import Runtime

_KEYS = Statement(select(schema.fernet_key).order_by(schema.fernet_key.c.id.desc()))
_CACHED_TOKENS = 20_000
_CACHE_S = 600.0  # keystone's [cache] expiration_time


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token stands for, and what it grants: everything that policy rules ask about."""

    token: Token
    user: Mapping[str, Any]  # id, name, domain {id, name}
    project: Mapping[str, Any] | None  # id, name, domain {id, name}
    domain: Mapping[str, Any] | None
    role_ids: tuple[str, ...]
    roles: frozenset[str]
    body: Mapping[str, Any]  # the token's JSON without its catalog

    @property
    def user_id(self) -> str:
        return self.token.user_id

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    @property
    def is_system_reader(self) -> bool:
        return self.token.is_system and "reader" in self.roles

    def may_in_domain(self, role: str, domain_id: str | None) -> bool:
        """Whether the token is scoped to that domain and has that role."""
        return self.token.domain_id is not None and self.token.domain_id == domain_id and role in self.roles


class _Cached:
    __slots__ = ("principal", "until", "with_catalog", "without_catalog")

    def __init__(self, principal: Principal, until: float) -> None:
        self.principal = principal
        self.until = until
        self.without_catalog: bytes | None = None
        self.with_catalog: bytes | None = None


class Keystone:
    """One process's view of the identity database."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.settings = runtime.settings.keystone
        self.base = runtime.settings.auth_url
        self.database = database = runtime.database("keystone")
        self.projects = Rows(database, schema.project)
        self.users = Rows(database, schema.user)
        self.roles = Rows(database, schema.role)
        self.groups = Rows(database, schema.group)
        self.services = Rows(database, schema.service)
        self.endpoints = Rows(database, schema.endpoint)
        self.regions = Rows(database, schema.region)
        self.credentials = Rows(database, schema.application_credential)
        self.grants = Grants(database)
        self.catalog = Catalog(database)
        self.revocations = Revocations(database, int(self.settings.token_expiration_s * 1e6))
        self._sealer: TokenSealer | None = None
        self._cache: dict[str, _Cached] = {}
        self._is_alone = len(runtime.settings.hosting("keystone")) == 1
        self._cache_s = runtime.settings.scaled(_CACHE_S)

    # -- tokens --------------------------------------------------------------------------------------------------

    async def sealer(self) -> TokenSealer:
        if self._sealer is None:
            self._sealer = TokenSealer([row["secret"] for row in await self.database.fetch(_KEYS)])
        return self._sealer

    def now_us(self) -> int:
        return timestamps.epoch_us(timestamps.now())

    def forget(self) -> None:
        """Drop what is cached about tokens, roles and the catalog; after every write that they may depend on."""
        self._cache.clear()
        self.grants.forget()
        self.catalog.forget()

    def _forget_unless_alone(self) -> None:
        """Nothing tells this process what another one wrote."""
        if not self._is_alone:
            self.forget()

    async def issue(self, token: Token) -> tuple[str, Principal]:
        """Seal a token and say what it grants.

        Raises: ApiError 401 when it would grant nothing.
        """
        self._forget_unless_alone()
        principal = await self.principal(token)
        text = (await self.sealer()).seal(token)
        self._keep(text, principal)
        return text, principal

    async def validate(self, text: str | None, *, fresh: bool = False) -> Principal:
        """What a token grants. Args: fresh: revocations were read a moment ago, for the same request.

        Raises: ApiError 404 when it is unknown, expired or revoked.
        """
        if not text:
            raise faults.token_not_found("No token in the request")
        self._forget_unless_alone()
        cached = self._cache.get(text)
        clock = asyncio.get_running_loop().time()
        if cached is not None and cached.until > clock:
            principal = cached.principal
        else:
            token = (await self.sealer()).open(text)
            if token.expires_us <= self.now_us():
                raise faults.token_not_found("Failed to validate token")
            try:
                principal = await self.principal(token)
            except ApiError as error:
                if error.status == 401:  # the user is disabled, or has no role there any more
                    raise faults.not_found("token", text) from None
                raise
            self._keep(text, principal)
        token = principal.token
        if token.expires_us <= self.now_us():
            raise faults.token_not_found("Failed to validate token")
        if not fresh:
            await self.revocations.refresh()
        project_domain = principal.project["domain"]["id"] if principal.project else None
        if self.revocations.revokes(token, principal.user["domain"]["id"], project_domain):
            raise faults.token_not_found("Failed to validate token")
        return principal

    async def rendered(self, text: str, principal: Principal, with_catalog: bool) -> bytes:
        """The JSON body of a token."""
        cached = self._cache.get(text)
        if cached is None:
            cached = _Cached(principal, 0.0)
        if not with_catalog or not principal.token.is_scoped:
            if cached.without_catalog is None:
                cached.without_catalog = orjson.dumps({"token": principal.body})
            return cached.without_catalog
        if cached.with_catalog is None:
            catalog = await self.catalog.for_token(principal.user_id, principal.token.project_id)
            cached.with_catalog = orjson.dumps({"token": {**principal.body, "catalog": catalog}})
        return cached.with_catalog

    def _keep(self, text: str, principal: Principal) -> None:
        if len(self._cache) >= _CACHED_TOKENS:
            self._cache.clear()
        self._cache[text] = _Cached(principal, asyncio.get_running_loop().time() + self._cache_s)

    async def principal(self, token: Token) -> Principal:
        """Look up what a token stands for.

        Raises: ApiError 404 or 401 when user, scope or roles are not there (any more).
        """
        user = await self.users.get(token.user_id)
        if user is None:
            raise faults.not_found("user", token.user_id)
        user_domain = await self._domain_ref(user["domain_id"])
        if not user["enabled"]:
            raise faults.token_not_found("Failed to validate token")
        shown_user = {
            "domain": user_domain,
            "id": user["id"],
            "name": user["name"],
            "password_expires_at": None,
        }
        body: dict[str, Any] = {
            "methods": list(token.methods),
            "user": shown_user,
            "audit_ids": list(dict.fromkeys(token.audit_ids)),
            "expires_at": iso_from_us(token.expires_us),
            "issued_at": iso_from_us(token.issued_us),
        }
        project: Mapping[str, Any] | None = None
        domain: Mapping[str, Any] | None = None
        role_ids: list[str] = []
        if token.project_id is not None:
            row = await self._scope(token.project_id, "project")
            project = {
                "domain": await self._domain_ref(row["domain_id"]),
                "id": row["id"],
                "name": row["name"],
            }
            role_ids = await self._roles_of(token, token.project_id)
            body |= {"project": project, "is_domain": bool(row["is_domain"])}
        elif token.domain_id is not None:
            row = await self._scope(token.domain_id, "domain")
            domain = {"id": row["id"], "name": row["name"]}
            role_ids = await self._roles_of(token, token.domain_id)
            body["domain"] = domain
        elif token.is_system:
            role_ids = await self._roles_of(token, SYSTEM)
        names = await self.grants.names()
        if token.is_scoped:
            body["roles"] = [{"id": role_id, "name": names[role_id]} for role_id in role_ids]
        if token.is_system:
            body["system"] = {"all": True}
        if token.application_credential_id is not None:
            credential = await self.credentials.get(token.application_credential_id)
            if credential is None:
                raise faults.not_found("Application Credential", token.application_credential_id)
            body["application_credential"] = {
                "id": credential["id"],
                "name": credential["name"],
                "restricted": not credential["unrestricted"],
            }
        roles = frozenset(names[role_id] for role_id in role_ids)
        return Principal(token, shown_user, project, domain, tuple(role_ids), roles, body)

    async def _roles_of(self, token: Token, target: str) -> list[str]:
        role_ids = await self.grants.effective(token.user_id, target)
        if token.application_credential_id is not None:
            credential = await self.credentials.get(token.application_credential_id)
            if credential is None:
                raise faults.not_found("Application Credential", token.application_credential_id)
            granted = set(loads(credential["roles"]))
            role_ids = [role_id for role_id in role_ids if role_id in granted]
        if not role_ids:
            raise faults.unauthorized()
        return role_ids

    async def _scope(self, identity: str, kind: str) -> Row:
        row = await self.projects.get(identity)
        if row is None or (kind == "domain" and not row["is_domain"]):
            raise faults.not_found(kind, identity)
        if not row["enabled"]:
            raise faults.token_not_found(f"Unable to validate token because {kind} {identity} is disabled")
        return row

    async def _domain_ref(self, domain_id: str) -> dict[str, str]:
        row = await self.projects.get(domain_id)
        if row is None:
            raise faults.not_found("domain", domain_id)
        return {"id": row["id"], "name": row["name"]}

    # -- who asks ------------------------------------------------------------------------------------------------

    async def caller(self, req: falcon.asgi.Request) -> Principal:
        """The principal behind X-Auth-Token.

        Raises: ApiError 401.
        """
        text = req.get_header("X-Auth-Token")
        if not text:
            raise faults.unauthorized()
        try:
            return await self.validate(text)
        except ApiError as error:
            if error.status in (401, 404):
                raise faults.unauthorized() from None
            raise

    async def admin(self, req: falcon.asgi.Request, action: str) -> Principal:
        """The caller, who must be an administrator. Raises: ApiError 401, 403."""
        caller = await self.caller(req)
        if not caller.is_admin:
            raise faults.forbidden(f"identity:{action}")
        return caller

    async def reader(self, req: falcon.asgi.Request, action: str) -> Principal:
        """The caller, an administrator or a reader of the whole system. Raises: ApiError 401, 403."""
        caller = await self.caller(req)
        if not (caller.is_admin or caller.is_system_reader):
            raise faults.forbidden(f"identity:{action}")
        return caller
