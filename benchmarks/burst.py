"""How fast an embedded cloud builds servers and answers reads, and what that costs: CPU of each process.

    python -m benchmarks.burst [--servers 500] [--hypervisors 1000] [--rounds 2] [--preload N] [--group-commit]

The load and the cloud share the machine, so wall times are upper bounds; CPU seconds hold. fsync is on and
group commit off unless told otherwise, the fault proxy is in the path, and neither hypervisors nor neutron's sending of
events take simulated time. By default neutron gathers events for 2 s, so a burst lasts up to 2 s longer: also measured.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.asking import Bench, Meter, by_process, running
from benchmarks.figures import Figure, machine, table
from benchmarks.preload import preload
from harness.emulator.settings import NeutronSettings

SERVERS = 500
READY_S = 5.0
GATHER_S = NeutronSettings().notify_nova_interval_s
GROWTH = 1.5  # how much slower a burst may be on a full cloud
READERS = 8
GET_US, GET_GROWTH, PAGE_MS = 600.0, 1.3, 40.0


def figures() -> list[Figure]:
    """A burst on an empty cloud of 1,000 hypervisors: without any simulated wait, with one, and with group commit."""
    with running(1000) as bench:
        found = _bursts(bench, "", at_most=READY_S)
    with running(1000, gather_s=GATHER_S) as bench:
        found += _bursts(bench, f", neutron gathers events for {GATHER_S:.0f} s")
    with running(1000, group_commit=True) as bench:
        found += _bursts(bench, ", group commit")
    return found


def loaded_figures(servers: int = 100_000, hypervisors: int = 10_000) -> list[Figure]:
    """Reads and a burst on a full cloud, against a cloud of 1,000 servers and 1,000 hypervisors."""
    found: list[Figure] = []
    with running(1000) as bench:
        before = _typical_burst(bench, "empty")
        fill(bench, 1000)
        small = reads(bench, "1,000 servers")
    with running(hypervisors) as bench:
        fill(bench, servers)
        large = reads(bench, f"{servers:,} servers")
        after = _typical_burst(bench, "full")
    found += small + large
    found.append(Figure("GET /servers/{id}, against 1,000 servers", large[0].value / small[0].value, "x", GET_GROWTH))
    found.append(Figure(f"{SERVERS} servers ACTIVE, {servers:,} there already", after[0], "s"))
    found.append(Figure("  against an empty cloud", after[0] / before[0], "x", GROWTH))
    found.append(Figure("  CPU of the cloud for each server", after[1] / SERVERS * 1e3, "ms"))
    found.append(Figure("  CPU against an empty cloud", after[1] / before[1], "x", GROWTH))
    return found


def _typical_burst(bench: Bench, name: str, rounds: int = 3) -> tuple[float, float]:
    """Seconds until all were ACTIVE, and CPU seconds: medians, as a shared machine changes its speed."""
    seconds, cpu = zip(*(burst(bench, SERVERS, f"{name}{number}") for number in range(rounds)), strict=True)
    return statistics.median(seconds), statistics.median(cpu)


def _bursts(bench: Bench, remark: str, at_most: float | None = None) -> list[Figure]:
    seconds, cpu = _typical_burst(bench, "burst")
    return [
        Figure(f"all {SERVERS} ACTIVE{remark}", seconds, "s", at_most),
        Figure("  CPU of the cloud", cpu, "s"),
        Figure("  CPU for each server", cpu / SERVERS * 1e3, "ms"),
    ]


def burst(bench: Bench, count: int, name: str) -> tuple[float, float]:
    """One POST of `count` servers, deleted afterwards. Returns seconds until all were ACTIVE, and CPU seconds.

    Raises: RuntimeError when one did not become ACTIVE.
    """
    meter = Meter(bench.cloud)
    begun = time.monotonic()
    bench.post(bench.nova, name, count)
    states = bench.wait_ready(name, count)
    taken, cpu, chunks = time.monotonic() - begun, meter.read(), meter.chunks()
    if states != {"ACTIVE": count}:
        raise RuntimeError(f"{count} servers were asked for, after {taken:.1f} s there are {states}")
    print(f"  {name}: {taken:.2f} s; CPU ms for each server: {by_process(cpu, count)}", flush=True)
    shown = ", ".join(f"{process} {number / count:.1f}" for process, number in sorted(chunks.items()) if number)
    print(f"    reads for each server: {shown}", flush=True)
    bench.delete(name)
    return taken, sum(cpu.values())


def reads(bench: Bench, with_what: str) -> list[Figure]:
    """Reads of one server, by several clients at once as from a swarm, and of pages, one after the other."""
    nova = bench.nova
    unseen = _unseen_page_s(bench)
    ids = [shown["id"] for shown in nova.get("/v2.1/servers?limit=1000")["servers"]]

    def measure(times: int, call: Callable[[int], Any]) -> dict[str, float]:
        call(0)
        meter = Meter(bench.cloud)
        for index in range(times):
            call(index)
        return {name: value / times for name, value in meter.read().items()}

    clients = [bench.client() for _ in range(READERS)]

    def read_all(times: int) -> None:
        def read(reader: int) -> None:
            for index in range(reader, times, READERS):
                clients[reader].get(f"/v2.1/servers/{ids[index % len(ids)]}")

        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(read, range(READERS)))

    read_all(len(ids))
    meter = Meter(bench.cloud)
    read_all(4000)
    one = {name: value / 4000 for name, value in meter.read().items()}
    page = measure(20, lambda _: nova.call("GET", "/v2.1/servers/detail?limit=1000"))
    none = measure(10, lambda _: nova.get("/v2.1/servers?name=^nothing-"))
    get_us = (one["api"] + one["database"]) * 1e6
    return [
        Figure(f"GET /servers/{{id}}, {with_what}: API + database CPU", get_us, "us", GET_US),
        Figure(f"page of 1,000 detailed servers, {with_what}: API CPU", page["api"] * 1e3, "ms", PAGE_MS),
        Figure("  of servers that were never shown before", unseen * 1e3, "ms", PAGE_MS),
        Figure(f"list by a name that none has, {with_what}: API + database CPU",
               (none["api"] + none["database"]) * 1e3, "ms"),
    ]  # fmt: skip


def _unseen_page_s(bench: Bench, most: int = 10) -> float:
    """API CPU of a page of 1,000 detailed servers, none of which the API has shown before: the mean of several."""
    bench.nova.get("/v2.1/servers/detail?limit=1")  # statements are compiled
    meter, pages, marker = Meter(bench.cloud), 0, ""
    while pages < most:
        shown = bench.nova.get(f"/v2.1/servers/detail?limit=1000{marker}")["servers"]
        if not shown:
            break
        pages, marker = pages + 1, f"&marker={shown[-1]['id']}"
    return meter.read()["api"] / pages


def fill(bench: Bench, count: int) -> None:
    """Put ACTIVE servers there."""
    asyncio.run(preload(bench.cloud.settings, bench.project, bench.image, bench.network, count))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m benchmarks.burst`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burst", description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--hypervisors", type=int, default=1000)
    parser.add_argument("--preload", type=int, default=0, help="servers written straight into the database first")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--group-commit", action="store_true")
    parser.add_argument("--no-proxy", action="store_true")
    parser.add_argument("--pause", action="store_true", help="wait for Enter before each round (to attach a profiler)")
    options = parser.parse_args(arguments)
    print(machine())
    with running(options.hypervisors, group_commit=options.group_commit, proxy=not options.no_proxy) as bench:
        if options.preload:
            fill(bench, options.preload)
        for number in range(options.rounds):
            if options.pause:
                pids = {process.name: process.pid for process in bench.cloud.status().processes}
                input(f"{pids}; Enter to go on ")
            burst(bench, options.servers, f"burst{number}")
        if options.preload:
            print(table(f"{options.hypervisors:,} hypervisors", reads(bench, f"{options.preload:,} servers")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
