"""Is it the cloud that is slow, or are we? What each worker says of itself, second by second."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import numpy as np

from harness.core.arrivals import LATE_NS
from harness.core.clock import MS, Clock, S

TICK_S = 0.010
_SCHEDSTAT = Path("/proc/self/schedstat")


@dataclass(slots=True)
class SecondCounts:
    """Arrivals of one second of the run, by their intended time."""

    intended: int = 0
    started: int = 0
    late: int = 0
    dropped: int = 0
    start_errors_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Health:
    """One worker's second: a row of the `health` table."""

    second: int
    intended: int
    started: int
    late: int
    dropped: int
    in_flight: int
    start_error_p50_ns: int
    start_error_p99_ns: int
    loop_lag_p99_ns: int
    run_queue_ns: int
    cpu_share: float

    @property
    def is_limited(self) -> bool:
        """For the live display; a verdict asks the table, for its own target."""
        behind = self.intended > 0 and self.started < 0.99 * self.intended
        return behind or self.start_error_p99_ns > 5 * MS or self.loop_lag_p99_ns > 20 * MS


class Monitor:
    """Counts arrivals and watches this process; `take(second)` once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[int, SecondCounts] = {}
        self._lags_ns: list[int] = []
        self._queued_ns = _run_queue_ns()
        self._cpu_ns, self._at_ns = time.process_time_ns(), clock.now_ns()

    def note(self, intended_ns: int, started_ns: int | None) -> None:
        """One arrival: started, or (None) dropped because too many were in flight."""
        counts = self._seconds.setdefault(intended_ns // S, SecondCounts())
        counts.intended += 1
        if started_ns is None:
            counts.dropped += 1
            return
        error_ns = started_ns - intended_ns
        counts.started += 1
        counts.late += error_ns > LATE_NS
        counts.start_errors_ns.append(error_ns)

    def run(self) -> None:
        """The loop-lag probe: how late a 10 ms tick comes. Runs until killed."""
        while True:
            before_ns = self._clock.now_ns()
            gevent.sleep(TICK_S)
            self._lags_ns.append(max(0, self._clock.now_ns() - before_ns - round(TICK_S * S)))

    def take(self, second: int, in_flight: int) -> list[Health]:
        """Rows for `second` and any earlier one that still has arrivals: one that was started late counts there."""
        now_ns, cpu_ns, queued_ns = self._clock.now_ns(), time.process_time_ns(), _run_queue_ns()
        span_ns = max(1, now_ns - self._at_ns)
        lags, self._lags_ns = self._lags_ns, []
        rows = []
        for number in sorted({second, *(key for key in self._seconds if key < second)}):
            counts = self._seconds.pop(number, SecondCounts())
            errors = np.array(counts.start_errors_ns or [0], dtype=np.int64)
            rows.append(
                Health(
                    second=number,
                    intended=counts.intended,
                    started=counts.started,
                    late=counts.late,
                    dropped=counts.dropped,
                    in_flight=in_flight,
                    start_error_p50_ns=int(np.quantile(errors, 0.5)),
                    start_error_p99_ns=int(np.quantile(errors, 0.99, method="higher")),
                    loop_lag_p99_ns=int(np.quantile(lags, 0.99, method="higher")) if lags else 0,
                    run_queue_ns=max(0, queued_ns - self._queued_ns),
                    cpu_share=(cpu_ns - self._cpu_ns) / span_ns,
                )
            )
        self._at_ns, self._cpu_ns, self._queued_ns = now_ns, cpu_ns, queued_ns
        return rows


def _run_queue_ns() -> int:
    """How long this process's main thread has waited for a core, in all; 0 where the kernel does not say."""
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def worker_name(index: int) -> str:
    """How a worker signs its rows and files."""
    return f"worker-{index}" if index >= 0 else f"swarm-{os.getpid()}"
