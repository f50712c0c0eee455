"""What each fault did to users: downtime, degradation against the run's own baseline, and the time to recover.

Definitions (OpenStack performance-docs, reliability test plan, version 2; improved, as latencies are skewed):
- downtime: from the first request that failed (5xx or no answer) to the last one, by the time they were sent; the gap
  to the neighbouring requests is its resolution.
- every request is divided by the baseline median of its own swarm and route, so that a changing mix is no slowdown.
- a window of time is degraded when the median of its requests is above the baseline's median + 4 robust sigma, above
  twice it, and a quarter above the baseline's own worst window; or likewise its p90 (four times); or when it has
  failures and the baseline has not. What a healthy minute shows by itself is no degradation, and neither is a request
  that took less than 50 ms longer than its median: nobody notices, and a list grown by 500 servers is no fault.
- time to recover: from the undo to the first of three healthy windows in a row; never, when there are none.
- degradation: how many times its own baseline median the median of a route became while the fault was on, of the
  route that suffered most; a fault that stops one route in ten is not averaged away by the other nine.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Struct

from harness.checkers.history import FaultRecord, History
from harness.core.clock import MS, S
from harness.core.quantiles import grouped_quantiles, quantile

HEALTHY_IN_A_ROW = 3
_BASELINE_SAMPLES = 20  # of a swarm and route, below which its median is no yardstick
_DURING_SAMPLES = 10  # of a swarm and route while a fault is on, below which a median says nothing
_PER_WINDOW = 10
_LONGEST_WINDOW_NS = 10 * S
_NOTICED_NS = 50 * MS  # half of what a person still takes for immediate

Flags = npt.NDArray[np.bool_]


class FaultOutcome(Struct, frozen=True, kw_only=True):
    """What one fault did. Times in seconds; None where it is not known, with the reason in `notes`.

    `time_to_recover_s` is infinite when the run ended before the cloud had recovered. `doubt`: why it is not known to
    have bitten from injection to undo, "" when it is; nothing is proved by what was measured under such a fault.
    """

    id: str
    fault: str
    target: str
    phase: str | None
    injected_ns: int | None
    over_ns: int | None
    bit: bool | None
    doubt: str
    gone: bool | None
    errors: int
    downtime_s: float | None
    downtime_resolution_s: float | None
    error_clusters: int
    time_to_recover_s: float | None
    recovered: bool | None
    degradation: float | None
    degraded_route: str | None
    baseline_p95_ns: float | None
    fault_p95_ns: float | None
    window_s: float | None
    notes: tuple[str, ...] = ()


def outages(requests: pd.DataFrame) -> Flags:
    """Which requests count against availability: 5xx or no answer. Dropped arrivals are the client's."""
    return ((requests["status"] >= 500) | requests["ending"].isin(("refused", "reset", "timeout"))).to_numpy(bool)


def fault_outcomes(history: History) -> list[FaultOutcome]:
    """One outcome per fault, in order of injection. Linear in requests, times the number of faults."""
    yardstick = _Yardstick.of(history)
    starts = sorted(record.injected_ns for record in history.faults if record.injected_ns is not None)
    load_end = max((phase.end_ns for phase in history.phases if phase.loads), default=None)
    found = []
    for record in history.faults:
        following = [start for start in starts if record.injected_ns is not None and start > record.injected_ns]
        found.append(_outcome(history, record, yardstick, following[0] if following else None, load_end))
    return sorted(found, key=lambda each: (each.injected_ns is None, each.injected_ns or 0, each.id))


def _outcome(
    history: History, record: FaultRecord, yardstick: "_Yardstick", next_ns: int | None, load_end: int | None
) -> FaultOutcome:
    start, over = record.injected_ns, record.over_ns
    notes: list[str] = []
    downtime = resolution = recover = None
    slowdown = _Slowdown()
    errors = clusters = 0
    recovered: bool | None = None
    horizon = min((each for each in (next_ns, load_end) if each is not None), default=None)
    if start is None:
        notes.append("it was not injected")
    elif not len(history.requests):
        notes.append("no requests were recorded")
    else:
        errors, downtime, resolution, clusters = _downtime(history.requests, start, horizon)
        until = over if over is not None else horizon
        if until is not None:
            slowdown = yardstick.slowdown(start, until)
        if over is None:
            notes.append("it was not undone: recovery cannot be told")
        elif yardstick.problem is None:
            recover, recovered, note = yardstick.recovery(over, horizon)
            notes += [note] if note else []
        if yardstick.problem is not None:
            notes.append(yardstick.problem)
    return FaultOutcome(
        id=record.id,
        fault=record.fault,
        target=record.target,
        phase=phase_of(history, record),
        injected_ns=start,
        over_ns=over,
        bit=record.bit,
        doubt=record.doubt,
        gone=record.gone,
        errors=errors,
        downtime_s=downtime,
        downtime_resolution_s=resolution,
        error_clusters=clusters,
        time_to_recover_s=recover,
        recovered=recovered,
        degradation=slowdown.ratio,
        degraded_route=slowdown.route,
        baseline_p95_ns=slowdown.baseline_p95_ns,
        fault_p95_ns=slowdown.fault_p95_ns,
        window_s=None if yardstick.problem else yardstick.window_ns / S,
        notes=tuple(notes),
    )


