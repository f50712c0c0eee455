"""The nemesis as a process: on time, obedient to the engine, and harmless however it ends."""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import faults
from faults.fault import UndoRecord
from faults.journal import Journal, journal_of
from harness.control import ControlServer, Link, Message
from harness.core.clock import monotonic_ns
from tests.faults.server import ROOT, wait_for
from tests.faults.test_contract import events, state_of

S = 10**9
MS = 10**6


class Engine:
    """The engine's end of the control link, for one nemesis process."""

    def __init__(self, path: Path, planned: list[dict[str, Any]], servers: dict[str, Any], env: dict[str, str]) -> None:
        plan = {"run_id": "run", "run_dir": str(path), "faults": planned, "targets": servers}
        (path / "plan.json").write_text(json.dumps(plan))
        self.path = path
        self.heard: queue.Queue[tuple[Link, Message]] = queue.Queue()
        self.all: list[Message] = []
        self.server = ControlServer(lambda link, message: self.heard.put((link, message)), lambda link: None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.nemesis", "--plan", str(path / "plan.json")],
            cwd=ROOT,
            env={**env, **self.server.environment()},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.link: Link
        self.epoch_ns = 0

    def wait(self, within_s: float = 20, **wanted: Any) -> Message:
        deadline = time.monotonic() + within_s
        for message in self.all:
            if wanted.items() <= message.items():
                return message
        while True:
            self.link, message = self.heard.get(timeout=max(0.01, deadline - time.monotonic()))
            self.all.append(message)
            if wanted.items() <= message.items():
                return message

    def go(self, in_s: float = 0.1) -> None:
        assert self.wait(type="hello")["role"] == "nemesis"
        self.epoch_ns = monotonic_ns() + round(in_s * S)
        self.link.send({"type": "go", "epoch_ns": self.epoch_ns})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "faults.jsonl").read_text().splitlines()]


def planned(fault: str, start_s: float, for_s: float, **params: Any) -> dict[str, Any]:
    times = {"start_ns": round(start_s * S), "duration_ns": round(for_s * S)}
    target = fault.partition(".")[0]
    return {"id": f"{fault}@{start_s}", "fault": fault, "target": target, "params": params, **times}


@pytest.fixture
def engine(tmp_path: Path, servers: dict[str, Any], own_environment: dict[str, str]) -> Iterator[Any]:
    made: list[Engine] = []

    def make(*faults_planned: dict[str, Any], targets: dict[str, Any] = servers) -> Engine:
        made.append(Engine(tmp_path, list(faults_planned), targets, own_environment))
        return made[-1]

    before = {name: state_of(target) for name, target in servers.items()}
    yield make
    for each in made:
        each.server.close()
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(10)
        assert each.process.stderr is not None
        each.process.stderr.close()
    wait_for(lambda: not faults.open_faults(), 30)
    assert {name: state_of(target) for name, target in servers.items()} == before


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_timeline_is_walked_in_time_and_in_order(engine: Any) -> None:
    run = engine(
        planned("database.latency", 0.3, 1.0, latency="30 ms"),
        planned("broker.hang", 0.5, 0.8, unanswered="200 ms"),
        planned("database.crash", 1.0, 10, down="500 ms"),
    )
    run.go()
    assert run.wait(type="finished")["open"] == []
    run.link.send({"type": "stop"})
    assert run.process.wait(10) == 0
    by_fault: dict[str, list[dict[str, Any]]] = {}
    for line in run.lines():
        assert set(line) == {"id", "fault", "target", "event", "at_ns", "detail"}
        by_fault.setdefault(line["fault"], []).append(line)
    for fault, start_s, hold_s in (
        ("database.latency", 0.3, 1.0),
        ("broker.hang", 0.5, 0.8),
        ("database.crash", 1, 0.5),
    ):
        said = by_fault[fault]
        wanted = ["planned", "journalled", "injected", "bites", "undoing", "undone", "gone"]
        assert [line["event"] for line in said] == wanted
        at_ns = [line["at_ns"] for line in said]
        assert at_ns == sorted(at_ns)
        assert start_s * S <= at_ns[1] < (start_s + 1) * S
        assert (start_s + hold_s) * S <= at_ns[4] < (start_s + hold_s + 2) * S
        assert said[3]["detail"]
    told = [message for message in run.all if message["type"] == "fault"]
    assert [(t["id"], t["event"]) for t in told] == [(line["id"], line["event"]) for line in run.lines()]
    assert not journal_of("run").path.exists()


