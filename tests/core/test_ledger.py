"""The intent is on disk when `intend` returns, and a torn end is survived."""

from pathlib import Path

import pytest

from harness.core.ledger import Intent, Ledger, read_ledger, read_ledgers


def intent(name: str, at_ns: int = 1) -> Intent:
    return Intent(at_ns=at_ns, kind="server", name=name, mark="squall-x", cloud="emulator", operation_id=4, count=500)


def test_what_was_intended_reads_back_before_closing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "worker-0")
    ledger.intend(intent("a"))
    assert list(read_ledger(ledger.path)) == [intent("a")]
    other = Ledger(tmp_path, "worker-1")
    other.intend(intent("b", at_ns=0))
    assert [line.name for line in read_ledgers(tmp_path)] == ["b", "a"]


def test_a_torn_last_line_is_left_out_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "w")
    ledger.intend(intent("a"))
    with ledger.path.open("ab") as file:
        file.write(b'{"at_ns": 3, "kin')
    assert [line.name for line in read_ledger(ledger.path)] == ["a"]
    with ledger.path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match=r"w\.jsonl:2"):
        list(read_ledger(ledger.path))
