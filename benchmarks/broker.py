"""CPU per message of client and broker: publish, confirm, consume, parse, acknowledge one 1 KiB message.

    python -m benchmarks.broker [--messages N] [--in-flight N] [--rounds N]

Pairs: the lean client and aio-pika on the embedded broker, in the same run; the same on RabbitMQ when
SQUALL_TEST_RABBITMQ=amqp://user:password@host:port/vhost names one on this machine. CPU is user + system time of the
process (the client's own, the broker's from /proc), so a busy machine stretches wall time and hardly these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aio_pika
import orjson
import uvloop
from pamqp import commands

from harness.emulator.messaging import Bus, BusSettings, CallContext
from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.envelope import PROPERTIES
from harness.wire.amqp import route_bytes

BODY = orjson.dumps({"method": "build_and_run_instance", "args": {"instance": "x" * 950}, "version": "1.0"})
assert len(BODY) == 1024
QUEUE = "squall-bench"
PREFETCH = 100

Round = Callable[[Address, int, int], Awaitable[None]]


async def lean(address: Address, messages: int, in_flight: int) -> None:
    """The emulator's own client, one connection that publishes and one that consumes, as a service has them."""
    sending = await (await Connection.open(address)).channel()
    listening = await (await Connection.open(address)).channel()
    await sending.enable_confirms()
    await sending.request(commands.Queue.Declare(queue=QUEUE, auto_delete=True))
    received = 0
    done = asyncio.Event()

    def take(_tag: bytes, number: int, _header: bytes, body: bytes) -> None:
        nonlocal received
        orjson.loads(body)
        listening.ack(number)
        received += 1
        if received == messages:
            done.set()

    listening.on_delivery = take
    await listening.request(commands.Basic.Qos(0, PREFETCH, False))
    await listening.request(commands.Basic.Consume(queue=QUEUE, consumer_tag="1"))
    route = route_bytes("", QUEUE)

    async def publish(count: int) -> None:
        for _ in range(count):
            await sending.publish(route, PROPERTIES, BODY)

    await asyncio.gather(*(publish(messages // in_flight) for _ in range(in_flight)))
    await asyncio.wait_for(done.wait(), 60)
    await listening.connection.close()
    await sending.connection.close()


async def pika(address: Address, messages: int, in_flight: int) -> None:
    """aio-pika with confirms and single acknowledgements: what one would use without the lean client."""
    vhost = "" if address.virtual_host == "/" else address.virtual_host
    url = f"amqp://{address.user}:{address.password}@{address.host}:{address.port}/{vhost}"
    sender, listener = await aio_pika.connect(url), await aio_pika.connect(url)
    sending, listening = await sender.channel(), await listener.channel()
    await listening.set_qos(prefetch_count=PREFETCH)
    queue = await listening.declare_queue(QUEUE, auto_delete=True)
    received = 0
    done = asyncio.Event()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal received
        orjson.loads(message.body)
        await message.ack()
        received += 1
        if received == messages:
            done.set()

    await queue.consume(take)
    exchange = sending.default_exchange

    async def publish(count: int) -> None:
        for _ in range(count):
            await exchange.publish(aio_pika.Message(BODY, content_type="application/json"), QUEUE)

    await asyncio.gather(*(publish(messages // in_flight) for _ in range(in_flight)))
    await asyncio.wait_for(done.wait(), 120)
    await listener.close()
    await sender.close()


class _Server:
    async def object_action(self, context: CallContext, instance: str) -> str:
        return instance


async def rpc(address: Address, messages: int, in_flight: int) -> None:
    """Whole RPC calls over `Bus`, caller and server in one process: request, run, reply, both confirmed and acked."""
    bus = Bus(BusSettings(address, name="bench"))
    await bus.start()
    await bus.serve("squall-bench-rpc", _Server(), server="s", exchange="squall-bench")
    payload = {"instance": "x" * 700}

    async def call(count: int) -> None:
        for _ in range(count):
            await bus.call("squall-bench-rpc", "object_action", payload, exchange="squall-bench")

    await asyncio.gather(*(call(messages // in_flight) for _ in range(in_flight)))
    await bus.close()


def broker_cpu_s(pid: int) -> float:
    """User and system CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listening_pid(port: int) -> int | None:
    """The process that listens on a local TCP port; None when it cannot be seen."""
    wanted = f":{port:04X}"
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(os.readlink(file) in inodes for file in (entry / "fd").iterdir()):
                    return int(entry.name)
            except OSError:
                continue
    return None


def measure(run: Round, address: Address, pid: int, messages: int, in_flight: int, rounds: int) -> str:
    """Medians over `rounds`: client us, broker us, messages per second."""
    client, broker, rate = [], [], []
    for _ in range(rounds):
        wall, mine, theirs = time.perf_counter(), time.process_time(), broker_cpu_s(pid)
        uvloop.run(run(address, messages, in_flight))
        client.append((time.process_time() - mine) / messages * 1e6)
        broker.append((broker_cpu_s(pid) - theirs) / messages * 1e6)
        rate.append(messages / (time.perf_counter() - wall))
    medians = [statistics.median(values) for values in (client, broker, rate)]
    return f"{medians[0]:9.1f} {medians[1]:9.1f} {medians[2]:9.0f}"


def main(arguments: list[str] | None = None) -> int:
    """Run all pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    messages = options.messages // options.in_flight * options.in_flight
    print(f"{messages} messages of {len(BODY)} B, {options.in_flight} in flight, prefetch {PREFETCH},", end=" ")
    print(f"median of {options.rounds}; us of CPU per message\n{'':28}   client    broker     per s")
    with tempfile.TemporaryDirectory() as directory:
        secret = Path(directory, "password")
        secret.write_text("bench")
        command = [sys.executable, "-m", "harness.emulator.broker", "--listen", "127.0.0.1:0"]
        command += ["--management", "127.0.0.1:0", "--password-file", str(secret)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1].rpartition(":")[2])
            embedded = Address("127.0.0.1", port, "openstack", "bench")
            _pairs("embedded", embedded, process.pid, messages, options)
        finally:
            process.terminate()
            process.wait(10)
    if url := os.environ.get("SQUALL_TEST_RABBITMQ"):
        parts = urlsplit(url)
        vhost = unquote(parts.path[1:]) or "/"
        address = Address(parts.hostname or "", parts.port or 5672, parts.username or "", parts.password or "", vhost)
        pid = listening_pid(address.port)
        if pid is None:
            print("RabbitMQ: its process is not visible here, left out")
        else:
            _pairs("RabbitMQ", address, pid, messages, options)
    return 0


def _pairs(broker: str, address: Address, pid: int, messages: int, options: argparse.Namespace) -> None:
    for name, run, share in (("lean client", lean, 1), ("aio-pika", pika, 5), ("Bus.call (2 messages)", rpc, 2)):
        count = messages // share // options.in_flight * options.in_flight
        result = measure(run, address, pid, count, options.in_flight, options.rounds)
        print(f"{broker:9} {name:22} {result}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
