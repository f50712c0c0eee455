"""Every planned arrival is accounted for, whatever became of it."""

from typing import Any

from harness.checkers.arrivals import ArrivalAccount, account
from harness.checkers.verdict import UNKNOWN, verdict_of
from harness.core.clock import S
from tests.checkers.worlds import World, frame

SWARM = {
    "name": "reads",
    "scenario": "background",
    "arrivals": {"kind": "constant", "rate": 2.0},
    "start_ns": 10 * S,
    "end_ns": 15 * S,
}


def arrival(number: int, fate: str = "completed", late_ns: int = 0) -> dict[str, Any]:
    intended_ns = 10 * S + number * S // 2
    started_ns = None if fate == "dropped" else intended_ns + late_ns
    row = {"swarm": "reads", "number": number, "intended_ns": intended_ns, "started_ns": started_ns, "fate": fate}
    return row | {"process": f"worker-{number % 2}"}


def accounted(world: World, *rows: dict[str, Any]) -> ArrivalAccount:
    history = world.history()
    history.plan.update(swarms=[SWARM], seed=1)
    history.arrivals = frame("arrivals", list(rows))
    (made,) = account(history)
    assert made.balances, made
    return made


def test_the_sum_is_the_plan() -> None:
    fates = ["completed"] * 5 + ["failed", "broken", "open", "dropped", "dropped"]
    made = accounted(World(), *(arrival(number, fate, number * 3_000_000) for number, fate in enumerate(fates)))
    assert made == ArrivalAccount(
        "reads", 10, completed=5, failed=1, broken=1, open=1, dropped=2, lost=0, cancelled=0, late=4
    )


def test_what_a_killed_worker_never_told_is_lost() -> None:
    world = World()
    world.run["worker_lost"] = [{"name": "worker-1", "at_ns": 12 * S}]
    world.run["stopped_ns"] = 60 * S
    rows = [arrival(number) for number in (0, 1, 2, 4, 6, 8)]
    made = accounted(world, *rows)
    assert (made.planned, made.completed, made.lost, made.cancelled) == (10, 6, 4, 0)
    history = world.history()
    history.arrivals = frame("arrivals", rows)
    verdict = verdict_of(history)
    assert verdict.true_exit_code == UNKNOWN
    assert "4 of 10 planned arrivals of 'reads' were lost with a worker" in verdict.reasons


def test_what_was_not_due_when_the_run_was_stopped_is_cancelled() -> None:
    world = World()
    world.run["stopped_ns"] = 12 * S
    made = accounted(world, *(arrival(number) for number in range(4)))
    assert (made.planned, made.completed, made.lost, made.cancelled) == (10, 4, 0, 6)


def test_a_closed_loop_plans_what_it_starts() -> None:
    world = World()
    history = world.history()
    history.plan.update(swarms=[SWARM | {"arrivals": {"kind": "closed", "users": 2}}], seed=1)
    history.arrivals = frame("arrivals", [arrival(0), arrival(1, "failed")])
    (made,) = account(history)
    assert (made.planned, made.completed, made.failed, made.balances) == (2, 1, 1, True)


def test_a_run_that_recorded_no_arrivals_is_not_blamed_for_it() -> None:
    history = World().history()
    history.plan.update(swarms=[SWARM], seed=1)
    assert account(history) == ()
