"""Our own client, as the emulated services use it."""

from __future__ import annotations

import asyncio
from typing import Any

from pamqp import base, commands

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.connection import Connection
from harness.emulator.messaging.errors import ChannelClosed, MessageUndeliverable
from harness.wire import amqp
from tests.emulator.broker.clients.client import WITHIN_S, Client, Delivery, Refused
from tests.emulator.broker.place import Place


class Lean(Client):
    """`harness.emulator.messaging`'s connection and channel."""

    name = "ours"

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self.connection = connection
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self._cancelled: asyncio.Queue[str] = asyncio.Queue()
        self._tags = 0
        self._use(channel)

    @classmethod
    async def open(cls, place: Place, *, heartbeat_s: int = 0) -> Lean:
        connection = await place.connect(heartbeat_s=heartbeat_s)
        return cls(connection, await _channel(connection))

    async def close(self) -> None:
        await self.connection.close()

    async def reopen_channel(self) -> None:
        await self._channel.close()
        self._use(await _channel(self.connection))

    async def declare_exchange(self, name: str, kind: str, *, durable: bool = False, auto_delete: bool = False) -> None:
        await self._request(
            commands.Exchange.Declare(exchange=name, exchange_type=kind, durable=durable, auto_delete=auto_delete)
        )

    async def delete_exchange(self, name: str) -> None:
        await self._request(commands.Exchange.Delete(exchange=name))

    async def bind_exchange(self, name: str, source: str, key: str) -> None:
        await self._request(commands.Exchange.Bind(destination=name, source=source, routing_key=key))

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
        answer = await self._request(
            commands.Queue.Declare(
                queue=name,
                passive=passive,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
            )
        )
        return answer.queue, answer.message_count, answer.consumer_count

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        await self._request(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key))

    async def unbind(self, queue: str, exchange: str, key: str) -> None:
        await self._request(commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key))

    async def purge(self, queue: str) -> int:
        return int((await self._request(commands.Queue.Purge(queue=queue))).message_count)

    async def delete_queue(self, queue: str) -> int:
        return int((await self._request(commands.Queue.Delete(queue=queue))).message_count)

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
        properties = commands.Basic.Properties(
            content_type="text/plain",
            headers=headers,
            expiration=None if expiration_ms is None else str(expiration_ms),
            message_id=self._channel.next_message_id,
        )
        async with asyncio.timeout(WITHIN_S):
            await self._channel.wait_slot()
        try:
            confirmed = self._channel.publish(
                amqp.route_bytes(exchange, key), amqp.encode_properties(properties), body, mandatory=mandatory
            )
            await asyncio.wait_for(confirmed, WITHIN_S)
        except MessageUndeliverable:
            return False
        except ChannelClosed as error:
            raise Refused(error.code, error.text) from error
        return True

    async def limit(self, count: int, *, whole_channel: bool = False) -> None:
        await self._request(commands.Basic.Qos(0, count, whole_channel))

    async def consume(self, queue: str, *, no_ack: bool = False, exclusive: bool = False) -> str:
        self._tags += 1
        method = commands.Basic.Consume(queue=queue, no_ack=no_ack, exclusive=exclusive, consumer_tag=str(self._tags))
        return str((await self._request(method)).consumer_tag)

    async def cancel(self, tag: str) -> None:
        await self._request(commands.Basic.Cancel(tag))

    async def take(self, *, within_s: float = WITHIN_S) -> Delivery:
        return await asyncio.wait_for(self._deliveries.get(), within_s)

    async def get(self, queue: str) -> Delivery | None:
        answer = await self._request(commands.Basic.Get(queue=queue))
        if isinstance(answer, commands.Basic.GetEmpty):
            return None
        return await self.take()

    async def ack(self, delivery: Delivery, *, multiple: bool = False) -> None:
        # `Channel.ack` is always for all up to a tag: what one message needs goes past it.
        self.connection.write(amqp.ack_frame(self._channel.number, delivery.raw, multiple=multiple))

    async def reject(self, delivery: Delivery, *, requeue: bool) -> None:
        self._channel.reject(delivery.raw, requeue=requeue)

    async def cancelled(self) -> None:
        await asyncio.wait_for(self._cancelled.get(), WITHIN_S)

    def _use(self, channel: Channel) -> None:
        self._channel = channel
        channel.on_cancel = self._cancelled.put_nowait
        said: list[base.Frame] = []
        take_frame = channel.frame

        def frame(kind: int, payload: bytes) -> None:
            # Services need neither the redelivered flag nor basic.get: both are read here.
            if kind == amqp.METHOD and payload[:4] in (b"\0\x3c\0\x3c", b"\0\x3c\0\x47"):
                said[:] = [amqp.decode_method(payload)]
            get_ok = said and isinstance(said[0], commands.Basic.GetOk)
            if get_ok and kind == amqp.METHOD:
                take_frame(kind, payload)
                payload = amqp.deliver_frame(1, amqp.deliver_head("got"), 0, False, amqp.route_bytes("", ""))[7:-1]
            take_frame(kind, payload)

        def delivered(_tag: bytes, _number: int, header: bytes, body: bytes) -> None:
            method, properties = said.pop(), amqp.decode_properties(header)
            assert isinstance(method, commands.Basic.Deliver | commands.Basic.GetOk)
            self._deliveries.put_nowait(
                Delivery(
                    body,
                    bool(method.redelivered),
                    str(method.exchange),
                    str(method.routing_key),
                    properties.content_type,
                    dict(properties.headers or {}),
                    method.delivery_tag,
                )
            )

        channel.frame = frame  # type: ignore[method-assign]
        channel.on_delivery = delivered

    async def _request(self, method: base.Frame) -> Any:
        try:
            return await self._channel.request(method, timeout_s=WITHIN_S)
        except ChannelClosed as error:
            raise Refused(error.code, error.text) from error


async def _channel(connection: Connection) -> Channel:
    channel = await connection.channel()
    await channel.enable_confirms()
    return channel
