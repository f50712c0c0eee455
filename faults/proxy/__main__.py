"""`python -m faults.proxy --config FILE.json`: run the proxy until SIGTERM or SIGINT.

When every link listens, one JSON line goes to stdout and, if the configuration names one, into the ready file (0600):
    {"pid": 1, "control": "127.0.0.1:40001", "links": {"database": "127.0.0.1:40002"}}
Exit codes: 0 after a signal, 2 when the configuration or an address cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from faults.proxy.api import Api
from faults.proxy.config import ConfigInvalid, ProxyConfig, load_config, parse_address, read_token
from faults.proxy.http import ControlProtocol
from faults.proxy.proxies import Proxies


def main(arguments: list[str] | None = None) -> int:
    """Run; see the module."""
    parser = argparse.ArgumentParser(prog="python -m faults.proxy", description="TCP links with toxics")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see faults/proxy/config.py")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        token = read_token(config.control)
    except ConfigInvalid as error:
        print(f"squall: proxy: {error}", file=sys.stderr)
        return 2
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config, token))
    except OSError as error:
        print(f"squall: proxy: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


async def serve(config: ProxyConfig, token: str) -> None:
    """Start all links and control, say so, and wait for a signal.

    Raises:  OSError when an address is not to be had; then nothing listens any more.
    """
    proxies = Proxies(config)
    try:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        for link in config.links:
            await proxies.add_link(link)
        api = Api(proxies, token)
        host, port = parse_address(config.control.listen, "control.listen")
        control = await loop.create_server(lambda: ControlProtocol(api), host, port)
        announce(config, f"{host}:{control.sockets[0].getsockname()[1]}", proxies)
        await stop.wait()
        control.close()
    finally:
        await proxies.close()


def announce(config: ProxyConfig, control: str, proxies: Proxies) -> None:
    """The ready line, on stdout and atomically into the ready file."""
    line = json.dumps(
        {
            "pid": os.getpid(),
            "control": control,
            "links": {name: link.listen for name, link in proxies.links.items()},
        }
    )
    if config.ready_file:
        temporary = Path(f"{config.ready_file}.{os.getpid()}")
        temporary.write_text(line + "\n", encoding="utf-8")
        temporary.chmod(0o600)
        temporary.replace(config.ready_file)
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
