"""What a client may rely on, the same on the embedded broker and on RabbitMQ."""

from __future__ import annotations

import asyncio

import pytest
from pamqp import commands

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.errors import ChannelClosed, MessageUndeliverable
from harness.wire import amqp
from tests.emulator.broker.place import Place, eventually, run

PLAIN = amqp.encode_properties(commands.Basic.Properties(content_type="text/plain"))
Declare, Bind, Consume = commands.Queue.Declare, commands.Queue.Bind, commands.Basic.Consume


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
    answer = await channel.request(Declare(queue=queue, passive=True))
    assert isinstance(answer, commands.Queue.DeclareOk)
    return int(answer.message_count or 0)


async def until_depth(channel: Channel, queue: str, wanted: int) -> None:
    """Wait until the queue holds `wanted` ready messages; RabbitMQ counts with a small delay."""
    await eventually(lambda: is_depth(channel, queue, wanted))


async def is_depth(channel: Channel, queue: str, wanted: int) -> bool:
    return await depth(channel, queue) == wanted


def test_exchanges_route_by_their_type(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        for kind in ("direct", "topic", "fanout"):
            declare = commands.Exchange.Declare(exchange=place.name(kind), exchange_type=kind, auto_delete=True)
            await channel.request(declare)
        for queue, kind, key in [
            ("a", "direct", "k"), ("b", "direct", "other"), ("a", "topic", "x.*"), ("b", "topic", "x.#"),
            ("c", "topic", "#.z"), ("a", "fanout", ""), ("c", "fanout", "ignored"),
        ]:  # fmt: skip
            await channel.request(Declare(queue=place.name(queue), exclusive=True))
            await channel.request(Bind(queue=place.name(queue), exchange=place.name(kind), routing_key=key))
        seen = []
        for kind, key in [("direct", "k"), ("topic", "x.y"), ("topic", "x"), ("topic", "x.y.z"), ("fanout", "?")]:
            await send(channel, place.name(kind), key, b"m")
            seen.append(tuple([await depth(channel, place.name(queue)) for queue in "abc"]))
        assert seen == [(1, 0, 0), (2, 1, 0), (2, 2, 0), (2, 3, 1), (3, 3, 2)]
        await channel.connection.close()

    run(steps())


def test_a_message_reaches_a_queue_once_however_many_bindings_match(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        outer, inner, queue = place.name("outer"), place.name("inner"), place.name("q")
        for exchange in (outer, inner):
            declare = commands.Exchange.Declare(exchange=exchange, exchange_type="topic", auto_delete=True)
            await channel.request(declare)
        await channel.request(Declare(queue=queue, exclusive=True))
        for key in ("a.*", "a.b", "#"):
            await channel.request(Bind(queue=queue, exchange=outer, routing_key=key))
        await channel.request(Bind(queue=queue, exchange=inner, routing_key="a.b"))
        await channel.request(commands.Exchange.Bind(destination=inner, source=outer, routing_key="a.b"))
        await send(channel, outer, "a.b", b"m")
        assert await depth(channel, queue) == 1
        await channel.connection.close()

    run(steps())


def test_an_unroutable_mandatory_message_comes_back_and_is_confirmed(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        properties = amqp.encode_properties(commands.Basic.Properties(message_id=channel.next_message_id))
        with pytest.raises(MessageUndeliverable, match="312 NO_ROUTE"):
            await channel.publish(amqp.route_bytes("", place.name("nobody")), properties, b"m", mandatory=True)
        await send(channel, "", place.name("nobody"), b"not mandatory: confirmed and dropped")
        await channel.connection.close()

    run(steps())


def test_prefetch_holds_messages_back_until_they_are_acked(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue, exclusive=True))
        await send(channel, "", queue, *(b"%d" % n for n in range(6)))
        inbox = Inbox(channel)
        await channel.request(commands.Basic.Qos(0, 2, False))
        await channel.request(Consume(queue=queue, consumer_tag="c"))
        assert await inbox.take(2) == [b"0", b"1"]
        await until_depth(channel, queue, 4)
        assert inbox.items.empty()
        channel.ack(1)
        assert await inbox.take(1) == [b"2"]
        channel.ack(3)
        assert await inbox.take(2) == [b"3", b"4"]
        await channel.connection.close()

    run(steps())


def test_unacked_messages_return_in_order_when_their_channel_closes(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue, exclusive=True))
        await send(channel, "", queue, *(b"%d" % n for n in range(5)))
        other = await channel.connection.channel()
        inbox = Inbox(other)
        await other.request(commands.Basic.Qos(0, 3, False))
        await other.request(Consume(queue=queue, consumer_tag="c"))
        await inbox.take(3)
        other.ack(1)
        await inbox.take(1)
        await other.close()
        await until_depth(channel, queue, 4)
        again = Inbox(channel)
        flags = []
        original = channel.frame

        def watch(kind: int, payload: bytes) -> None:
            if kind == amqp.METHOD and payload[:4] == b"\x00\x3c\x00\x3c":
                flags.append(amqp.decode_deliver(payload).redelivered)
            original(kind, payload)

        channel.frame = watch  # type: ignore[method-assign]
        await channel.request(Consume(queue=queue, consumer_tag="d"))
        assert await again.take(4) == [b"1", b"2", b"3", b"4"]
        assert flags == [True, True, True, False]
        await channel.connection.close()

    run(steps())


@pytest.mark.parametrize("requeue", [True, False])
def test_a_rejected_message_returns_only_when_asked(place: Place, requeue: bool) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue, exclusive=True))
        await send(channel, "", queue, b"0", b"1")
        inbox = Inbox(channel)
        await channel.request(Consume(queue=queue, consumer_tag="c"))
        assert await inbox.take(2) == [b"0", b"1"]
        await channel.request(commands.Basic.Cancel("c"))
        channel.connection.write(amqp.method_frame(channel.number, commands.Basic.Nack(2, True, requeue)))
        await until_depth(channel, queue, 2 if requeue else 0)
        await channel.connection.close()

    run(steps())


