"""Targets, recovery and the exit code, on small hand-written histories."""

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checkers.finding import Evidence, answer, worst
from harness.checkers.recovery import fault_outcomes
from harness.checkers.saturation import first_saturated, headroom, parts
from harness.checkers.targets import TargetResult
from harness.checkers.verdict import verdict_of
from harness.core.clock import MS, S
from tests.checkers.worlds import World, frame

GET = "GET /servers/{id}"
PHASES = [
    {"name": "warm-up", "kind": "warm-up", "start_ns": 0, "end_ns": 10 * S},
    {"name": "baseline", "kind": "baseline", "start_ns": 10 * S, "end_ns": 40 * S},
    {"name": "hang", "kind": "fault", "start_ns": 40 * S, "end_ns": 60 * S},
    {"name": "recovery", "kind": "recovery", "start_ns": 60 * S, "end_ns": 80 * S},
]


def load(world: World, start_s: int, end_s: int, *, per_s: int = 20, took_ms: float = 10, **changes: Any) -> None:
    """Steady requests, `per_s` per second, each answered after `took_ms` and a little more, never the same."""
    for second in range(start_s, end_s):
        for index in range(per_s):
            at = second * S + index * S // per_s
            took = int((took_ms + index % 7 * 0.1) * MS)
            row = {"process": "worker-0", "swarm": "background", "route": GET, "intended_ns": at, "sent_ns": at}
            row |= {"done_ns": at + took, "status": 200, "effect": "none", "ending": "answered", **changes}
            world.requests.append(row)


def world_with(*slos: dict[str, Any], count: int = 3) -> World:
    world = World(count)
    world.plan["phases"] = PHASES
    world.plan["swarms"] = [{"name": "background", "scenario": "background", "start_ns": 0, "end_ns": 80 * S}]
    world.plan["slos"] = list(slos)
    return world


def slo(measure: str, limit: float, *, phase: str = "baseline", least: bool = False, **names: str) -> dict[str, Any]:
    return {"measure": measure, "limit": limit, "bound": "at_least" if least else "at_most", "phase": phase, **names}


def results(world: World) -> list[TargetResult]:
    return [target for phase in verdict_of(world.history()).phases for target in phase.targets]


def only(world: World) -> TargetResult:
    (result,) = results(world)
    return result


def hang(world: World, *, bites: bool = True, start: int = 42, over: int = 47) -> None:
    events = [("injected", start), ("bites" if bites else "no_bite", start), ("undone", over), ("gone", over)]
    for event, at in events:
        key = {"id": "1-broker.hang", "fault": "broker.hang", "target": "broker"}
        world.journal.append({**key, "event": event, "at_ns": at * S})


def stall(world: World, start_s: int, end_s: int, per_s: int = 20) -> None:
    """Requests of a stall, each answered when it ends."""
    for second in range(start_s, end_s):
        for index in range(per_s):
            at = second * S + index * S // per_s
            row = {"process": "worker-0", "swarm": "background", "route": GET, "intended_ns": at, "sent_ns": at}
            row |= {"done_ns": end_s * S + 10 * MS, "status": 200, "effect": "none", "ending": "answered"}
            world.requests.append(row)


def test_a_percentile_is_exact_and_comes_with_samples_and_interval() -> None:
    world = world_with(slo("response_p95", 50 * MS, route=GET))
    load(world, 0, 80)
    result = only(world)
    assert (result.verdict, result.samples, result.shown) == ("pass", 600, "10.6 ms")
    assert result.interval is not None
    assert result.interval[0] is not None
    assert result.value is not None
    assert result.interval[0] <= result.value


def test_a_stall_before_the_send_is_response_time_and_not_service_time() -> None:
    world = world_with(slo("response_p95", 500 * MS), slo("service_p95", 500 * MS))
    load(world, 10, 40)
    for row in world.requests:
        row["sent_ns"] += S
        row["done_ns"] += S
    assert [result.verdict for result in results(world)] == ["fail", "pass"]


def test_no_samples_is_unknown() -> None:
    world = world_with(slo("response_p95", S, route="GET /nothing"), slo("throughput", 1, least=True, route="GET /no"))
    load(world, 10, 40)
    assert [(each.verdict, each.reason) for each in results(world)] == [("unknown", "no samples")] * 2


def test_too_few_samples_for_the_percentile_are_unknown_unless_they_miss_it_beyond_doubt() -> None:
    world = world_with(slo("response_p99", 50 * MS))
    load(world, 10, 40, per_s=1)
    assert only(world).reason == "30 samples, response_p99 needs 100"
    assert only(world).verdict == "unknown"
    load(world, 40, 80)
    for row in world.requests[:20]:
        row["done_ns"] += S
    assert only(world).verdict == "fail"


