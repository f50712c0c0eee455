"""The embedded broker in trouble: alarms, slow readers, silence, broken frames, limits, its own end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from pamqp import commands

from harness.emulator.messaging.connection import Connection
from harness.emulator.messaging.errors import ChannelClosed
from tests.emulator.broker.inbox import Inbox, depth, send, until_depth
from tests.emulator.broker.place import Place, eventually, run, start_embedded, stop_embedded

Declare, Consume = commands.Queue.Declare, commands.Basic.Consume


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def alarm(place: Place, watermark: int) -> None:
    status, _ = await place.manage("PUT", "squall/memory", {"watermark": watermark})
    assert status == 204


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