def test_messages_and_queues_expire(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        ttl, own, gone = place.name("ttl"), place.name("own"), place.name("gone")
        await channel.request(Declare(queue=ttl, exclusive=True, arguments={"x-message-ttl": 100}))
        await channel.request(Declare(queue=own, exclusive=True))
        await channel.request(Declare(queue=gone, arguments={"x-expires": 300}))
        await send(channel, "", ttl, b"m")
        await send(
            channel, "", own, b"m", properties=amqp.encode_properties(commands.Basic.Properties(expiration="100"))
        )
        await send(channel, "", own, b"stays")
        await until_depth(channel, ttl, 0)
        await until_depth(channel, own, 1)

        async def is_gone() -> bool:
            probe = await channel.connection.channel()
            try:
                await probe.request(Bind(queue=gone, exchange="amq.direct", routing_key="x"))
            except ChannelClosed as error:
                return error.code == 404
            await probe.close()
            return False

        await eventually(is_gone, every_s=0.2)
        await channel.connection.close()

    run(steps())


def test_deleting_a_queue_tells_its_consumers(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue))
        inbox = Inbox(channel)
        await channel.request(Consume(queue=queue, consumer_tag="me", no_ack=True))
        other = await place.channel()
        await other.request(commands.Queue.Delete(queue=queue))
        assert await asyncio.wait_for(inbox.cancelled.get(), 5) == "me"
        await channel.connection.close()
        await other.connection.close()

    run(steps())


def test_exclusive_and_auto_delete_queues_go_with_their_users(place: Place) -> None:
    async def steps() -> None:
        mine, other = await place.channel(), await place.channel()
        await mine.request(Declare(queue=place.name("exclusive"), exclusive=True))
        await mine.request(Declare(queue=place.name("auto"), auto_delete=True))
        await mine.request(Consume(queue=place.name("auto"), consumer_tag="c"))
        with pytest.raises(ChannelClosed, match="RESOURCE_LOCKED") as locked:
            await other.request(Declare(queue=place.name("exclusive"), passive=True))
        assert locked.value.code == 405
        await mine.connection.close()
        for queue in ("exclusive", "auto"):
            probe = await other.connection.channel()
            with pytest.raises(ChannelClosed, match="NOT_FOUND - no queue"):
                await probe.request(Declare(queue=place.name(queue), passive=True))
        await other.connection.close()

    run(steps())


def test_a_message_larger_than_a_frame_arrives_whole(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue, exclusive=True))
        body = bytes(range(256)) * 2_600
        inbox = Inbox(channel)
        await channel.request(Consume(queue=queue, consumer_tag="c"))
        await send(channel, "", queue, body, b"", b"x")
        assert await inbox.take(3) == [body, b"", b"x"]
        await channel.connection.close()

    run(steps())


def test_purge_and_delete_count_what_they_drop(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        queue = place.name("q")
        await channel.request(Declare(queue=queue))
        await send(channel, "", queue, b"0", b"1", b"2")
        purged = await channel.request(commands.Queue.Purge(queue=queue))
        await send(channel, "", queue, b"3")
        deleted = await channel.request(commands.Queue.Delete(queue=queue))
        assert (dict(purged), dict(deleted)) == ({"message_count": 3}, {"message_count": 1})
        await channel.connection.close()

    run(steps())
