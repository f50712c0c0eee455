"""The figures of a report: what is drawn of a run, and in which words."""

from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from harness.core.clock import S
from reports import statistics
from reports.figures import Chart, Level, Line, milliseconds, number
from reports.frames import Run

_PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Figure:
    """A drawn chart with the words around it."""

    title: str
    note: str
    body: Markup


def latency(run: Run) -> list[Figure]:
    """Per route: p50, p95, p99 of response time over time, and p95 of service time beside them."""
    step = statistics.bin_s(run)
    figures = []
    for series in statistics.route_series(run):
        lines = [
            Line(name, series.at_s, series.response_ms[:, column], name, gap=3 * step)
            for column, name in enumerate(_PERCENTILES)
        ]
        lines += [
            Line(f"{name} service", series.at_s, series.service_ms[:, column], "service", dashed=True, gap=3 * step)
            for column, name in enumerate(_PERCENTILES)
        ]
        # Service times are in every hover title; one line of them is enough to see where the two part.
        lines = [replace(line, only_hover=line.label in ("p50 service", "p99 service")) for line in lines]
        chart = Chart(
            title=f"Response time of {series.route}",
            unit="time",
            lines=lines,
            show=milliseconds,
            x_range=(0.0, run.load_end_s),
            logarithmic=True,
            faults=run.faults,
            hover_step=float(step),
        )
        figures.append(Figure(series.route, f"{series.count:,} answered", chart.svg()))
    return figures


def throughput(run: Run) -> list[Figure]:
    """Requests intended, sent and done per second, and failures on a scale of their own."""
    if not len(run.requests):
        return []
    rates, step = statistics.rates(run), statistics.bin_s(run)
    common = {"show": number, "x_range": (0.0, run.load_end_s), "faults": run.faults, "hover_step": float(step)}
    done = Chart(
        title="Requests per second",
        unit="per s",
        lines=[
            Line("intended", rates["at"], rates["intended"], "c4", dashed=True),
            Line("sent", rates["at"], rates["sent"], "c2"),
            Line("done", rates["at"], rates["done"], "c1"),
        ],
        **common,  # type: ignore[arg-type]
    )
    figures = [
        Figure(
            "Requests",
            "by when they were meant to leave, when the client sent them, and when the cloud was done",
            done.svg(),
        )
    ]
    if rates["failed"].any():
        failed = Chart(
            title="Failures per second",
            unit="per s",
            lines=[Line("failed", rates["at"], rates["failed"], "bad", stepped=True)],
            **common,  # type: ignore[arg-type]
        )
        figures.append(Figure("Failures", "5xx and requests without an answer", failed.svg()))
    return figures


def time_to_ready(run: Run) -> list[Figure]:
    """Per swarm that made servers: which share of them was usable after how long."""
    figures = []
    for each in statistics.readiness(run)[:8]:
        if not len(each.ready_s):
            continue
        last = float(each.ready_s[-1]) * 1.05 or 1.0
        pick = np.unique(np.linspace(0, len(each.ready_s) - 1, min(len(each.ready_s), 400)).astype(np.int64))
        x = np.concatenate(([0.0], each.ready_s[pick], [last]))
        share = (pick + 1) / each.asked * 100
        y = np.concatenate(([0.0], share, [share[-1]]))
        lines = [Line("ready", x, y, "c1", stepped=True)]
        if len(each.accept_s) and len(np.unique(each.accept_s)) > 1:
            take = np.unique(np.linspace(0, len(each.accept_s) - 1, min(len(each.accept_s), 400)).astype(np.int64))
            ax = np.concatenate(([0.0], each.accept_s[take]))
            lines.append(
                Line("accepted", ax, np.concatenate(([0.0], (take + 1) / each.asked * 100)), "c2", dashed=True)
            )
        chart = Chart(
            title=f"Time to ready of {each.swarm}",
            unit="% of all",
            lines=lines,
            show=lambda value: f"{value:.3g}",
            x_range=(0.0, max(last, float(each.accept_s[-1]) if len(each.accept_s) else last)),
            x_title="seconds from the intended start",
            x_show=lambda value: f"{value:.3g}",
            y_top=100.0,
            hover_step=last / 120,
        )
        level = "" if each.level == "-" else f", by {each.level}"
        figures.append(Figure(each.swarm, f"{len(each.ready_s):,} of {each.asked:,} servers ready{level}", chart.svg()))
    return [*figures, *_ready_over_time(run)]