def phase_of(history: History, record: FaultRecord) -> str | None:
    """The phase in which a fault was injected, or else was planned to be."""
    at_ns = record.injected_ns
    if at_ns is None:
        planned = {str(each.get("id")): each for each in history.plan.get("faults") or []}
        at_ns = planned.get(record.id, {}).get("start_ns")
    for phase in history.phases:
        if at_ns is not None and phase.start_ns <= at_ns < phase.end_ns:
            return phase.name
    return None


def _downtime(requests: pd.DataFrame, start_ns: int, end_ns: int | None) -> tuple[int, float, float | None, int]:
    """Failures of a fault: their number, first to last in seconds, the resolution of that, and clusters of them."""
    sent, done = requests["sent_ns"].to_numpy(np.int64), requests["done_ns"].to_numpy(np.int64)
    within = (done >= start_ns) & (requests["ending"] != "dropped").to_numpy(bool)
    if end_ns is not None:
        within &= sent < end_ns
    failed = within & outages(requests)
    count = int(failed.sum())
    times = np.sort(np.maximum(sent[within], start_ns))
    if not count:
        return 0, 0.0, None, 0
    bad = np.sort(np.maximum(sent[failed], start_ns))
    first, last = int(bad[0]), int(bad[-1])
    # Half the gap to the neighbours: the service may have failed that much earlier, or later.
    before = times[times < first]
    after = times[times > last]
    gaps = [first - int(before[-1])] if len(before) else []
    gaps += [int(after[0]) - last] if len(after) else []
    typical = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    clusters = 1 + int((np.diff(bad) > max(S, 10 * typical)).sum())
    return count, (last - first) / S, sum(gaps) / 2 / S if gaps else None, clusters


class _Slowdown(Struct, frozen=True):
    """How much slower than in the baseline: as a multiple, of which route, and that route's p95 before and during."""

    ratio: float | None = None
    route: str | None = None
    baseline_p95_ns: float | None = None
    fault_p95_ns: float | None = None


