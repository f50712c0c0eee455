"""The fuzzer for twenty seconds, and that it finds what it claims to find."""

import random
from pathlib import Path

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.grammar import Grammar
from tests.fuzz.watch import MIB, Growth, Logs


def test_twenty_seconds_of_hostile_traffic_find_nothing(tmp_path: Path) -> None:
    result = fuzz(20261130, 20, rate_per_s=50, connections=16, saved=tmp_path)
    assert [(finding.request, finding.what) for finding in result.findings] == []
    assert sum(result.sent.values()) > 500
    assert {200, 201, 400, 401, 404} <= set(result.statuses)


def test_the_same_seed_gives_the_same_requests() -> None:
    first, second = (Grammar(random.Random(7)) for _ in range(2))
    assert [first.request() for _ in range(300)] == [second.request() for _ in range(300)]


def test_a_traceback_is_found_once_and_only_when_it_is_new(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("fine\n")
    logs = Logs(tmp_path)
    assert logs.traceback() == ""
    with log.open("a") as file:
        file.write('ERROR x\nTraceback (most recent call last):\n  File "a"\nKeyError: 1\nnext line\n')
    assert logs.traceback() == 'api.log: ERROR x\nTraceback (most recent call last):\n  File "a"\nKeyError: 1'
    assert logs.traceback() == ""


@pytest.mark.parametrize(("per_minute", "is_too_much"), [(0, False), (0.4, False), (2, True)])
def test_growth_is_judged_by_what_it_comes_to(per_minute: float, is_too_much: bool) -> None:
    samples = [(minute * 60.0, int((50 + per_minute * minute) * MIB)) for minute in range(61)]
    growth = Growth.of("api", samples)
    assert growth.mib_per_min == pytest.approx(per_minute, abs=0.01)
    assert growth.is_too_much == is_too_much
