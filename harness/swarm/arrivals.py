"""What became of every arrival that fell to this worker: each is a row of `arrivals`, whatever happened to it."""

from typing import Any

from harness.core.clock import Clock

COLUMNS = ("swarm", "number", "intended_ns", "started_ns", "ended_ns", "fate")
Row = tuple[str, int, int, int | None, int | None, str]


class ArrivalBook:
    """Arrivals that are under way, and those that are over and wait to be written.

    Fates: completed; failed (the user did not get what was promised); broken (the scenario itself raised); open (the
    run ended first); dropped (never started: too many were in flight, or the run was stopped when it was due).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[tuple[str, int], tuple[int, int]] = {}
        self._over: list[Row] = []

    def starts(self, swarm: str, number: int, intended_ns: int, started_ns: int) -> None:
        self._open[swarm, number] = (intended_ns, started_ns)

    def ends(self, swarm: str, number: int, fate: str) -> None:
        """Only the first end counts."""
        times = self._open.pop((swarm, number), None)
        if times is not None:
            self._over.append((swarm, number, *times, self._clock.now_ns(), fate))

    def drops(self, swarm: str, number: int, intended_ns: int) -> None:
        self._over.append((swarm, number, intended_ns, None, None, "dropped"))

    def close(self) -> None:
        """The run is over: what is under way is left open."""
        for swarm, number in list(self._open):
            self.ends(swarm, number, "open")

    def take(self) -> dict[str, list[Any]]:
        """Columns of everything that is over since the last call; empty when nothing is."""
        rows, self._over = self._over, []
        return {name: [row[column] for row in rows] for column, name in enumerate(COLUMNS)} if rows else {}
