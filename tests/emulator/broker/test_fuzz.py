"""Whatever a client sends, the broker answers with a reply code and serves the others."""

from __future__ import annotations

import asyncio
import random
import re

from pamqp import commands

from harness.wire import amqp
from tests.emulator.broker.place import Place, run

METHODS = [index for index in commands.INDEX_MAPPING if index >> 16 in (20, 40, 50, 60, 85, 90)]


def frames(rng: random.Random) -> bytes:
    """A few frames: right in form, wrong in content or order."""
    made = []
    for _ in range(rng.randint(1, 6)):
        channel = rng.choice([0, 1, 1, 1, 2, 65535])
        match rng.randint(0, 5):
            case 0 | 1:
                arguments = rng.randbytes(rng.choice([0, 1, 4, 9, 30]))
                made.append(amqp.frame(amqp.METHOD, channel, rng.choice(METHODS).to_bytes(4, "big") + arguments))
            case 2:
                made.append(amqp.frame(rng.choice([2, 3]), channel, rng.randbytes(rng.randint(0, 40))))
            case 3:
                made.append(amqp.publish_frame(channel, amqp.route_bytes("", "q")))
                made.append(amqp.frame(amqp.HEADER, channel, amqp.content_header(5, rng.randbytes(6))))
                made.append(amqp.frame(amqp.BODY, channel, b"x" * rng.choice([5, 5, 4, 9])))
            case 4:
                made.append(amqp.ack_frame(channel, rng.randint(0, 9), multiple=rng.random() < 0.5))
            case 5:
                made.append(amqp.method_frame(channel, commands.Queue.Declare(queue="q", auto_delete=True)))
    return b"".join(made)


def test_no_frame_is_an_internal_error_and_none_hurts_the_others(own: Place) -> None:
    async def steps() -> None:
        bystander = await own.channel()
        await bystander.request(commands.Queue.Declare(queue="mine"))
        rng = random.Random(20261122)
        reasons = set()
        for number in range(300):
            connection = await own.connect()
            await connection.channel()
            connection.write(frames(rng))
            connection.write(amqp.method_frame(0, commands.Connection.Close(200, "bye", 0, 0)))
            async with asyncio.timeout(5):
                reason = str(await connection.closed)
            assert "541" not in reason, (number, reason)
            reasons.update(re.findall(r"\b(5\d\d) [A-Z]+_", reason))
        assert {"501", "503", "504", "505", "540"} <= reasons
        await bystander.request(commands.Queue.Declare(queue="mine", passive=True))
        await bystander.connection.close()

    run(steps())