@pytest.mark.parametrize("how", ["heal", "stop", "SIGTERM", "SIGINT", "engine gone"])
def test_everything_is_undone_at_once_when(how: str, engine: Any) -> None:
    run = engine(
        planned("database.hang", 0, 60, unanswered="100 ms"),
        planned("broker.latency", 0, 60, latency="50 ms"),
        planned("broker.crash", 50, 5),
    )
    run.go()
    run.wait(type="fault", id="database.hang@0", event="bites")
    run.wait(type="fault", id="broker.latency@0", event="injected")
    with within(5):
        match how:
            case "heal" | "stop":
                run.link.send({"type": how})
                assert run.wait(type="finished")["open"] == []
            case "SIGTERM" | "SIGINT":
                run.process.send_signal(signal.Signals[how])
            case _:
                run.server.close()
        assert run.process.wait(5) == 0
    said = [(line["fault"], line["event"]) for line in run.lines()]
    assert ("database.hang", "gone") in said
    assert ("broker.latency", "gone") in said
    assert [event for fault, event in said if fault == "broker.crash"] == ["planned"]


@contextmanager
def decoy() -> Iterator[int]:
    """A process that is not the server."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_stop_before_go_injects_nothing(engine: Any) -> None:
    run = engine(planned("database.hang", 0, 5))
    run.wait(type="hello")
    run.link.send({"type": "stop"})
    assert run.wait(type="finished")["open"] == []
    assert run.process.wait(10) == 0
    assert events(run.path) == []


def test_a_fault_that_does_not_bite_is_said_and_undone(engine: Any, servers: dict[str, Any]) -> None:
    with decoy() as pid:
        run = engine(
            planned("broker.hang", 0, 0.5, unanswered="100 ms"),
            targets={"broker": {**servers["broker"], "process": {"pid": pid}}},
        )
        run.go()
        assert run.wait(type="finished")["open"] == []
    assert events(run.path) == ["planned", "journalled", "injected", "no_bite", "undoing", "undone", "gone"]
    no_bite = next(line for line in run.lines() if line["event"] == "no_bite")
    assert "not proved in the" in no_bite["detail"]


def test_a_fault_follows_on_a_swarm_once_its_servers_are_accepted(engine: Any) -> None:
    waiting = {**planned("broker.latency", 30, 0.3, latency="30 ms"), "follows": "burst", "after_ns": 0}
    run = engine(waiting)
    run.go()
    run.wait(type="fault", event="planned")
    run.link.send({"type": "accepted", "swarm": "another"})
    run.link.send({"type": "accepted", "swarm": "burst"})
    assert run.wait(type="finished")["open"] == []
    injected = next(line for line in run.lines() if line["event"] == "injected")
    assert injected["at_ns"] < 25 * S, "it waited for its latest time"


def test_an_unhealthy_target_gets_no_fault_and_the_others_go_on(engine: Any, servers: dict[str, Any]) -> None:
    broken = {**servers["database"], "probe": {"protocol": "postgresql", "address": "127.0.0.1:1"}}
    run = engine(
        planned("database.hang", 0, 2),
        planned("broker.latency", 0, 0.5, latency="30 ms"),
        targets={**servers, "database": broken},
    )
    run.go()
    assert run.wait(type="finished")["open"] == []
    failed = [line for line in run.lines() if line["event"] == "failed"]
    assert [line["fault"] for line in failed] == ["database.hang"]
    assert "nothing was injected" in failed[0]["detail"]
    assert ("broker.latency", "gone") in [(line["fault"], line["event"]) for line in run.lines()]


def test_it_refuses_to_start_on_an_open_journal_until_heal_has_run(
    engine: Any, own_environment: dict[str, str]
) -> None:
    write = (
        "from faults.journal import Journal; from faults.fault import UndoRecord;"
        "Journal.create('dead', '/x').open('1', 'broker', UndoRecord('broker.hang', {'processes': [{'pid': 999999,"
        " 'start': 1, 'boot': 'x'}], 'probe': {'protocol': 'tcp', 'address': '127.0.0.1:1'}}), 0)"
    )
    subprocess.run([sys.executable, "-c", write], cwd=ROOT, env=own_environment, check=True, timeout=30)
    run = engine(planned("broker.hang", 0, 2))
    assert run.process.wait(20) == 2
    assert run.process.stderr is not None
    said = run.process.stderr.read()
    assert "run: squall heal" in said
    assert said.count("\n") == 1
    assert faults.heal(list_only=True).open == ["broker.hang on broker (run dead, fault 1; its run is dead)"]
    report = faults.heal()
    assert (len(report.healed), report.open) == (1, [])
    assert faults.heal().healed == []


def test_a_fault_of_a_package_that_is_gone_stays_open_and_says_so() -> None:
    journal = Journal.create("r", "")
    journal.open("1", "db", UndoRecord("strange.fault", {}), 0)
    report = faults.heal()
    assert len(report.open) == 1
    assert "no fault 'strange.fault' is installed here" in report.open[0]
    journal.end()


def test_a_hung_nemesis_is_overtaken_by_its_watchdog(engine: Any, servers: dict[str, Any]) -> None:
    run = engine(planned("broker.hang", 0, 1.5, unanswered="100 ms"))
    run.go()
    run.wait(type="fault", event="bites")
    run.process.send_signal(signal.SIGSTOP)
    limit_s = run.epoch_ns / S + 1.5

    def is_closed() -> bool:
        state = journal_of("run").read()
        return state is not None and not state.open

    wait_for(is_closed, 15, "the watchdog undoes it")
    assert 5 <= time.monotonic() - limit_s <= 10
    assert not state_of(servers["broker"])["stopped"]
    run.process.send_signal(signal.SIGCONT)
    assert run.wait(type="finished")["open"] == []
    assert events(run.path)[-1] == "gone"
    assert run.lines()[-1]["detail"] == "undone by another process"


def test_killed_at_random_moments_nothing_stays(engine: Any, servers: dict[str, Any], tmp_path: Path) -> None:
    """A short drill; SQUALL_DRILLS makes it as many as wanted."""
    rng = random.Random(os.environ.get("SQUALL_DRILLS"))
    before = {name: state_of(target) for name, target in servers.items()}
    for _ in range(int(os.environ.get("SQUALL_DRILLS", "1"))):
        run = engine(
            planned("database.latency", 0, 1.0, latency="30 ms"),
            planned("broker.hang", 0.1, 0.6, unanswered="100 ms"),
            planned("database.hang", 0.1, 0.3, unanswered="100 ms"),
            planned("database.crash", 0.9, 0.2),
        )
        run.go()
        time.sleep(rng.uniform(0.05, 1.6))  # the random moment
        run.process.kill()
        run.process.wait(10)
        wait_for(lambda: not journal_of("run").path.exists(), 40, "the watchdog heals everything")
        assert {name: state_of(target) for name, target in servers.items()} == before
        (tmp_path / "faults.jsonl").unlink(missing_ok=True)


def test_no_secret_reaches_journal_events_or_plan(engine: Any, servers: dict[str, Any], tmp_path: Path) -> None:
    secrets = [
        Path(servers["database"]["link"]["token"]["file"]).read_text().strip(),
        (Path(servers["database"]["process"]["pid_file"]).parent / "secret").read_text().strip(),
    ]
    run = engine(planned("database.latency", 0, 30, latency="30 ms"), planned("broker.hang", 0, 30))
    run.go()
    run.wait(type="fault", event="bites")
    kept = journal_of("run").path.read_text() + (tmp_path / "faults.jsonl").read_text()
    assert not any(secret in kept for secret in secrets)
