"""One fault from its start to proved gone, and who may have a target to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from faults.errors import InjectionFailed, TargetUnfit
from faults.fault import Fault
from faults.healing import undo_one
from faults.journal import Journal, OpenFault
from faults.processes import boot_id
from faults.targets import Target
from faults.validation import exclusive_claims
from faults.watch import Watch
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
        self.fault.note = self._note
        self._say = say
        self._open: OpenFault | None = None  # as in the journal, which may be lost
        self._followed = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether it is, or may be, on."""
        return self._open is not None

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
            if self._begin(clock.epoch_ns + over_ns):
                self._hold(clock, over_ns, end)
        except Exception as error:  # a bug in one fault must not keep it, or others, from being undone
            before = "nothing was injected: " if self._open is None else ""
            self._say(self.id, "failed", f"{before}{type(error).__name__}: {error}")
        finally:
            if self._open is not None:
                self._undo(self._open)
            claims.give_back(wanted)

    def _begin(self, limit_ns: int) -> bool:
        """Prepare, journal, inject. Returns whether it is on; when not, `is_open` says whether undo is due.

        Args:    limit_ns: CLOCK_MONOTONIC when it must be over.
        """
        try:
            record = self.fault.prepare(self.target)
        except TargetUnfit as error:
            self._say(self.id, "failed", f"nothing was injected: {error}")
            return False
        target = str(self.planned["target"])
        self.journal.open(self.id, target, record, limit_ns)
        self._open = OpenFault(self.id, record.fault, target, record, limit_ns, boot_id())
        self._say(self.id, "journalled", "")
        try:
            self.fault.inject(self.target)
        except InjectionFailed as error:
            self._say(self.id, "failed", str(error))
            return False
        self._say(self.id, "injected", "")
        return True

    def _hold(self, clock: RunClock, over_ns: int, end: threading.Event) -> None:
        """Until its time is over, `end` is set, or it ends by itself."""
        assert self._open is not None
        wanted_ns = self.fault.hold_ns(int(self.planned["duration_ns"]))
        until_ns = min(over_ns, clock.now_ns() + wanted_ns)
        watch = Watch(
            self.fault, self.target, self._open.record, clock, lambda event, detail: self._say(self.id, event, detail)
        )
        while (left_ns := until_ns - clock.now_ns()) > 0 and not watch.is_cut_short() and not end.is_set():
            end.wait(min(left_ns / 1e9, 0.1))
        watch.close(wanted_ns, end.is_set())

    def _undo(self, open_fault: OpenFault) -> None:
        """Undo until proved gone; what fails stays open in the journal."""
        try:
            problem = undo_one(
                self.journal, open_fault, "nemesis", lambda event, detail: self._say(self.id, event, str(detail))
            )
        except Exception as error:  # as above
            problem = f"{type(error).__name__}: {error}"
            self._say(self.id, "not_gone", problem)
        if not problem:
            self._open = None

    def _note(self, more: dict[str, Any]) -> None:
        self.journal.note(self.id, more)
        if self._open is not None:
            self._open.record.data.update(more)

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
