"""summary.md: the verdict in a page, for a pull request or a chat. What a cloud said cannot break out of its cell."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reports import statistics
from reports.frames import Run
from reports.html import _seconds, banner, factor, measure_words

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&@])")
_MARKS = {"pass": "pass", "fail": "**FAIL**", "unknown": "*unknown*"}
_MOST_OBJECTS = 10
_MOST_REASONS = 12
_MOST_SWARMS = 8


def render(run: Run) -> str:
    """The summary."""
    verdict = run.verdict or {}
    lines = _head(run)
    if run.missing:
        lines += ["", "## Missing", "", *(f"- {safe(each)}" for each in run.missing)]
    targets = [(phase["name"], target) for phase in verdict.get("phases") or [] for target in phase["targets"]]
    head = "| | phase | of | measure | value | target | samples |\n|---|---|---|---|--:|--:|--:|"
    lines += _table("Targets", head, (_target(phase, target) for phase, target in targets))
    head = "| swarm | asked | ready | p50 | p95 | p99 |\n|---|--:|--:|--:|--:|--:|"
    lines += _table("Servers", head, map(_swarm, statistics.readiness(run)[:_MOST_SWARMS]))
    head = "| fault | bit | gone | errors | downtime | degradation | time to recover |\n|---|---|---|--:|--:|--:|--:|"
    lines += _table("Faults", head, map(_fault, verdict.get("faults") or []))
    if verdict.get("checkers"):
        checked = (
            f"{_MARKS[each['verdict']]} {safe(each['question'])} {safe(each['reason'])}" for each in verdict["checkers"]
        )
        lines += ["", "## Audit", "", *(f"- {each}" for each in checked)]
    for finding in verdict.get("findings") or []:
        lines += _finding(finding)
    return "\n".join(lines) + "\n"


def _head(run: Run) -> list[str]:
    head = banner(run)
    venue = safe(str(run.document.get("venue") or "cloud not known"))
    lines = [f"# {head['word']}: {safe(run.name)}", "", safe(head["meaning"]), ""]
    lines += [f"Exit code {head['code']}, run {safe(run.run_id)}, {venue}.", ""]
    lines += [f"- {safe(reason)}" for reason in head["reasons"][:_MOST_REASONS]]
    if len(head["reasons"]) > _MOST_REASONS:
        lines.append(f"- and {len(head['reasons']) - _MOST_REASONS} more")
    return lines


def _table(title: str, head: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A headed table; nothing without rows. Cells must be safe already."""
    texts = ["| " + " | ".join(row) + " |" for row in rows]
    return ["", f"## {title}", "", head, *texts] if texts else []


def _target(phase: str, target: Mapping[str, Any]) -> tuple[str, ...]:
    of = ", ".join(filter(None, (target["swarm"], target["route"], target["fault"]))) or "all"
    limit = f"{'at most' if target['bound'] == 'at_most' else 'at least'} {target['limit_shown']}"
    cells = (phase, of, measure_words(target["measure"]), target["shown"], limit, target["samples"])
    return (_MARKS[target["verdict"]], *(safe(str(cell)) for cell in cells))


def _swarm(swarm: statistics.Readiness) -> tuple[str, ...]:
    times = (_seconds(swarm.at(q)) for q in (0.5, 0.95, 0.99))
    return (safe(swarm.swarm), str(swarm.asked), str(len(swarm.ready_s)), *times)


def _fault(fault: Mapping[str, Any]) -> tuple[str, ...]:
    claims = [{True: "yes", False: "**NO**", None: "?"}[fault[key]] for key in ("bit", "gone")]
    if fault["bit"] and fault.get("doubt"):
        claims[0] = "**cut short**"
    recover = "never" if fault["recovered"] is False else _seconds(fault["time_to_recover_s"])
    figures = (str(fault["errors"]), _seconds(fault["downtime_s"]), factor(fault["degradation"]), recover)
    return (safe(fault["fault"]), *claims, *figures)


def _finding(finding: Mapping[str, Any]) -> list[str]:
    lines = ["", f"### {safe(finding['code'])}", "", f"{safe(finding['meaning'])} {safe(finding['detail'])}.", ""]
    for each in finding["objects"][:_MOST_OBJECTS]:
        lines.append(f"- {safe(each['type'])} {safe(each['id'])} {safe(each['name'])}: {safe(each['detail'])}")
    if len(finding["objects"]) > _MOST_OBJECTS:
        lines.append(f"- and {len(finding['objects']) - _MOST_OBJECTS} more")
    return lines


def safe(text: str) -> str:
    """Text as itself: no markup, no new line, no end of a table cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
