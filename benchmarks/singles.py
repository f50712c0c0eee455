"""Many POSTs of one server each, on a schedule: every one is scheduled by itself.

python -m benchmarks.singles [--servers 500] [--rate 50] [--hypervisors 1000]
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence

from benchmarks.asking import Bench, Meter, by_process, running
from benchmarks.figures import Figure, machine, table

SENDERS = 40
EACH_MS = 25.0


def figures(servers: int = 500, rate: float = 50.0, hypervisors: int = 1000) -> list[Figure]:
    """Time to the last ACTIVE server, and CPU for each. Raises: RuntimeError when one did not become ACTIVE."""
    with running(hypervisors) as bench:
        meter = Meter(bench.cloud)
        begun = time.monotonic()
        sent = _send(bench, servers, rate)
        states = bench.wait_ready("single", servers)
        taken, cpu = time.monotonic() - begun, meter.read()
        if states != {"ACTIVE": servers}:
            raise RuntimeError(f"{servers} servers were asked for, after {taken:.1f} s there are {states}")
    print(f"  CPU ms for each server: {by_process(cpu, servers)}", flush=True)
    return [
        Figure("last POST accepted", sent, "s"),
        Figure("all ACTIVE", taken, "s"),
        Figure("CPU of the cloud for each server", sum(cpu.values()) / servers * 1e3, "ms", EACH_MS),
    ]


def _send(bench: Bench, servers: int, rate: float) -> float:
    """Send on schedule, as far as the senders suffice. Returns seconds until the last was accepted."""
    begun = time.monotonic()
    numbers = iter(range(servers))
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        client = bench.client()
        while not failures:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            try:
                bench.post(client, f"single-{number}")
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m benchmarks.singles`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.singles", description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0, help="POSTs in a second")
    parser.add_argument("--hypervisors", type=int, default=1000)
    options = parser.parse_args(arguments)
    print(machine())
    title = f"{options.servers} POSTs of one server, {options.rate:g} in a second"
    print(table(title, figures(options.servers, options.rate, options.hypervisors)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
