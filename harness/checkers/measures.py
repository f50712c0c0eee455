"""Measures targets on one history: the value, how many samples it rests on, and what speaks against trusting it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Struct

from harness.checkers.history import History, PlannedPhase, limited_seconds
from harness.checkers.objectives import Target
from harness.checkers.recovery import FaultOutcome, outages
from harness.checkers.saturation import headroom, parts
from harness.core.clock import S
from harness.core.quantiles import interval, quantile, samples_needed

# The most of a target's samples that may fall into client-limited seconds before meeting it proves nothing.
MAX_LIMITED_SHARE = 0.2


class Measured(Struct, kw_only=True):
    """A measured value, and what speaks against trusting it."""

    value: float
    of: str
    samples: int
    excluded: int = 0
    interval: tuple[float, float] | None = None
    needed: int = 1
    doubts: list[str] = []
    remark: str = ""


class Bench:
    """Measures targets on one history; what several targets need is worked out once."""

    def __init__(self, history: History, faults: list[FaultOutcome]) -> None:
        self.history, self.faults = history, faults
        requests = history.requests
        self.intended = requests["intended_ns"].to_numpy(np.int64)
        self.done = requests["done_ns"].to_numpy(np.int64)
        self.sent = requests["sent_ns"].to_numpy(np.int64)
        self.outage = outages(requests)
        self.dropped = (requests["ending"] == "dropped").to_numpy(bool)
        self.end_ns = self._end_ns()
        self._limited: dict[tuple[str, float | None], npt.NDArray[np.bool_]] = {}

    def _end_ns(self) -> int:
        """Until when the run was recorded."""
        ends = [int(self.done.max())] if len(self.done) else []
        if len(self.history.health):
            ends.append((int(self.history.health["second"].max()) + 1) * S)
        return max(ends, default=0)

    def phases_of(self, target: Target) -> list[PlannedPhase]:
        """The phases that a target is for: the named one, or each that loads the cloud with what it is about."""
        if target.phase != "*":
            return [phase for phase in self.history.phases if phase.name == target.phase]
        phases = [phase for phase in self.history.phases if phase.loads]
        if target.of_fault:
            return [phase for phase in phases if self._faults_of(target, phase)]
        if target.swarm is not None:
            swarms = [swarm for swarm in self.history.swarms if swarm.name == target.swarm]
            return [phase for phase in phases if any(swarm.loads(phase) for swarm in swarms)]
        return phases

    def doubts(self, phase: PlannedPhase) -> list[str]:
        """What speaks against any target met in this phase."""
        doubts = []
        tolerance_ns = max(2 * S, (phase.end_ns - phase.start_ns) // 20)
        if self.end_ns and self.end_ns <= phase.start_ns:
            doubts.append("the run ended before this phase began")
        elif self.end_ns and self.end_ns < phase.end_ns - tolerance_ns:
            doubts.append(f"the run ended {(phase.end_ns - self.end_ns) / S:.0f} s before this phase did")
        for each in self.faults:
            if each.phase == phase.name and each.doubt:
                doubts.append(f"{each.fault} {each.doubt}")
        return doubts

    def measure(self, target: Target, phase: PlannedPhase) -> Measured:
        if target.of_fault:
            return self._of_faults(target, phase)
        if target.measure == "headroom":
            return self._headroom(phase)
        if target.kind in ("ready", "gone"):
            return self._operation_times(target, phase)
        if target.percentile is not None:
            return self._request_times(target, phase)
        if target.measure == "throughput":
            return self._throughput(target, phase)
        return self._ratio(target, phase)

    # -- requests

    def _select(self, target: Target, phase: PlannedPhase) -> npt.NDArray[np.bool_]:
        """The requests that were meant to leave in the phase, without those that never left."""
        chosen = (self.intended >= phase.start_ns) & (self.intended < phase.end_ns) & ~self.dropped
        requests = self.history.requests
        if target.route is not None:
            chosen &= (requests["route"] == target.route).to_numpy(bool)
        if target.swarm is not None:
            chosen &= (requests["swarm"] == target.swarm).to_numpy(bool)
        return chosen

    def _request_times(self, target: Target, phase: PlannedPhase) -> Measured:
        chosen = self._select(target, phase)
        limited = self._client_limited("requests", target.limit)
        kept, excluded = chosen & ~limited, int((chosen & limited).sum())
        start = self.intended if target.kind == "response" else self.sent
        times = (self.done[kept] - start[kept]).astype(np.float64)
        times[self.outage[kept]] = math.inf
        return _percentile(target, times, excluded, "requests", "failed")

    def _ratio(self, target: Target, phase: PlannedPhase) -> Measured:
        if target.measure == "success_ratio" and target.route is None:
            rows, limited = self._operations(target, phase, None)
            if len(rows):
                good = _succeeded(rows)[~limited]
                return _share(good, int(limited.sum()), "operations")
        chosen = self._select(target, phase)
        limited = self._client_limited("requests", None)
        kept = chosen & ~limited
        bad = self.outage[kept]
        if target.measure == "success_ratio":
            bad = bad | (self.history.requests["status"].to_numpy(np.int64)[kept] >= 400)
        return _share(~bad, int((chosen & limited).sum()), "requests")

    def _throughput(self, target: Target, phase: PlannedPhase) -> Measured:
        """Completed per second of the phase, by when they were completed."""
        seconds = phase.seconds or 1.0
        rows = self._named_operations(target)
        if target.route is None and target.swarm is not None and len(rows):
            finished = rows["ready_ns"].fillna(rows["gone_ns"]).fillna(rows["accepted_ns"])
            good = (finished >= phase.start_ns) & (finished < phase.end_ns) & _succeeded(rows)
            return Measured(value=int(good.sum()) / seconds, of="operations", samples=int(good.sum()), needed=0)
        chosen = self._select(target, phase)
        everywhere = PlannedPhase(phase.name, phase.kind, -(2**62), 2**62)
        within = (self.done >= phase.start_ns) & (self.done < phase.end_ns) & ~self.outage
        count = int((within & self._select(target, everywhere)).sum())
        if not count and not chosen.any():
            return Measured(value=math.nan, of="requests", samples=0)
        limited = int((self._client_limited("requests", None) & chosen).sum())
        if limited > MAX_LIMITED_SHARE * chosen.sum() and count / seconds < target.limit:
            # Too little came back, and too little was sent: that is not the cloud's doing.
            doubt = "the client did not send what was planned"
            return Measured(value=math.nan, of="requests", samples=count, doubts=[doubt])
        return Measured(value=count / seconds, of="requests", samples=count, needed=0)

    # -- operations

    def _named_operations(self, target: Target) -> pd.DataFrame:
        rows = self.history.operations
        rows = rows[(rows["ending"] != "dropped").to_numpy(bool)]
        return rows[(rows["swarm"] == target.swarm).to_numpy(bool)] if target.swarm is not None else rows

    def _operations(
        self, target: Target, phase: PlannedPhase, threshold_ns: float | None
    ) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
        """Operations meant to begin in the phase, and which of them the client limited."""
        rows = self._named_operations(target)
        rows = rows[((rows["intended_ns"] >= phase.start_ns) & (rows["intended_ns"] < phase.end_ns)).to_numpy(bool)]
        return rows, _limited_rows(rows, limited_seconds(self.history.health, threshold_ns))

    def _operation_times(self, target: Target, phase: PlannedPhase) -> Measured:
        """From the intended start until ready, or until gone: all that the user waited, for acceptance too."""
        rows, limited = self._operations(target, phase, target.limit)
        suffix = ".create" if target.kind == "ready" else ".delete"
        wanted = rows["kind"].astype("string").str.endswith(suffix).fillna(False).to_numpy(bool)
        if target.kind == "ready":
            # Kinds that have no readiness, such as a network, have no time to it.
            wanted &= (rows["kind"].isin(self._kinds_with_readiness())).to_numpy(bool)
        kept = rows[wanted & ~limited]
        column = kept["ready_ns" if target.kind == "ready" else "gone_ns"]
        times = (column - kept["intended_ns"]).to_numpy(np.float64)
        times = np.where(np.isnan(times), math.inf, times)
        measured = _percentile(target, times, int((wanted & limited).sum()), "operations", f"never {target.kind}")
        if target.kind == "ready":
            levels = sorted(set(kept["ready_level"].dropna().astype(str)))
            if len(levels) > 1:
                measured.doubts.append(f"mixed readiness levels: {', '.join(levels)}")
            measured.of = f"operations, ready by {levels[0]}" if len(levels) == 1 else measured.of
        return measured

    def _kinds_with_readiness(self) -> list[str]:
        rows = self.history.operations
        return sorted({"server.create", *rows["kind"][rows["ready_ns"].notna()].dropna().astype(str)})

    # -- faults and gauges

    def _faults_of(self, target: Target, phase: PlannedPhase) -> list[FaultOutcome]:
        return [
            each
            for each in self.faults
            if each.phase == phase.name and (target.fault is None or target.fault in (each.id, each.fault))
        ]

    def _of_faults(self, target: Target, phase: PlannedPhase) -> Measured:
        read: dict[str, Callable[[FaultOutcome], float | None]] = {
            "downtime": lambda each: None if each.downtime_s is None else each.downtime_s * S,
            "time_to_recover": lambda each: None if each.time_to_recover_s is None else each.time_to_recover_s * S,
            "degradation": lambda each: each.degradation,
        }
        found = self._faults_of(target, phase)
        values = [(read[target.measure](each), each) for each in found]
        known = [(value, each) for value, each in values if value is not None]
        doubts = [f"{each.fault}: {', '.join(each.notes) or 'not measured'}" for value, each in values if value is None]
        if not known:
            return Measured(value=math.nan, of="faults", samples=0, doubts=doubts or ["no fault in this phase"])
        worst, fault = max(known, key=lambda pair: pair[0])
        remark = "; ".join([fault.fault, *fault.notes])
        return Measured(value=worst, of="faults", samples=len(known), doubts=doubts, remark=remark)

    def _headroom(self, phase: PlannedPhase) -> Measured:
        # The load generator's own machine is judged by its health, second by second.
        gauges = self.history.gauges[(self.history.gauges["source"] != "client").to_numpy(bool)]
        value, part = headroom(parts(gauges, phase.start_ns, phase.end_ns))
        if part is None:
            return Measured(value=math.nan, of="gauges", samples=0, doubts=["no gauge of this phase has a capacity"])
        remark = f"least room: {part.title}, {part.lasting * part.capacity:.4g} of {part.capacity:g}"
        return Measured(value=value, of="gauges", samples=part.readings, remark=remark)

    # -- the client's own share

    def _client_limited(self, table: str, threshold_ns: float | None) -> npt.NDArray[np.bool_]:
        key = (table, threshold_ns)
        if key not in self._limited:
            seconds = limited_seconds(self.history.health, threshold_ns)
            self._limited[key] = _limited_rows(self.history.requests, seconds)
        return self._limited[key]


def _limited_rows(rows: pd.DataFrame, seconds: frozenset[tuple[str, int]]) -> npt.NDArray[np.bool_]:
    """Which rows were due in a second in which their own worker was limited."""
    limited = np.zeros(len(rows), bool)
    if not seconds or not len(rows):
        return limited
    due = rows["intended_ns"].to_numpy(np.int64) // S
    process = rows["process"].astype("category")
    names = [str(each) for each in process.cat.categories]
    codes = process.cat.codes.to_numpy()
    for code, name in enumerate(names):
        mine = np.array([second for worker, second in seconds if worker == name], np.int64)
        if len(mine):
            limited |= (codes == code) & np.isin(due, mine)
    return limited


def _percentile(target: Target, times: npt.NDArray[np.float64], excluded: int, of: str, never: str) -> Measured:
    q = target.percentile
    assert q is not None, target
    lost = int(np.isinf(times).sum())
    return Measured(
        value=quantile(times, q),
        of=of,
        samples=len(times),
        excluded=excluded,
        interval=interval(times, q) if len(times) else None,
        needed=samples_needed(q),
        remark=f"{lost} of {len(times)} {never}" if lost else "",
    )


def _share(good: npt.NDArray[np.bool_], excluded: int, of: str) -> Measured:
    count, fine = len(good), int(good.sum())
    value = fine / count if count else math.nan
    remark = f"{count - fine} of {count} failed" if fine < count else ""
    return Measured(value=value, of=of, samples=count, excluded=excluded, remark=remark)


def _succeeded(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Operations that gave the user what was asked for: done without an error, and usable or gone where that was it."""
    done = (rows["effect"] == "done").to_numpy(bool) | (rows["accepted_ns"].notna()).to_numpy(bool)
    done &= rows["error"].isna().to_numpy(bool)
    kind = rows["kind"].astype(object)
    servers = (kind == "server.create").to_numpy(bool)
    deletes = (kind == "server.delete").to_numpy(bool)
    fine: Any = done & (~servers | rows["ready_ns"].notna().to_numpy(bool))
    return np.asarray(fine & (~deletes | rows["gone_ns"].notna().to_numpy(bool)), bool)
