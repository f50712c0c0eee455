"""The embedded broker in trouble: alarms, slow readers, silence, broken frames, limits, its own end."""

from __future__ import annotations

import asyncio
import os
import signal

import aio_pika
import pytest
from pamqp import commands

from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost
from harness.wire import amqp
from tests.emulator.broker.inbox import PLAIN, Inbox, depth, send, until_depth
from tests.emulator.broker.place import Place, eventually, run, start_embedded, stop_embedded

Declare, Consume = commands.Queue.Declare, commands.Basic.Consume


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def alarm(place: Place, watermark: int) -> None:
    status, _ = await place.manage("PUT", "squall/memory", {"watermark": watermark})
    assert status == 201


def test_under_an_alarm_publishers_hang_and_consumers_go_on(own: Place) -> None:
    async def steps() -> None:
        consumer, publisher = await own.channel(), await own.channel()
        await consumer.request(Declare(queue="q"))
        await send(publisher, "", "q", b"before")
        await alarm(own, 0)
        # The first publish under the alarm is taken, and blocks the connection.
        await send(publisher, "", "q", b"first")

        async def is_blocked() -> bool:
            return not publisher.connection.is_writable

        await eventually(is_blocked)
        late = asyncio.create_task(publisher.wait_slot())
        inbox = Inbox(consumer)
        await consumer.request(Consume(queue="q", consumer_tag="c"))
        assert await inbox.take(2) == [b"before", b"first"]
        consumer.ack(2)
        # Longer than two heartbeats of 1 s: a blocked connection is deaf, not dead.
        _, pending = await asyncio.wait([late], timeout=2.5)
        assert pending
        status, health = await own.manage("GET", "health/checks/alarms")
        assert (status, health["status"]) == (503, "failed")
        await alarm(own, 1 << 28)
        await asyncio.wait_for(late, 5)
        await send(publisher, "", "q", b"after")
        assert await inbox.take(1) == [b"after"]
        assert (await own.manage("GET", "health/checks/alarms"))[0] == 200
        await consumer.connection.close()
        await publisher.connection.close()

    run(steps())


def test_the_watermark_is_reached_by_messages_and_left_by_consuming_them(own: Place) -> None:
    async def steps() -> None:
        await alarm(own, 1_000_000)
        channel, other = await own.channel(), await own.channel()
        await channel.request(Declare(queue="q"))
        sent = 0
        while channel.has_slot and sent < 2_000:
            await send(channel, "", "q", b"x" * 10_000)
            await asyncio.sleep(0)
            sent += 1
        assert 90 <= sent <= 110
        await other.request(commands.Queue.Purge(queue="q"))
        await asyncio.wait_for(channel.wait_slot(), 5)
        await channel.connection.close()
        await other.connection.close()

    run(steps())


def test_a_consumer_that_does_not_read_costs_no_memory(own: Place) -> None:
    async def steps() -> None:
        assert own.process is not None
        channel = await own.channel()
        await channel.request(Declare(queue="q"))
        slow = await own.channel()
        await slow.request(Consume(queue="q", consumer_tag="c", no_ack=True))
        assert slow.connection._transport is not None
        slow.connection._transport.pause_reading()
        body = b"x" * 100_000
        for _ in range(400):
            await send(channel, "", "q", body)
        waiting = await depth(channel, "q")
        # What is not in the queue is in two socket buffers and in at most 1 MiB of ours.
        assert waiting > 200
        assert resident_bytes(own.process.pid) < 150_000_000
        slow.connection._transport.resume_reading()
        await until_depth(channel, "q", 0)
        await channel.connection.close()
        await slow.connection.close()

    run(steps())


def test_a_silent_client_is_dropped_and_its_messages_return(own: Place) -> None:
    async def steps() -> None:
        channel = await own.channel()
        await channel.request(Declare(queue="q"))
        await send(channel, "", "q", b"m")
        silent = await own.connect(heartbeat_s=1)
        other = await silent.channel()
        inbox = Inbox(other)
        await other.request(Consume(queue="q", consumer_tag="c"))
        await inbox.take(1)
        assert await depth(channel, "q") == 0
        assert silent._beat is not None
        silent._beat.cancel()
        async with asyncio.timeout(8):
            await silent.closed
        await until_depth(channel, "q", 1)
        await channel.connection.close()

    run(steps())


def test_idle_connections_live_on_heartbeats(own: Place) -> None:
    async def steps() -> None:
        connection = await own.connect(heartbeat_s=1)
        done, _ = await asyncio.wait([connection.closed], timeout=3.5)
        assert not done
        await connection.close()

    run(steps())


def test_a_hung_broker_is_noticed(own: Place) -> None:
    async def steps() -> None:
        assert own.process is not None
        connection = await own.connect(heartbeat_s=1)
        own.process.send_signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(6):
                reason = await connection.closed
        finally:
            own.process.send_signal(signal.SIGCONT)
        assert "no sign of life" in str(reason)

    run(steps())


