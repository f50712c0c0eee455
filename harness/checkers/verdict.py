"""The verdict of a run, whole, from its run directory alone: targets, audit, faults, the client, and the exit code.

Exit codes, the first that holds: 130 interrupted; 2 usage; 4 a fault could not be undone; 5 the audit found damage;
6 aborted by a safety limit; 1 a target was missed; 3 unknown; 0 pass.  (2 is given before there is anything to judge.)
A drill says in `expect:` what must happen; it exits 0 when exactly that happened.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from harness.checkers.arrivals import ArrivalAccount, account
from harness.checkers.finding import Answer, Finding, Judgement, worst
from harness.checkers.history import History, limited_seconds, load
from harness.checkers.objectives import Target, TargetResult
from harness.checkers.recovery import FaultOutcome, fault_outcomes
from harness.checkers.registry import ask_all
from harness.checkers.saturation import Part, first_saturated, parts
from harness.checkers.targets import judge_targets
from harness.rundir import RunDirectory

SCHEMA_VERSION = 1

PASS, MISSED, UNKNOWN, NOT_UNDONE, DAMAGE, ABORTED, INTERRUPTED = 0, 1, 3, 4, 5, 6, 130
MEANINGS = {
    PASS: "everything that was judged held",
    MISSED: "a target was missed",
    UNKNOWN: "it cannot be told",
    NOT_UNDONE: "a fault could not be undone",
    DAMAGE: "the audit found damage",
    ABORTED: "a safety limit ended the run",
    INTERRUPTED: "the run was interrupted",
}


class PhaseVerdict(Struct, frozen=True):
    """One phase; "none" when no target is set for it."""

    name: str
    kind: str
    start_ns: int
    end_ns: int
    verdict: Judgement | Literal["none"]
    targets: tuple[TargetResult, ...]


class ClientHealth(Struct, frozen=True):
    """What the load generator did of what it was meant to do. Arrivals are counted over all workers."""

    level: str | None
    intended: int
    started: int
    late: int
    dropped: int
    worker_seconds: int
    limited_worker_seconds: int
    start_error_p99_ns: int | None
    loop_lag_p99_ns: int | None
    workers_lost: tuple[str, ...]


class Expectation(Struct, frozen=True):
    """What a drill was meant to show, and whether exactly that happened."""

    exit: int | None
    findings: tuple[str, ...]
    as_expected: bool
    differences: tuple[str, ...]


class Verdict(Struct, frozen=True, kw_only=True):
    """The verdict document.

    `exit_code`: what the run exits with. `true_exit_code`: the same without regard to `expect`. `reasons`: why it is
    not a pass, gravest first.
    """

    schema_version: int
    run_id: str | None
    verdict: Judgement
    exit_code: int
    true_exit_code: int
    meaning: str
    reasons: tuple[str, ...]
    phases: tuple[PhaseVerdict, ...]
    faults: tuple[FaultOutcome, ...]
    findings: tuple[Finding, ...]
    checkers: tuple[Answer, ...]
    first_saturated: Part | None
    parts: tuple[Part, ...]
    client: ClientHealth
    arrivals: tuple[ArrivalAccount, ...]
    expect: Expectation | None
    problems: tuple[str, ...]


def judge(run: RunDirectory) -> dict[str, Any]:
    """Judges a run directory; nothing else is read and nothing written.

    Returns: the verdict as plain data, ready for verdict.json; infinite values are null there.
    """
    verdict = verdict_of(load(run))
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(verdict))
    return plain


def verdict_of(history: History) -> Verdict:
    """Judges a history. Pure: the same history gives the same verdict, whatever the order of its rows."""
    problems = list(history.problems)
    faults = fault_outcomes(history)
    answers = ask_all(history)
    targets = [Target.of_plan(each) for each in history.plan.get("slos") or []]
    results = judge_targets(history, targets, faults)
    phases = _phases(history, results)
    # While the load lasted: the audit itself fills request slots, and is no user.
    load_end = max((phase.end_ns for phase in history.phases), default=None)
    found = parts(history.gauges, 0, load_end)
    findings = [each for answer in answers for each in answer.findings]
    # A target whose phase does not exist belongs to no phase, and counts all the same.
    arrivals = account(history)
    codes = _codes(history, results, answers, faults, arrivals)
    true_code = next((code for code in _ORDER if code in codes), PASS)
    expect = _expectation(history.plan.get("expect"), true_code, answers)
    code, reasons = true_code, [reason for each in _ORDER for reason in codes.get(each, [])]
    if expect is not None:
        code = PASS if expect.as_expected else (true_code or MISSED)
        reasons = [*expect.differences, *reasons]
    return Verdict(
        schema_version=SCHEMA_VERSION,
        run_id=history.plan.get("run_id") or history.run.get("run_id"),
        verdict="pass" if code == PASS else "unknown" if code in (UNKNOWN, INTERRUPTED) else "fail",
        exit_code=code,
        true_exit_code=true_code,
        meaning=_meaning(code, true_code, expect),
        reasons=tuple(dict.fromkeys(reasons)),
        phases=tuple(phases),
        faults=tuple(faults),
        findings=tuple(findings),
        checkers=tuple(answers),
        first_saturated=first_saturated(found),
        parts=tuple(found),
        client=_client(history),
        arrivals=arrivals,
        expect=expect,
        problems=tuple(problems),
    )


_ORDER = (INTERRUPTED, NOT_UNDONE, DAMAGE, ABORTED, MISSED, UNKNOWN)


def _codes(
    history: History,
    results: list[TargetResult],
    answers: list[Answer],
    faults: list[FaultOutcome],
    arrivals: tuple[ArrivalAccount, ...],
) -> dict[int, list[str]]:
    """Every exit code that holds, with its reasons."""
    codes: dict[int, list[str]] = {}

    def holds(code: int, reason: str) -> None:
        codes.setdefault(code, []).append(reason)

    run = history.run
    if run.get("interrupted"):
        holds(INTERRUPTED, "the run was interrupted")
    if run.get("aborted"):
        holds(ABORTED, f"aborted: {run['aborted']}")
    for each in _still_open(history, faults):
        holds(NOT_UNDONE, f"fault {each} is not proved to be undone; run: squall heal")
    if "ended_wall_ns" not in run:
        holds(UNKNOWN, "the run did not come to its end: its engine was killed, or it still runs")
    for lost in run.get("worker_lost") or []:
        holds(UNKNOWN, f"load worker {lost.get('name')} was lost: less load was offered than planned")
    for made in arrivals:
        if made.lost:
            holds(UNKNOWN, f"{made.lost} of {made.planned} planned arrivals of '{made.swarm}' were lost with a worker")
        if made.open:
            holds(UNKNOWN, f"{made.open} journeys of '{made.swarm}' had not ended when the drain was over")
        if made.broken:
            holds(UNKNOWN, f"{made.broken} journeys of '{made.swarm}' broke in the scenario itself; see worker-*.log")
    for problem in history.problems:
        holds(UNKNOWN, problem)
    for answer in answers:
        if answer.verdict == "fail":
            holds(DAMAGE, f"audit, {answer.checker}: {answer.reason}")
    for reason, names in _unanswered(answers).items():
        holds(UNKNOWN, f"audit, {', '.join(names)}: {reason}")
    for result in results:
        if result.verdict != "pass":
            what = " ".join(filter(None, (result.swarm, result.route, result.measure)))
            holds(MISSED if result.verdict == "fail" else UNKNOWN, f"{result.phase}: {what}: {result.reason}")
    for fault in faults:
        if fault.doubt:
            holds(UNKNOWN, f"fault {fault.id} {fault.doubt}")
    planned = {str(each["id"]) for each in history.plan.get("faults") or [] if each.get("id") is not None}
    for each in sorted(planned - {fault.id for fault in faults}):
        holds(UNKNOWN, f"fault {each} was planned, and the journal does not mention it")
    return codes


def _unanswered(answers: list[Answer]) -> dict[str, list[str]]:
    """The checkers that could not answer, by the reason: ten that miss one snapshot miss it once."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        if answer.verdict == "unknown":
            found.setdefault(answer.reason, []).append(answer.checker)
    return found


