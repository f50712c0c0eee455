"""The verdict as a table for the end of `squall run`: plain text, as wide as the terminal, coloured only on one."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

_COLOURS = {"pass": "32", "fail": "31", "unknown": "33", "none": "2", "bold": "1", "dim": "2"}
_NARROWEST, _WIDEST = 40, 140
_MOST_REASONS = 8

Row = tuple[str, str, str, str, str]


def verdict_table(verdict: dict[str, Any], *, width: int | None = None, coloured: bool | None = None) -> str:
    """The verdict document as text.

    Args: width: columns to fit into, at least 40; None: those of the terminal, 120 when there is none. coloured: with
    ANSI colours; None: when standard output is a terminal, and NO_COLOR is not set.
    """
    on_terminal = sys.stdout.isatty()
    if width is None:
        width = shutil.get_terminal_size((100, 24)).columns if on_terminal else 120
    if coloured is None:
        coloured = on_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    width = min(_WIDEST, max(_NARROWEST, width))

    def paint(words: str, colour: str) -> str:
        return f"\x1b[{_COLOURS.get(colour, '0')}m{words}\x1b[0m" if coloured and words else words

    lines = _targets(verdict, width, paint)
    lines += _faults(verdict, width, paint)
    lines += _audit(verdict, width, paint)
    if first := verdict.get("first_saturated"):
        label = f" ({_plain(first['labels'])})" if first.get("labels") else ""
        words = first["name"] if first["source"] in first["name"] else f"{first['source']} {first['name']}"
        lines += ["", f"first saturated: {_plain(words)}{label}"]
    lines += _arrivals(verdict, paint)
    lines += ["", *_conclusion(verdict, width, paint)]
    return "\n".join(lines).strip("\n")


Paint = Callable[[str, str], str]


def _arrivals(verdict: dict[str, Any], paint: Paint) -> list[str]:
    """Every planned arrival in one line; what did not come to its end stands out."""
    accounts = verdict.get("arrivals") or []
    if not accounts:
        return []
    totals = {key: sum(each[key] for each in accounts) for key in accounts[0] if key != "swarm"}
    words = ", ".join(
        paint(f"{totals[key]:,} {key}", "fail" if key in ("lost", "broken") else "")
        for key in ("completed", "failed", "broken", "open", "dropped", "lost", "cancelled")
        if totals[key] or key == "completed"
    )
    late = f" ({totals['late']:,} started late)" if totals["late"] else ""
    return ["", f"arrivals: {totals['planned']:,} planned = {words}{late}"]


def _targets(verdict: dict[str, Any], width: int, paint: Paint) -> list[str]:
    """Target rows under the name of their phase; the name of what is measured gives way when it is narrow."""
    phases = [phase for phase in verdict.get("phases") or [] if phase["targets"]]
    rows: list[tuple[str, Row]] = []
    for phase in phases:
        for target in phase["targets"]:
            of = ", ".join(filter(None, (target["swarm"], target["route"], target["fault"]))) or "all"
            sign = "<=" if target["bound"] == "at_most" else ">="
            cells = (of, target["measure"], target["shown"], f"{sign} {target['limit_shown']}", str(target["samples"]))
            rows.append((target["verdict"], tuple(_plain(cell) for cell in cells)))  # type: ignore[arg-type]
    if not rows:
        return ["no targets were judged"]
    sizes = [max(len(row[column]) for _, row in rows) for column in range(5)]
    # "unknown", two spaces between columns, two of indent, " samples" at the end.
    room = width - (2 + 7 + 2 * 5 + sum(sizes[1:]) + len(" samples"))
    shows_samples = room >= 12
    if not shows_samples:
        room += sizes[4] + len(" samples") + 2
    sizes[0] = min(sizes[0], max(6, room))
    lines, at = [], 0
    for phase in phases:
        heading = f"{_plain(phase['name'])} ({_plain(phase['kind'])})"
        lines += ["", f"{paint(_cut(heading, width - 10), 'bold')}  {paint(phase['verdict'], phase['verdict'])}"]
        for judged, row in rows[at : at + len(phase["targets"])]:
            of = _cut(row[0], sizes[0]).ljust(sizes[0])
            line = f"{of}  {row[1].ljust(sizes[1])}  {row[2].rjust(sizes[2])}  {row[3].ljust(sizes[3])}"
            if shows_samples:
                line += f"  {paint(f'{row[4].rjust(sizes[4])} samples', 'dim')}"
            else:
                line = _cut(line, width - 11)
            lines.append(f"  {paint(judged.ljust(7), judged)}  {line.rstrip()}")
        at += len(phase["targets"])
    return lines


def _faults(verdict: dict[str, Any], width: int, paint: Paint) -> list[str]:
    lines = []
    for fault in verdict.get("faults") or []:
        is_whole = fault["bit"] and not fault.get("doubt")
        state = "pass" if is_whole and fault["gone"] else "fail" if fault["gone"] is False else "unknown"
        bit = "bit" if is_whole else "bit, but was CUT SHORT"
        claims = [
            {True: bit, False: "DID NOT BITE", None: "not proved to bite"}[fault["bit"]],
            {True: "gone", False: "NOT UNDONE", None: "not proved to be gone"}[fault["gone"]],
        ]
        if fault["downtime_s"] is not None:
            claims.append(f"downtime {fault['downtime_s']:.3g} s, {fault['errors']} errors")
        if fault["degradation"] is not None:
            claims.append(f"{_factor(fault['degradation'])} slower" if fault["degradation"] > 1 else "not slower")
        if fault["recovered"] is False:
            claims.append("did not recover")
        elif fault["time_to_recover_s"] is not None:
            claims.append(f"recovered in {fault['time_to_recover_s']:.3g} s")
        name = f"{_plain(fault['fault'])} on {_plain(fault['target'])}: "
        lines += _hanging(paint(state.ljust(7), state), name + ", ".join(claims), width)
    return ["", paint("faults", "bold"), *lines] if lines else []


def _audit(verdict: dict[str, Any], width: int, paint: Paint) -> list[str]:
    answers = verdict.get("checkers") or []
    passed = [each for each in answers if each["verdict"] == "pass"]
    if not answers:
        return []
    lines = ["", paint("audit", "bold")]
    for each in answers:
        if each["verdict"] != "pass":
            words = f"{_plain(each['checker'])}: {_plain(each['reason'])}"
            lines += _hanging(paint(each["verdict"].ljust(7), each["verdict"]), words, width)
    if passed:
        names = ", ".join(_plain(each["checker"]) for each in passed)
        lines += _hanging(paint("pass".ljust(7), "pass"), names, width)
    return lines


def _conclusion(verdict: dict[str, Any], width: int, paint: Paint) -> list[str]:
    judged = verdict["verdict"]
    word = "AS EXPECTED" if (verdict.get("expect") or {}).get("as_expected") else judged.upper()
    lines = [f"{paint(word, judged)}  exit code {verdict['exit_code']}: {_plain(verdict['meaning'])}"]
    reasons = [_plain(reason) for reason in verdict.get("reasons") or []]
    for reason in reasons[:_MOST_REASONS]:
        lines += textwrap.wrap(reason, width, initial_indent="  - ", subsequent_indent="    ")
    if len(reasons) > _MOST_REASONS:
        lines.append(f"  and {len(reasons) - _MOST_REASONS} more, in the report")
    return lines


def _factor(value: float) -> str:
    return f"{value:,.0f}x" if value >= 100 else f"{value:.3g}x"


def _hanging(mark: str, words: str, width: int) -> list[str]:
    """Words wrapped beside a mark of seven columns."""
    wrapped: Sequence[str] = textwrap.wrap(words, max(20, width - 11)) or [""]
    return [f"  {mark}  {wrapped[0]}", *(" " * 11 + each for each in wrapped[1:])]


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(1, size - 1)] + "…"


def _plain(text: Any) -> str:
    """What a cloud said, without anything that a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in str(text))