def test_limits_and_permissions_refuse_new_users_in_rabbitmqs_words(own: Place) -> None:
    async def steps() -> None:
        await own.manage("PUT", "vhost-limits/%2F/max-connections", {"value": 1})
        first = await own.channel()
        with pytest.raises(ConnectionLost, match=r"530 NOT_ALLOWED - access to vhost '/' refused .* limit \(1\)"):
            await own.connect()
        await first.request(Declare(queue="old ones work on"))
        await own.manage("DELETE", "vhost-limits/%2F/max-connections")
        await own.manage("PUT", "user-limits/openstack/max-channels", {"value": 1})
        with pytest.raises(ConnectionLost, match="530 NOT_ALLOWED - number of channels opened"):
            await first.connection.channel()
        await own.manage("DELETE", "user-limits/openstack/max-channels")
        second = await own.channel()
        await own.manage("PUT", "permissions/%2F/openstack", {"configure": "^$", "write": "^nova$", "read": ".*"})
        with pytest.raises(ChannelClosed, match="403 ACCESS_REFUSED - access to queue 'x' in vhost '/'"):
            await second.request(Declare(queue="x"))
        third = await second.connection.channel()
        with pytest.raises(ChannelClosed, match=r"403 ACCESS_REFUSED - access to exchange 'amq.default'"):
            await third.publish(amqp.route_bytes("", "x"), PLAIN, b"m")
        await second.connection.close()

    run(steps())


def test_the_management_api_shows_and_changes_what_rabbitmqs_does(own: Place) -> None:
    async def steps() -> None:
        channel = await own.channel()
        await channel.request(Declare(queue="q", arguments={"x-expires": 60_000}))
        await send(channel, "", "q", b"one", b"two")
        await channel.request(commands.Basic.Qos(0, 1, False))
        inbox = Inbox(channel)
        await channel.request(Consume(queue="q", consumer_tag="c"))
        await inbox.take(1)
        status, queue = await own.manage("GET", "queues/%2F/q")
        shown = {name: queue[name] for name in ("messages", "messages_ready", "messages_unacknowledged", "consumers")}
        assert (status, shown) == (
            200,
            {"messages": 2, "messages_ready": 1, "messages_unacknowledged": 1, "consumers": 1},
        )
        _, overview = await own.manage("GET", "overview")
        assert overview["object_totals"] == {
            "channels": 1, "connections": 1, "consumers": 1, "exchanges": 4, "queues": 1,
        }  # fmt: skip
        assert overview["queue_totals"] == {"messages": 2, "messages_ready": 1, "messages_unacknowledged": 1}
        _, [node] = await own.manage("GET", "nodes")
        assert (node["mem_alarm"], node["running"]) == (False, True)
        _, [connection] = await own.manage("GET", "connections")
        assert (connection["user"], connection["state"]) == ("openstack", "running")
        assert (await own.manage("GET", "nothing"))[0] == 404
        assert (await own.manage("PUT", "permissions/%2F/openstack", {"configure": ""}))[0] == 400
        assert (await own.manage("DELETE", "queues/%2F/q/contents"))[0] == 204
        assert (await own.manage("GET", "queues/%2F/q"))[1]["messages"] == 1
        assert (await own.manage("DELETE", "queues/%2F/q"))[0] == 204
        assert await asyncio.wait_for(inbox.cancelled.get(), 5) == "c"
        name = connection["name"].replace(" ", "%20").replace(">", "%3E")
        assert (await own.manage("DELETE", f"connections/{name}"))[0] == 204
        assert "320 CONNECTION_FORCED - Closed via management" in str(await asyncio.wait_for(channel.closed, 5))
        intruder = Place(Address(own.address.host, own.address.port, "openstack", "wrong"), own.management)
        assert (await intruder.manage("GET", "overview"))[0] == 401

    run(steps())


def test_sigterm_says_goodbye_and_sigkill_loses_the_queues(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def use(place: Place) -> Connection:
        channel = await place.channel()
        await channel.request(Declare(queue="q", durable=True))
        await send(channel, "", "q", b"m")
        return channel.connection

    polite = start_embedded(tmp_path_factory.mktemp("broker"))

    async def steps() -> None:
        assert polite.process is not None
        connection = await use(polite)
        polite.process.terminate()
        assert "320 CONNECTION_FORCED" in str(await asyncio.wait_for(connection.closed, 5))

    try:
        run(steps())
        assert polite.process is not None
        assert polite.process.wait(5) == 0
    finally:
        stop_embedded(polite)
    port = polite.address.port
    first = start_embedded(tmp_path_factory.mktemp("broker"))
    try:
        assert first.process is not None
        run(use(first))
        first.process.kill()
        first.process.wait(5)
    finally:
        stop_embedded(first)
    second = start_embedded(tmp_path_factory.mktemp("broker"), "--listen", f"127.0.0.1:{port}")

    async def look() -> None:
        channel = await second.channel()
        with pytest.raises(ChannelClosed, match="NOT_FOUND"):
            await channel.request(Declare(queue="q", passive=True))
        await channel.connection.close()

    try:
        run(look())
    finally:
        stop_embedded(second)


def test_aio_pika_works_on_it(broker: Place) -> None:
    async def steps() -> None:
        connection = await aio_pika.connect(broker.url())
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.set_qos(prefetch_count=2)
            exchange = await channel.declare_exchange(broker.name("x"), aio_pika.ExchangeType.TOPIC, auto_delete=True)
            queue = await channel.declare_queue(broker.name("q"), exclusive=True)
            await queue.bind(exchange, "a.#")
            for number in range(5):
                await exchange.publish(aio_pika.Message(b"%d" % number, headers={"n": number}), "a.b")
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await exchange.publish(aio_pika.Message(b"lost"), "b")
            first = await queue.get(timeout=5)
            assert (first.body, first.headers) == (b"0", {"n": 0})
            await first.nack(requeue=True)
            seen = []
            async with queue.iterator() as messages:
                async for message in messages:
                    seen.append((message.body, message.redelivered))
                    await message.ack()
                    if len(seen) == 5:
                        break
            assert seen == [(b"0", True), (b"1", False), (b"2", False), (b"3", False), (b"4", False)]
            assert await queue.get(fail=False, timeout=1) is None

    run(steps())
