"""Undoing what is still open, from the journals alone: what `squall heal` and the watchdog run."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec

from faults.errors import UndoFailed
from faults.fault import Fault
from faults.journal import Journal, OpenFault, journal_of, journals
from faults.registry import fault_class


class HealReport(msgspec.Struct):
    """What was found and done; every entry is a line for a reader."""

    open: list[str] = []  # still open: not asked to undo, or it did not work
    healed: list[str] = []


def heal_all(run_id: str | None, list_only: bool) -> HealReport:
    """See `faults.heal`. Undo twice = undo once; safe beside a watchdog or another heal."""
    report = HealReport()
    for journal in [journal_of(run_id)] if run_id is not None else journals():
        if list_only:
            state = journal.read()
            if state is not None:
                report.open += [in_words(fault, state.run_id, state.owner_is_alive) for fault in state.open.values()]
        else:
            heal_journal(journal, "heal", report)
    return report


def heal_journal(journal: Journal, by: str, report: HealReport, past_limit_s: float | None = None) -> None:
    """Undo the open faults of one journal, and remove the file when nothing is left to watch.

    Args:    past_limit_s: only those that should have been gone so long ago.
    """
    state = journal.read()
    if state is None:
        return
    faults = reversed(state.open.values())
    due = [each for each in faults if past_limit_s is None or each.seconds_past_limit() > past_limit_s]
    # All at once: one that takes its minute to come back must not keep the others on.
    with ThreadPoolExecutor(max_workers=16) as pool:
        problems = list(pool.map(lambda fault: undo_one(journal, fault, by), due))
    for fault, problem in zip(due, problems, strict=True):
        words = in_words(fault, state.run_id, state.owner_is_alive)
        if problem:
            report.open.append(f"{words}: {problem}")
        else:
            report.healed.append(words)
    state = journal.read()
    if state is not None and not state.open and not state.owner_is_alive:
        journal.end()


def undo_one(journal: Journal, fault: OpenFault, by: str, say: Callable[[str, Any], None] | None = None) -> str:
    """Undo one fault, with retries, until it is proved gone; then close it. Returns "" or what is wrong.

    Args:    say: told "undoing", "undone", "gone" or "not_gone", each with a detail, as they happen.
    """
    tell = say or (lambda event, detail: None)
    try:
        kind: Fault = fault_class(fault.fault)()
    except (KeyError, ImportError) as error:
        return f"no fault '{fault.fault}' is installed here ({error}); undo it with the package that has it"
    with journal.undoing(fault.id, kind.undo_within_s):
        state = journal.read()
        if state is not None and fault.id not in state.open:
            tell("gone", "undone by another process")
            return ""
        # With what was noted since. A journal that was deleted proves nothing: then from what we know ourselves.
        record = fault.record if state is None else state.open[fault.id].record

        def note(more: dict[str, Any]) -> None:
            record.data.update(more)
            with suppress(OSError):  # a full disk must not keep anything from being undone
                journal.note(fault.id, more)

        kind.note = note
        tell("undoing", "")
        problem = _retry(kind.undo_within_s, lambda: kind.undo(record))
        if problem:
            tell("not_gone", problem)
            return problem
        tell("undone", "")
        deadline = time.monotonic() + kind.gone_within_s
        while not (is_gone := _asks(kind, record)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not is_gone:
            problem = f"undone, but the target was not healthy again within {kind.gone_within_s:g} s; run: squall heal"
            tell("not_gone", problem)
            return problem
        try:
            journal.close(fault.id, by)
        except FileNotFoundError:
            pass
        except OSError as error:
            problem = f"it is gone, but the journal does not take that: {error}; make room and run: squall heal"
        tell("gone", problem)
        return problem


def in_words(fault: OpenFault, run_id: str, owner_is_alive: bool) -> str:
    """One open fault as a line."""
    owner = "its run is alive" if owner_is_alive else "its run is dead"
    return f"{fault.fault} on {fault.target} (run {run_id}, fault {fault.id}; {owner})"


def _retry(within_s: float, attempt: Callable[[], None]) -> str:
    deadline = time.monotonic() + within_s
    pause_s = 0.1
    while True:
        try:
            attempt()
            return ""
        except UndoFailed as error:
            problem = str(error)
        except Exception as error:  # a bug in one fault must not keep others from being undone
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() + pause_s > deadline:
            return problem
        time.sleep(pause_s)
        pause_s = min(2.0, pause_s * 2)


def _asks(kind: Fault, record: Any) -> bool:
    try:
        return kind.is_gone(record)
    except Exception:  # as above: asked again until the deadline
        return False
