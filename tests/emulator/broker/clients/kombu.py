"""kombu on py-amqp, what oslo.messaging stands on: it blocks, so that each connection has a thread here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import kombu
from amqp.exceptions import AMQPError

from tests.emulator.broker.clients.client import WITHIN_S, Client, Delivery, Refused
from tests.emulator.broker.place import Place

T = TypeVar("T")


class Kombu(Client):
    """kombu's connection and channel."""

    name = "kombu"

    def __init__(self, place: Place, heartbeat_s: int) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        options = {"confirm_publish": True, "read_timeout": WITHIN_S, "write_timeout": WITHIN_S}
        self.connection = kombu.Connection(
            place.url(), heartbeat=heartbeat_s, transport_options=options, connect_timeout=WITHIN_S
        )
        self._deliveries: deque[kombu.Message] = deque()
        self._cancelled: list[str] = []
        self._tags = 0
        self._returned = False

    @classmethod
    async def open(cls, place: Place, *, heartbeat_s: int = 0) -> Kombu:
        self = cls(place, heartbeat_s)
        await self._do(self._open_channel)
        return self

    async def close(self) -> None:
        await self._do(self.connection.release)
        self._thread.shutdown()

    async def reopen_channel(self) -> None:
        def reopen() -> None:
            self._channel.close()
            self._open_channel()

        await self._do(reopen)

    async def declare_exchange(self, name: str, kind: str, *, durable: bool = False, auto_delete: bool = False) -> None:
        exchange = kombu.Exchange(name, kind, durable=durable, auto_delete=auto_delete)
        await self._do(lambda: exchange(self._channel).declare())

    async def delete_exchange(self, name: str) -> None:
        await self._do(lambda: kombu.Exchange(name)(self._channel).delete())

    async def bind_exchange(self, name: str, source: str, key: str) -> None:
        await self._do(lambda: kombu.Exchange(name)(self._channel).bind_to(kombu.Exchange(source), key))

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
        def declare() -> tuple[str, int, int]:
            # kombu.Queue keeps neither the counts nor the name that the broker has given.
            return self._channel.queue_declare(
                name,
                passive=passive,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
                nowait=False,
            )

        told = await self._do(declare)
        return str(told[0]), int(told[1]), int(told[2])

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        await self._do(lambda: kombu.Queue(queue)(self._channel).bind_to(kombu.Exchange(exchange), key))

    async def unbind(self, queue: str, exchange: str, key: str) -> None:
        await self._do(lambda: kombu.Queue(queue)(self._channel).unbind_from(kombu.Exchange(exchange), key))

    async def purge(self, queue: str) -> int:
        return await self._do(lambda: int(kombu.Queue(queue)(self._channel).purge()))

    async def delete_queue(self, queue: str) -> int:
        return await self._do(lambda: int(kombu.Queue(queue)(self._channel).delete()))

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
        def publish() -> bool:
            self._returned = False
            kombu.Producer(self._channel, on_return=self._on_return).publish(
                body,
                key,
                exchange=exchange,
                content_type="text/plain",
                content_encoding="binary",
                mandatory=mandatory,
                expiration=None if expiration_ms is None else expiration_ms / 1000,
                headers=headers,
                confirm_timeout=WITHIN_S,
            )
            return not self._returned

        return await self._do(publish)

    async def limit(self, count: int, *, whole_channel: bool = False) -> None:
        await self._do(lambda: self._channel.basic_qos(0, count, whole_channel))

    async def consume(self, queue: str, *, no_ack: bool = False, exclusive: bool = False) -> str:
        self._tags += 1
        tag = str(self._tags)

        def consume() -> str:
            # kombu.Consumer would declare the queue, and say nothing when the broker cancels it.
            self._channel.basic_consume(
                queue,
                tag,
                no_ack=no_ack,
                exclusive=exclusive,
                nowait=False,
                callback=self._arrived,
                on_cancel=self._cancelled.append,
            )
            return tag

        return await self._do(consume)

    async def cancel(self, tag: str) -> None:
        await self._do(lambda: self._channel.basic_cancel(tag))

    async def take(self, *, within_s: float = WITHIN_S) -> Delivery:
        return await self._do(lambda: self._take(within_s))

    async def get(self, queue: str) -> Delivery | None:
        message = await self._do(lambda: kombu.Queue(queue)(self._channel).get())
        return None if message is None else _delivery(message)

    async def ack(self, delivery: Delivery, *, multiple: bool = False) -> None:
        await self._do(lambda: delivery.raw.ack(multiple=multiple))

    async def reject(self, delivery: Delivery, *, requeue: bool) -> None:
        await self._do(lambda: delivery.raw.reject(requeue=requeue))

    async def cancelled(self) -> None:
        def drain() -> None:
            while not self._cancelled:
                self.connection.drain_events(timeout=WITHIN_S)

        await self._do(drain)

    def _open_channel(self) -> None:
        self._channel = self.connection.channel()

    def _arrived(self, message: Any) -> None:
        self._deliveries.append(self._channel.message_to_python(message))

    def _on_return(self, *_message: object) -> None:
        self._returned = True

    def _take(self, within_s: float) -> Delivery:
        while not self._deliveries:
            self.connection.drain_events(timeout=within_s)
        return _delivery(self._deliveries.popleft())

    async def _do(self, work: Callable[[], T]) -> T:
        def told() -> T:
            try:
                return work()
            except AMQPError as error:
                raise Refused(error.reply_code, error.reply_text) from error

        # Twice the deadline: what blocks in there has the deadline itself.
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._thread, told), 2 * WITHIN_S)


def _delivery(message: kombu.Message) -> Delivery:
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    info = message.delivery_info
    headers = dict(message.headers)
    headers.pop("compression", None)
    return Delivery(
        body, bool(info["redelivered"]), info["exchange"], info["routing_key"], message.content_type, headers, message
    )
