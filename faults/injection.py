"""One fault from its start to proved gone, and who may have a target to itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from faults.errors import FaultError, InjectionFailed, TargetUnfit
from faults.fault import Fault
from faults.healing import undo_one
from faults.journal import Journal
from faults.targets import Target
from faults.validation import exclusive_claims
from harness.core.clock import Clock, RunClock

Say = Callable[[str, str, str], None]  # fault id, event, detail


class Claims:
    """What is held exclusively right now; a fault waits for its turn rather than stack where it must not."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._changed = threading.Condition()

    def take(self, wanted: set[str], give_up: Callable[[], bool]) -> bool:
        """Hold all of `wanted`; False when `give_up` says so first."""
        with self._changed:
            while wanted & self._held:
                if give_up():
                    return False
                self._changed.wait(0.1)
            self._held |= wanted
            return True

    def give_back(self, taken: set[str]) -> None:
        """Let the next one have them."""
        with self._changed:
            self._held -= taken
            self._changed.notify_all()


class Injection:
    """One fault of the plan, from its start to proved gone.

    Args:    say: told each event as it happens, in order; after each, the world is as the event says.
    """

    def __init__(
        self,
        planned: Mapping[str, Any],
        kind: type[Fault],
        target: Target,
        journal: Journal,
        say: Say,
    ) -> None:
        self.id = str(planned["id"])
        self.planned = planned
        self.target = target
        self.journal = journal
        self.fault = kind(planned.get("params", {}), key=f"{journal.path.stem}-{self.id}")
        self.fault.note = lambda more: journal.note(self.id, more)
        self._say = say
        self.is_open = False
        self._followed = threading.Event()

    def follow(self) -> None:
        """What this fault follows on has happened."""
        self._followed.set()

    def run(self, clock: RunClock, end: threading.Event, claims: Claims) -> None:
        """Walk all steps. Never raises; what goes wrong is said.

        Args:    end: set when everything must be undone now.
        """
        start_ns, duration_ns = int(self.planned["start_ns"]), int(self.planned["duration_ns"])
        if self.planned.get("follows"):
            start_ns = self._await_followed(clock, start_ns, end)
        over_ns = start_ns + duration_ns
        self._wait_until(clock, start_ns, end)
        if end.is_set():
            return
        wanted = exclusive_claims(type(self.fault), self.target)
        if not claims.take(wanted, lambda: end.is_set() or clock.now_ns() > over_ns):
            self._say(self.id, "failed", "its target was still held by the fault before it; nothing was injected")
            return
        try:
            if self.begin(clock.epoch_ns + over_ns):
                injected_ns = clock.now_ns()
                self.prove(clock, over_ns, end)
                self._wait_until(clock, min(over_ns, injected_ns + self.fault.hold_ns(duration_ns)), end)
            if self.is_open:
                self.undo()
        except Exception as error:  # a bug in one fault must not keep it, or others, from being undone
            self._say(self.id, "failed", f"{type(error).__name__}: {error}")
            if self.is_open:
                self.undo()
        finally:
            claims.give_back(wanted)

    def undo(self) -> None:
        """Undo until proved gone; what fails stays open in the journal."""
        state = self.journal.read()
        open_fault = None if state is None else state.open.get(self.id)
        if open_fault is None:
            self._say(self.id, "gone", "undone by another process")
            self.is_open = False
            return
        problem = undo_one(
            self.journal, open_fault, "nemesis", lambda event, detail: self._say(self.id, event, str(detail))
        )
        self.is_open = bool(problem)

    def keep_alive(self) -> None:
        """Renew what would end by itself."""
        state = self.journal.read() if self.is_open else None
        if state is not None and self.id in state.open:
            try:
                self.fault.keep_alive(state.open[self.id].record)
            except Exception as error:  # the next beat tries again; without it the fault ends early, which is safe
                print(f"{self.id}: not renewed: {error}", file=sys.stderr, flush=True)

    def begin(self, limit_ns: int) -> bool:
        """Prepare, journal, inject. Returns whether it is on; when not, `is_open` says whether undo is due.

        Args:    limit_ns: CLOCK_MONOTONIC when it must be over.
        """
        try:
            record = self.fault.prepare(self.target)
        except TargetUnfit as error:
            self._say(self.id, "failed", f"nothing was injected: {error}")
            return False
        self.journal.open(self.id, str(self.planned["target"]), record, limit_ns)
        self.is_open = True
        self._say(self.id, "journalled", "")
        try:
            self.fault.inject(self.target)
        except InjectionFailed as error:
            self._say(self.id, "failed", str(error))
            return False
        self._say(self.id, "injected", "")
        return True

    def prove(self, clock: Clock, over_ns: int, end: threading.Event) -> bool:
        """Ask whether it bites until it does, `over_ns` comes, or `bites_within_s` have passed."""
        deadline_ns = min(over_ns, clock.now_ns() + round(self.fault.bites_within_s * 1e9))
        detail = ""
        while not end.is_set():
            try:
                if self.fault.bites(self.target):
                    self._say(self.id, "bites", self.fault.evidence())
                    return True
                detail = self.fault.evidence()
            except (FaultError, OSError, RuntimeError) as error:
                detail = str(error)
            if clock.now_ns() >= deadline_ns:
                self._say(self.id, "no_bite", detail or "no effect was measured")
                return False
            end.wait(0.1)
        return False

    def _await_followed(self, clock: Clock, latest_ns: int, end: threading.Event) -> int:
        """When to start: so long after what it follows on, at the latest at `latest_ns`."""
        while not end.is_set() and (left_ns := latest_ns - clock.now_ns()) > 0:
            if self._followed.wait(min(left_ns / 1e9, 0.05)):
                return min(latest_ns, clock.now_ns() + int(self.planned["after_ns"]))
        return latest_ns

    @staticmethod
    def _wait_until(clock: Clock, at_ns: int, end: threading.Event) -> None:
        while (left_ns := at_ns - clock.now_ns()) > 0 and not end.is_set():
            end.wait(left_ns / 1e9)
