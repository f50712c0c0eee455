"""aio-pika, with its defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
)

from tests.emulator.broker.clients.client import WITHIN_S, Client, Delivery, Refused
from tests.emulator.broker.place import Place

T = TypeVar("T")
CODES: dict[type[ChannelClosed], int] = {
    ChannelAccessRefused: 403,
    ChannelNotFoundEntity: 404,
    ChannelLockedResource: 405,
    ChannelPreconditionFailed: 406,
}


class Pika(Client):
    """aio-pika's connection and channel."""

    name = "aio-pika"

    def __init__(self, connection: aio_pika.abc.AbstractConnection, channel: aio_pika.abc.AbstractChannel) -> None:
        self.connection = connection
        self._channel = channel
        self._deliveries: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._cancelled: asyncio.Queue[Any] = asyncio.Queue()

    @classmethod
    async def open(cls, place: Place, *, heartbeat_s: int = 0) -> Pika:
        url = f"{place.url()}?heartbeat={heartbeat_s}" if heartbeat_s else place.url()
        connection = await aio_pika.connect(url, timeout=WITHIN_S)
        self = cls(connection, await connection.channel(on_return_raises=True))
        await self._watch_cancels()
        return self

    async def close(self) -> None:
        await self.connection.close()

    async def reopen_channel(self) -> None:
        if not self._channel.is_closed:
            await self._channel.close()
        self._channel = await self.connection.channel(on_return_raises=True)
        await self._watch_cancels()

    async def declare_exchange(self, name: str, kind: str, *, durable: bool = False, auto_delete: bool = False) -> None:
        declared = self._channel.declare_exchange(name, kind, durable=durable, auto_delete=auto_delete)
        await _answered(declared)

    async def delete_exchange(self, name: str) -> None:
        await _answered(self._channel.exchange_delete(name))

    async def bind_exchange(self, name: str, source: str, key: str) -> None:
        await _answered((await self._exchange(name)).bind(source, key))

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
        queue = await _answered(
            self._channel.declare_queue(
                name or None,
                passive=passive,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
            )
        )
        told = queue.declaration_result
        return queue.name, int(told.message_count or 0), int(told.consumer_count or 0)

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        await _answered((await self._queue(queue)).bind(exchange, key))

    async def unbind(self, queue: str, exchange: str, key: str) -> None:
        await _answered((await self._queue(queue)).unbind(exchange, key))

    async def purge(self, queue: str) -> int:
        return int((await _answered((await self._queue(queue)).purge())).message_count or 0)

    async def delete_queue(self, queue: str) -> int:
        return int((await _answered(self._channel.queue_delete(queue))).message_count or 0)

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
        message = aio_pika.Message(
            body,
            content_type="text/plain",
            headers=headers,
            expiration=None if expiration_ms is None else expiration_ms / 1000,
        )
        try:
            target = await self._exchange(exchange)
            await _answered(target.publish(message, key, mandatory=mandatory, timeout=WITHIN_S))
        except DeliveryError:
            return False
        return True

    async def limit(self, count: int, *, whole_channel: bool = False) -> None:
        await _answered(self._channel.set_qos(count, global_=whole_channel))

    async def consume(self, queue: str, *, no_ack: bool = False, exclusive: bool = False) -> str:
        found = await self._queue(queue)
        return await _answered(found.consume(self._deliveries.put, no_ack=no_ack, exclusive=exclusive))

    async def cancel(self, tag: str) -> None:
        channel = await self._channel.get_underlay_channel()
        await _answered(channel.basic_cancel(tag))

    async def take(self, *, within_s: float = WITHIN_S) -> Delivery:
        return _delivery(await asyncio.wait_for(self._deliveries.get(), within_s))

    async def get(self, queue: str) -> Delivery | None:
        message = await _answered((await self._queue(queue)).get(fail=False))
        return None if message is None else _delivery(message)

    async def ack(self, delivery: Delivery, *, multiple: bool = False) -> None:
        await delivery.raw.ack(multiple=multiple)

    async def reject(self, delivery: Delivery, *, requeue: bool) -> None:
        await delivery.raw.reject(requeue=requeue)

    async def cancelled(self) -> None:
        await asyncio.wait_for(self._cancelled.get(), WITHIN_S)

    async def _watch_cancels(self) -> None:
        (await self._channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._cancelled.put)

    async def _queue(self, name: str) -> AbstractQueue:
        return await self._channel.get_queue(name, ensure=False)

    async def _exchange(self, name: str) -> AbstractExchange:
        return await self._channel.get_exchange(name, ensure=False) if name else self._channel.default_exchange


async def _answered(request: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(request, WITHIN_S)
    except ChannelClosed as error:
        raise Refused(CODES[type(error)], str(error)) from error


def _delivery(message: AbstractIncomingMessage) -> Delivery:
    return Delivery(
        message.body,
        bool(message.redelivered),
        message.exchange or "",
        message.routing_key or "",
        message.content_type,
        dict(message.headers),
        message,
    )
