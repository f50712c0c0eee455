"""Targets per phase: was each objective of the experiment met, missed, or can it not be told?

Percentiles are exact, from every sample. A request that failed (5xx or no answer) never got what it asked for, and a
server that never became ready was never ready: both count as infinitely late, so failing fast flatters nobody. An
objective is unknown, never met, when it has no samples, too few for its percentile, too many seconds in which the
client set the pace, a fault that did not bite, or a phase that the run did not live to finish. Missed stays missed.
"""

import math

from harness.checkers.finding import Judgement
from harness.checkers.history import History, PlannedPhase
from harness.checkers.measures import MAX_LIMITED_SHARE, Bench, Measured
from harness.checkers.objectives import Target, TargetResult
from harness.checkers.recovery import FaultOutcome


def judge_targets(history: History, targets: list[Target], faults: list[FaultOutcome]) -> list[TargetResult]:
    """Every target in every phase that it is for, in the order of phases, then of the experiment."""
    bench = Bench(history, faults)
    results = []
    for target in targets:
        names = {phase.name for phase in history.phases}
        if target.phase != "*" and target.phase not in names:
            empty = Measured(value=math.nan, of="", samples=0, doubts=[f"the run has no phase {target.phase!r}"])
            results.append(_result(target, target.phase, empty, []))
            continue
        found = [(phase, _measure(bench, target, phase)) for phase in bench.phases_of(target)]
        if target.phase == "*" and any(measured.samples for _, measured in found):
            # "Everywhere" means wherever there was something of the kind.
            found = [(phase, measured) for phase, measured in found if measured.samples or _names_nothing(target)]
        if not found:
            empty = Measured(value=math.nan, of="", samples=0, doubts=["no phase of the run has anything of the kind"])
            results.append(_result(target, "*", empty, []))
        results += [_result(target, phase.name, measured, bench.doubts(phase)) for phase, measured in found]
    order = {phase.name: index for index, phase in enumerate(history.phases)}
    return sorted(results, key=lambda each: order.get(each.phase, len(order)))


def _measure(bench: Bench, target: Target, phase: PlannedPhase) -> Measured:
    """As with a checker, a measure that crashes leaves its target unknown; the other targets stand."""
    try:
        return bench.measure(target, phase)
    except Exception as error:
        doubt = f"it could not be measured: {type(error).__name__}: {error}"
        return Measured(value=math.nan, of="", samples=0, doubts=[doubt])


def _names_nothing(target: Target) -> bool:
    return target.route is None and target.swarm is None and target.percentile is None


def _result(target: Target, phase: str, measured: Measured, doubts: list[str]) -> TargetResult:
    verdict, reason = _decide(target, measured, doubts)
    finite = math.isfinite(measured.value)
    return TargetResult(
        phase=phase,
        measure=target.measure,
        route=target.route,
        swarm=target.swarm,
        fault=target.fault,
        bound="at_most" if target.at_most else "at_least",
        limit=target.limit,
        limit_shown=target.show(target.limit),
        value=measured.value if finite else None,
        shown=target.show(measured.value),
        of=measured.of,
        samples=measured.samples,
        excluded=measured.excluded,
        interval=None if measured.interval is None else tuple(_finite(each) for each in measured.interval),  # type: ignore[arg-type]
        verdict=verdict,
        reason=reason,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decide(target: Target, measured: Measured, doubts: list[str]) -> tuple[Judgement, str]:
    if math.isnan(measured.value):
        if measured.excluded:
            return "unknown", f"all {measured.excluded} samples are of seconds in which the client was the limit"
        return "unknown", "; ".join(measured.doubts) or "no samples"
    met = measured.value <= target.limit if target.at_most else measured.value >= target.limit
    few = measured.samples < measured.needed
    if not met:
        if few and not (measured.interval and measured.interval[0] > target.limit):
            return "unknown", f"missed, with {measured.samples} samples where {measured.needed} are needed"
        side = "above" if target.at_most else "below"
        shown, limit = target.show(measured.value), target.show(target.limit)
        reason = f"{shown}, wanted {limit}" if math.isinf(measured.value) else f"{shown} is {side} {limit}"
        return "fail", "; ".join([reason, *([measured.remark] if measured.remark else [])])
    against = [*measured.doubts, *doubts]
    if few:
        against.insert(0, f"{measured.samples} samples, {target.measure} needs {measured.needed}")
    total = measured.samples + measured.excluded
    if total and measured.excluded > MAX_LIMITED_SHARE * total:
        share = measured.excluded / total
        against.append(f"{share:.0%} of the samples are of seconds in which the client was the limit")
    if against:
        return "unknown", "; ".join(against)
    return "pass", measured.remark
