"""`POST /v3/auth/tokens`: methods password, token and application_credential; scopes project, domain, system, none.

Checked against keystone 30.0.0 on 2026-11-22: statuses, messages and the order of the checks.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from harness.emulator import timestamps
from harness.emulator.database import Statement
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, passwords, schema_errors
from harness.emulator.keystone.rows import Row
from harness.emulator.keystone.schema import password as password_table
from harness.emulator.keystone.service import Keystone, Principal
from harness.emulator.keystone.tokens import Token, new_audit_id

_PASSWORD = Statement(select(password_table.c.password_hash).where(password_table.c.user_id == bindparam("user_id")))
_ENABLED_METHODS = ["external", "password", "token", "oauth1", "mapped", "application_credential", "ec2credential"]


@dataclass(slots=True)
class _Proof:
    """What the methods have shown so far."""

    user_id: str = ""
    methods: tuple[str, ...] = ()
    parent: Token | None = None
    credential: Row | None = None


async def authenticate(keystone: Keystone, body: Any) -> tuple[str, Principal]:
    """Check the proofs in a request body and issue a token.

    Raises: ApiError 400 for a body that is no such request, 401 for wrong proofs or a scope without roles, 404 for a
    token or credential that does not exist.
    """
    if not isinstance(body, dict) or "auth" not in body:
        raise faults.missing("auth", "request body")
    auth = body["auth"]
    schema_errors.check(auth, schema_errors.TOKEN_REQUEST)
    _check_references(auth)
    identity = auth["identity"]
    proof = _Proof()
    for method in dict.fromkeys(identity["methods"]):
        if method not in identity:
            raise faults.missing(str(method), "identity")
        if method not in _METHODS:
            if method in _ENABLED_METHODS:
                raise faults.unauthorized()
            raise faults.unauthorized(
                "Attempted to authenticate with an unsupported method.", identity={"methods": _ENABLED_METHODS}
            )
        await _METHODS[method](keystone, identity[method], proof)
    if not proof.user_id:
        raise faults.unauthorized()
    now_us = keystone.now_us() // 1_000_000 * 1_000_000
    expires_us = now_us + int(keystone.settings.token_expiration_s * 1_000_000)
    audit_ids: tuple[str, ...] = (new_audit_id(),)
    if proof.parent is not None:  # a token made from another dies with it, and can be revoked with its chain
        expires_us = min(expires_us, proof.parent.expires_us)
        audit_ids = (audit_ids[0], proof.parent.chain_id)
    scope = await _scope(keystone, auth, proof)
    token = Token(
        user_id=proof.user_id,
        methods=proof.methods,
        expires_us=expires_us,
        issued_us=now_us,
        audit_ids=audit_ids,
        application_credential_id=proof.credential["id"] if proof.credential else None,
        **scope,
    )
    try:
        return await keystone.issue(token)
    except ApiError as error:
        if error.status == 404:
            raise faults.unauthorized() from None
        raise


def _check_references(auth: dict[str, Any]) -> None:
    """Users, projects and domains are named by id or name. Raises: ApiError 400."""
    scope = auth.get("scope")
    user = auth["identity"].get("password", {}).get("user")
    if "password" in auth["identity"]["methods"] and isinstance(user, dict):
        _check_reference(user, "identity/password/user")
    if isinstance(scope, dict):
        for kind in ("project", "domain"):
            if kind in scope:
                _check_reference(scope[kind], f"scope/{kind}")


def _check_reference(given: dict[str, Any], where: str) -> None:
    if "id" not in given and "name" not in given:
        raise faults.bad_request(f"Invalid input for field {where}: id or name must be present.")
    domain = given.get("domain")
    if isinstance(domain, dict) and "id" not in domain and "name" not in domain:
        raise faults.bad_request(f"Invalid input for field {where}/domain: id or name must be present.")


async def check_password(keystone: Keystone, user: Row, secret: str) -> bool:
    """Whether this is the user's password."""
    hashed = await keystone.database.fetch_value(_PASSWORD, user_id=user["id"])
    return hashed is not None and await passwords.matches(secret, hashed)


async def _password(keystone: Keystone, data: Any, proof: _Proof) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("user"), dict):
        raise faults.missing("user", "None")  # sic
    user = await _user(keystone, data["user"])
    secret = data["user"].get("password")
    if user is None or not isinstance(secret, str) or not user["enabled"]:
        raise faults.unauthorized()
    domain = await keystone.projects.get(user["domain_id"])
    if domain is None or not domain["enabled"] or not await check_password(keystone, user, secret):
        raise faults.unauthorized()
    proof.user_id = user["id"]
    proof.methods += ("password",)


async def _token(keystone: Keystone, data: Any, proof: _Proof) -> None:
    if not isinstance(data, dict) or "id" not in data:
        raise faults.missing("id", "token")
    principal = await keystone.validate(str(data["id"]))
    if principal.token.application_credential_id:
        raise faults.forbidden("Using a delegated token to create another token is not allowed.")
    proof.user_id = principal.user_id
    proof.parent = principal.token
    proof.methods += tuple(method for method in (*principal.token.methods, "token") if method not in proof.methods)


