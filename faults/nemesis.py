"""`python -m faults.nemesis --plan RUN/plan.json`: walks the timeline of a run's faults.

A process of its own, so that a hung database cannot stall the load. One thread per fault:

    wait for its start -> prepare -> journal -> inject -> bites? still on? -> undo -> gone? -> closed in the journal

Whatever ends the run early (`heal` or `stop` from the engine, SIGTERM, Ctrl-C, the engine's death) sends every
thread to undo at once. What a dead or hung nemesis leaves is undone by the watchdog, or by `squall heal`.

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faults import open_faults, validate, watchdog
from faults.errors import JournalOpen
from faults.injection import Claims, Injection
from faults.journal import Journal
from faults.probes import probe
from faults.registry import registered
from faults.targets import read_target
from harness.control import Link, connect
from harness.core.clock import RunClock, monotonic_ns

WARM_UP_S = 2.0


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
            try:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
            except OSError as error:  # a full disk must not keep anything from being undone
                print(f"{id}: {event}: not in faults.jsonl: {error}", file=sys.stderr, flush=True)
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
                Injection(planned, registered()[planned["fault"]], targets[planned["target"]], journal, self.events.say)
            )
        for target in targets.values():
            if target.probe is not None:
                probe(target.probe, WARM_UP_S)  # loads its driver now, and not when a fault is due
        self._listen()
        self._walk()
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

    def _walk(self) -> None:
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
            elif message["type"] == "accepted":
                for injection in self.injections:
                    if injection.planned.get("follows") == message["swarm"]:
                        injection.follow()
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
