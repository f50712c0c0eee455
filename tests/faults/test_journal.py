"""The journal: survives being killed while it is written, hides nothing, shows no secret."""

import json
import os
from pathlib import Path

import pytest

import faults
from faults.fault import UndoRecord
from faults.journal import Journal, journals
from faults.secret import Secret


def opened(run_id: str = "r1") -> Journal:
    journal = Journal.create(run_id, "/runs/r1")
    journal.open("1", "database", UndoRecord("database.hang", {"processes": [1]}), limit_ns=5)
    return journal


def test_what_was_opened_is_open_until_it_is_closed() -> None:
    journal = opened()
    journal.note("1", {"processes": [1, 2]})
    journal.open("2", "broker", UndoRecord("broker.hang", {}), limit_ns=5)
    journal.close("1", "nemesis")
    journal.note("1", {"late": True})
    state = journal.read()
    assert state is not None
    assert list(state.open) == ["2"]
    assert (state.run_id, state.run_dir, state.owner_is_alive) == ("r1", "/runs/r1", True)
    journal.end()
    assert journal.read() is None
    assert journals() == []


def test_notes_are_merged_into_the_record() -> None:
    journal = opened()
    journal.note("1", {"processes": [1, 2], "more": "x"})
    state = journal.read()
    assert state is not None
    assert state.open["1"].record.data == {"processes": [1, 2], "more": "x"}


def test_a_torn_line_is_ignored_and_the_next_entry_is_not_lost_with_it() -> None:
    journal = opened()
    whole = journal.path.read_bytes()
    for cut in range(1, 60):
        journal.path.write_bytes(whole + b'{"entry":"closed","id":"1","by":"nemesis"}\n'[:-cut])
        state = journal.read()
        assert state is not None
        assert (len(state.open) == 1) is (cut > 1), cut
    journal.path.write_bytes(whole + b'{"entry":"clo')
    journal.close("1", "heal")
    state = journal.read()
    assert state is not None
    assert state.open == {}


def test_it_is_private_and_a_run_has_one_only(state_directory: Path) -> None:
    journal = opened()
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700
    assert journal.path.is_relative_to(state_directory)
    with pytest.raises(FileExistsError):
        Journal.create("r1", "")


def test_a_run_id_cannot_lead_out_of_the_directory() -> None:
    journal = Journal.create("../../etc/passwd", "")
    assert journal.path.parent.name == "journal"


def test_two_take_turns_at_one_fault_and_a_hung_holder_is_not_waited_for_for_ever() -> None:
    journal = opened()
    with journal.undoing("1") as first, journal.undoing("2") as other, journal.undoing("1", wait_s=0.1) as second:
        assert (first, other, second) == (True, True, False)
    with journal.undoing("1") as again:
        assert again


def test_listing_open_faults_changes_nothing() -> None:
    opened()
    before = journals()[0].path.read_bytes()
    assert faults.open_faults() == ["database.hang on database (run r1, fault 1; its run is alive)"]
    assert faults.open_faults()
    assert journals()[0].path.read_bytes() == before


def test_a_secret_from_the_environment_reaches_later_processes_by_a_private_file(
    monkeypatch: pytest.MonkeyPatch, state_directory: Path
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter22")
    lasting = Secret(env="DB_PASSWORD").lasting()
    monkeypatch.delenv("DB_PASSWORD")
    assert lasting.read() == "hunter22"
    assert "hunter22" not in lasting.file
    assert os.stat(lasting.file).st_mode & 0o777 == 0o600
    assert Path(lasting.file).is_relative_to(state_directory)


def test_a_secret_inside_json(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"database": {"password": "p"}}))
    assert Secret(file=str(file), key="database.password").read() == "p"
