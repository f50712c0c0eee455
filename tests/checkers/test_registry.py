"""Checkers of other packages, really installed: found by their entry point, and harmless when they are broken."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkers.registry import ask_all, checkers, unusable
from harness.checkers.verdict import DAMAGE, UNKNOWN, verdict_of
from tests.checkers.worlds import World
from tests.outside import ROOT, importable, install

GOOD = """
from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.registry import Checker

CODE = Code("acme_code", "-", "S2", "as a test wants it")

def check(history):
    return Evidence(checked=1)

CHECKER = Checker("acme_good", "Is all well?", ("-",), (CODE,), check)
"""
ENTRIES = {
    "by_module": "acme.good",
    "by_object": "acme.good_too:CHECKER",
    "gone": "acme.no_such_module:CHECKER",
    "no_checker": "acme:NOTHING",
    "not_one": "acme.good:check",
    "empty_module": "acme",
    "explodes": "acme.explodes",
    "twin": "acme.twin:CHECKER",
    "same_code": "acme.same_code:CHECKER",
}
FILES = {
    "acme/__init__.py": "",
    "acme/good.py": GOOD,
    "acme/good_too.py": GOOD.replace("acme_good", "acme_too").replace("acme_code", "acme_too"),
    "acme/explodes.py": "raise RuntimeError('as\\nwritten')",
    "acme/twin.py": GOOD.replace("acme_good", "servers_lost").replace("acme_code", "acme_twin"),
    "acme/same_code.py": GOOD.replace("acme_good", "acme_same").replace("acme_code", "lost_server"),
}
BROKEN = sorted(set(ENTRIES) - {"by_module", "by_object"})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[None]:
    with importable(install(tmp_path / "site", FILES, {"squall.checkers": ENTRIES})):
        yield


@pytest.mark.usefixtures("site")
def test_a_module_and_an_object_are_both_taken_and_what_is_broken_answers_unknown() -> None:
    verdict = verdict_of(World().history())
    answers = {answer.checker: answer for answer in verdict.checkers}
    ours = {name: answer.verdict for name, answer in answers.items() if name not in BROKEN}
    assert set(ours.values()) == {"pass"}
    assert {"acme_good", "acme_too", "servers_lost"} <= set(ours)
    assert {name: answers[name].verdict for name in BROKEN} == dict.fromkeys(BROKEN, "unknown")
    reasons = {name: answers[name].reason for name in BROKEN}
    assert "No module named 'acme.no_such_module'" in reasons["gone"]
    assert "acme" in reasons["gone"]
    assert "has no attribute 'NOTHING'" in reasons["no_checker"]
    assert "got function" in reasons["not_one"]
    assert "module acme has no CHECKER" in reasons["empty_module"]
    assert "RuntimeError: as written" in reasons["explodes"]
    assert "another checker is called 'servers_lost'" in reasons["twin"]
    assert "'lost_server' is declared by 'servers_lost' too" in reasons["same_code"]
    assert verdict.true_exit_code == UNKNOWN
    assert len(unusable()) == len(BROKEN)


@pytest.mark.usefixtures("site")
def test_damage_outranks_a_checker_that_could_not_be_asked() -> None:
    world = World()
    world.drop_server("s1")
    world.recount()
    assert verdict_of(world.history()).true_exit_code == DAMAGE


def test_our_own_are_all_usable() -> None:
    assert unusable() == []
    assert [answer.checker for answer in ask_all(World().history())] == [checker.name for checker in checkers()]


@pytest.mark.usefixtures("site")
def test_a_run_says_first_which_questions_it_leaves_unanswered() -> None:
    command = [sys.executable, "-m", "harness.cli", "run", "--dry-run", "experiments/burst-500.yaml"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["name"]
    lines = [line for line in ran.stderr.splitlines() if line.startswith("squall: checker '")]
    assert len(lines) == len(BROKEN)
    assert "squall: checker 'gone' cannot be loaded (gone = 'acme.no_such_module:CHECKER', acme):" in ran.stderr
