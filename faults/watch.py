"""Whether a fault is what the plan says, all the time from injection to undo: it bites, and then it is still on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from faults.fault import Fault, UndoRecord
from faults.targets import Target
from harness.core.clock import Clock
from harness.core.units import format_ns

LOOK_EVERY_S = 1.0
UNSEEN_S = 5.0  # a fault that could not be looked at for so long is not known to be on
LAST_LOOK_S = 0.5
WHOLE = 0.5  # on for a smaller share of its time it is not the fault that was planned
S = 1_000_000_000


class Watch:
    """Proves a fault, looks at it every second and renews it, in threads of its own.

    So no probe, however it hangs, makes a fault outlast its time. They are daemons: nor does one outlast the process.

    Args:    say: told "bites" or "no_bite", and "cut_short" as soon as it is not on any more; nothing after `close`.
    """

    def __init__(
        self, fault: Fault, target: Target, record: UndoRecord, clock: Clock, say: Callable[[str, str], None]
    ) -> None:
        self._fault, self._target, self._record, self._clock, self._say = fault, target, record, clock, say
        self._began_ns = self._seen_ns = clock.now_ns()
        self._unseen_ns = round(UNSEEN_S * S)
        self._trouble = "looking at it takes too long"
        self._said: list[str] = []
        self._speaking = threading.Lock()
        self._closed, self._look, self._looked = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._run, name=f"watch {fault.key}", daemon=True).start()
        threading.Thread(target=self._renew, name=f"renew {fault.key}", daemon=True).start()

    def is_cut_short(self) -> bool:
        """Whether it is over before its time, or was out of sight for so long that nobody knows."""
        unseen_ns = self._clock.now_ns() - self._seen_ns
        if "bites" in self._said and unseen_ns > self._unseen_ns:
            self._cut_short(f"not seen for {format_ns(unseen_ns)}: {self._trouble}")
        return "cut_short" in self._said

    def close(self, wanted_ns: int, is_early: bool) -> None:
        """A last look, unless it ends early; and whether it was on for as long as it was meant to be."""
        if "bites" in self._said and not is_early:
            self._looked.clear()
            self._look.set()
            self._looked.wait(LAST_LOOK_S)
        on_ns = self._clock.now_ns() - self._began_ns
        if "bites" in self._said and on_ns < WHOLE * wanted_ns:
            why = "it was ended early" if is_early else "it began late"
            self._cut_short(f"{why}; wanted {format_ns(wanted_ns)}")
        elif not self._said and not is_early:
            self._tell("no_bite", f"it was not proved in the {format_ns(on_ns)} that it was on")
        with self._speaking:
            self._closed.set()
        self._look.set()

    def _run(self) -> None:
        if not self._prove():
            return
        while not self._closed.is_set():
            self._look.wait(LOOK_EVERY_S)
            self._look.clear()
            try:
                if not self._fault.still_on(self._target):
                    self._cut_short(self._fault.evidence())
                    return
                self._seen_ns = self._clock.now_ns()
            except Exception as error:  # whatever it is, it is not seen; a bug of one fault must not hide that
                self._trouble = f"{type(error).__name__}: {error}"
            finally:
                self._looked.set()

    def _prove(self) -> bool:
        deadline_ns = self._began_ns + round(self._fault.bites_within_s * S)
        while not self._closed.is_set():
            asked_ns = self._clock.now_ns()
            try:
                if self._fault.bites(self._target):
                    self._seen_ns = self._clock.now_ns()
                    self._unseen_ns += 2 * (self._seen_ns - asked_ns)  # where a look is another proof
                    self._tell("bites", self._fault.evidence())
                    return True
                detail = self._fault.evidence()
            except Exception as error:  # as above
                detail = f"{type(error).__name__}: {error}"
            if self._clock.now_ns() >= deadline_ns:
                self._tell("no_bite", detail or "no effect was measured")
                return False
            self._closed.wait(0.1)
        return False

    def _renew(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            try:
                self._fault.keep_alive(self._record)
            except Exception as error:  # tried again; without it the fault ends early, which the next look shows
                print(f"{self._fault.key}: not renewed: {error}", file=sys.stderr, flush=True)

    def _cut_short(self, detail: str) -> None:
        self._tell("cut_short", f"after {format_ns(self._clock.now_ns() - self._began_ns)}: {detail}")

    def _tell(self, event: str, detail: str) -> None:
        with self._speaking:
            if not self._closed.is_set() and event not in self._said:
                self._said.append(event)
                self._say(event, detail)
