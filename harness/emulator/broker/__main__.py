"""`python -m harness.emulator.broker`: one broker process.

    --listen HOST:PORT       AMQP 0-9-1; port 0 takes a free one
    --socket PATH            AMQP 0-9-1 on a unix socket, too
    --management HOST:PORT   HTTP management, RabbitMQ's paths; port 0 takes a free one
    --user NAME --password-file FILE   the first user; the file's first line is the password
    --heartbeat S --memory-watermark BYTES

When both ports accept connections it prints one line on stdout, `ready amqp=HOST:PORT management=HOST:PORT`, and
nothing more; the log goes to stderr. SIGTERM and SIGINT close every connection (320 CONNECTION_FORCED) and end it with
exit code 0. All queues live in memory: whatever ends the process, messages and queues are gone, as with classic
non-durable queues.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from harness.emulator.broker.management import Management
from harness.emulator.broker.server import Broker, BrokerSettings


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.emulator.broker", description="embedded AMQP 0-9-1 broker")
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 5672), metavar="HOST:PORT")
    parser.add_argument("--socket", default="", metavar="PATH")
    parser.add_argument("--management", type=_address, default=("127.0.0.1", 15672), metavar="HOST:PORT")
    parser.add_argument("--user", default="openstack")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--heartbeat", type=int, default=60, metavar="S")
    parser.add_argument("--memory-watermark", type=int, default=256 * 1024 * 1024, metavar="BYTES")
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code."""
    password = options.password_file.read_text().splitlines()[0]
    settings = BrokerSettings(heartbeat_s=options.heartbeat, memory_watermark_bytes=options.memory_watermark)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(settings, user=options.user, password=password)
    management = Management(broker)
    port = await broker.start(*options.listen, path=options.socket)
    management_port = await management.start(*options.management)
    print(f"ready amqp={options.listen[0]}:{port} management={options.management[0]}:{management_port}", flush=True)
    await stop.wait()
    await management.stop()
    await broker.stop()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the process."""
    options = _arguments(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # What is alive after the imports stays; cycles are rare here, so collect seldom.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    code: int = uvloop.run(serve(options))
    return code


if __name__ == "__main__":
    sys.exit(main())