def test_requests_that_failed_are_infinitely_late() -> None:
    world = world_with(slo("response_p95", 50 * MS))
    load(world, 10, 40)
    for row in world.requests[::10]:
        row.update(status=503)
    result = only(world)
    assert (result.verdict, result.value, result.shown) == ("fail", None, "never")
    assert result.reason == "never, wanted 50 ms; 60 of 600 failed"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"status": 404}, "pass"),
        ({"status": 500}, "fail"),
        ({"status": 0, "ending": "timeout"}, "fail"),
        ({"status": 0, "ending": "reset"}, "fail"),
        ({"status": 0, "ending": "refused"}, "fail"),
        ({"status": 0, "ending": "dropped"}, "pass"),
    ],
)
def test_availability_counts_every_5xx_and_every_request_without_an_answer(
    change: dict[str, Any], verdict: str
) -> None:
    world = world_with(slo("availability", 0.999, least=True))
    load(world, 10, 40)
    world.requests[5].update(change)
    assert only(world).verdict == verdict


def test_servers_that_never_became_ready_are_infinitely_late() -> None:
    world = world_with(slo("ready_p95", 10 * S, phase="baseline", swarm="burst"), count=0)
    world.plan["swarms"].append({"name": "burst", "scenario": "burst", "start_ns": 11 * S, "end_ns": 11 * S})
    for number in range(100):
        row = world.operation(number, None, f"b{number}", swarm="burst", intended_ns=11 * S, ready_ns=13 * S)
        row["ready_ns"] = None if number < 6 else row["ready_ns"]
    result = only(world)
    assert (result.verdict, result.shown, result.reason) == (
        "fail",
        "never",
        "never, wanted 10 s; 6 of 100 never ready",
    )
    for row in world.operations[:2]:
        row["ready_ns"] = 14 * S
    assert (only(world).verdict, only(world).shown, only(world).of) == ("pass", "3 s", "operations, ready by active")


def test_success_needs_a_server_that_is_usable() -> None:
    world = world_with(slo("success_ratio", 0.9, phase="baseline", least=True, swarm="burst"), count=0)
    world.plan["swarms"].append({"name": "burst", "scenario": "burst", "start_ns": 11 * S, "end_ns": 11 * S})
    for number in range(10):
        world.operation(number, None, f"b{number}", swarm="burst", intended_ns=11 * S)
    world.operations[0]["ready_ns"] = None
    assert (only(world).verdict, only(world).shown) == ("pass", "90 %")
    world.operations[1]["error"] = "ready without an address"
    assert (only(world).verdict, only(world).shown) == ("fail", "80 %")


def health(world: World, seconds: range, **changes: Any) -> None:
    for second in range(80):
        row = {"process": "worker-0", "second": second, "intended": 20, "started": 20, "late": 0, "dropped": 0}
        row |= {"start_error_p99_ns": MS, "loop_lag_p99_ns": MS}
        world.health.append(row | (changes if second in seconds else {}))


def test_client_limited_seconds_leave_the_target_that_they_touch_and_no_other() -> None:
    """A delay of 30 ms is more than 5 % of 500 ms, and less than 5 % of 5 s."""
    world = world_with(slo("response_p95", 500 * MS), slo("response_p95", 5 * S))
    load(world, 10, 40)
    health(world, range(10, 15), start_error_p99_ns=30 * MS)
    strict, lax = results(world)
    assert (strict.verdict, strict.samples, strict.excluded) == ("pass", 500, 100)
    assert (lax.verdict, lax.samples, lax.excluded) == ("pass", 600, 0)


def test_a_target_with_too_many_client_limited_seconds_is_unknown_and_a_missed_one_stays_missed() -> None:
    world = world_with(slo("response_p95", 500 * MS), slo("response_p95", 5 * MS), slo("availability", 0.9, least=True))
    load(world, 10, 40)
    health(world, range(10, 20), start_error_p99_ns=30 * MS)
    found = {result.limit: result for result in results(world)}
    assert (found[500 * MS].verdict, found[5 * MS].verdict, found[0.9].verdict) == ("unknown", "fail", "pass")
    assert found[500 * MS].reason == "33% of the samples are of seconds in which the client was the limit"


def test_arrivals_that_never_left_make_a_second_client_limited() -> None:
    world = world_with(slo("availability", 0.9, least=True))
    load(world, 10, 40)
    health(world, range(10, 40), dropped=5, started=15)
    assert only(world).verdict == "unknown"


