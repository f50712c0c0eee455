"""Our own client at the level of its channel, for tests that are about one broker or one client only."""

from __future__ import annotations

import asyncio

from pamqp import commands

from harness.emulator.messaging.channel import Channel
from harness.wire import amqp
from tests.emulator.broker.place import eventually

PLAIN = amqp.encode_properties(commands.Basic.Properties(content_type="text/plain"))


class Inbox:
    """Deliveries of a channel, in order, and the consumers that the broker cancelled."""

    def __init__(self, channel: Channel) -> None:
        self.items: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()
        channel.on_delivery = lambda _tag, number, _header, body: self.items.put_nowait((number, body))
        channel.on_cancel = self.cancelled.put_nowait

    async def take(self, count: int) -> list[bytes]:
        return [(await asyncio.wait_for(self.items.get(), 5))[1] for _ in range(count)]


async def send(channel: Channel, exchange: str, key: str, *bodies: bytes, properties: bytes = PLAIN) -> None:
    for body in bodies:
        await asyncio.wait_for(channel.publish(amqp.route_bytes(exchange, key), properties, body), 5)


async def depth(channel: Channel, queue: str) -> int:
    answer = await channel.request(commands.Queue.Declare(queue=queue, passive=True))
    assert isinstance(answer, commands.Queue.DeclareOk)
    return int(answer.message_count or 0)


async def until_depth(channel: Channel, queue: str, wanted: int) -> None:
    """Wait until the queue holds `wanted` ready messages; RabbitMQ counts with a small delay."""
    await eventually(lambda: is_depth(channel, queue, wanted))


async def is_depth(channel: Channel, queue: str, wanted: int) -> bool:
    return await depth(channel, queue) == wanted