async def _credential(keystone: Keystone, data: Any, proof: _Proof) -> None:
    if not isinstance(data, dict):
        raise faults.missing("application_credential", "identity")
    if "id" in data:
        credential = await keystone.credentials.get(str(data["id"]))
        if credential is None:
            raise faults.not_found("Application Credential", str(data["id"]))
    else:
        if not isinstance(data.get("user"), dict):
            raise faults.missing("user" if "name" in data else "name or ID", "application credential")
        user = await _user(keystone, data["user"])
        found = (
            await keystone.credentials.find(user_id=user["id"], name=str(data.get("name"))) if user is not None else []
        )
        if not found:
            raise faults.unauthorized()
        credential = found[0]
    owner = await keystone.users.get(credential["user_id"])
    if owner is None or not owner["enabled"]:
        raise faults.unauthorized()
    if not await passwords.matches(str(data.get("secret", "")), credential["secret_hash"]):
        raise faults.unauthorized()
    if credential["expires_at"] and timestamps.parse(credential["expires_at"]) <= timestamps.now():
        raise faults.unauthorized()
    proof.user_id = credential["user_id"]
    proof.credential = credential
    proof.methods += ("application_credential",)


_METHODS = {"password": _password, "token": _token, "application_credential": _credential}


async def _user(keystone: Keystone, data: dict[str, Any]) -> Row | None:
    if "id" in data:
        return await keystone.users.get(str(data["id"]))
    if "name" not in data:
        raise faults.bad_request("Invalid input for field identity/password/user: id or name must be present.")
    domain_id = await _domain_id(keystone, data, "user")
    if domain_id is None:
        return None
    found = await keystone.users.find(domain_id=domain_id, name=str(data["name"]))
    return found[0] if found else None


async def _domain_id(keystone: Keystone, data: dict[str, Any], target: str) -> str | None:
    domain = data.get("domain")
    if not isinstance(domain, dict):
        raise faults.missing("domain", target)
    if "id" in domain:
        return str(domain["id"])
    if "name" not in domain:
        raise faults.missing("id or name", "domain")
    found = await keystone.projects.find(domain_id="", name=str(domain["name"]))
    return str(found[0]["id"]) if found else None


async def _scope(keystone: Keystone, auth: dict[str, Any], proof: _Proof) -> dict[str, Any]:
    """Keyword arguments of the token that say what it is scoped to."""
    scope = auth.get("scope")
    if proof.credential is not None:
        if scope is not None:
            raise faults.unauthorized(
                "Error authenticating with application credential: Application credentials cannot request a scope.",
                identity={},
            )
        return {"project_id": proof.credential["project_id"]}
    if scope is None:
        return await _default_scope(keystone, proof)
    if scope == "unscoped" or (isinstance(scope, dict) and "unscoped" in scope):
        return {}
    if isinstance(scope, dict) and "OS-TRUST:trust" in scope and len(scope) == 1:
        raise faults.unauthorized()  # there are no trusts
    if not isinstance(scope, dict) or len([kind for kind in ("project", "domain", "system") if kind in scope]) != 1:
        raise faults.missing("system, project, domain, OS-TRUST:trust or unscoped", "scope")
    if "system" in scope:
        return {"is_system": True}
    if "domain" in scope:
        wanted = scope["domain"]
        if "id" in wanted:
            row = await keystone.projects.get(str(wanted["id"]))
        else:
            found = await keystone.projects.find(domain_id="", name=str(wanted.get("name")))
            row = found[0] if found else None
        if row is None or not row["is_domain"] or not row["enabled"]:
            raise faults.unauthorized()
        return {"domain_id": row["id"]}
    wanted = scope["project"]
    if "id" in wanted:
        row = await keystone.projects.get(str(wanted["id"]))
    else:
        if "name" not in wanted:
            raise faults.missing("id or name", "project")
        domain_id = await _domain_id(keystone, wanted, "project")
        found = await keystone.projects.find(domain_id=domain_id or "", name=str(wanted["name"]))
        row = found[0] if found and domain_id else None
    if row is None or not row["enabled"]:
        raise faults.unauthorized()
    domain = await keystone.projects.get(row["domain_id"]) if row["domain_id"] else row
    if domain is None or not domain["enabled"]:
        raise faults.unauthorized()
    return {"project_id": row["id"]}


async def _default_scope(keystone: Keystone, proof: _Proof) -> dict[str, Any]:
    """A user's default project, where it may be used; else nothing. A token keeps its scope only when asked to."""
    user = await keystone.users.get(proof.user_id)
    project_id = user["default_project_id"] if user else None
    if not project_id or proof.parent is not None:
        return {}
    project = await keystone.projects.get(project_id)
    if project is None or not project["enabled"]:
        return {}
    return {"project_id": project_id} if await keystone.grants.effective(proof.user_id, project_id) else {}
