"""Users of the embedded broker: passwords, permissions and limits."""

from __future__ import annotations

import hmac
from typing import ClassVar

from harness.wire.amqp import AmqpError, decode_table


class User:
    """One user. `permissions` maps a virtual host to the patterns for configure, write and read."""

    ALL: ClassVar[dict[str, str]] = {"configure": ".*", "write": ".*", "read": ".*"}

    def __init__(self, name: str, password: str, *, tags: tuple[str, ...] = ()) -> None:
        self.name = name
        self.tags = tags
        self.permissions: dict[str, dict[str, str]] = {}
        self.max_connections: int | None = None
        self.max_channels: int | None = None
        self._password = password.encode()

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by RabbitMQ's names."""
        return set_limits({"max-connections": self.max_connections, "max-channels": self.max_channels})

    def accepts(self, password: str) -> bool:
        """True when the password is right."""
        return hmac.compare_digest(password.encode(), self._password)

    def set_password(self, password: str) -> None:
        """Change the password; open connections stay."""
        self._password = password.encode()


def set_limits(limits: dict[str, int | None]) -> dict[str, int]:
    """Those that have a value."""
    return {name: value for name, value in limits.items() if value is not None}


def credentials(mechanism: str, response: str | bytes) -> tuple[str, str]:
    """User and password from a SASL response.

    Raises:  AmqpError 503 for a mechanism that is not offered, 502 when the response does not parse.
    """
    raw = response.encode("utf-8", "surrogateescape") if isinstance(response, str) else bytes(response)
    if mechanism == "PLAIN":
        parts = raw.split(b"\0")
        if len(parts) != 3:
            raise AmqpError(502, "SYNTAX_ERROR - PLAIN response does not parse", 10, 11)
        return parts[1].decode(errors="replace"), parts[2].decode(errors="replace")
    if mechanism == "AMQPLAIN":
        table = decode_table(len(raw).to_bytes(4, "big") + raw)
        return str(table.get("LOGIN", "")), str(table.get("PASSWORD", ""))
    raise AmqpError(503, f"COMMAND_INVALID - unsupported authentication mechanism '{mechanism}'"[:255], 10, 11)
