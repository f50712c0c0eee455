"""Schedules are pure: same seed, same arrivals; the workers' shares sum to the plan."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.arrivals import (
    SECOND,
    Closed,
    closed_loop,
    constant_arrivals,
    expected_count,
    poisson_arrivals,
    ramp_arrivals,
    schedule,
)

SPECS = st.one_of(
    st.builds(lambda rate: {"kind": "constant", "rate": rate}, st.floats(0.1, 500)),
    st.builds(lambda rate: {"kind": "poisson", "rate": rate}, st.floats(0.1, 500)),
    st.builds(lambda n, over: {"kind": "burst", "count": n, "over": over}, st.integers(1, 800), st.floats(0, 3)),
    st.builds(lambda a, b: {"kind": "ramp", "from": a, "to": b}, st.floats(0, 300), st.floats(0.1, 300)),
)


@given(SPECS, st.integers(0, 2**40), st.integers(1, 5))
def test_the_shares_of_all_workers_are_the_plan(spec: dict[str, Any], seed: int, workers: int) -> None:
    whole = list(schedule(spec, seed=seed, name="s", duration_ns=2 * SECOND))
    shares = [
        list(schedule(spec, seed=seed, name="s", duration_ns=2 * SECOND, worker=worker, workers=workers))
        for worker in range(workers)
    ]
    assert sorted(itertools.chain(*shares), key=lambda arrival: arrival.index) == whole
    assert [arrival.index for arrival in whole] == list(range(len(whole)))
    assert all(0 <= arrival.offset_ns < (3 if spec["kind"] == "burst" else 2) * SECOND for arrival in whole)
    assert whole == sorted(whole, key=lambda arrival: arrival.offset_ns)


@given(SPECS, st.integers(0, 2**40))
def test_the_same_seed_gives_the_same_arrivals(spec: dict[str, Any], seed: int) -> None:
    first, second = (list(schedule(spec, seed=seed, name="s", duration_ns=SECOND)) for _ in range(2))
    assert first == second


def test_seed_and_swarm_name_both_change_a_poisson_schedule() -> None:
    spec = {"kind": "poisson", "rate": 100.0}
    runs = [list(schedule(spec, seed=s, name=n, duration_ns=SECOND)) for s, n in ((1, "a"), (2, "a"), (1, "b"))]
    assert runs[0] != runs[1] != runs[2] != runs[0]


def test_poisson_has_the_rate_it_was_asked_for() -> None:
    offsets = itertools.islice(poisson_arrivals(50.0, random.Random(7)), 20_000)
    assert list(offsets)[-1] == pytest.approx(20_000 / 50, rel=0.03)


def test_constant_arrivals_start_at_once_and_keep_their_gap() -> None:
    assert list(itertools.islice(constant_arrivals(4), 4)) == [0, 0.25, 0.5, 0.75]


def test_a_ramp_sends_the_mean_rate_and_grows() -> None:
    offsets = list(ramp_arrivals(0, 100, 10))
    assert len(offsets) == 500
    assert sum(1 for offset in offsets if offset < 5) == pytest.approx(125, abs=2)


def test_a_falling_ramp_mirrors_a_rising_one() -> None:
    assert len(list(ramp_arrivals(100, 0, 10))) == 500
    assert all(offset <= 10 for offset in ramp_arrivals(100, 0, 10))


def test_a_burst_leaves_at_once_unless_it_is_spread() -> None:
    at_once = schedule({"kind": "burst", "count": 3}, seed=1, name="s", duration_ns=0)
    spread = schedule({"kind": "burst", "count": 4, "over": 0.4}, seed=1, name="s", duration_ns=SECOND)
    assert [arrival.offset_ns for arrival in at_once] == [0, 0, 0]
    assert [arrival.offset_ns for arrival in spread] == [0, SECOND // 10, SECOND // 5, 3 * SECOND // 10]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "sine"}, "wanted kind"),
        ({"kind": "poisson"}, "'rate'"),
        ({"kind": "constant", "rate": 0.0}, "above 0"),
        ({"kind": "burst", "count": 0}, "count >= 1"),
        ({"kind": "ramp", "from": 0.0, "to": 0.0}, "above 0"),
    ],
)
def test_a_bad_schedule_is_refused_at_the_call(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        schedule(spec, seed=1, name="s", duration_ns=SECOND)


@given(st.integers(1, 1000), st.integers(1, 7))
def test_closed_loop_users_are_shared_out(users: int, workers: int) -> None:
    loop = closed_loop({"kind": "closed", "users": users, "pause": 0.5})
    assert loop == Closed(users, 0.5)
    assert sum(loop.users_of(worker, workers) for worker in range(workers)) == users


def test_expected_counts() -> None:
    assert expected_count({"kind": "poisson", "rate": 25}, 4) == 100
    assert expected_count({"kind": "burst", "count": 7}, 4) == 7
    assert expected_count({"kind": "ramp", "from": 0, "to": 10}, 4) == 20
    assert expected_count({"kind": "closed", "users": 3}, 4) is None
