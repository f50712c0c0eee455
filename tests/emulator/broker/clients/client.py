"""What the conformance tests ask of any client library: one connection with one channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from tests.emulator.broker.place import Place

WITHIN_S = 5.0
"""Deadline of every wait for the broker."""


class Refused(Exception):
    """The broker closed the channel or the connection. Args: code, text: as it said them."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@dataclass(frozen=True)
class Delivery:
    """A message that arrived. `raw` is what the library wants back to acknowledge it."""

    body: bytes
    redelivered: bool
    exchange: str
    routing_key: str
    content_type: str | None
    headers: dict[str, Any]
    raw: Any


class Client(ABC):
    """One connection, one channel with confirms. All methods raise Refused or, after `WITHIN_S`, TimeoutError."""

    name: str

    @classmethod
    @abstractmethod
    async def open(cls, place: Place, *, heartbeat_s: int = 0) -> Client: ...

    @abstractmethod
    async def close(self) -> None:
        """End the connection politely, whatever state it is in."""

    @abstractmethod
    async def reopen_channel(self) -> None:
        """Close the channel, if the broker has not, and open another one."""

    @abstractmethod
    async def declare_exchange(
        self, name: str, kind: str, *, durable: bool = False, auto_delete: bool = False
    ) -> None: ...

    @abstractmethod
    async def delete_exchange(self, name: str) -> None: ...

    @abstractmethod
    async def bind_exchange(self, name: str, source: str, key: str) -> None: ...

    @abstractmethod
    async def declare_queue(
        self,
        name: str,
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> tuple[str, int, int]:
        """Its name, how many messages are ready in it, and how many consumers it has."""

    @abstractmethod
    async def bind(self, queue: str, exchange: str, key: str) -> None: ...

    @abstractmethod
    async def unbind(self, queue: str, exchange: str, key: str) -> None: ...

    @abstractmethod
    async def purge(self, queue: str) -> int: ...

    @abstractmethod
    async def delete_queue(self, queue: str) -> int: ...

    @abstractmethod
    async def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        *,
        mandatory: bool = False,
        expiration_ms: int | None = None,
        headers: dict[str, Any] | None = None,
    ) -> bool:
        """Publish and wait for the confirm. False when the message came back."""

    @abstractmethod
    async def limit(self, count: int, *, whole_channel: bool = False) -> None:
        """Set the prefetch count, of each consumer to come or of the channel."""

    @abstractmethod
    async def consume(self, queue: str, *, no_ack: bool = False, exclusive: bool = False) -> str:
        """Returns the consumer's tag."""

    @abstractmethod
    async def cancel(self, tag: str) -> None: ...

    @abstractmethod
    async def take(self, *, within_s: float = WITHIN_S) -> Delivery:
        """The next delivery to any consumer. Raises TimeoutError."""

    @abstractmethod
    async def get(self, queue: str) -> Delivery | None: ...

    @abstractmethod
    async def ack(self, delivery: Delivery, *, multiple: bool = False) -> None: ...

    @abstractmethod
    async def reject(self, delivery: Delivery, *, requeue: bool) -> None: ...

    @abstractmethod
    async def cancelled(self) -> None:
        """Returns when the broker has cancelled a consumer."""

    # --- made of these ------------------------------------------------------------------------------------------------

    async def send(self, exchange: str, key: str, *bodies: bytes) -> None:
        for body in bodies:
            assert await self.publish(exchange, key, body)

    async def bodies(self, count: int) -> list[bytes]:
        """Bodies of the next deliveries."""
        return [(await self.take()).body for _ in range(count)]

    async def ready(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        return (await self.declare_queue(queue, passive=True))[1]

    async def is_there(self, queue: str) -> bool:
        """Whether there is such a queue."""
        try:
            await self.declare_queue(queue, passive=True)
        except Refused as refused:
            if refused.code != 404:
                raise
            await self.reopen_channel()
            return False
        return True
