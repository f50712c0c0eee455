"""Time of a run: integer nanoseconds since its epoch on CLOCK_MONOTONIC, which all processes of one host share.

Only this module reads the clock; everything else is handed one, so that tests can advance it by hand.
"""

import time
from typing import Protocol

MS = 1_000_000
S = 1_000_000_000


class Clock(Protocol):
    """Says how many nanoseconds have passed since the run's epoch; negative before it."""

    def now_ns(self) -> int: ...


class RunClock:
    """The real clock of a run.

    Args: epoch_ns: the CLOCK_MONOTONIC reading, in ns, that counts as zero; the engine announces it to every process.
    """

    __slots__ = ("epoch_ns",)

    def __init__(self, epoch_ns: int) -> None:
        self.epoch_ns = epoch_ns

    def now_ns(self) -> int:
        return time.monotonic_ns() - self.epoch_ns


class FakeClock:
    """A clock for tests: stands still until it is advanced."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, by_ns: int) -> None:
        assert by_ns >= 0, by_ns
        self._now_ns += by_ns


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in ns: for choosing an epoch and for deadlines that belong to no run."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """CLOCK_REALTIME in ns: the one wall-clock anchor of a run."""
    return time.time_ns()
