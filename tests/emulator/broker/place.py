"""Brokers to test against: the embedded one as a process and, marked `servers`, a real RabbitMQ."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httptools
import orjson
import pytest
import uvloop

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.connection import Address, Connection
from tests.servers import rabbitmq

T = TypeVar("T")
# Real servers only when asked for: the embedded broker must do without.
BOTH = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers("RabbitMQ"))]


@dataclass
class Place:
    """A broker to talk to. Names made with `name` differ from test to test."""

    address: Address
    management: tuple[str, int] | None = None
    process: subprocess.Popen[str] | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def name(self, text: str) -> str:
        return f"t-{self.mark}-{text}"

    def url(self) -> str:
        a = self.address
        vhost = "" if a.virtual_host == "/" else a.virtual_host
        return f"amqp://{a.user}:{a.password}@{a.host}:{a.port}/{vhost}"

    async def connect(self, **options: Any) -> Connection:
        return await Connection.open(self.address, name="test", timeout_s=5, **options)

    async def channel(self, *, confirms: bool = True) -> Channel:
        channel = await (await self.connect()).channel()
        if confirms:
            await channel.enable_confirms()
        return channel

    async def manage(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request to the management API."""
        assert self.management is not None
        reader, writer = await asyncio.open_connection(*self.management)
        content = b"" if body is None else orjson.dumps(body)
        login = base64.b64encode(f"{self.address.user}:{self.address.password}".encode()).decode()
        head = f"{verb} /api/{path} HTTP/1.1\r\nhost: broker\r\nauthorization: Basic {login}\r\nconnection: close\r\n"
        head += "content-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while data := await asyncio.wait_for(reader.read(65536), 5):
            parser.feed_data(data)
        writer.close()
        return parser.get_status_code(), orjson.loads(answer.body) if answer.body else None


class _Answer:
    def __init__(self) -> None:
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.body += data


def start_embedded(directory: Path, *options: str) -> Place:
    """Start a broker process on free ports and wait for its ready line."""
    secret = directory / "password"
    secret.write_text("test-password\n")
    command = [sys.executable, "-m", "harness.emulator.broker", "--listen", "127.0.0.1:0"]
    command += ["--management", "127.0.0.1:0", "--user", "openstack", "--password-file", str(secret), *options]
    log = (directory / "broker.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    words = dict(word.split("=") for word in ready.split()[1:])
    host, port = words["amqp"].split(":")
    management = words["management"].split(":")
    address = Address(host, int(port), "openstack", "test-password")
    return Place(address, (management[0], int(management[1])), process)


def stop_embedded(place: Place) -> int:
    """End the process politely. Returns its exit code."""
    assert place.process is not None
    if place.process.poll() is None:
        place.process.send_signal(signal.SIGCONT)
        place.process.terminate()
    try:
        return place.process.wait(10)
    finally:
        if place.process.poll() is None:
            place.process.kill()
            place.process.wait(5)
        if place.process.stdout is not None:
            place.process.stdout.close()


def real() -> Place:
    """The RabbitMQ that the environment names."""
    where = rabbitmq.settings()
    address = Address(where.host, where.port, where.user, where.password, where.virtual_host)
    return Place(address, (where.host, where.management_port))


def run(steps: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
    """Run a test's coroutine on uvloop within a deadline; what it leaves open is cancelled."""

    async def bounded() -> T:
        return await asyncio.wait_for(steps, timeout_s)

    result: T = uvloop.run(bounded())
    return result


async def eventually(holds: Callable[[], Awaitable[bool]], *, every_s: float = 0.02, within_s: float = 5.0) -> None:
    """Wait until the other process is seen to be as wanted: it has no event that could be awaited here."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(every_s)
