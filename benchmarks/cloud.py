"""What the embedded cloud costs when nothing happens: time to start, memory, and idle CPU of every process.

    python -m benchmarks.cloud [--hypervisors 1000] [--idle-s 30] [--time-scale 1.0] [--state DIR]

Memory is the proportional set size (shared pages are shared out); CPU is user + system time from /proc, as a share of
one core while idle. Start times are wall clock, so they depend on what else the machine does; its load is shown.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness.emulator import cloud
from harness.emulator.settings import HypervisorSettings, Settings


def main(arguments: list[str] | None = None) -> int:
    """Start twice (fresh data, kept data), idle, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud")
    parser.add_argument("--hypervisors", type=int, default=1000)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--idle-s", type=float, default=30.0)
    parser.add_argument("--settle-s", type=float, default=10.0)
    parser.add_argument("--state", type=Path)
    options = parser.parse_args(arguments)
    state = options.state or Path(tempfile.mkdtemp(prefix="squall-bench-"))
    try:
        first_s = cloud.up(_settings(options), state)
        cloud.down(state)
        second_s = cloud.up(_settings(options), state)
        time.sleep(options.settle_s)
        before = cloud.status(state)
        began = time.monotonic()
        time.sleep(options.idle_s)
        after = cloud.status(state)
        idle_s = time.monotonic() - began
    finally:
        cloud.down(state, wipe=True)
        shutil.rmtree(state, ignore_errors=True)
    print(f"{options.hypervisors} hypervisors, time_scale {options.time_scale}, load average {os.getloadavg()[0]:.1f}")
    print(f"ready after {first_s:.1f} s (fresh data), {second_s:.1f} s (kept data)")
    print(f"{'process':<14}{'PSS MiB':>9}{'idle CPU %':>12}")
    cpu_before = {process.name: process.cpu_s for process in before.processes}
    for process in after.processes:
        share = (process.cpu_s - cpu_before.get(process.name, 0.0)) / idle_s
        print(f"{process.name:<14}{process.pss_bytes / 2**20:>9.1f}{100 * share:>12.2f}")
    total = sum(process.cpu_s for process in after.processes) - sum(cpu_before.values())
    print(f"{'all':<14}{sum(p.pss_bytes for p in after.processes) / 2**20:>9.1f}{100 * total / idle_s:>12.2f}")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    taken: set[int] = set()
    return Settings(
        time_scale=options.time_scale,
        hypervisors=HypervisorSettings(count=options.hypervisors),
        ports={service: cloud.free_port(taken) for service in Settings().ports},
    )


if __name__ == "__main__":
    sys.exit(main())
