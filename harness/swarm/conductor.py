"""The master's side of a run: between the engine and the workers, and the one watcher of readiness for all of them."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.pool

from harness.cloud.api import Api
from harness.cloud.readiness import Watcher
from harness.cloud.session import connect
from harness.control import Link, Message
from harness.core.clock import RunClock, S, wall_ns
from harness.core.histogram import Histogram
from harness.swarm.recorder import Recorder, write_clock

log = logging.getLogger("squall.conductor")
SECOND_GRACE_S = 1.5


class Conductor:
    """Runs one plan with the workers it is given.

    Args: send: (type, data, worker index or None for all). link: the engine.
    """

    def __init__(self, plan: dict[str, Any], workers: int, send: Callable[..., None], link: Link) -> None:
        self.plan, self.workers = plan, workers
        self.is_finished = gevent.event.Event()
        self.failure: str | None = None
        self._send, self._link = send, link
        self._clock: RunClock | None = None
        self._prepared: set[int] = set()
        self._done: set[int] = set()
        self._lost: set[int] = set()
        self._seconds: dict[int, dict[int, Mapping[str, Any]]] = {}
        self._owners: dict[int, int] = {}
        self._watcher: Watcher | None = None
        self._watcher_api: Api | None = None
        self._recorder: Recorder | None = None
        self._wake = gevent.event.Event()
        self._tasks = gevent.pool.Group()
        self._is_stopping = False

    def start(self) -> None:
        """Greet the engine and let the workers prepare."""
        self._tell({"type": "hello", "role": "swarm", "pid": os.getpid()})
        for index in range(self.workers):
            self._send("squall_prepare", {"plan": self.plan, "index": index, "workers": self.workers}, index)

    # Messages from the engine.

    def listen(self) -> None:
        """Until the engine is gone; then the run is over for us too."""
        while (message := self._link.receive()) is not None:
            self.on_engine(message)
        if not self._is_stopping:
            log.warning("the engine is gone: stopping")
            self.on_engine({"type": "stop", "drain_s": 0})

    def on_engine(self, message: Message) -> None:
        match message.get("type"):
            case "go":
                self._go(int(message["epoch_ns"]))
            case "fault":
                if self._watcher_api is not None:
                    self._watcher_api.cloud.drop_caches()
                self._send("squall_fault", dict(message), None)
            case "stop":
                if not self._is_stopping:
                    self._is_stopping = True
                    self._tasks.spawn(self._stop, float(message.get("drain_s", self.plan.get("drain_s", 0))))

    def _go(self, epoch_ns: int) -> None:
        self._clock = RunClock(epoch_ns)
        # The watcher is its own client at the level of the run, and its requests are recorded like everybody's.
        where, file = self.plan.get("region"), self.plan.get("clouds_file")
        cloud = connect(self.plan["cloud"], level=self.plan["level"], region=where, clouds_file=file)
        place = {"cloud": cloud.name, "region": cloud.region, "project": self.plan.get("project")}
        wall_s = (wall_ns() - self._clock.now_ns()) / S
        self._recorder = Recorder(Path(self.plan["run_dir"]), "master", place, None, wall_s)
        write_clock(Path(self.plan["run_dir"]), "master", place, self._clock)
        observe = self._recorder.observer("readiness", "watcher")
        self._watcher_api = Api(cloud, observe, clock=self._clock, timeout_s=30.0)
        self._watcher = Watcher(self._watcher_api, mark=self.plan["mark"], level=self.plan["ready"])
        self._send("squall_go", {"epoch_ns": epoch_ns}, None)
        self._tasks.spawn(self._watch)
        self._tasks.spawn(self._merge)

    def _stop(self, drain_s: float) -> None:
        self._send("squall_stop", {"drain_s": drain_s}, None)
        with gevent.Timeout(drain_s + 10.0, False):
            while len(self._done | self._lost) < self.workers:
                self._wake.wait(0.2)
                self._wake.clear()
        self._flush_seconds(everything=True)
        recorder, self._recorder, self._watcher = self._recorder, None, None
        if recorder is not None:
            recorder.close()
        self._tell({"type": "finished"})
        self.is_finished.set()

    # Messages from workers.

    def on_worker(self, kind: str, data: Mapping[str, Any]) -> None:
        match kind:
            case "squall_prepared":
                if data["error"]:
                    self.failure = f"worker {data['index']}: {data['error']}"
                    self.is_finished.set()
                    return
                self._prepared.add(data["index"])
                if len(self._prepared) == self.workers:
                    self._tell({"type": "ready", "workers": self.workers})
            case "squall_second":
                self._seconds.setdefault(data["second"], {})[data["index"]] = data
            case "squall_expect":
                if self._watcher is not None:
                    for name, operation_id in data["wanted"]:
                        self._owners[operation_id] = data["index"]
                        self._watcher.expect(name, operation_id, until=data["until"])
                    self._wake.set()
            case "squall_accepted":
                self._tell({"type": "accepted", "swarm": data["swarm"]})
            case "squall_forget":
                if self._watcher is not None:
                    for operation_id in data["ids"]:
                        self._watcher.forget(operation_id)
            case "squall_done":
                self._done.add(data["index"])
                self._wake.set()

    def lost(self, index: int) -> None:
        """A worker is gone with its share of the arrivals."""
        if index in self._lost or index in self._done:
            return
        self._lost.add(index)
        log.error("worker-%d was lost", index)
        self._tell({"type": "worker_lost", "name": f"worker-{index}"})
        self._wake.set()
        if len(self._lost) == self.workers and not self._is_stopping:
            self.failure = "every worker was lost"
            self.is_finished.set()

    def _watch(self) -> None:
        while (watcher := self._watcher) is not None:
            by_owner: dict[int, list[Any]] = {}
            for seen in watcher.tick():
                owner = self._owners.pop(seen.operation_id, None)
                if owner is not None and owner not in self._lost:
                    by_owner.setdefault(owner, []).append(astuple(seen))
            for owner, found in by_owner.items():
                self._send("squall_seen", {"seen": found}, owner)
            if watcher.is_idle:
                self._wake.wait(1.0)
                self._wake.clear()
            else:
                gevent.sleep(watcher.wait_s)

    def _merge(self) -> None:
        while True:
            gevent.sleep(0.25)
            self._flush_seconds()

    def _flush_seconds(self, *, everything: bool = False) -> None:
        """Tell the engine of each second that all workers have reported, or that has waited long enough."""
        if self._clock is None:
            return  # stopped before it began
        alive = self.workers - len(self._lost)
        for second in sorted(self._seconds):
            parts = self._seconds[second]
            is_old = self._clock.now_ns() > (second + 1 + SECOND_GRACE_S) * S
            if not (everything or is_old or len(parts) >= alive):
                return
            del self._seconds[second]
            if self._recorder is not None:
                self._recorder.flush([])
            self._tell(self._second(second, list(parts.values())))

    def _second(self, second: int, parts: list[Mapping[str, Any]]) -> Message:
        response = Histogram()
        for part in parts:
            response.merge(Histogram.from_message(part["response"]))
        health = [row for part in parts for row in part["health"]]
        p95 = response.quantile(0.95)
        return {
            "type": "second",
            "second": second,
            "intended": sum(row["intended"] for row in health),
            "sent": sum(row["started"] for row in health),
            "done": sum(part["sent"] for part in parts),
            "errors": sum(part["errors"] for part in parts),
            "in_flight": sum(part["in_flight"] for part in parts),
            "p95_ms": None if p95 is None else round(p95 / 1e6, 3),
            "servers": self._watcher.statuses() if self._watcher is not None else {},
            "client_limited": any(row["limited"] for row in health),
            "late": sum(row["late"] for row in health),
            "dropped": sum(row["dropped"] for row in health),
        }

    def _tell(self, message: Message) -> None:
        try:
            self._link.send(message)
        except OSError:
            log.warning("cannot tell the engine %s: it is gone", message.get("type"))
