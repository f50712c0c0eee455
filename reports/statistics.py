"""Numbers for the figures and tables: series per second, distributions, summaries. Exact, from every sample."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.core.clock import S
from harness.core.quantiles import grouped_quantiles, quantiles
from reports.frames import Run, Window

QS = (0.5, 0.95, 0.99)
_MOST_BINS = 240
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RouteSeries:
    """One route over time: bin starts in s, samples per bin, and p50/p95/p99 of response and service time in ms."""

    route: str
    count: int
    at_s: Floats
    samples: npt.NDArray[np.int64]
    response_ms: Floats
    service_ms: Floats


def bin_s(run: Run) -> int:
    """Seconds per bin of every time series: one, or what a long run needs to stay readable."""
    return next((step for step in _STEPS_S if run.load_end_s / step <= _MOST_BINS), _STEPS_S[-1])


def is_outage(requests: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """5xx or no answer."""
    return ((requests["status"] >= 500) | requests["ending"].isin(("refused", "reset", "timeout"))).to_numpy(bool)


def route_series(run: Run, most: int = 8) -> list[RouteSeries]:
    """The routes with most requests, each over time, by when its requests were meant to leave; answered ones only."""
    requests, step = run.requests, bin_s(run) * S
    if not len(requests):
        return []
    answered = (requests["ending"] == "answered").to_numpy(bool)
    codes = requests["route"].cat.codes.to_numpy(np.int64)
    names = [str(each) for each in requests["route"].cat.categories]
    counts = np.bincount(codes[answered & (codes >= 0)], minlength=len(names))
    chosen = [int(code) for code in np.argsort(-counts, kind="stable")[:most] if counts[code]]
    use = answered & np.isin(codes, chosen)
    intended, sent, done = (requests[name].to_numpy(np.int64)[use] for name in ("intended_ns", "sent_ns", "done_ns"))
    width = int(run.end_s * S // step) + 2
    groups = codes[use] * width + np.clip(intended // step, 0, width - 1)
    keys, samples, response = grouped_quantiles(groups, (done - intended) / 1e6, QS)
    _, _, service = grouped_quantiles(groups, (done - sent) / 1e6, QS)
    found = []
    for code in chosen:
        mine = keys // width == code
        at_s = (keys[mine] % width) * step / S
        found.append(RouteSeries(names[code], int(counts[code]), at_s, samples[mine], response[mine], service[mine]))
    return found


def rates(run: Run) -> dict[str, Floats]:
    """Requests per second over time: by when they were meant to leave, left, were done, and failed; keyed by line."""
    requests, step_s = run.requests, bin_s(run)
    bins = max(1, math.ceil(run.load_end_s / step_s - 0.05))
    widths = np.full(bins, float(step_s))
    widths[-1] = max(0.05, run.load_end_s - (bins - 1) * step_s)

    def per_second(times_ns: npt.NDArray[np.int64]) -> Floats:
        # What is done after the load belongs to the drain, and not to its last second.
        index = np.maximum(times_ns[times_ns < run.load_end_s * S] // (step_s * S), 0)
        index = np.minimum(index, bins - 1)
        counts: Floats = np.bincount(index, minlength=bins)[:bins] / widths
        return counts

    columns = {name: requests[f"{name}_ns"].to_numpy(np.int64) for name in ("intended", "sent", "done")}
    dropped = (requests["ending"] == "dropped").to_numpy(bool)
    return {
        "at": np.arange(bins, dtype=np.float64) * step_s,
        "intended": per_second(columns["intended"]),
        "sent": per_second(columns["sent"][~dropped]),
        "done": per_second(columns["done"][~dropped & ~is_outage(requests)]),
        "failed": per_second(columns["done"][is_outage(requests)]),
    }


@dataclass(frozen=True)
class Readiness:
    """The servers of one swarm: how long from the intended start until usable. `ready_s` is sorted; never is absent."""

    swarm: str
    level: str
    asked: int
    accepted: int
    ready_s: Floats
    accept_s: Floats
    resolution_s: float | None
    statuses: tuple[tuple[str, int], ...]

    @property
    def never(self) -> int:
        return self.asked - len(self.ready_s)

    def at(self, q: float) -> float:
        """Seconds until a share q was ready; infinite when it never was."""
        index = max(0, math.ceil(round(q * self.asked, 9)) - 1)
        return float(self.ready_s[index]) if index < len(self.ready_s) else math.inf


def readiness(run: Run) -> list[Readiness]:
    """Time to ready per swarm that made servers, biggest burst first."""
    rows = run.operations
    if not len(rows):
        return []
    rows = rows[(rows["kind"] == "server.create") & (rows["ending"] != "dropped")]
    found = []
    for swarm, group in rows.groupby(rows["swarm"].astype(object), sort=True):
        ready = group["ready_ns"].notna()
        intended = group["intended_ns"]
        tick = group["resolution_ns"].dropna()
        status = group["status"].astype(object).where(group["status"].notna(), "not seen").value_counts()
        found.append(
            Readiness(
                swarm=str(swarm),
                level=", ".join(sorted({str(each) for each in group["ready_level"].dropna()})) or "-",
                asked=len(group),
                accepted=int(group["accepted_ns"].notna().sum()),
                ready_s=np.sort(((group["ready_ns"] - intended)[ready] / S).to_numpy(np.float64)),
                accept_s=np.sort(((group["accepted_ns"] - intended).dropna() / S).to_numpy(np.float64)),
                resolution_s=float(tick.median()) / S if len(tick) else None,
                statuses=tuple(sorted((str(key), int(count)) for key, count in status.items())),
            )
        )
    return sorted(found, key=lambda each: (-each.asked, each.swarm))


def operations(run: Run) -> list[dict[str, Any]]:
    """User operations by swarm and kind: how many, how they ended, and how long acceptance took."""
    rows = run.operations
    if not len(rows):
        return []
    found = []
    keys = [rows["swarm"].astype(object), rows["kind"].astype(object)]
    for (swarm, kind), group in rows.groupby(keys, sort=True):
        accept = ((group["accepted_ns"] - group["intended_ns"]).dropna() / 1e6).to_numpy(np.float64)
        effects = group["effect"].astype(object).value_counts()
        p50, p95, p99 = quantiles(accept, QS)
        found.append(
            {"swarm": swarm, "kind": kind, "count": len(group), "p50": p50, "p95": p95, "p99": p99}
            | {name: int(effects.get(name, 0)) for name in ("done", "unknown", "none")}
            | {"ready": int(group["ready_ns"].notna().sum()), "gone": int(group["gone_ns"].notna().sum())}
        )
    return found


def routes_by_phase(run: Run) -> list[dict[str, Any]]:
    """Each route in each phase: samples, rate, failures, and percentiles of response and service time in ms."""
    requests = run.requests
    if not len(requests) or not run.phases:
        return []
    edges = np.array([int(phase.start_s * S) for phase in run.phases] + [int(run.phases[-1].end_s * S)])
    intended = requests["intended_ns"].to_numpy(np.int64)
    phase = np.searchsorted(edges, intended, side="right") - 1
    codes = requests["route"].cat.codes.to_numpy(np.int64)
    use = (phase >= 0) & (phase < len(run.phases)) & (codes >= 0)
    names = [str(each) for each in requests["route"].cat.categories]
    group = phase * len(names) + codes
    answered = use & (requests["ending"] == "answered").to_numpy(bool)
    response = (requests["done_ns"].to_numpy(np.int64) - intended) / 1e6
    service = (requests["done_ns"] - requests["sent_ns"]).to_numpy(np.int64) / 1e6
    total = np.bincount(group[use], minlength=len(run.phases) * len(names))
    failed = np.bincount(group[use & is_outage(requests)], minlength=len(total))
    keys, _, responses = grouped_quantiles(group[answered], response[answered], QS)
    _, _, services = grouped_quantiles(group[answered], service[answered], QS)
    quantile_of = {int(key): (responses[row], services[row]) for row, key in enumerate(keys)}
    nothing = (np.full(3, math.nan), np.full(3, math.nan))
    found = []
    for key in np.flatnonzero(total):
        at, name = divmod(int(key), len(names))
        window = run.phases[at]
        respond, serve = quantile_of.get(int(key), nothing)
        found.append(
            {"phase": window.name, "route": names[name], "count": int(total[key]), "failed": int(failed[key])}
            | {"rate": total[key] / max(window.end_s - window.start_s, 1e-9)}
            | {"response": respond.tolist(), "service": serve.tolist()}
        )
    return found


def errors(run: Run, most_ids: int = 4) -> list[dict[str, Any]]:
    """Failures by route and kind, most frequent first, with times, the faults in force, and request ids to look for."""
    rows = run.kept
    if not len(rows):
        return []
    rows = rows[(rows["ending"] != "answered") | (rows["status"] >= 400)]
    answered = (rows["ending"] == "answered").to_numpy(bool)
    status = rows["status"].to_numpy(np.int64)
    endings = rows["ending"].astype(object).to_numpy()
    kinds = np.where(answered, np.char.add("HTTP ", status.astype(str)), endings.astype(str))
    found = []
    for (route, kind), group in rows.groupby([rows["route"].astype(object), kinds], sort=True):
        first, last = float(group["sent_ns"].min()) / S, float(group["sent_ns"].max()) / S
        ids = group["request_id"].dropna().astype(str).tolist()
        found.append(
            {"route": route, "kind": kind, "count": len(group), "first_s": first, "last_s": last}
            | {"faults": sorted({fault.name for fault in run.faults if _touches(fault, first, last)})}
            | {"ids": ids[:most_ids], "more_ids": max(0, len(ids) - most_ids)}
            | {"outage": not str(kind).startswith("HTTP 4") and kind != "dropped"}
        )
    return sorted(found, key=lambda each: (-each["count"], each["route"], each["kind"]))


def slowest(run: Run, most: int = 10) -> list[dict[str, Any]]:
    """The slowest answered requests, with the phase and fault that they met."""
    rows = run.kept
    if not len(rows):
        return []
    rows = rows[rows["ending"] == "answered"]
    rows = rows.assign(response_ns=rows["done_ns"] - rows["intended_ns"])
    rows = rows.sort_values(["response_ns", "intended_ns"], ascending=[False, True]).head(most)
    found = []
    for each in rows.to_dict("records"):
        at_s, done_s = each["intended_ns"] / S, each["done_ns"] / S
        phase = next((window.name for window in run.phases if window.start_s <= at_s < window.end_s), "")
        found.append(
            {"route": each["route"], "at_s": at_s, "response_ns": each["response_ns"], "phase": phase}
            | {"service_ns": each["done_ns"] - each["sent_ns"], "status": int(each["status"])}
            | {"id": each["request_id"] if isinstance(each["request_id"], str) else None}
            | {"faults": sorted({fault.name for fault in run.faults if _touches(fault, at_s, done_s)})}
        )
    return found


def _touches(window: Window, first_s: float, last_s: float) -> bool:
    return window.start_s <= last_s and window.end_s >= first_s


@dataclass(frozen=True)
class GaugeSeries:
    """One gauge: its lines by label, over time, with the capacity where it has one."""

    source: str
    name: str
    lines: tuple[tuple[str, Floats, Floats], ...]
    capacity: float | None


# Readings that only ever grow: what matters is how fast.
_COUNTERS = frozenset({"commits", "rollbacks", "deadlocks"})
_SOURCES = ("database", "broker", "slots", "placement", "pools")


def _rank(series: "GaugeSeries") -> tuple[bool, int, str, str]:
    """What a fault is seen in first: the parts of the cloud that fill up; what never moved from zero comes last."""
    is_flat = not any((value != 0).any() for _, _, value in series.lines) or series.name == "up"
    source = _SOURCES.index(series.source) if series.source in _SOURCES else len(_SOURCES)
    return is_flat, source, series.source, series.name


def gauge_series(run: Run, most_points: int = 400) -> list[GaugeSeries]:
    """Every gauge by source and name; long series keep the highest reading of each stretch, so that no peak is lost."""
    rows = run.gauges[run.gauges["at_ns"] >= 0]
    if not len(rows):
        return []
    found = []
    keys = [rows["source"].astype(object), rows["name"].astype(object)]
    for (source, name), group in rows.groupby(keys, sort=True):
        if name == "up" and (group["value"] == 1).all():
            continue
        lines = []
        labels = group["labels"].astype(object).where(group["labels"].notna(), "")
        for label, line in group.groupby(labels, sort=True):
            ordered = line.sort_values("at_ns")
            at, value = (ordered["at_ns"] / S).to_numpy(np.float64), ordered["value"].to_numpy(np.float64)
            if name in _COUNTERS and len(at) > 1:
                # A counter that falls was begun anew, by a server that was restarted.
                value = np.maximum(np.diff(value), 0) / np.maximum(np.diff(at), 1e-3)
                at = at[1:]
            lines.append((str(label), *_thinned(at, value, most_points)))
        capacities = group["capacity"].dropna().unique()
        capacity = float(capacities[0]) if len(capacities) == 1 else None
        shown = f"{name} per s" if name in _COUNTERS else str(name)
        found.append(GaugeSeries(str(source), shown, tuple(lines), capacity))
    return sorted(found, key=_rank)


def _thinned(at: Floats, value: Floats, most: int) -> tuple[Floats, Floats]:
    if len(at) <= most:
        return at, value
    edges = np.unique(np.linspace(0, len(at), most + 1).astype(np.int64))[:-1]
    return at[edges], np.fmax.reduceat(value, edges)


@dataclass(frozen=True)
class WorkerHealth:
    """One load worker over time: p99 of its start error and loop lag in ms, and what it left undone."""

    name: str
    at_s: Floats
    start_error_ms: Floats
    loop_lag_ms: Floats
    cpu_share: Floats
    intended: int
    started: int
    late: int
    dropped: int


def worker_health(run: Run) -> list[WorkerHealth]:
    """Every load worker, by name."""
    rows = run.health
    if not len(rows):
        return []
    found = []
    for name, group in rows.groupby(rows["process"].astype(object), sort=True):
        ordered = group.sort_values("second")
        totals = {key: int(ordered[key].sum()) for key in ("intended", "started", "late", "dropped")}
        found.append(
            WorkerHealth(
                name=str(name),
                at_s=ordered["second"].to_numpy(np.float64),
                start_error_ms=ordered["start_error_p99_ns"].to_numpy(np.float64) / 1e6,
                loop_lag_ms=ordered["loop_lag_p99_ns"].to_numpy(np.float64) / 1e6,
                cpu_share=ordered["cpu_share"].to_numpy(np.float64),
                **totals,
            )
        )
    return found
