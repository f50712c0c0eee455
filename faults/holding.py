"""Holding one fault for the length of a `with` block: for tests and notebooks, with the nemesis's guarantees."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from faults import validate, watchdog
from faults.errors import InjectionFailed, UndoFailed
from faults.injection import Injection
from faults.journal import Journal
from faults.registry import registered
from faults.targets import read_target
from harness.core.clock import RunClock, monotonic_ns

S = 1_000_000_000


@contextmanager
def holding(
    fault: str, target: Mapping[str, Any], params: Mapping[str, Any] | None = None, limit_s: float = 60.0
) -> Iterator[Injection]:
    """The fault is on, and proved, within the block; undone, and proved gone, after it, even when the body raises.

    Args:    target: plain data as in `targets:`. limit_s: a watchdog undoes it then, if we cannot.
    Raises:  ValueError when it cannot be what it says; InjectionFailed when it could not be injected or did not bite
             (it was undone); UndoFailed when it is still on (`squall heal` goes on trying).
    """
    limit_ns = round(limit_s * S)
    planned = {"id": "1", "fault": fault, "target": "target", "start_ns": 0, "duration_ns": limit_ns}
    planned["params"] = dict(params or {})
    problems = validate([planned], {"target": target})
    if problems:
        raise ValueError("; ".join(problems))
    said: list[tuple[str, str]] = []
    journal = Journal.create(f"holding-{uuid.uuid4().hex[:12]}", "")
    done = threading.Event()
    try:
        watchdog.start(journal)
        injection = Injection(
            planned,
            registered()[fault],
            read_target(target),
            journal,
            lambda _, event, detail: said.append((event, detail)),
        )
        beat = threading.Thread(target=_beat, args=(journal, injection, done), daemon=True)
        try:
            beat.start()
            clock = RunClock(monotonic_ns())
            if not injection.begin(clock.epoch_ns + limit_ns):
                raise InjectionFailed(said[-1][1])
            if not injection.prove(clock, limit_ns, done):
                raise InjectionFailed(f"it did not bite: {said[-1][1]}")
            yield injection
        finally:
            if injection.is_open:
                injection.undo()
            done.set()
            beat.join()
        if injection.is_open:
            raise UndoFailed(said[-1][1])
    finally:
        state = journal.read()
        if state is not None and not state.open:
            journal.end()


def _beat(journal: Journal, injection: Injection, done: threading.Event) -> None:
    while not done.wait(1.0):
        journal.beat()
        injection.keep_alive()
