"""`make bench`, `python -m benchmarks [NAME...]`: every bench, one table each, with the bar beside each figure.

Exits 0 whether bars are met or not, as the machine decides that too; 1 when a bench crashes. The benches run one after
the other and each ends what it started. CPU times hold on a busy machine, wall times do not: its load is printed.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from benchmarks import broker, burst, client, cloud, database, proxy, report, singles
from benchmarks.figures import Figure, machine, table

BENCHES: dict[str, tuple[str, Callable[[], Sequence[Figure]]]] = {
    "cloud": ("The embedded cloud at rest: 1,000 hypervisors that report each 10 s", cloud.figures),
    "burst": ("One POST of 500 servers, one port each, 1,000 hypervisors, fsync on, proxy in the path", burst.figures),
    "loaded": ("The same, and reads, with 100,000 servers and 10,000 hypervisors", burst.loaded_figures),
    "singles": ("500 POSTs of one server in 10 s, open loop", singles.figures),
    "client": ("GET /servers/{id}: what it costs the client", client.figures),
    "report": ("The report of a run of 1,000,000 requests", report.figures),
}
TABLES: dict[str, Callable[[list[str]], object]] = {
    "broker": broker.main,
    "database": database.main,
    "proxy": proxy.main,
}


def main() -> int:
    """Run the benches that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*BENCHES, *TABLES]))
    wanted = parser.parse_args().names or [*BENCHES, *TABLES]
    unknown = [name for name in wanted if name not in BENCHES and name not in TABLES]
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join([*BENCHES, *TABLES])}")
    print(machine(), flush=True)
    crashed: list[str] = []
    for name in wanted:
        began = time.monotonic()
        try:
            print(f"\n{_run(name)}")
        except Exception:
            traceback.print_exc()
            crashed.append(name)
        print(f"  ({name}: {time.monotonic() - began:.0f} s)", flush=True)
    if crashed:
        print(f"\ncrashed: {', '.join(crashed)}", file=sys.stderr)
    return 1 if crashed else 0


def _run(name: str) -> str:
    if name in BENCHES:
        title, measure = BENCHES[name]
        return table(title, measure())
    TABLES[name]([])
    return ""


if __name__ == "__main__":
    sys.exit(main())
