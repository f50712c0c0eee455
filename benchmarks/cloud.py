"""What the embedded cloud costs when nothing happens: time to start, memory, and idle CPU of every process.

    python -m benchmarks.cloud [--hypervisors 1000] [--idle-s 30] [--time-scale 1.0] [--state DIR]

Memory is the proportional set size (shared pages are shared out); CPU is user + system time from /proc, as a share of
one core while idle. Start times are wall clock, so they depend on what else the machine does; its load is shown.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, cpu_seconds, machine, table
from harness.emulator import cloud
from harness.emulator.preparation import free_port
from harness.emulator.settings import HypervisorSettings, Settings
from harness.emulator.status import status

READY_S, PSS_MIB, IDLE_PERCENT = 5.0, 500.0, 5.0


def figures(
    hypervisors: int = 1000,
    time_scale: float = 1.0,
    idle_s: float = 30.0,
    settle_s: float = 10.0,
    state: Path | None = None,
) -> list[Figure]:
    """Start twice (fresh data, kept data), settle, idle."""
    state = state or Path(tempfile.mkdtemp(prefix="squall-bench-"))
    settings = _settings(hypervisors, time_scale)
    try:
        first_s = cloud.up(settings, state)
        cloud.down(state)
        second_s = cloud.up(settings, state)
        time.sleep(settle_s)
        before = {process.name: cpu_seconds(process.pid) for process in status(state).processes if process.pid}
        began = time.monotonic()
        time.sleep(idle_s)
        processes = status(state).processes
        took_s = time.monotonic() - began
        after = {process.name: cpu_seconds(process.pid) for process in processes if process.pid}
    finally:
        cloud.down(state, wipe=True)
        shutil.rmtree(state, ignore_errors=True)
    share = {name: 100 * (after[name] - before.get(name, 0.0)) / took_s for name in after}
    # All others are the supervisor's children, and are in its sum.
    share["supervisor"] = max(0.0, 2 * share["supervisor"] - sum(share.values()))
    pss = {process.name: process.pss_bytes / 2**20 for process in processes}
    found = [
        Figure("ready, fresh data", first_s, "s"),
        Figure("ready, kept data", second_s, "s", READY_S),
        Figure("memory (PSS) of all processes", sum(pss.values()), "MiB", PSS_MIB),
        *(Figure(f"  {name}", value, "MiB") for name, value in pss.items()),
        Figure("CPU of all processes, share of one core", sum(share.values()), "%", IDLE_PERCENT),
        *(Figure(f"  {name}", value, "%") for name, value in share.items()),
    ]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m benchmarks.cloud`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud")
    parser.add_argument("--hypervisors", type=int, default=1000)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--idle-s", type=float, default=30.0)
    parser.add_argument("--settle-s", type=float, default=10.0)
    parser.add_argument("--state", type=Path)
    given = parser.parse_args(arguments)
    print(machine())
    title = f"{given.hypervisors} hypervisors, time_scale {given.time_scale}"
    print(table(title, figures(given.hypervisors, given.time_scale, given.idle_s, given.settle_s, given.state)))
    return 0


def _settings(hypervisors: int, time_scale: float) -> Settings:
    taken: set[int] = set()
    return Settings(
        time_scale=time_scale,
        hypervisors=HypervisorSettings(count=hypervisors),
        ports={service: free_port(taken) for service in Settings().ports},
    )


if __name__ == "__main__":
    sys.exit(main())
