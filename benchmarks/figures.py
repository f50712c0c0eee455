"""What benches hand over: figures with the bar that each is held to, and the machine they were measured on."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2  # of linux/posix-timers.h: with ~pid in the bits above, the CPU clock of that process


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `at_most` and `at_least` are the issue's bars; with neither the figure only informs."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> str:
        """met, missed, or nothing where there is no bar."""
        if self.at_most is None and self.at_least is None:
            return ""
        below = self.at_most is None or self.value <= self.at_most
        above = self.at_least is None or self.value >= self.at_least
        return "met" if below and above else "MISSED"

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""


def table(title: str, figures: Sequence[Figure]) -> str:
    """A bench's figures as text, a line each."""
    rows = [(one.what, f"{one.value:,.2f}", one.unit, one.bar, one.verdict) for one in figures]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    lines = [title]
    for what, value, unit, bar, verdict in rows:
        line = f"  {what:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {bar:<{widths[3]}}  {verdict}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores, load, versions, and how fast this interpreter is here and now."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; an empty loop takes {loop_ns():.0f} ns a turn"
    )


def loop_ns(turns: int = 500_000, rounds: int = 5) -> float:
    """CPU of one turn of a trivial loop, in nanoseconds: machines, and hours of a shared one, differ by it."""

    def once() -> float:
        began = time.process_time()
        total = 0
        for number in range(turns):
            total += number % 7
        return (time.process_time() - began) / turns * 1e9

    return statistics.median(once() for _ in range(rounds))


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process, its living children and those it has reaped.

    The living ones' by their CPU clocks, to the nanosecond; of the reaped ones only ticks of 10 ms are on record.
    """
    total = 0.0
    pending = [pid]
    while pending:
        current = pending.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[13:15]) * TICK_S
            total += time.clock_gettime(~current << 3 | CPUCLOCK_SCHED)
            for task in Path(f"/proc/{current}/task").iterdir():
                pending.extend(int(child) for child in (task / "children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return total
