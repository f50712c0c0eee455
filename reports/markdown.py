"""summary.md: the verdict in a page, for a pull request or a chat. What a cloud said cannot break out of its cell."""

import re

from reports import statistics
from reports.frames import Run
from reports.html import _seconds, banner, factor, measure_words

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&@])")
_MARKS = {"pass": "pass", "fail": "**FAIL**", "unknown": "*unknown*"}
_MOST_OBJECTS = 10


def render(run: Run) -> str:
    """The summary."""
    verdict, head = run.verdict or {}, banner(run)
    lines = [f"# {head['word']}: {safe(run.name)}", "", safe(head["meaning"]), ""]
    lines += [
        f"Exit code {head['code']}, run {safe(run.run_id)}, "
        + safe(str(run.document.get("venue") or "cloud not known"))
        + ".",
        "",
    ]
    lines += [f"- {safe(reason)}" for reason in head["reasons"][:12]]
    if len(head["reasons"]) > 12:
        lines.append(f"- and {len(head['reasons']) - 12} more")
    if run.missing:
        lines += ["", "## Missing", "", *(f"- {safe(each)}" for each in run.missing)]
    rows = [(phase["name"], target) for phase in verdict.get("phases") or [] for target in phase["targets"]]
    if rows:
        lines += [
            "",
            "## Targets",
            "",
            "| | phase | of | measure | value | target | samples |",
            "|---|---|---|---|--:|--:|--:|",
        ]
    for phase, target in rows:
        of = ", ".join(filter(None, (target["swarm"], target["route"], target["fault"]))) or "all"
        sign = "at most" if target["bound"] == "at_most" else "at least"
        cells = (
            phase,
            of,
            measure_words(target["measure"]),
            target["shown"],
            f"{sign} {target['limit_shown']}",
            target["samples"],
        )
        lines.append(f"| {_MARKS[target['verdict']]} | " + " | ".join(safe(str(cell)) for cell in cells) + " |")
    for each in statistics.readiness(run)[:8]:
        if each is statistics.readiness(run)[0]:
            lines += ["", "## Servers", "", "| swarm | asked | ready | p50 | p95 | p99 |", "|---|--:|--:|--:|--:|--:|"]
        times = " | ".join(_seconds(each.at(q)) for q in (0.5, 0.95, 0.99))
        lines.append(f"| {safe(each.swarm)} | {each.asked} | {len(each.ready_s)} | {times} |")
    if verdict.get("faults"):
        lines += [
            "",
            "## Faults",
            "",
            "| fault | bit | gone | errors | downtime | degradation | time to recover |",
            "|---|---|---|--:|--:|--:|--:|",
        ]
    for fault in verdict.get("faults") or []:
        claims = " | ".join({True: "yes", False: "**NO**", None: "?"}[fault[key]] for key in ("bit", "gone"))
        if fault["bit"] and fault.get("doubt"):
            claims = claims.replace("yes", "**cut short**", 1)
        slower = factor(fault["degradation"])
        recover = "never" if fault["recovered"] is False else _seconds(fault["time_to_recover_s"])
        cells = (safe(fault["fault"]), claims, str(fault["errors"]), _seconds(fault["downtime_s"]), slower, recover)
        lines.append("| " + " | ".join(cells) + " |")
    if verdict.get("checkers"):
        lines += ["", "## Audit", ""]
        lines += [
            f"- {_MARKS[each['verdict']]} {safe(each['question'])} {safe(each['reason'])}"
            for each in verdict["checkers"]
        ]
    for finding in verdict.get("findings") or []:
        lines += ["", f"### {safe(finding['code'])}", "", f"{safe(finding['meaning'])} {safe(finding['detail'])}.", ""]
        shown = finding["objects"][:_MOST_OBJECTS]
        lines += [
            f"- {safe(each['type'])} {safe(each['id'])} {safe(each['name'])}: {safe(each['detail'])}" for each in shown
        ]
        if len(finding["objects"]) > _MOST_OBJECTS:
            lines.append(f"- and {len(finding['objects']) - _MOST_OBJECTS} more")
    return "\n".join(lines) + "\n"


def safe(text: str) -> str:
    """Text as itself: no markup, no new line, no end of a table cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
