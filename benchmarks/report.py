"""`python benchmarks/report.py`: judges a run of 1,000,000 requests and writes its report; at most 20 s and 1 GiB.

Builds the run directory in a temporary folder, compacts it as the engine does, and measures judgement and report, each
in a process of its own. Exits 1 when the report misses its bounds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.figures import Figure, machine, table  # noqa: E402 - also run as a file

SECONDS, MIB = 20.0, 1024.0
# Each step is a process of its own: a child's peak counts the pages of the process that it was started from.
_BUILD = """
import sys, pathlib
from tests.reports.synthetic import write_run
stretch = 10.6  # twenty minutes: the phases of the synthetic run last 113 s
run = write_run(pathlib.Path(sys.argv[1]), rate=int(sys.argv[2]) / (113 * stretch), stretch=stretch, failing=True)
run.compact()
print(f"{run.read('requests', ['status']).num_rows:,} requests", file=sys.stderr)
"""
_JUDGE = """
import sys, pathlib
from harness import checkers
from harness.rundir import RunDirectory
run = RunDirectory.open(pathlib.Path(sys.argv[1]))
run.write_json("verdict.json", checkers.judge(run))
"""


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MiB of a child process.  Raises CalledProcessError."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), arguments)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def figures(requests: int = 1_000_000) -> list[Figure]:
    """Wall time and peak memory of judgement and report."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "run")
        measured(["-c", _BUILD, path, str(requests)])
        verdict = measured(["-c", _JUDGE, path])
        report = measured(["-m", "reports", path])
        size = (Path(path) / "report.html").stat().st_size / 1e6
    return [
        Figure("report", report[0], "s", SECONDS),
        Figure("  peak memory", report[2], "MiB", MIB),
        Figure("  CPU", report[1], "s"),
        Figure("verdict", verdict[0], "s"),
        Figure("  peak memory", verdict[2], "MiB"),
        Figure("report.html", size, "MB"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    print(machine())
    found = figures(options.requests)
    print(table(f"a run of {options.requests:,} requests", found))
    return 1 if any(figure.verdict == "MISSED" for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main())
