"""Memory and disk alarms: what publishers and consumers see of them, on both brokers and through every library.

RabbitMQ's alarms are raised with rabbitmqctl, the embedded broker's over its management API.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pamqp import commands

from harness.wire import amqp
from tests.emulator.broker.place import Place, eventually
from tests.emulator.broker.stage import Stage
from tests.emulator.broker.wire import Wire, line
from tests.servers import rabbitmq

PUBLISH = amqp.publish_frame(1, amqp.route_bytes("", "nobody")) + amqp.content_frames(1, b"\0\0", b"m")


@asynccontextmanager
async def alarm(place: Place, resource: str = "memory") -> AsyncIterator[None]:
    """An alarm for the length of the block."""
    if place.process is not None:
        assert (await place.manage("PUT", f"squall/alarms/{resource}"))[0] == 204
    else:
        if rabbitmq.CONTROL not in os.environ:
            pytest.skip("only rabbitmqctl raises an alarm, and this broker was not started by the tests")
        raised = {"memory": ("set_vm_memory_high_watermark", "0"), "disk": ("set_disk_free_limit", "1000000GB")}
        await asyncio.to_thread(rabbitmq.control, *raised[resource])
    try:
        await eventually(lambda: is_failing(place), within_s=15)
        yield
    finally:
        if place.process is not None:
            await place.manage("DELETE", f"squall/alarms/{resource}")
        else:
            cleared = {"memory": ("set_vm_memory_high_watermark", "0.6"), "disk": ("set_disk_free_limit", "50MB")}
            await asyncio.to_thread(rabbitmq.control, *cleared[resource])


async def is_failing(place: Place) -> bool:
    return (await place.manage("GET", "health/checks/alarms"))[0] == 503


async def test_under_an_alarm_publishers_wait_until_it_is_over_and_nothing_is_lost(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(other)
        async with alarm(stage.place):
            waiting = asyncio.create_task(client.publish("", queue, b"m"))
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            # The one publish that RabbitMQ may still take, and which blocks the connection.
            if done:
                waiting = asyncio.create_task(client.publish("", queue, b"m"))
                assert not (await asyncio.wait([waiting], timeout=0.5))[0]
        await waiting
        await eventually(lambda: has_arrived(stage, other, queue))


async def has_arrived(stage: Stage, client: object, queue: str) -> bool:
    return (await client.ready(queue)) >= 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("resource", ["memory", "disk"])
async def test_a_publisher_is_told_that_it_is_blocked_why_and_until_when(place: Place, resource: str) -> None:
    publisher, consumer = await Wire.open(place), await Wire.open(place)
    async with alarm(place, resource):
        publisher.tell(PUBLISH)
        assert line(await publisher.expect(commands.Connection.Blocked)) == (
            f"Connection.Blocked reason='low on {resource}'"
        )
        # Whoever does not publish goes on.
        consumer.tell(commands.Queue.Declare(queue=place.name("q"), exclusive=True))
        await consumer.expect(commands.Queue.DeclareOk)
    await publisher.expect(commands.Connection.Unblocked, within_s=15)
    await publisher.close()
    await consumer.close()


async def test_an_alarm_is_shown_by_node_and_health_check(place: Place) -> None:
    async with alarm(place):
        _, check = await place.manage("GET", "health/checks/alarms")
        assert (check["status"], check["reason"]) == ("failed", "There are alarms in effect in the cluster")
        assert [one["resource"] for one in check["alarms"]] == ["memory"]

        async def is_shown() -> bool:
            _, [node] = await place.manage("GET", "nodes")
            return bool(node["mem_alarm"]) and not node["disk_free_alarm"]

        await eventually(is_shown)


async def test_an_alarm_lasts_until_both_of_its_causes_are_gone(own: Place) -> None:
    await own.manage("PUT", "squall/alarms/memory")
    await own.manage("PUT", "squall/memory", {"watermark": 0})
    await own.manage("DELETE", "squall/alarms/memory")
    assert (await own.manage("GET", "squall/alarms"))[1] == {"on": ["memory"], "held": []}
    await own.manage("PUT", "squall/memory", {"watermark": 1 << 28})
    assert (await own.manage("GET", "squall/alarms"))[1] == {"on": [], "held": []}
