"""report.html: one self-contained page that works offline. Verdict first, then what it rests on.

Everything that came from a cloud or an experiment goes through jinja2's autoescape; only our own figures are markup.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.core.clock import S
from harness.core.units import format_ns
from reports import charts, statistics
from reports.figures import clock, milliseconds
from reports.frames import Run, Window

_TEMPLATES = Path(__file__).parent / "templates"
MOST_OBJECTS = 200
_SECTIONS = (
    *(("targets", "Targets"), ("latency", "Latency"), ("ready", "Time to ready"), ("throughput", "Throughput")),
    *(("errors", "Errors"), ("recovery", "Recovery"), ("audit", "Audit"), ("gauges", "Inside the cloud")),
    *(("client", "Load generator"), ("experiment", "Experiment")),
)
VERDICT_WORDS = {"pass": "pass", "fail": "fail", "unknown": "unknown", "none": "no target"}
MEASURE_WORDS = {
    "success_ratio": "success",
    "time_to_recover": "time to recover",
}


def render(run: Run) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(_words())
    verdict = run.verdict or {}
    css = (_TEMPLATES / "report.css").read_text()
    ready = statistics.readiness(run)
    seed = run.plan.get("seed", run.document.get("seed"))
    routes: dict[str, list[dict[str, Any]]] = {}
    for row in statistics.routes_by_phase(run):
        routes.setdefault(row["phase"], []).append(row)
    return environment.get_template("report.html.j2").render(
        run=run,
        css=Markup(css),
        verdict=verdict,
        banner=banner(run),
        sections=_SECTIONS,
        started=_started(run),
        venue=str(run.document.get("venue") or ""),
        level=run.plan.get("level") or run.document.get("level"),
        tiles=_tiles(run, ready),
        timeline=_timeline(run),
        fault_rows=_fault_rows(run),
        phases_with_targets=[phase for phase in verdict.get("phases") or [] if phase["targets"]],
        step=statistics.bin_s(run),
        latency=charts.latency(run),
        routes=list(routes.items()),
        slowest=statistics.slowest(run),
        ready=ready,
        ready_figures=charts.time_to_ready(run),
        operations=statistics.operations(run),
        throughput=charts.throughput(run),
        errors=statistics.errors(run),
        faults=verdict.get("faults") or [],
        journal=run.journal[:500],
        checkers=_gravest_first(verdict.get("checkers") or []),
        findings=verdict.get("findings") or [],
        most_objects=MOST_OBJECTS,
        saturated=verdict.get("first_saturated"),
        parts=verdict.get("parts") or [],
        gauges=charts.gauges(run),
        workers=statistics.worker_health(run),
        client_figures=charts.client(run),
        arrivals=verdict.get("arrivals") or [],
        client_words=_client_words(verdict.get("client")),
        clocks=run.clocks.to_dict("records")[:50],
        seed=seed,
        fingerprint=_fingerprint(run, seed),
    )


def banner(run: Run) -> dict[str, Any]:
    """The verdict in one word, one sentence and its reasons."""
    verdict = run.verdict
    if verdict is None:
        sentence = "This run has not been judged; the page shows what was recorded."
        return {
            "kind": "unknown",
            "word": "NO VERDICT",
            "meaning": sentence,
            "code": "-",
            "true_code": None,
            "reasons": [],
        }
    word = {"pass": "PASS", "fail": "FAIL", "unknown": "UNKNOWN"}.get(str(verdict.get("verdict")), "UNKNOWN")
    if verdict.get("exit_code") == 130:
        word = "INTERRUPTED"
    expect = verdict.get("expect")
    if expect and expect.get("as_expected"):
        word = "AS EXPECTED"
    meaning = str(verdict.get("meaning") or "")
    return {
        "kind": verdict.get("verdict") if verdict.get("verdict") in ("pass", "fail", "unknown") else "unknown",
        "word": word,
        "meaning": meaning[:1].upper() + meaning[1:] + ".",
        "code": verdict.get("exit_code"),
        "true_code": verdict.get("true_exit_code") if expect else None,
        "reasons": list(verdict.get("reasons") or []),
    }


def _tiles(run: Run, ready: list[statistics.Readiness]) -> list[dict[str, str]]:
    tiles: list[dict[str, str]] = []

    def tile(label: str, value: str, note: str, ink: str = "") -> None:
        tiles.append({"label": label, "value": value, "note": note, "ink": ink})

    count = len(run.requests)
    if count:
        outages = int(statistics.is_outage(run.requests).sum())
        tile("Requests", f"{count:,}", f"{count / run.load_end_s:.3g} per second")
        share = math.floor((count - outages) / count * 1e5) / 1e3
        tile("Availability", f"{share:g} %", f"{outages:,} failed or unanswered", "fail-ink" if outages else "pass-ink")
    if ready:
        came, asked = sum(len(each.ready_s) for each in ready), sum(each.asked for each in ready)
        slow = max(ready, key=lambda each: each.at(0.99))
        note = f"{'slowest, ' if len(ready) > 1 else ''}{slow.swarm}: p99 {_seconds(slow.at(0.99))}"
        tile("Servers ready", f"{came:,} / {asked:,}", note, "fail-ink" if came < asked else "pass-ink")
    faults = (run.verdict or {}).get("faults") or []
    if faults:
        down = max((fault for fault in faults), key=lambda each: each["downtime_s"] or 0.0)
        note = down["fault"] if down["downtime_s"] else "no request failed under a fault"
        tile("Longest downtime", _seconds(down["downtime_s"]), note, "fail-ink" if down["downtime_s"] else "pass-ink")
        stuck = [fault for fault in faults if fault["recovered"] is False]
        times = [fault for fault in faults if fault["time_to_recover_s"] is not None]
        if stuck:
            tile("Time to recover", "never", stuck[0]["fault"], "fail-ink")
        elif times:
            last = max(times, key=lambda each: each["time_to_recover_s"])
            tile("Time to recover", _seconds(last["time_to_recover_s"]), f"slowest, after {last['fault']}")
    if run.verdict is not None:
        damage = [each for each in run.verdict.get("findings") or [] if each["severity"] != "note"]
        objects = sum(len(each["objects"]) for each in damage)
        unknown = sum(each["verdict"] == "unknown" for each in run.verdict.get("checkers") or [])
        note = ", ".join(each["code"] for each in damage) or (
            f"{unknown} questions unanswered" if unknown else "no damage found"
        )
        ink = "fail-ink" if damage else "unknown-ink" if unknown else "pass-ink"
        tile(
            "Audit: damaged" if damage else "Audit",
            f"{objects:,}" if damage else "unknown" if unknown else "clean",
            note,
            ink,
        )
        first = run.verdict.get("first_saturated")
        parts = run.verdict.get("parts") or []
        if first:
            tile("First saturated", _part_words(first), f"at {clock(first['saturated_ns'] / S)}", "unknown-ink")
        elif parts:
            tile("Fullest part", _percent(parts[0]["peak"]), _part_words(parts[0]))
    return tiles


def _timeline(run: Run) -> list[dict[str, Any]]:
    judged = {phase["name"]: phase["verdict"] for phase in (run.verdict or {}).get("phases") or []}
    return [
        {
            "name": phase.name,
            "verdict": judged.get(phase.name, "none"),
            "left": _share(phase.start_s, run),
            "width": _share(phase.end_s - phase.start_s, run),
            "title": f"{phase.name} ({phase.kind}), {clock(phase.start_s)} to {clock(phase.end_s)}: "
            f"{VERDICT_WORDS[judged.get(phase.name, 'none')]}",
        }
        for phase in run.phases
    ]


def _fault_rows(run: Run) -> list[list[dict[str, Any]]]:
    """Faults in as few rows as their names can be read in."""
    rows: list[tuple[float, list[dict[str, Any]]]] = []
    for fault in sorted(run.faults, key=lambda each: each.start_s):
        shown = _fault_bar(fault, run)
        # A letter takes about 1.9 % of the narrowest page that this is made for.
        end = shown["left"] + max(shown["width"], 1.9 * len(fault.name))
        for index, (taken, row) in enumerate(rows):
            if shown["left"] >= taken:
                row.append(shown)
                rows[index] = (end, row)
                break
        else:
            rows.append((end, [shown]))
    return [row for _, row in rows]


def _fault_bar(fault: Window, run: Run) -> dict[str, Any]:
    lasted = clock(fault.end_s - fault.start_s)
    return {
        "name": fault.name,
        "left": _share(fault.start_s, run),
        "width": _share(min(fault.end_s, run.load_end_s) - fault.start_s, run),
        "title": f"{fault.name} on {fault.kind}, from {clock(fault.start_s)} for {lasted} {fault.detail}".strip(),
    }


def _share(seconds: float, run: Run) -> float:
    return round(100 * seconds / run.load_end_s, 3)


def _gravest_first(checkers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rank = {"fail": 0, "unknown": 1, "pass": 2}
    return sorted(checkers, key=lambda each: (rank.get(each["verdict"], 1), each["checker"]))


def _client_words(client: dict[str, Any] | None) -> str:
    if not client or not client["worker_seconds"]:
        return "How the load generator itself fared is not known."
    share = client["limited_worker_seconds"] / client["worker_seconds"]
    words = (
        f"{client['limited_worker_seconds']:,} of {client['worker_seconds']:,} worker-seconds ({share:.1%}) were "
        "limited by the client, by the strictest bound (5 ms late, or 1 % of the arrivals not started); they leave the "
        "verdict of the targets that they would touch."
    )
    if client["dropped"]:
        words += f" {client['dropped']:,} arrivals were dropped, because too many were in flight."
    if client["workers_lost"]:
        words += f" Workers lost: {', '.join(client['workers_lost'])}."
    return words


def _fingerprint(run: Run, seed: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    document = run.document
    about = [
        ("run", run.run_id),
        ("seed", seed),
        ("mark", run.plan.get("mark")),
        ("cloud", run.plan.get("cloud")),
        ("time scale", run.plan.get("time_scale")),
        ("commit", document.get("commit")),
        ("stuck after", f"{run.plan['stuck_after_s']:g} s" if "stuck_after_s" in run.plan else None),
    ]
    groups = [("Run", about)]
    for title, key in (("Versions", "versions"), ("Machine", "machine")):
        value = document.get(key)
        if isinstance(value, dict):
            groups.append((title, sorted(value.items()) if key == "versions" else list(value.items())))
    if foreign := document.get("extensions"):
        groups.append(("From other packages", [_extension(each) for each in foreign]))
    return [
        (title, [(name.replace("_", " "), str(each)) for name, each in pairs if each is not None])
        for title, pairs in groups
    ]


def _extension(found: dict[str, Any]) -> tuple[str, str]:
    kind = str(found["group"]).removeprefix("squall.").removesuffix("s")
    return str(found["name"]), f"{kind} {found['value']} of {found['distribution']} {found['version']}"


def _started(run: Run) -> str:
    stamp = run.document.get("epoch_wall_ns") or run.document.get("started_wall_ns")
    if not isinstance(stamp, int):
        return ""
    return datetime.fromtimestamp(stamp / S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# How values read.


def _words() -> dict[str, Any]:
    return {
        "verdict_word": lambda verdict: VERDICT_WORDS.get(verdict, verdict),
        "measure_words": measure_words,
        "interval_words": _interval_words,
        "part_words": _part_words,
        "percent": _percent,
        "seconds": _seconds,
        "number": _number,
        "times": factor,
        "ns": lambda value: "-" if value is None or math.isnan(value) else "0 s" if value == 0 else format_ns(value),
        "ms": lambda value: "-" if value is None or not math.isfinite(value) else milliseconds(value),
        "clock": clock,
        "at": lambda value: "-" if value is None else clock(value / S),
        "claim": lambda value: "not known" if value is None else "yes" if value else "NO",
    }


def factor(value: float | None) -> str:
    """How many times: `1.25x`, `2,970x`."""
    if value is None:
        return "-"
    return f"{value:,.0f}x" if value >= 100 else f"{value:.3g}x"


def measure_words(measure: str) -> str:
    """`response_p95` as people say it: `p95 response time`."""
    kind, _, percentile = measure.rpartition("_p")
    if kind in ("response", "service"):
        return f"p{percentile} {kind} time"
    if kind in ("ready", "gone"):
        return f"p{percentile} time to {kind}"
    return MEASURE_WORDS.get(measure, measure)


def _interval_words(target: dict[str, Any]) -> str:
    interval = target.get("interval")
    if not interval or (interval[0] is None and interval[1] is None):
        return ""
    low, high = (None if each is None else format_ns(each) for each in interval)
    if high is None:
        return f"95 % interval: from {low}"
    return f"95 % interval: {low} to {high}" if low is not None else f"95 % interval: up to {high}"


def _part_words(part: dict[str, Any]) -> str:
    source, name = str(part["source"]), str(part["name"])
    return (name if source in name else f"{source} {name}") + (f" ({part['labels']})" if part["labels"] else "")


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return "0 s" if value == 0 else format_ns(value * S)


def _number(value: float) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{int(value):,}"
