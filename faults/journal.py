"""The journal: what is injected, written down before it is. One file per run, JSON lines, appended and fsynced.

    {"entry": "run", "schema_version": 1, "run_id": ..., "run_dir": ..., "owner": {pid, start, boot}}
    {"entry": "open", "id": ..., "fault": ..., "target": ..., "record": {...}, "limit_ns": N, "boot": ...}
    {"entry": "note", "id": ..., "more": {...}}          merged into the record
    {"entry": "closed", "id": ..., "by": "nemesis" | "watchdog" | "heal"}

The file is there as long as something may be open: it is removed when nothing is and nothing will follow.
It lies outside of the run directory, mode 0600, because it may name files with secrets. A torn last line (killed while
writing) is ignored: what was not wholly written was not sent either. `limit_ns` is CLOCK_MONOTONIC of boot `boot`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from faults.fault import UndoRecord
from faults.places import private_directory, state_directory
from faults.processes import Identity, boot_id, identify

SCHEMA_VERSION = 1


class OpenFault(msgspec.Struct):
    """One fault that was journalled and not closed."""

    id: str
    fault: str
    target: str
    record: UndoRecord
    limit_ns: int
    boot: str

    def seconds_past_limit(self) -> float:
        """How long it should be gone already; after a reboot, for ever."""
        if self.boot != boot_id():
            return float("inf")
        return (time.monotonic_ns() - self.limit_ns) / 1e9


class JournalState(msgspec.Struct):
    """A journal as read from its file."""

    run_id: str
    run_dir: str
    owner: Identity | None
    open: dict[str, OpenFault]

    @property
    def owner_is_alive(self) -> bool:
        return self.owner is not None and self.owner.is_alive


class Journal:
    """One journal file; any process may append to it, readers need no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, run_id: str, run_dir: str) -> Journal:
        """A new journal owned by this process.

        Raises:  FileExistsError when the run has one already; OSError when the disk does not take it.
        """
        directory = private_directory("journal")
        journal = cls(directory / f"{_file_name(run_id)}.jsonl")
        os.close(os.open(journal.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the name of the file, too, must survive
        finally:
            os.close(descriptor)
        entry = {"entry": "run", "schema_version": SCHEMA_VERSION, "run_id": run_id, "run_dir": run_dir}
        try:
            journal._append({**entry, "owner": msgspec.to_builtins(identify(os.getpid()))})
        except OSError:
            journal.end()
            raise
        return journal

    def open(self, id: str, target: str, record: UndoRecord, limit_ns: int) -> None:
        """Write a fault down; it returns when that is on disk. `limit_ns`: CLOCK_MONOTONIC when it must be over."""
        self._append(
            {
                "entry": "open",
                "id": id,
                "fault": record.fault,
                "target": target,
                "record": record.data,
                "limit_ns": limit_ns,
                "boot": boot_id(),
            }
        )

    def note(self, id: str, more: dict[str, Any]) -> None:
        """Add to the record of an open fault."""
        self._append({"entry": "note", "id": id, "more": more})

    def close(self, id: str, by: str) -> None:
        """The fault is proved gone."""
        self._append({"entry": "closed", "id": id, "by": by})

    def end(self) -> None:
        """Nothing is open: the watchdog may go, and the file too. Works on a full disk."""
        for path in (self.path, *self.path.parent.glob(f"{self.path.stem}.*.lock")):
            path.unlink(missing_ok=True)

    def read(self) -> JournalState | None:
        """What the file says; None when there is no such file (it ended)."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        state = JournalState(self.path.stem, "", None, {})
        for line in lines:
            try:
                entry = json.loads(line)
                self._apply(state, entry)
            except (ValueError, KeyError, TypeError, msgspec.ValidationError):
                continue  # torn, or empty
        return state

    @staticmethod
    def _apply(state: JournalState, entry: dict[str, Any]) -> None:
        match entry["entry"]:
            case "run":
                state.run_id, state.run_dir = entry["run_id"], entry["run_dir"]
                state.owner = msgspec.convert(entry["owner"], Identity)
            case "open":
                record = UndoRecord(entry["fault"], entry["record"])
                state.open[entry["id"]] = OpenFault(
                    entry["id"], entry["fault"], entry["target"], record, entry["limit_ns"], entry["boot"]
                )
            case "note" if entry["id"] in state.open:
                state.open[entry["id"]].record.data.update(entry["more"])
            case "closed":
                state.open.pop(entry["id"], None)

    @contextmanager
    def undoing(self, id: str, wait_s: float = 10.0) -> Iterator[bool]:
        """Hold the lock of one fault while undoing it, so that nemesis, watchdog and heal take turns.

        The lock goes with its holder's death. A holder that hangs is not waited for beyond `wait_s`: every undo can be
        run twice, and a fault that stays is worse. So is one that stays for want of a lock file, on a full disk.
        Yields whether the lock is held.
        """
        path = self.path.with_suffix(f".{_file_name(id)}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield False
            return
        try:
            deadline = time.monotonic() + wait_s
            held = False
            while not held:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held = True
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.05)
            yield held
        finally:
            os.close(descriptor)

    def _append(self, entry: dict[str, Any]) -> None:
        data = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # the last writer was killed within its line
            if os.write(descriptor, data) != len(data):
                raise OSError(f"{self.path}: the disk took only a part of an entry")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def journals() -> list[Journal]:
    """All that there are, oldest first."""
    found = []
    for path in (state_directory() / "journal").glob("*.jsonl"):
        with suppress(FileNotFoundError):  # it has just ended
            found.append((path.stat().st_mtime_ns, path.name, Journal(path)))
    return [journal for _, _, journal in sorted(found, key=lambda each: each[:2])]


def journal_of(run_id: str) -> Journal:
    """A run's journal, whether it is there or not."""
    return Journal(state_directory() / "journal" / f"{_file_name(run_id)}.jsonl")


def _file_name(run_id: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in run_id)
