"""Frames that are right in form and wrong in content or order, and bytes that are no frames, for the broker."""

import asyncio
import contextlib
import random

from pamqp import commands

from harness.emulator.messaging.connection import Address, Connection
from harness.wire import amqp

METHODS = [index for index in commands.INDEX_MAPPING if index >> 16 in (20, 40, 50, 60, 85, 90)]
WITHIN_S = 10.0


def frames(rng: random.Random, queue: str = "q") -> bytes:
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
                made.append(amqp.publish_frame(channel, amqp.route_bytes("", queue)))
                made.append(amqp.frame(amqp.HEADER, channel, amqp.content_header(5, rng.randbytes(6))))
                made.append(amqp.frame(amqp.BODY, channel, b"x" * rng.choice([5, 5, 4, 9])))
            case 4:
                made.append(amqp.ack_frame(channel, rng.randint(0, 9), multiple=rng.random() < 0.5))
            case 5:
                made.append(amqp.method_frame(channel, commands.Queue.Declare(queue=queue, auto_delete=True)))
    return b"".join(made)


async def attack(address: Address, rng: random.Random) -> tuple[bytes, str]:
    """One bad client. Returns what it sent, and what is wrong with the broker's answer ("" when nothing is)."""
    if rng.random() < 0.4:
        return await _strangers_bytes(address, rng)
    data = frames(rng, "fuzz")
    connection = await Connection.open(address, name="fuzz", timeout_s=WITHIN_S)
    await connection.channel()
    connection.write(data)
    connection.write(amqp.method_frame(0, commands.Connection.Close(200, "bye", 0, 0)))
    try:
        async with asyncio.timeout(WITHIN_S):
            reason = str(await connection.closed)
    except TimeoutError:
        return data, f"the broker did not close the connection within {WITHIN_S} s"
    return data, f"internal error: {reason}" if "541" in reason else ""


async def _strangers_bytes(address: Address, rng: random.Random) -> tuple[bytes, str]:
    """Before any login: the broker hangs up, or waits for more."""
    start = rng.choice((b"", b"AMQP\0\0\x09\x01", b"AMQP\1\1\0\x09", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"))
    data = start + (frames(rng) if rng.random() < 0.5 else rng.randbytes(rng.randint(0, 300)))
    async with asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.5):
                await reader.read()
    finally:
        writer.transport.abort()
    return data, ""
