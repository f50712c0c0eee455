"""Whatever a client sends, the broker answers with a reply code and serves the others."""

from __future__ import annotations

import asyncio
import random
import re

from pamqp import commands

from harness.wire import amqp
from tests.emulator.broker.place import Place, run
from tests.fuzz.amqp import frames


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
