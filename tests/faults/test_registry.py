"""Faults of other packages, really installed: found by their entry point, and one that is broken breaks no other."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import faults
from faults import registry
from faults.fault import UndoRecord
from faults.healing import undo_one
from faults.journal import Journal, OpenFault
from faults.processes import boot_id
from tests.faults.test_validation import TARGET, planned
from tests.outside import ROOT, importable, install
from tests.sample import GOOD

SOUND = """
from faults.fault import Fault, UndoRecord

class Sound(Fault):
    name = "acme.sound"
    needs = ("probe",)
    effect = undo_text = twin = source = "as a test wants it"
    def prepare(self, target): return UndoRecord(self.name, {})
    def inject(self, target): pass
    def bites(self, target): return True
    def evidence(self): return "none"
    def undo(self, record): pass
    def is_gone(self, record): return True
"""
FILES = {
    "acme/__init__.py": "",
    "acme/sound.py": SOUND,
    "acme/by_class.py": SOUND.replace("acme.sound", "acme.by_class"),
    "acme/sourceless.py": SOUND.replace("effect = undo_text = twin = source", "effect = undo_text = twin"),
    "acme/without_undo.py": SOUND.replace("def undo", "def undone"),
    "acme/taken.py": SOUND.replace("acme.sound", "database.hang"),
}
ENTRIES = {
    "acme.sound": "acme.sound",
    "acme.by_class": "acme.by_class:Sound",
    "acme.gone": "acme.no_such_module",
    "acme.sourceless": "acme.sourceless",
    "acme.without_undo": "acme.without_undo",
    "acme.empty": "acme",
    "acme.no_class": "acme.sound:UndoRecord",
    "database.hang": "acme.taken",
}
BROKEN = {
    "acme.gone": "No module named 'acme.no_such_module'",
    "acme.sourceless": "acme.sourceless.Sound says no source",
    "acme.without_undo": "has no undo",
    "acme.empty": "there is no fault in module acme",
    "acme.no_class": "wanted a class of faults.fault.Fault",
    "database.hang (2)": "acme.taken names its fault database.hang, as faults.database.hang does",
}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_found", {})
    with importable(install(tmp_path / "site", FILES, {"squall.faults": ENTRIES})):
        yield


def squall(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_sound_ones_are_there_and_the_broken_ones_say_why() -> None:
    found = faults.catalogue()
    assert {"acme.sound", "acme.by_class", "database.hang", "broker.crash"} <= set(found)
    assert {name for name, kind in found.items() if kind.unusable} == set(BROKEN)
    assert not found["database.hang"].unusable
    for name, said in BROKEN.items():
        assert said in found[name].unusable
        assert "acme)" in found[name].unusable, "who has to mend it"


def test_only_a_plan_that_uses_a_broken_one_is_refused() -> None:
    assert faults.validate([planned("1", "acme.sound", 0, 1)], {"db": TARGET}) == []
    (problem,) = faults.validate([planned("1", "acme.gone", 0, 1)], {"db": TARGET})
    assert problem.startswith("1: fault 'acme.gone' cannot be loaded: ModuleNotFoundError")


def test_the_list_shows_them_and_ends_well() -> None:
    listed = squall("faults", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    lines = {line.split("  ")[0].strip(): line for line in listed.stdout.splitlines()}
    assert set(BROKEN) <= set(lines)
    assert "CANNOT BE LOADED: ModuleNotFoundError: No module named" in lines["acme.gone"]
    assert "CANNOT" not in lines["acme.sound"]
    shown = squall("faults", "show", "acme.gone")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "cannot be loaded: ModuleNotFoundError" in shown.stdout


def test_an_experiment_without_them_runs_and_one_with_them_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    ran = squall("run", "--dry-run", str(tmp_path / "good.yaml"))
    assert (ran.returncode, ran.stderr) == (0, "")
    (tmp_path / "broken.yaml").write_text(GOOD.replace("fault: database.hang", "fault: acme.sourceless"))
    refused = squall("run", "--dry-run", str(tmp_path / "broken.yaml"))
    assert refused.returncode == 2
    assert "fault 'acme.sourceless' cannot be loaded: acme.sourceless.Sound says no source" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_is_open_and_cannot_be_loaded_stays_open_with_the_reason() -> None:
    journal = Journal.create("broken", "")
    record = UndoRecord("acme.gone", {})
    journal.open("1", "db", record, 0)
    problem = undo_one(journal, OpenFault("1", "acme.gone", "db", record, 0, boot_id()), "a test")
    assert "no fault 'acme.gone' is installed here (cannot be loaded: ModuleNotFoundError" in problem
    journal.close("1", "a test")
    journal.end()


def test_one_that_does_not_add_up_has_its_server_to_itself_and_does_not_silence_it() -> None:
    """As `faults show` says, "refused while it is on", although it needs nothing but the probe."""
    first = planned("1", "acme.sound", 0, 5)
    (problem,) = faults.validate([first, planned("2", "acme.sound", 4, 5)], {"db": TARGET})
    assert problem.startswith(
        "2: overlaps 1 on 'db': both need its server for themselves; let one start at or after 5 s"
    )
    (problem,) = faults.validate([first, planned("2", "database.hang", 4, 5)], {"db": TARGET})
    assert problem.startswith("2: overlaps 1 on 'db': both need its server")
    assert faults.validate([first, planned("2", "acme.sound", 5, 5)], {"db": TARGET}) == []
    assert faults.validate([first, planned("2", "database.latency", 1, 5, latency="5 ms")], {"db": TARGET}) == []
