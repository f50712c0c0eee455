"""Holding one fault for the length of a `with` block: for tests and notebooks, with the nemesis's guarantees."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from faults import validate, watchdog
from faults.errors import InjectionFailed, UndoFailed
from faults.injection import Claims, Injection
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

    Args:    target: plain data as in `targets:`. limit_s: it is undone then, whether the block has ended or not.
    Raises:  ValueError when it cannot be what it says; InjectionFailed when it could not be injected, did not bite, or
             was over before the block was (it is undone); UndoFailed when it is still on (`squall heal` tries again).
    """
    limit_ns = round(limit_s * S)
    planned = {"id": "1", "fault": fault, "target": "target", "start_ns": 0, "duration_ns": limit_ns}
    planned["params"] = dict(params or {})
    problems = validate([planned], {"target": target})
    if problems:
        raise ValueError("; ".join(problems))
    said: list[tuple[str, str]] = []
    heard = threading.Condition()

    def hear(_: str, event: str, detail: str) -> None:
        with heard:
            said.append((event, detail))
            heard.notify_all()

    def what(*events: str) -> str | None:
        """The detail of the first of these events that was said."""
        return next((detail for event, detail in said if event in events), None)

    end = threading.Event()
    journal = Journal.create(f"holding-{uuid.uuid4().hex[:12]}", "")
    try:
        watchdog.start(journal)
        injection = Injection(planned, registered()[fault], read_target(target), journal, hear)
        life = threading.Thread(target=injection.run, args=(RunClock(monotonic_ns()), end, Claims()))
        life.start()
        try:
            with heard:
                heard.wait_for(lambda: what("bites", "no_bite", "failed") is not None)
            if what("bites") is None:
                raise InjectionFailed(what("failed") or f"it did not bite: {what('no_bite')}")
            yield injection
            ended_early = what("cut_short")
        finally:
            end.set()
            life.join()
        if injection.is_open:
            raise UndoFailed(said[-1][1])
        if ended_early is not None:
            raise InjectionFailed(f"it was not on to the end of the block: {ended_early}")
    finally:
        state = journal.read()
        if state is not None and not state.open:
            journal.end()
