"""The worker's side of a run: prepares scenarios, starts arrivals, records, drains.

It speaks with the conductor on the master by Locust's messages, through a `send(type, data)` it is given: the same in a
worker process, and in a single process where both sides live together.
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.pool
import keystoneauth1.exceptions
from locust.stats import RequestStats

from harness.cloud import compute
from harness.cloud.api import Api, RequestFailed
from harness.cloud.readiness import Seen
from harness.cloud.session import Cloud, connect
from harness.core.arrivals import closed_loop, schedule
from harness.core.clock import RunClock, S, wall_ns
from harness.core.ledger import Ledger
from harness.swarm.arrivals import ArrivalBook
from harness.swarm.health import Monitor, worker_name
from harness.swarm.operations import Operation
from harness.swarm.pacer import Pacer
from harness.swarm.recorder import Recorder, write_clock
from harness.swarm.scenario import Journey, NotServed, Scenario, find

log = logging.getLogger("squall.worker")
Send = Callable[[str, dict[str, Any]], None]


class Worker:
    """One worker in one run. Messages: squall_prepare, squall_go, squall_seen, squall_fault, squall_stop come in;
    squall_prepared, squall_second, squall_expect, squall_forget, squall_done go out."""

    cloud: Cloud
    clock: RunClock
    ledger: Ledger

    def __init__(self, send: Send, stats: RequestStats | None = None) -> None:
        self._send, self._stats = send, stats
        self.mark = ""
        self.project: str | None = None
        self.open_operations: dict[int, Operation] = {}
        self._journeys = gevent.pool.Group()
        self._pacers: list[Pacer] = []
        self._background = gevent.pool.Group()
        self._in_flight: dict[str, int] = {}
        self._is_stopping = gevent.event.Event()
        self._recorder: Recorder | None = None

    # Messages from the conductor.

    def prepare(self, data: Mapping[str, Any]) -> None:
        """Log in, read the plan, let each scenario look up what it needs; then say so, or say what is wrong."""
        plan = data["plan"]
        self._plan, self._index, self._workers = plan, data["index"], data["workers"]
        self.mark = plan["mark"]
        self._swarm_numbers = {swarm["name"]: number for number, swarm in enumerate(plan["swarms"])}
        self._accepted: set[str] = set()
        self._scenarios: dict[str, Scenario] = {}
        try:
            self.cloud = connect(
                plan["cloud"], level=plan["level"], region=plan.get("region"), clouds_file=plan.get("clouds_file")
            )
            self.project = plan.get("project") or self.cloud.project_id
            # Discovery is no part of the load: it must not happen, slowly, in the run's first second.
            for service in ("compute", "network", "image", "identity"):
                with contextlib.suppress(keystoneauth1.exceptions.ClientException, AttributeError):
                    self.cloud.endpoint(service)
            compute.microversion(Api(self.cloud))
            for swarm in plan["swarms"]:
                made = find(swarm["scenario"])(swarm.get("options") or {})
                made.prepare(Api(self.cloud, timeout_s=swarm.get("deadline_s")))
                self._scenarios[swarm["name"]] = made
        except Exception as error:  # whatever it is, the master must hear of it or it would wait for us
            log.exception("cannot prepare")
            self._send("squall_prepared", {"index": self._index, "error": f"{type(error).__name__}: {error}"})
            return
        self._send("squall_prepared", {"index": self._index, "error": None})

    def go(self, data: Mapping[str, Any]) -> None:
        """Start: the run's epoch is known now."""
        self.clock = RunClock(data["epoch_ns"])
        run_dir, name = Path(self._plan["run_dir"]), worker_name(self._index)
        self.ledger = Ledger(run_dir, name)
        place = {"cloud": self.cloud.name, "region": self.cloud.region, "project": self.project}
        wall_s = (wall_ns() - self.clock.now_ns()) / S
        self._recorder = Recorder(run_dir, name, place, self._stats, wall_s)
        write_clock(run_dir, name, place, self.clock)
        self._arrivals = self._recorder.arrivals = ArrivalBook(self.clock)
        self._monitor = Monitor(self.clock)
        self._background.spawn(self._monitor.run)
        self._background.spawn(self._report)
        for swarm in self._plan["swarms"]:
            self._start_swarm(swarm)

    def seen(self, data: Mapping[str, Any]) -> None:
        """What the watcher found about operations of ours."""
        for fields in data["seen"]:
            found = Seen(*fields)
            operation = self.open_operations.get(found.operation_id)
            if operation is not None:
                operation.saw(found, self._plan["ready"])

    def fault(self, data: Mapping[str, Any]) -> None:
        """A fault began or ended: the cloud may have moved, so nothing cached about it is trusted."""
        if data.get("event") in ("injected", "undone", "gone"):
            self.cloud.drop_caches()

    def stop(self, data: Mapping[str, Any]) -> None:
        """No new arrivals; wait for what is in flight, then write everything and say done."""
        self._is_stopping.set()
        for pacer in self._pacers:
            pacer.stop()
        self._journeys.join(timeout=float(data.get("drain_s") or 0))
        self._journeys.kill(timeout=2.0)
        self._background.kill(timeout=2.0)
        if self._recorder is not None:
            for operation in list(self.open_operations.values()):
                self._close(operation)
            self._arrivals.close()
            self._report_second(self.clock.now_ns() // S)
            self._recorder.close()
            self.ledger.close()
            self._recorder = None
        self._send("squall_done", {"index": self._index})

    # What journeys use.

    def observer(self, swarm: str, scenario: str) -> Callable[[Any], None]:
        assert self._recorder is not None
        return self._recorder.observer(swarm, scenario)

    def random(self, swarm: str, number: int) -> random.Random:
        """A journey's own source of chance: the same seed gives the same journey, whoever else runs."""
        return random.Random(f"{self._plan['seed']}:{swarm}:{number}")

    def operation_id(self, swarm: str, journey: int, number: int) -> int:
        """Unique in the run, and the same in a run repeated: swarm, journey and count within it."""
        return (self._swarm_numbers[swarm] << 52) | (journey << 16) | number

    def expect(self, operations: list[Operation], until: str) -> None:
        """Ask the watcher to find out when these are `until`."""
        for operation in operations:
            operation.settled.clear()
        wanted = [[operation.name, operation.operation_id] for operation in operations]
        self._send("squall_expect", {"index": self._index, "until": until, "wanted": wanted})

    def accepted(self, swarm: str) -> None:
        """Servers of a swarm were accepted; its first time is told: a fault may follow on it."""
        if swarm not in self._accepted:
            self._accepted.add(swarm)
            self._send("squall_accepted", {"index": self._index, "swarm": swarm})

    def forget(self, operations: list[Operation]) -> None:
        self._send("squall_forget", {"ids": [operation.operation_id for operation in operations]})

    # Arrivals.

    def _start_swarm(self, swarm: Mapping[str, Any]) -> None:
        name, arrivals = swarm["name"], swarm["arrivals"]
        self._in_flight[name] = 0
        loop = closed_loop(arrivals)
        if loop is not None:
            for user in range(loop.users_of(self._index, self._workers)):
                self._background.spawn(self._closed_user, swarm, self._index + user * self._workers, loop)
            return
        # In-flight is bounded per swarm; each worker holds its share.
        bound = max(1, swarm["max_in_flight"] // self._workers)
        pacer = Pacer(
            self.clock,
            schedule(
                arrivals,
                seed=self._plan["seed"],
                name=name,
                duration_ns=swarm["end_ns"] - swarm["start_ns"],
                worker=self._index,
                workers=self._workers,
            ),
            swarm["start_ns"],
            lambda number, intended_ns: self._spawn(swarm, number, intended_ns),
            lambda: self._in_flight[name] < bound,
            lambda number, intended_ns, started_ns: self._note(name, number, intended_ns, started_ns),
        )
        self._pacers.append(pacer)
        self._background.spawn(pacer.run)

    def _closed_user(self, swarm: Mapping[str, Any], user: int, loop: Any) -> None:
        """Closed loop: the next journey waits for the last one's end."""
        gevent.sleep(max(0.0, (swarm["start_ns"] - self.clock.now_ns()) / S))
        turn = 0
        while not self._is_stopping.is_set() and self.clock.now_ns() < swarm["end_ns"]:
            intended_ns = self.clock.now_ns()
            number = turn * loop.users + user
            self._note(swarm["name"], number, intended_ns, intended_ns)
            self._spawn(swarm, number, intended_ns).join()
            turn += 1
            self._is_stopping.wait(loop.pause_s)

    def _note(self, swarm: str, number: int, intended_ns: int, started_ns: int | None) -> None:
        """An arrival that is due: started, or dropped."""
        self._monitor.note(intended_ns, started_ns)
        if started_ns is None:
            self._arrivals.drops(swarm, number, intended_ns)
        else:
            self._arrivals.starts(swarm, number, intended_ns, started_ns)

    def _spawn(self, swarm: Mapping[str, Any], number: int, intended_ns: int) -> gevent.Greenlet:
        self._in_flight[swarm["name"]] += 1
        return self._journeys.spawn(self._journey, swarm, number, intended_ns)

    def _journey(self, swarm: Mapping[str, Any], number: int, intended_ns: int) -> None:
        journey = Journey(self, swarm, swarm["scenario"], number, intended_ns)
        fate = "open"
        try:
            self._scenarios[swarm["name"]].journey(journey)
            fate = "completed"
        except (RequestFailed, NotServed):
            fate = "failed"  # data, in the rows already
        except gevent.GreenletExit:
            pass
        except Exception:
            fate = "broken"
            log.exception("journey %d of swarm %s broke", number, swarm["name"])
        finally:
            self._arrivals.ends(swarm["name"], number, fate)
            self._in_flight[swarm["name"]] -= 1
            for operation in journey.operations:
                if not self._may_still_change(operation):
                    self._close(operation)

    def _may_still_change(self, operation: Operation) -> bool:
        """A request in doubt: its server may still come up, and the row should say so; it stays open until the end."""
        return operation.effect == "unknown" and operation.is_watched and not self._is_stopping.is_set()

    def _close(self, operation: Operation) -> None:
        if self.open_operations.pop(operation.operation_id, None) is not None and self._recorder is not None:
            self._recorder.finished.append(operation)

    # Seconds.

    def _report(self) -> None:
        second = max(0, self.clock.now_ns() // S)
        while True:
            # A little after the second's end, so that what was started in it has been counted.
            gevent.sleep(max(0.001, ((second + 1) * S - self.clock.now_ns()) / S + 0.02))
            self._report_second(second)
            second = max(second + 1, self.clock.now_ns() // S)

    def _report_second(self, second: int) -> None:
        if self._recorder is None:
            return
        in_flight = sum(self._in_flight.values())
        summary = self._recorder.flush(self._monitor.take(second, in_flight))
        summary |= {"index": self._index, "second": second, "in_flight": in_flight, "at": time.time()}
        self._send("squall_second", summary)
