"""`/os-keypairs`: public keys of a user, brought along or made here (until 2.91)."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from harness.emulator.database import DBDuplicateEntry, Statement
from harness.emulator.http import ApiError, Caller, require
from harness.emulator.nova import quota, validation
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.flavors import limit_of, next_link
from harness.emulator.nova.schema import key_pairs
from harness.emulator.nova.server_views import stamp
from harness.emulator.timestamps import utcnow_iso

LIST = Statement(select(key_pairs).where(key_pairs.c.user_id == bindparam("user")).order_by(key_pairs.c.name))
GET = Statement(
    select(key_pairs).where(key_pairs.c.user_id == bindparam("user"), key_pairs.c.name == bindparam("name"))
)
INSERT = Statement(insert(key_pairs))
DELETE = Statement(
    delete(key_pairs).where(key_pairs.c.user_id == bindparam("user"), key_pairs.c.name == bindparam("name"))
)
COUNT = Statement(select(func.count(key_pairs.c.id)).where(key_pairs.c.user_id == bindparam("user")))
RSA_BITS = 2048
_NAME: validation.Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "format": "name",
    "pattern": r"^[_\- a-zA-Z0-9]+$",
}
_NAME_SINCE_92: validation.Schema = {**_NAME, "pattern": r"^[a-zA-Z0-9-_@. ]+$"}
_QUERY_OLD: validation.Schema = {"user_id": {"type": "string"}}
_QUERY: validation.Schema = {**_QUERY_OLD, **validation.PAGING}


class KeyPairsResource:
    """List and create."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        user = _user(req, "index")
        validation.check_query(req, _QUERY if req.context.version >= (2, 35) else _QUERY_OLD)
        rows = list(await self.api.cells.api.fetch(LIST, user=user))
        link: dict[str, Any] = {}
        if req.context.version >= (2, 35):
            limit = limit_of(req, self.api.settings.max_limit)
            marker = req.get_param("marker")
            if marker is not None:
                names = [row["name"] for row in rows]
                if marker not in names:
                    raise ApiError(400, f"Marker {marker} could not be found.")
                rows = rows[names.index(marker) + 1 :]
            rows = rows[:limit]
            link = next_link(req, "os-keypairs", [row["name"] for row in rows], limit)
        self.api.app.json(resp, {"keypairs": [{"keypair": _short(req, row)} for row in rows], **link})

    async def on_post(self, req: Any, resp: Any) -> None:
        caller: Caller = req.context.caller
        minor = req.context.version[1]
        require(caller.is_reader, "os_compute_api:os-keypairs:create")
        body = await self.api.app.body(req)
        validation.check(body, _schema(minor))
        wanted = body["keypair"]
        user = wanted.get("user_id", caller.user_id)
        if user != caller.user_id:
            require(caller.is_admin, "os_compute_api:os-keypairs:create")
        allowed = (await quota.limits(self.api.cells, self.api.settings, caller.project_id))["key_pairs"]
        if 0 <= allowed <= await self.api.cells.api.fetch_value(COUNT, user=user):
            raise ApiError(403, "Quota exceeded, too many key pairs.")
        public, private = wanted.get("public_key"), None
        if public is None:
            # A tenth of a second of arithmetic: not on the loop that serves everybody.
            public, private = await asyncio.to_thread(_generate)
        row = {
            "created_at": utcnow_iso(),
            "user_id": user,
            "name": wanted["name"].strip(),
            "fingerprint": _fingerprint(public),
            "public_key": public,
            "type": wanted.get("type", "ssh"),
        }
        try:
            await self.api.cells.api.execute(INSERT, **row)
        except DBDuplicateEntry:
            raise ApiError(409, f"Key pair '{row['name']}' already exists.") from None
        shown = _short(req, row)
        shown["user_id"] = user
        if private is not None:
            shown["private_key"] = private
        self.api.app.json(resp, {"keypair": shown}, 201 if minor >= 2 else 200)


class KeyPairResource:
    """Show and delete."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, name: str) -> None:
        user = _user(req, "show")
        row = await self.api.cells.api.fetch_one(GET, user=user, name=name)
        if row is None:
            raise _missing(name, user)
        shown = _short(req, row)
        shown.update(
            user_id=row["user_id"],
            created_at=stamp(row["created_at"]),
            deleted=False,
            deleted_at=None,
            id=row["id"],
            updated_at=None,
        )
        self.api.app.json(resp, {"keypair": shown})

    async def on_delete(self, req: Any, resp: Any, name: str) -> None:
        user = _user(req, "delete")
        if not await self.api.cells.api.execute(DELETE, user=user, name=name):
            raise _missing(name, user)
        resp.status = 204 if req.context.version >= (2, 2) else 202


def _schema(minor: int) -> validation.Schema:
    properties: dict[str, validation.Schema] = {
        "name": _NAME_SINCE_92 if minor >= 92 else _NAME,
        "public_key": {"type": "string"},
    }
    if minor >= 2:
        properties["type"] = {"type": "string", "enum": ["ssh", "x509"]}
    if minor >= 10:
        properties["user_id"] = {"type": "string"}
    required = ["name", "public_key"] if minor >= 92 else ["name"]
    inner = {"type": "object", "required": required, "additionalProperties": False, "properties": properties}
    return {"type": "object", "required": ["keypair"], "additionalProperties": False, "properties": {"keypair": inner}}


def _user(req: Any, rule: str) -> str:
    """Whose keys: the caller's, or since 2.10 anybody's for an administrator."""
    caller: Caller = req.context.caller
    wanted = req.get_param("user_id") if req.context.version >= (2, 10) else None
    if wanted is None or wanted == caller.user_id:
        return caller.user_id
    require(caller.is_admin, f"os_compute_api:os-keypairs:{rule}")
    return str(wanted)


def _short(req: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("name", "public_key", "fingerprint")}
    if req.context.version >= (2, 2):
        shown["type"] = row["type"]
    return shown


def _missing(name: str, user: str) -> ApiError:
    return ApiError(404, f"Keypair {name} not found for user {user}")


def _fingerprint(public: str) -> str:
    """MD5 of the key, as ssh wrote it for long.

    Raises: ApiError 400 when the text is no public key.
    """
    parts = public.split()
    try:
        if len(parts) < 2:
            raise ValueError("wanted a type and a key")
        raw = base64.b64decode(parts[1], validate=True)
        length = int.from_bytes(raw[:4], "big")
        if raw[4 : 4 + length].decode() != parts[0]:
            raise ValueError("the key is of another type")
    except (ValueError, binascii.Error):
        raise ApiError(400, "Keypair data is invalid: failed to generate fingerprint") from None
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return ":".join(digest[index : index + 2] for index in range(0, 32, 2))


def _generate() -> tuple[str, str]:
    """A fresh RSA pair: public line, private PEM."""
    from cryptography.hazmat.primitives import serialization  # only for this; costs 6 MB
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} Generated-by-Nova", private.decode()