def _ready_over_time(run: Run) -> list[Figure]:
    """How many servers had become usable by when, beside the faults that were in force."""
    rows = run.operations
    lines = []
    for index, each in enumerate(statistics.readiness(run)[:6]):
        mine = rows[(rows["kind"] == "server.create") & (rows["swarm"] == each.swarm)]["ready_ns"].dropna()
        mine = mine[mine < run.load_end_s * S]
        if len(mine):
            at = np.sort(mine.to_numpy(np.float64)) / S
            pick = np.unique(np.linspace(0, len(at) - 1, min(len(at), 300)).astype(np.int64))
            x = np.concatenate(([at[0]], at[pick], [run.load_end_s]))
            y = np.concatenate(([0.0], pick + 1.0, [float(len(at))]))
            lines.append(Line(each.swarm, x, y, f"c{index + 1}", stepped=True))
    if not lines:
        return []
    chart = Chart(
        title="Servers ready over the run",
        unit="servers",
        lines=lines,
        show=number,
        x_range=(0.0, run.load_end_s),
        faults=run.faults,
    )
    return [Figure("Over the run", "servers that had become usable by then", chart.svg())]


def gauges(run: Run) -> list[Figure]:
    """Every gauge, with its capacity where that is in sight."""
    figures = []
    for series in statistics.gauge_series(run)[:80]:
        lines = [
            Line(label or series.name, at, value, f"c{index % 6 + 1}", dashed=index >= 6, stepped=False)
            for index, (label, at, value) in enumerate(series.lines[:10])
        ]
        peak = max((float(np.nanmax(line.y)) for line in lines if np.isfinite(line.y).any()), default=0.0)
        note = ""
        levels = []
        if series.capacity is not None:
            # A capacity far above all readings would flatten the line; then only the words name it.
            levels = (
                [Level(f"capacity {number(series.capacity)}", series.capacity)] if peak > 0.2 * series.capacity else []
            )
            note = f"peak {number(peak)} of {number(series.capacity)}"
        chart = Chart(
            title=f"{series.source} {series.name}",
            unit=_unit(series.name),
            lines=lines,
            show=number,
            x_range=(0.0, run.end_s),
            faults=run.faults,
            levels=levels,
        )
        figures.append(Figure(f"{series.source}: {series.name}", note or f"peak {number(peak)}", chart.svg()))
    return figures


def _unit(name: str) -> str:
    """The unit that a gauge's name ends in, else that it counts something."""
    if name.endswith(" per s"):
        return "per s"
    last = name.rsplit(" ", 1)[-1]
    return last if last in ("MiB", "GiB", "cores", "ms", "s", "paused") else "number"


def client(run: Run) -> list[Figure]:
    """What the load generator itself cost: how late it started requests, and how long its loop was blocked."""
    workers = statistics.worker_health(run)
    figures = []
    for title, note, read, unit in (
        ("Start error, p99", "how much later than intended requests left", "start_error_ms", "time"),
        ("Loop lag, p99", "how long the client's own loop was held up", "loop_lag_ms", "time"),
        ("CPU share", "of one core, per worker", "cpu_share", "share"),
    ):
        lines = [
            Line(worker.name, worker.at_s, getattr(worker, read), f"c{index % 6 + 1}", dashed=index >= 6)
            for index, worker in enumerate(workers[:10])
        ]
        timed = unit == "time"
        chart = Chart(
            title=title,
            unit=unit,
            lines=lines,
            show=milliseconds if timed else (lambda value: f"{value:.0%}"),
            x_range=(0.0, run.load_end_s),
            faults=run.faults,
            levels=[Level("5 ms", 5.0)] if timed else [],
        )
        if any(np.isfinite(line.y).any() for line in lines):
            figures.append(Figure(title, note, chart.svg()))
    return figures