def test_a_target_met_under_a_fault_that_did_not_bite_is_unknown() -> None:
    world = world_with(slo("availability", 0.999, phase="hang", least=True))
    load(world, 0, 80)
    hang(world, bites=False)
    verdict = verdict_of(world.history())
    assert (verdict.exit_code, verdict.reasons[0]) == (3, "hang: availability: broker.hang did not bite")


def test_a_target_met_under_a_fault_that_ended_early_is_unknown() -> None:
    world = world_with(slo("availability", 0.999, phase="hang", least=True))
    load(world, 0, 80)
    hang(world)
    assert verdict_of(world.history()).exit_code == 0
    short = {"event": "cut_short", "at_ns": 44 * S, "detail": "after 2 s: 3 of 3 processes run again (pid 7)"}
    world.journal.insert(2, {**world.journal[0], **short})
    verdict = verdict_of(world.history())
    why = "did not bite over its whole window: after 2 s: 3 of 3 processes run again (pid 7)"
    assert (verdict.exit_code, verdict.reasons[0]) == (3, f"hang: availability: broker.hang {why}")
    assert f"fault 1-broker.hang {why}" in verdict.reasons
    (fault,) = verdict.faults
    assert (fault.bit, fault.doubt, fault.gone) == (True, why, True)


def test_a_phase_that_the_run_did_not_live_to_finish_is_unknown() -> None:
    world = world_with(slo("availability", 0.999, phase="recovery", least=True))
    load(world, 0, 70)
    assert only(world).reason == "the run ended 10 s before this phase did"


def test_a_stall_is_degradation_and_recovery_is_told_from_the_undo() -> None:
    world = world_with(slo("time_to_recover", 10 * S, phase="*"), slo("downtime", S, phase="hang"))
    load(world, 0, 42)
    stall(world, 42, 47)
    load(world, 47, 50, took_ms=80)
    load(world, 50, 80)
    hang(world)
    (outcome,) = fault_outcomes(world.history())
    assert (outcome.downtime_s, outcome.errors, outcome.recovered) == (0.0, 0, True)
    assert outcome.time_to_recover_s == 3.0
    assert outcome.degradation is not None
    assert outcome.degradation > 200
    assert [result.verdict for result in results(world)] == ["pass", "pass"]


def test_a_cloud_that_stays_slow_never_recovers() -> None:
    world = world_with(slo("time_to_recover", 10 * S, phase="*"))
    load(world, 0, 42)
    load(world, 42, 80, took_ms=80)
    hang(world)
    result = only(world)
    assert (result.verdict, result.shown) == ("fail", "never")
    assert "not recovered in the 33 s that were observed" in result.reason


def test_a_slowdown_that_nobody_notices_does_not_put_off_recovery() -> None:
    world = world_with()
    load(world, 0, 42)
    stall(world, 42, 47)
    load(world, 47, 80, took_ms=45)
    hang(world)
    (outcome,) = fault_outcomes(world.history())
    assert outcome.time_to_recover_s == 0.0


def test_downtime_is_from_the_first_error_to_the_last() -> None:
    world = world_with()
    load(world, 0, 42)
    load(world, 42, 45, took_ms=1, status=500)
    load(world, 45, 80)
    hang(world)
    (outcome,) = fault_outcomes(world.history())
    assert (outcome.errors, outcome.downtime_s, outcome.error_clusters) == (60, 2.95, 1)
    assert outcome.downtime_resolution_s == pytest.approx(0.025)
    assert outcome.time_to_recover_s == 0.0


def test_without_a_baseline_recovery_is_unknown() -> None:
    world = world_with(slo("time_to_recover", 10 * S, phase="*"))
    load(world, 42, 80)
    hang(world)
    assert (only(world).verdict, only(world).value) == ("unknown", None)


def gauge(world: World, name: str, values: list[float], capacity: float | None, source: str = "database") -> None:
    for second, value in enumerate(values):
        row = {"at_ns": second * S, "source": source, "name": name, "value": value, "capacity": capacity}
        world.gauges.append(row)


def test_the_first_saturated_part_is_the_one_that_stays_full_first() -> None:
    world = world_with()
    gauge(world, "late", [1, 1, 1, 10, 10], 10)
    gauge(world, "instant", [10, 1, 1, 1, 1], 10)
    gauge(world, "early", [1, 96, 97, 1, 1], 100)
    gauge(world, "endless", [1, 1, 1, 1, 10_000], None)
    found = parts(frame("gauges", world.gauges))
    first = first_saturated(found)
    assert first is not None
    assert (first.name, first.saturated_ns) == ("early", S)
    assert [part.name for part in found] == ["instant", "late", "early"]
    assert headroom(found)[0] == 0.0
    assert headroom([part for part in found if part.name == "instant"])[0] == 0.9


