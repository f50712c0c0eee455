"""Every planned arrival accounted for: planned = completed + failed + broken + open + dropped + lost + cancelled.

The plan's schedule is fixed by its seed, so what nobody wrote down can be told from what was never meant to be.
"""

from typing import Any

from msgspec import Struct

from harness.checkers.history import History
from harness.core.arrivals import LATE_NS, closed_loop, schedule

FATES = ("completed", "failed", "broken", "open", "dropped")


class ArrivalAccount(Struct, frozen=True):
    """The arrivals of one swarm. A closed loop has no plan: what it started is its plan.

    Attributes: completed: the journey came to its end. failed: the user did not get what was promised. broken: the
    scenario itself raised. open: under way when the run ended. dropped: never started, though due: too many were in
    flight. lost: due, and its worker never told. cancelled: not yet due when the run was stopped. late: of those that
    were started, after more than 10 ms.
    """

    swarm: str
    planned: int
    completed: int = 0
    failed: int = 0
    broken: int = 0
    open: int = 0
    dropped: int = 0
    lost: int = 0
    cancelled: int = 0
    late: int = 0

    @property
    def balances(self) -> bool:
        counted = self.completed + self.failed + self.broken + self.open + self.dropped
        return self.planned == counted + self.lost + self.cancelled


def account(history: History) -> tuple[ArrivalAccount, ...]:
    """One account per swarm of the plan; empty for a run that recorded no arrivals (older ones did not)."""
    if not len(history.arrivals) and not history.run.get("worker_lost"):
        return ()
    return tuple(_of_swarm(history, swarm) for swarm in history.plan.get("swarms") or [])


def _of_swarm(history: History, swarm: dict[str, Any]) -> ArrivalAccount:
    rows = history.arrivals[history.arrivals["swarm"] == swarm["name"]]
    fates = rows["fate"].astype(str).value_counts()
    counts = {fate: int(fates.get(fate, 0)) for fate in FATES}
    counts["late"] = int((rows["started_ns"] - rows["intended_ns"] > LATE_NS).sum())
    arrivals = swarm.get("arrivals") or {}
    if not arrivals or closed_loop(arrivals) is not None:
        return ArrivalAccount(swarm["name"], len(rows), **counts)
    stopped_ns = history.run.get("stopped_ns")
    told = set(rows["number"].tolist())
    planned = lost = cancelled = 0
    length_ns = swarm["end_ns"] - swarm["start_ns"]
    for arrival in schedule(arrivals, seed=history.plan["seed"], name=swarm["name"], duration_ns=length_ns):
        planned += 1
        if arrival.index not in told:
            is_due = stopped_ns is None or swarm["start_ns"] + arrival.offset_ns < stopped_ns
            lost, cancelled = lost + is_due, cancelled + (not is_due)
    return ArrivalAccount(swarm["name"], planned, lost=lost, cancelled=cancelled, **counts)