def _still_open(history: History, faults: list[FaultOutcome]) -> list[str]:
    """Faults in force at the end: as the engine found after healing, else as the journal of the run has it."""
    known = history.run.get("open_faults")
    if known is not None:
        return [str(each) for each in known]
    return [fault.id for fault in faults if fault.gone is False]


def _expectation(expect: dict[str, Any] | None, true_code: int, answers: list[Answer]) -> Expectation | None:
    if not expect:
        return None
    wanted, exit_code = set(expect.get("findings") or ()), expect.get("exit")
    found = {each.code for answer in answers for each in answer.findings if each.is_damage}
    differences = []
    if exit_code is not None and exit_code != true_code:
        differences.append(f"expected exit code {exit_code} ({MEANINGS[exit_code]}), got {true_code}")
    differences += [f"expected the audit to find {code}; it did not" for code in sorted(wanted - found)]
    differences += [f"the audit found {code}, which was not expected" for code in sorted(found - wanted)]
    # "Exactly that" cannot be said while a checker could not look; it is not meant to in a run that is cut short.
    if exit_code not in (UNKNOWN, ABORTED):
        differences += [
            f"whether {answer.checker} would have found more is unknown: {answer.reason}"
            for answer in answers
            if answer.verdict == "unknown"
        ]
    return Expectation(exit_code, tuple(sorted(wanted)), not differences, tuple(differences))


def _meaning(code: int, true_code: int, expect: Expectation | None) -> str:
    if expect is None:
        return MEANINGS[code]
    if expect.as_expected:
        return f"exactly what this drill is meant to show: exit code {true_code}, {MEANINGS[true_code]}"
    return f"not what this drill is meant to show; {MEANINGS[true_code]}"


def _phases(history: History, results: list[TargetResult]) -> list[PhaseVerdict]:
    found = []
    for phase in history.phases:
        mine = [result for result in results if result.phase == phase.name]
        verdict: Judgement | Literal["none"] = worst(result.verdict for result in mine) if mine else "none"
        found.append(PhaseVerdict(phase.name, phase.kind, phase.start_ns, phase.end_ns, verdict, tuple(mine)))
    known = {phase.name for phase in history.phases}
    if strays := [result for result in results if result.phase not in known]:
        found.append(PhaseVerdict("(no phase)", "none", 0, 0, worst(each.verdict for each in strays), tuple(strays)))
    return found


def _client(history: History) -> ClientHealth:
    health = history.health
    lost = tuple(str(each.get("name")) for each in history.run.get("worker_lost") or [])

    def total(name: str) -> int:
        return int(health[name].sum())

    def worst_ns(name: str) -> int | None:
        return int(health[name].max()) if health[name].notna().any() else None

    return ClientHealth(
        level=history.plan.get("level") or history.run.get("level"),
        intended=total("intended"),
        started=total("started"),
        late=total("late"),
        dropped=total("dropped"),
        worker_seconds=len(health),
        # As a target of 100 ms sees it: the strictest bound that the rule has.
        limited_worker_seconds=len(limited_seconds(health, 0)),
        start_error_p99_ns=worst_ns("start_error_p99_ns"),
        loop_lag_p99_ns=worst_ns("loop_lag_p99_ns"),
        workers_lost=lost,
    )