def test_headroom_is_that_of_the_fullest_part_of_the_cloud() -> None:
    world = world_with(slo("headroom", 0.3, least=True))
    load(world, 10, 40)
    gauge(world, "connections", [60.0] * 80, 100)
    gauge(world, "busy cores", [2.0] * 80, 2, source="client")
    result = only(world)
    assert (result.verdict, result.shown) == ("pass", "40 %")
    assert result.reason == "least room: database connections, 60 of 100"


@pytest.mark.parametrize(
    ("run", "damage", "code"),
    [
        ({}, False, 0),
        ({"worker_lost": [{"name": "w"}]}, False, 3),
        ({"aborted": "too many errors"}, False, 6),
        ({"aborted": "too many errors"}, True, 5),
        ({"open_faults": ["1-x"]}, True, 4),
        ({"open_faults": ["1-x"], "interrupted": True}, True, 130),
    ],
)
def test_the_first_exit_code_that_holds(run: dict[str, Any], damage: bool, code: int) -> None:
    world = world_with()
    world.run.update(run)
    if damage:
        world.port("s1")["status"] = "DOWN"
    assert verdict_of(world.history()).exit_code == code


def test_a_run_that_was_killed_is_unknown() -> None:
    world = world_with()
    del world.run["ended_wall_ns"]
    assert verdict_of(world.history()).exit_code == 3


def test_a_drill_that_shows_something_else_does_not_pass() -> None:
    world = world_with()
    world.plan["expect"] = {"exit": 5, "findings": ["stuck_build"]}
    verdict = verdict_of(world.history())
    assert (verdict.exit_code, verdict.true_exit_code, verdict.verdict) == (1, 0, "fail")
    assert verdict.expect is not None
    assert verdict.expect.differences == (
        "expected exit code 5 (the audit found damage), got 0",
        "expected the audit to find stuck_build; it did not",
    )


def test_a_drill_that_shows_more_than_expected_exits_with_the_true_code() -> None:
    world = world_with()
    world.plan["expect"] = {"exit": 5, "findings": ["stuck_build"]}
    world.strand("s1", holds=True)
    world.recount()
    verdict = verdict_of(world.history())
    assert (verdict.exit_code, verdict.expect and verdict.expect.as_expected) == (5, False)
    assert verdict.reasons[0] == "the audit found leaked_allocation, which was not expected"


VERDICTS = st.lists(st.sampled_from(["pass", "fail", "unknown"]), min_size=1)


@given(VERDICTS)
def test_fail_outranks_unknown_and_unknown_outranks_pass(verdicts: list[Any]) -> None:
    expected = "fail" if "fail" in verdicts else "unknown" if "unknown" in verdicts else "pass"
    assert worst(verdicts) == expected


def test_nothing_judged_is_unknown() -> None:
    assert worst([]) == "unknown"
    assert answer("x", "?", (), Evidence(doubts=["not read"])).verdict == "unknown"


def test_a_whole_verdict_has_no_infinities_or_nans() -> None:
    world = world_with(slo("response_p95", S), slo("time_to_recover", S, phase="*"), slo("ready_p99", S, phase="*"))
    hang(world)
    load(world, 42, 80, status=500)

    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [each for item in value.values() for each in numbers(item)]
        if isinstance(value, list):
            return [each for item in value for each in numbers(item)]
        return [value] if isinstance(value, float) else []

    import msgspec

    document = msgspec.json.decode(msgspec.json.encode(verdict_of(world.history())))
    assert all(math.isfinite(each) for each in numbers(document))


def test_full_request_slots_are_saturation_but_no_want_of_headroom() -> None:
    rows = [(0, "slots", "request slots", 8.0, 8.0), (S, "slots", "request slots", 8.0, 8.0)]
    rows += [(0, "database", "connections", 40.0, 100.0), (S, "database", "connections", 40.0, 100.0)]
    gauges = pd.DataFrame(rows, columns=["at_ns", "source", "name", "value", "capacity"]).assign(labels="")
    found = parts(gauges)
    assert headroom(found)[0] == pytest.approx(0.6)
    saturated = first_saturated(found)
    assert saturated is not None
    assert saturated.name == "request slots"
