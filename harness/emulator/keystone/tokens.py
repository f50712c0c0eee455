"""Fernet tokens: stateless, sealed by a key of the cloud, compact payload as keystone's fernet provider has it.

Nothing about a token is stored; what it grants is looked up each time, and revocation events are compared with it.
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from harness.emulator.keystone import faults

METHODS = ("external", "password", "token", "oauth1", "mapped", "application_credential")
_UNSCOPED, _PROJECT, _DOMAIN, _SYSTEM = range(4)


@dataclass(frozen=True, slots=True)
class Token:
    """What is sealed in one token. `expires_us` and `issued_us` are microseconds since 1970, UTC.

    `audit_ids`: the token's own, and that of the first of its chain when it was made from another token.
    """

    user_id: str
    methods: tuple[str, ...]
    expires_us: int
    issued_us: int
    audit_ids: tuple[str, ...]
    project_id: str | None = None
    domain_id: str | None = None
    is_system: bool = False
    application_credential_id: str | None = None

    @property
    def chain_id(self) -> str:
        return self.audit_ids[-1]

    @property
    def is_scoped(self) -> bool:
        return self.is_system or self.project_id is not None or self.domain_id is not None


class TokenSealer:
    """Seals and opens tokens. Args: keys: Fernet keys, the one to seal with first."""

    def __init__(self, keys: list[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, token: Token) -> str:
        kind, target = _UNSCOPED, ""
        if token.is_system:
            kind = _SYSTEM
        elif token.project_id is not None:
            kind, target = _PROJECT, token.project_id
        elif token.domain_id is not None:
            kind, target = _DOMAIN, token.domain_id
        payload = msgspec.msgpack.encode(
            (
                kind,
                _packed(token.user_id),
                sum(1 << METHODS.index(method) for method in token.methods),
                _packed(target),
                token.expires_us,
                [base64.urlsafe_b64decode(audit_id + "==") for audit_id in token.audit_ids],
                _packed(token.application_credential_id or ""),
            )
        )
        sealed = self._fernet.encrypt_at_time(payload, token.issued_us // 1_000_000)
        return sealed.rstrip(b"=").decode()

    def open(self, text: str) -> Token:
        """What a token says; it may be expired or revoked.

        Raises: ApiError 404 when it was not made with one of our keys.
        """
        sealed = text.encode("ascii", "replace") + b"=" * (-len(text) % 4)
        try:
            payload = msgspec.msgpack.decode(self._fernet.decrypt(sealed))
        except (InvalidToken, ValueError, msgspec.DecodeError):
            raise faults.token_not_found("Could not recognize Fernet token") from None
        kind, user_id, methods, target, expires_us, audits, credential = payload
        issued_s = int.from_bytes(base64.urlsafe_b64decode(sealed)[1:9], "big")
        return Token(
            user_id=_unpacked(user_id),
            methods=tuple(method for bit, method in enumerate(METHODS) if methods & (1 << bit)),
            expires_us=expires_us,
            issued_us=issued_s * 1_000_000,
            audit_ids=tuple(base64.urlsafe_b64encode(audit).rstrip(b"=").decode() for audit in audits),
            project_id=_unpacked(target) if kind == _PROJECT else None,
            domain_id=_unpacked(target) if kind == _DOMAIN else None,
            is_system=kind == _SYSTEM,
            application_credential_id=_unpacked(credential) or None,
        )


def new_audit_id() -> str:
    """A random audit id: 16 bytes, base64 without padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


def iso_from_us(moment_us: int) -> str:
    """Keystone's way to write a time: `2026-11-22T15:00:00.000000Z`."""
    return datetime.fromtimestamp(moment_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _packed(identity: str) -> bytes | str:
    if len(identity) == 32:
        try:
            packed = bytes.fromhex(identity)
        except ValueError:
            return identity
        if packed.hex() == identity:
            return packed
    return identity


def _unpacked(value: bytes | str) -> str:
    return value.hex() if isinstance(value, bytes) else value
