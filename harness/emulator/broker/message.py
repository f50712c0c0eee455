"""Messages and their places in queues."""

from __future__ import annotations

ENTRY_OVERHEAD = 320
"""Bytes charged per queued message on top of its content, for the Python objects that hold it (64-bit CPython)."""


class Message:
    """One published message; shared by every queue it was routed to, never changed."""

    __slots__ = ("body", "expiration_ms", "properties", "route", "size")

    def __init__(self, route: bytes, properties: bytes, body: bytes, expiration_ms: int | None = None) -> None:
        self.route = route
        self.properties = properties
        self.body = body
        self.expiration_ms = expiration_ms
        self.size = len(route) + len(properties) + len(body) + ENTRY_OVERHEAD


class Entry:
    """A message in one queue. `place` orders entries within the queue, also when they come back by requeue."""

    __slots__ = ("expires_at", "message", "place", "redelivered")

    def __init__(self, place: int, message: Message, expires_at: float | None) -> None:
        self.place = place
        self.message = message
        self.expires_at = expires_at
        self.redelivered = False
