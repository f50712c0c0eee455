"""`python -m faults.nemesis --plan RUN/plan.json`: walks the timeline of a run's faults.

A process of its own, so that a hung database cannot stall the load. One thread per fault:

    wait for its start -> prepare -> journal -> inject -> bites? -> hold -> undo -> gone? -> closed in the journal

Whatever ends the run early (`heal` or `stop` from the engine, SIGTERM, Ctrl-C, the engine's death) sends every thread to
undo at once. What a dead or hung nemesis leaves is undone by the watchdog, or by `squall heal`.

With --standalone it needs no engine: the epoch is now.
Exit codes: 0 all undone; 2 the plan cannot be run, nothing was injected; 4 a fault is still open.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faults import open_faults, validate, watchdog
from faults.errors import FaultError, InjectionFailed, JournalOpen, TargetUnfit
from faults.fault import Fault
from faults.healing import undo_one
from faults.journal import Journal
from faults.registry import registered
from faults.targets import Target, read_target
from faults.validation import exclusive_claims
from harness.control import Link, connect
from harness.core.clock import RunClock, monotonic_ns

BEAT_EVERY_S = 1.0

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
        run_id: str,
        say: Say,
    ) -> None:
        self.id = str(planned["id"])
        self.planned = planned
        self.target = target
        self.journal = journal
        self.fault = kind(planned.get("params", {}), key=f"{run_id}-{self.id}")
        self.fault.note = lambda more: journal.note(self.id, more)
        self._say = say
        self.is_open = False

    def run(self, clock: RunClock, end: threading.Event, claims: Claims) -> None:
        """Walk all steps. Never raises; what goes wrong is said.

        Args:    end: set when everything must be undone now.
        """
        start_ns, duration_ns = int(self.planned["start_ns"]), int(self.planned["duration_ns"])
        over_ns = start_ns + duration_ns
        self._wait_until(clock, start_ns, end)
        if end.is_set():
            return
        wanted = exclusive_claims(type(self.fault), self.target)
        if not claims.take(wanted, lambda: end.is_set() or clock.now_ns() > over_ns):
            self._say(self.id, "failed", "its target was still held by the fault before it; nothing was injected")
            return
        try:
            if self._inject(clock.epoch_ns + over_ns):
                injected_ns = clock.now_ns()
                self._prove(clock, over_ns, end)
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

    def _inject(self, limit_ns: int) -> bool:
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

    def _prove(self, clock: RunClock, over_ns: int, end: threading.Event) -> None:
        deadline_ns = min(over_ns, clock.now_ns() + round(self.fault.bites_within_s * 1e9))
        detail = ""
        while not end.is_set():
            try:
                if self.fault.bites(self.target):
                    self._say(self.id, "bites", self.fault.evidence())
                    return
                detail = self.fault.evidence()
            except (FaultError, OSError, RuntimeError) as error:
                detail = str(error)
            if clock.now_ns() >= deadline_ns:
                self._say(self.id, "no_bite", detail or "no effect was measured")
                return
            end.wait(0.1)

    @staticmethod
    def _wait_until(clock: RunClock, at_ns: int, end: threading.Event) -> None:
        while (left_ns := at_ns - clock.now_ns()) > 0 and not end.is_set():
            end.wait(left_ns / 1e9)


class Events:
    """faults.jsonl and the engine: every event goes to both, the file first."""

    def __init__(self, path: Path, plan_faults: list[Mapping[str, Any]], link: Link | None) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
        self._faults = {str(planned["id"]): planned for planned in plan_faults}
        self._link = link
        self._lock = threading.Lock()
        self.clock: RunClock | None = None

    def say(self, id: str, event: str, detail: str) -> None:
        """One event of one fault, now."""
        planned = self._faults[id]
        at_ns = self.clock.now_ns() if self.clock is not None else 0
        body = {"event": event, "at_ns": at_ns, "detail": detail}
        line = {"id": id, "fault": planned["fault"], "target": planned["target"], **body}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        self.tell({"type": "fault", "id": id, **body})

    def tell(self, message: dict[str, Any]) -> None:
        """A message to the engine, if it is there."""
        if self._link is not None:
            try:
                self._link.send(message)
            except OSError:
                pass  # its death is noticed by the reading thread


class Nemesis:
    """All injections of one run."""

    def __init__(self, plan: Mapping[str, Any], link: Link | None) -> None:
        self.plan = plan
        self.link = link
        self.events = Events(Path(plan["run_dir"]) / "faults.jsonl", plan["faults"], link)
        self.end = threading.Event()  # everything must be undone now
        self.leave = threading.Event()  # nobody waits for us any more
        self._go: threading.Event = threading.Event()
        self._epoch_ns = 0
        self.injections: list[Injection] = []

    def run(self) -> int:
        """From hello to finished. Returns the exit code."""
        targets = {name: read_target(data) for name, data in self.plan["targets"].items() if self._is_used(name)}
        journal = Journal.create(self.plan["run_id"], str(self.plan["run_dir"]))
        try:
            watchdog.start(journal)
        except OSError:
            journal.end()
            raise
        for planned in self.plan["faults"]:
            self.injections.append(
                Injection(
                    planned,
                    registered()[planned["fault"]],
                    targets[planned["target"]],
                    journal,
                    self.plan["run_id"],
                    self.events.say,
                )
            )
        self._listen()
        self._walk(journal)
        still_open = [injection.id for injection in self.injections if injection.is_open]
        if not still_open:
            journal.end()
        self.events.tell({"type": "finished", "open": still_open})
        if self.link is not None:
            self.leave.wait()
        return 4 if still_open else 0

    def wind_up(self) -> None:
        """Undo everything now, then leave without waiting for the engine."""
        self.end.set()
        self.leave.set()

    def _walk(self, journal: Journal) -> None:
        beating = threading.Event()
        beat = threading.Thread(target=self._beat, args=(journal, beating), name="beat", daemon=True)
        beat.start()
        while not self._go.wait(0.2):
            if self.end.is_set():
                break
        else:
            clock = RunClock(self._epoch_ns)
            self.events.clock = clock
            claims = Claims()
            threads = []
            for injection in self.injections:
                self.events.say(injection.id, "planned", "")
                # Not daemons: the process does not end before they have undone what they did.
                threads.append(threading.Thread(target=injection.run, args=(clock, self.end, claims)))
                threads[-1].start()
            for thread in threads:
                thread.join()
        beating.set()

    def _beat(self, journal: Journal, done: threading.Event) -> None:
        while not done.wait(BEAT_EVERY_S):
            journal.beat()
            for injection in self.injections:
                injection.keep_alive()

    def _listen(self) -> None:
        if self.link is None:
            self._epoch_ns = monotonic_ns()
            self._go.set()
            return
        threading.Thread(target=self._read, args=(self.link,), name="engine", daemon=True).start()
        self.events.tell({"type": "hello", "role": "nemesis", "pid": os.getpid()})

    def _read(self, link: Link) -> None:
        while (message := link.receive()) is not None:
            if message["type"] == "go":
                self._epoch_ns = int(message["epoch_ns"])
                self._go.set()
            elif message["type"] in ("heal", "stop"):
                self.wind_up()
        self.wind_up()  # the engine is gone

    def _is_used(self, target: str) -> bool:
        return any(planned["target"] == target for planned in self.plan["faults"])


def main(arguments: list[str] | None = None) -> int:
    """Run; see the module."""
    parser = argparse.ArgumentParser(prog="python -m faults.nemesis")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--standalone", action="store_true", help="without an engine: start now, heal on Ctrl-C")
    options = parser.parse_args(arguments)
    try:
        plan = json.loads(options.plan.read_text(encoding="utf-8"))
        refuse_if_unfit(plan)
        nemesis = Nemesis(plan, None if options.standalone else connect())
        for number in (signal.SIGTERM, signal.SIGINT):
            # In a thread: a handler runs inside whatever the main thread does, which may hold the event's own lock.
            signal.signal(number, lambda *_: threading.Thread(target=nemesis.wind_up).start())
        return nemesis.run()
    except (OSError, ValueError, KeyError, JournalOpen) as error:
        print(f"nemesis: nothing was injected: {error}", file=sys.stderr)
        return 2


def refuse_if_unfit(plan: Mapping[str, Any]) -> None:
    """Raises JournalOpen when a dead run left faults, ValueError when the plan's faults and targets do not fit."""
    left = open_faults()
    if left:
        raise JournalOpen(f"faults are still open: {'; '.join(left)}; run: squall heal")
    problems = validate(plan["faults"], plan["targets"])
    if problems:
        raise ValueError("; ".join(problems))


if __name__ == "__main__":
    sys.exit(main())
