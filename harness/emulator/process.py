"""One process of the emulated control plane: `python -m harness.emulator.process ROLE --state DIR [--index N]`.

A role is a set of modules that export `async def start(runtime) -> Any`, which returns when it serves; what it returns
may have `async def close()`. The supervisor forks roles instead of running this command; both end in `run`.
"""

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from harness.emulator import settings as settings_module
from harness.emulator.runtime import Runtime
from harness.emulator.settings import SERVICES, Settings

log = logging.getLogger(__name__)
CLOSE_WITHIN_S = 2.0
WORKERS = {
    "conductor": ("harness.emulator.nova.conductor",),
    "scheduler": ("harness.emulator.nova.scheduler",),
    "compute": ("harness.emulator.nova.compute",),
    "network": ("harness.emulator.neutron.plugin_rpc", "harness.emulator.neutron.agents"),
}
ROLES = ("bootstrap", "api", *WORKERS)
# keystone judges tokens for all others, and placement and neutron are called during nova's bootstrap, if ever.
BOOTSTRAP_ORDER = ("keystone", "glance", "placement", "neutron", "nova")


def preload(settings: Settings) -> None:
    """Import what the roles need, so that forked processes share it. Starts no loop and no thread."""
    for name in ("uvloop", "httptools", "uvicorn", "harness.emulator.http.server", "harness.emulator.http.control"):
        importlib.import_module(name)
    for name in ("harness.emulator.schemas", "harness.emulator.messaging"):
        importlib.import_module(name)
    for service in dict.fromkeys(name for hosted in settings.api.values() for name in hosted):
        importlib.import_module(f"harness.emulator.{service}.api")
    for modules in WORKERS.values():
        for module in modules:
            importlib.import_module(module)


def run(settings: Settings, name: str, role: str, index: int, *, ready_fd: int | None = None) -> int:
    """Play a role until SIGTERM or SIGINT. Returns the exit code.

    Args: ready_fd: gets one byte when the role serves, and is closed.
    """
    import uvloop

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if role == "bootstrap":
                runner.run(bootstrap(settings))
            else:
                runner.run(_serve(settings, name, role, index, ready_fd))
    except KeyboardInterrupt:
        return 130
    except Exception:
        log.exception("%s cannot go on", name)
        return 1
    return 0


async def bootstrap(settings: Settings) -> None:
    """Create databases, tables and the initial rows of every service. Safe to repeat."""
    from harness.emulator import schemas

    await schemas.create(settings.database)
    runtime = Runtime(settings, "bootstrap")
    try:
        for service in BOOTSTRAP_ORDER:
            await importlib.import_module(f"harness.emulator.{service}.bootstrap").bootstrap(runtime)
    finally:
        await runtime.close()


async def _serve(settings: Settings, name: str, role: str, index: int, ready_fd: int | None) -> None:
    from harness.emulator.http.control import ControlApp
    from harness.emulator.http.server import HttpServer

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runtime = Runtime(settings, role, index)
    closing = contextlib.AsyncExitStack()
    async with closing:
        closing.push_async_callback(_within, runtime.close())
        control = ControlApp(runtime, name)
        control.lag.start()
        closing.callback(control.lag.stop)
        closing.callback(control.switches.stop)
        port = settings.control_ports.get(name)
        if port:
            server = HttpServer(control)
            await server.listen("127.0.0.1", port)
            closing.push_async_callback(server.close, 0.0)
        starting = asyncio.ensure_future(_start_role(runtime, name, role, closing))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        # What lives now stays. With the collector's usual thresholds a compute of 1,000 hypervisors spent 9 % of a
        # burst on walking over it; what requests leave behind has hardly any cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        log.info("%s is ready", name)
        if ready_fd is not None:
            os.write(ready_fd, b"1")
            os.close(ready_fd)
        await stopping


async def _start_role(runtime: Runtime, name: str, role: str, closing: contextlib.AsyncExitStack) -> None:
    hosted = runtime.settings.api.get(name, list(SERVICES)) if role == "api" else []
    if role != "api" or not {"nova", "neutron"}.isdisjoint(hosted):
        await runtime.bus.start()
    if role != "api":
        for part in WORKERS[role]:
            _closes(closing, await importlib.import_module(part).start(runtime))
        return
    from harness.emulator.http.server import HttpServer

    for service in hosted:
        module = importlib.import_module(f"harness.emulator.{service}.api")
        app = module.application(runtime)
        runtime.apps[service] = app
        if hasattr(module, "start"):
            _closes(closing, await module.start(runtime, app))
        server = HttpServer(app, head_within_s=runtime.settings.head_timeout_s)
        is_shared = len(runtime.settings.hosting(service)) > 1
        await server.listen(runtime.settings.host, runtime.settings.ports[service], shared=is_shared)
        closing.push_async_callback(server.close)


def _closes(closing: contextlib.AsyncExitStack, part: Any) -> None:
    if hasattr(part, "close"):
        closing.push_async_callback(lambda: _within(part.close()))


async def _within(closing: Any) -> None:
    """Closing may wait for a broker or a database that hangs; the process ends all the same."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await closing


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.emulator.process")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--index", type=int, default=0)
    options = parser.parse_args(arguments)
    settings = settings_module.load(options.state)
    names = [name for name, role, index in settings.processes() if (role, index) == (options.role, options.index)]
    if options.role != "bootstrap" and not names:
        parser.error(f"this cloud has no {options.role} number {options.index}")
    return run(settings, names[0] if names else options.role, options.role, options.index)


if __name__ == "__main__":
    sys.exit(main())