class _Yardstick:
    """The run's own baseline: medians per swarm and route, and how its windows scatter."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.window_ns = S
        self.intended: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.response: npt.NDArray[np.float64] = np.empty(0)
        self.relative: npt.NDArray[np.float64] = np.empty(0)  # response to the baseline's median
        self.excess_ns: npt.NDArray[np.float64] = np.empty(0)  # response less that median
        self.failed: Flags = np.empty(0, bool)
        self.limits = (math.inf, math.inf)
        self.failures_are_normal = False
        self._baseline: Flags = np.empty(0, bool)
        self._route: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._routes: list[str] = []
        self._group: npt.NDArray[np.int64] = np.empty(0, np.int64)

    @classmethod
    def of(cls, history: History) -> "_Yardstick":
        self, requests = cls(), history.requests
        spans = [(phase.start_ns, phase.end_ns) for phase in history.phases if phase.kind == "baseline"]
        if not spans:
            self.problem = "the run has no baseline to compare with"
            return self
        requests = requests[(requests["ending"] != "dropped").to_numpy(bool)]
        self.intended = requests["intended_ns"].to_numpy(np.int64)
        response = (requests["done_ns"].to_numpy(np.int64) - self.intended).astype(np.float64)
        failed = outages(requests)
        swarm, route = (requests[name].astype("category").cat.codes.to_numpy(np.int64) for name in ("swarm", "route"))
        self._routes = [str(each) for each in requests["route"].astype("category").cat.categories]
        group = (swarm + 1) * 100_003 + route + 1
        baseline = np.zeros(len(requests), bool)
        for start, end in spans:
            baseline |= (self.intended >= start) & (self.intended < end)
        answered = baseline & ~failed
        keys, counts, medians = grouped_quantiles(group[answered], response[answered], (0.5,))
        kept = counts >= _BASELINE_SAMPLES
        keys, medians = keys[kept], medians[kept, 0]
        if not len(keys):
            self.problem = f"no route has {_BASELINE_SAMPLES} answered requests in the baseline"
            return self
        index = np.clip(np.searchsorted(keys, group), 0, len(keys) - 1)
        use = keys[index] == group
        self.intended, self.response, self.failed = self.intended[use], response[use], failed[use]
        usual = np.maximum(medians[index[use]], 1.0)
        self.relative, self.excess_ns = self.response / usual, self.response - usual
        self._baseline, self._route, self._group = baseline[use], route[use], group[use]
        self._scatter(sum(end - start for start, end in spans), spans[0][0])
        return self

    def _scatter(self, length_ns: int, start_ns: int) -> None:
        count = int(self._baseline.sum())
        self.window_ns = max(S, math.ceil(_PER_WINDOW * length_ns / count / S) * S)
        if self.window_ns > _LONGEST_WINDOW_NS:
            self.problem = (
                f"{count} requests in {length_ns / S:g} s of baseline are too few to tell windows of time apart"
            )
            return
        windows = self._windows(self._baseline, start_ns)
        if len(windows[0]) < 5:
            self.problem = f"a baseline of {len(windows[0])} windows of {self.window_ns / S:g} s is too short"
            return
        _, medians, tails, failing = windows
        self.failures_are_normal = bool(failing.mean() > 0.2)
        self.limits = (
            _limit(medians, 2.0),
            _limit(tails, 4.0),
        )

    def _windows(self, select: Flags, start_ns: int) -> tuple[npt.NDArray[Any], ...]:
        """Index, median and p90 of answered requests, and whether any failed, of each window that has requests."""
        index = (self.intended[select] - start_ns) // self.window_ns
        failed = self.failed[select]
        # As slow as usual is what took longer than usual by less than anybody notices.
        relative = self.relative[select]
        relative = np.where(self.excess_ns[select] < _NOTICED_NS, np.minimum(relative, 1.0), relative)
        relative = np.where(failed, math.inf, relative)
        keys, _, table = grouped_quantiles(index, relative, (0.5, 0.9))
        failing = np.isin(keys, np.unique(index[failed]))
        return keys, table[:, 0], table[:, 1], failing

    def slowdown(self, start_ns: int, end_ns: int) -> _Slowdown:
        """Of the swarm and route that suffered most between two times; of all together when each has few samples."""
        if self.problem is not None:
            return _Slowdown()
        select = (self.intended >= start_ns) & (self.intended < end_ns) & ~self.failed
        base = self._baseline & ~self.failed
        if not select.any():
            return _Slowdown()
        keys, counts, medians = grouped_quantiles(self._group[select], self.relative[select], (0.5,))
        enough = counts >= _DURING_SAMPLES
        if not enough.any():
            ratio = max(1.0, quantile(self.relative[select], 0.5))
            return _Slowdown(ratio, None, quantile(self.response[base], 0.95), quantile(self.response[select], 0.95))
        worst = int(np.argmax(np.where(enough, medians[:, 0], -math.inf)))
        mine = self._group == keys[worst]
        return _Slowdown(
            max(1.0, float(medians[worst, 0])),
            self._routes[int(self._route[mine][0])],
            quantile(self.response[mine & base], 0.95),
            quantile(self.response[mine & select], 0.95),
        )

    def recovery(self, over_ns: int, horizon_ns: int | None) -> tuple[float | None, bool | None, str | None]:
        """Seconds from the undo until healthy windows in a row; infinite when there were none; None if too short."""
        select = self.intended >= over_ns
        if horizon_ns is not None:
            select &= self.intended < horizon_ns
        keys, medians, tails, failing = self._windows(select, over_ns)
        if len(keys) < HEALTHY_IN_A_ROW:
            seen = len(keys) * self.window_ns / S
            return None, None, f"only {seen:g} s of load were observed after the undo"
        bad = (medians > self.limits[0]) | (tails > self.limits[1])
        if not self.failures_are_normal:
            bad |= failing
        healthy = 0
        for index, is_bad in enumerate(bad):
            healthy = 0 if is_bad else healthy + 1
            if healthy == HEALTHY_IN_A_ROW:
                return float(keys[index - HEALTHY_IN_A_ROW + 1]) * self.window_ns / S, True, None
        observed = (float(keys[-1]) + 1) * self.window_ns / S
        return math.inf, False, f"not recovered in the {observed:g} s that were observed"


def _limit(values: npt.NDArray[np.float64], factor: float) -> float:
    """What a window must pass to be degraded, from the baseline's windows; failures are not latencies.

    The median absolute deviation stands for sigma, so that one stall in the baseline does not widen it.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return math.inf
    centre = float(np.median(finite))
    sigma = 1.4826 * float(np.median(np.abs(finite - centre)))
    return max(factor * centre, centre + 4 * sigma, 1.25 * float(finite.max()))
