"""A fault that ends before its time is noticed while it is held, told at once, and never judged as a whole one."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import faults
from faults.errors import InjectionFailed
from faults.fault import Fault, UndoRecord
from faults.holding import holding
from faults.journal import journals
from faults.means.control import EmulatorControl
from faults.probes import probe
from faults.processes import Identity, descendants
from faults.targets import Target, read_target
from faults.watch import Watch
from harness.checkers.history import FaultRecord, fault_records
from harness.core.clock import RunClock, monotonic_ns
from tests.faults.conftest import Proxy, end_tree
from tests.faults.server import ROOT, wait_for
from tests.faults.test_contract import events, params_of, target_of

S = 10**9
HELD_S = 60.0  # far longer than any test waits for it to be noticed
STARTED_WITHIN_S = 60.0
NOTICED_WITHIN_S = 40.0  # a RabbitMQ that was killed takes its time to start


class Run:
    """A nemesis process with one fault, without an engine."""

    def __init__(self, path: Path, fault: str, target: dict[str, Any], env: dict[str, str], **params: Any) -> None:
        self.path = path
        one = {"id": "1", "fault": fault, "target": "t", "start_ns": 0, "duration_ns": round(HELD_S * S)}
        one["params"] = params or params_of(fault)
        plan = {"run_id": "watched", "run_dir": str(path), "faults": [one], "targets": {"t": target}}
        (path / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, "-m", "faults.nemesis", "--plan", str(path / "plan.json"), "--standalone"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env)

    def wait_for(self, event: str, within_s: float = 20.0) -> None:
        wait_for(lambda: event in events(self.path), within_s, f"{event}: {events(self.path)}")

    def record(self) -> FaultRecord:
        lines = [json.loads(line) for line in (self.path / "faults.jsonl").read_text().splitlines()]
        (record,) = fault_records(lines)
        return record


@pytest.fixture
def run(tmp_path: Path, own_environment: dict[str, str]) -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def start(fault: str, target: dict[str, Any], **params: Any) -> Run:
        made.append(Run(tmp_path, fault, target, own_environment, **params))
        made[-1].wait_for("bites")
        return made[-1]

    yield start
    for each in made:
        if "gone" not in events(each.path):
            each.process.terminate()
        assert each.process.wait(30) == 0
        assert faults.open_faults() == []


def is_told_and_closed(run: Run, said: str) -> None:
    """At once, although the fault was to be held for long; and closed, since it is proved gone."""
    run.wait_for("gone", NOTICED_WITHIN_S)
    assert events(run.path) == ["planned", "journalled", "injected", "bites", "cut_short", "undoing", "undone", "gone"]
    wait_for(lambda: faults.open_faults() == [], 5)
    record = run.record()
    assert (record.bit, record.gone) == (True, True)
    assert record.doubt.startswith("did not bite over its whole window: after ")
    assert said in record.doubt


def tree_of(target: dict[str, Any]) -> list[Identity]:
    means = read_target(target).process
    assert means is not None
    root = means.identity()
    return [root, *descendants(root)]


def end_meanwhile(fault: str, target: dict[str, Any]) -> str:
    """What somebody else does to each fault, and what is said of it: to one not named here, its own undo."""
    match fault.split(".")[1]:
        case "hang":
            for process in reversed(tree_of(target)):
                process.send(signal.SIGCONT)
            return "processes run again"
        case "crash":
            start_again(target)
            return "a client: answered"
        case "truth":
            means = read_target(target).emulator
            assert means is not None
            EmulatorControl(means.controls["api"], means.token).turn("stale_read", 0)
            return "not in api"
    journal = journals()[0].read()
    assert journal is not None
    faults.catalogue()[fault]().undo(next(iter(journal.open.values())).record)
    return "0 of 1 toxics" if fault.endswith(".latency") else ""


def start_again(target: dict[str, Any]) -> None:
    """As the server's own supervisor does; it answers when this returns."""
    subprocess.Popen(target["restart"]["argv"], cwd="/", start_new_session=True)
    means = read_target(target).probe
    assert means is not None
    wait_for(lambda: probe(means, 1.0).is_healthy, STARTED_WITHIN_S, "started again")


@pytest.mark.parametrize("fault", sorted(faults.catalogue()))
def test_whatever_ends_it_before_its_time_is_noticed(
    fault: str, servers: dict[str, dict[str, Any]], run: Callable[..., Run]
) -> None:
    target = target_of(fault, servers)
    held = run(fault, target)
    is_told_and_closed(held, end_meanwhile(fault, target))


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_fault_proxy_that_dies_ends_the_latency_and_not_silently(
    comes_back: bool, servers: dict[str, dict[str, Any]], run: Callable[..., Run], tmp_path: Path
) -> None:
    """kill -9; with a supervisor that starts it again at once at the same address, as an embedded cloud's does."""
    (tmp_path / "proxy").mkdir()
    upstream = servers["database"]["probe"]["address"]
    proxy = Proxy(tmp_path / "proxy", [{"name": "db", "listen": "127.0.0.1:0", "upstream": upstream}])
    link = {"control": proxy.control_address, "name": "db", "token": {"file": str(proxy.token_file)}}
    held = run("database.latency", {**servers["database"], "link": link})
    proxy.process.kill()
    proxy.process.wait()
    assert proxy.process.stdout is not None
    proxy.process.stdout.close()
    if not comes_back:
        is_told_and_closed(held, "is gone")
        return
    config = json.loads((tmp_path / "proxy" / "proxy.json").read_text())
    config["control"]["listen"] = proxy.control_address
    config["links"][0]["listen"] = proxy.links["db"]
    (tmp_path / "proxy" / "proxy.json").write_text(json.dumps(config))
    again = subprocess.Popen(
        [sys.executable, "-m", "faults.proxy", "--config", str(tmp_path / "proxy" / "proxy.json")], cwd=ROOT
    )
    try:
        is_told_and_closed(held, "after ")
    finally:
        again.terminate()
        again.wait(10)


def test_a_hung_process_that_was_started_anew_is_noticed(
    servers: dict[str, dict[str, Any]], run: Callable[..., Run]
) -> None:
    target = servers["broker"]
    held = run("broker.hang", target)
    end_tree(tree_of(target)[0].pid)
    start_again(target)
    is_told_and_closed(held, "has ended")


def test_a_block_that_outlives_its_fault_is_told(servers: dict[str, dict[str, Any]]) -> None:
    target = servers["broker"]

    def body() -> None:
        with holding("broker.hang", target, params_of("broker.hang")):
            for process in reversed(tree_of(target)):
                process.send(signal.SIGCONT)
            wait_for(lambda: faults.open_faults() == [], NOTICED_WITHIN_S)

    with pytest.raises(InjectionFailed, match=r"not on to the end of the block: after .* run again"):
        body()


class Slow(Fault):
    """A fault whose probes hang, as one of a database that is never heard of again would."""

    name = "test.slow"
    needs = ()
    effect = undo_text = twin = source = "none"

    def __init__(self, is_proved: bool) -> None:
        super().__init__()
        self.is_proved, self.release = is_proved, threading.Event()

    def prepare(self, target: Target) -> UndoRecord:
        return UndoRecord(self.name, {})

    def inject(self, target: Target) -> None:
        pass

    def bites(self, target: Target) -> bool:
        return self.is_proved or self.release.wait(60)

    def still_on(self, target: Target) -> bool:
        self.release.wait(60)
        return True

    def evidence(self) -> str:
        return "as told"

    def undo(self, record: UndoRecord) -> None:
        pass

    def is_gone(self, record: UndoRecord) -> bool:
        return True


def watched(fault: Slow) -> tuple[Watch, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    record = fault.prepare(Target())
    watch = Watch(fault, Target(), record, RunClock(monotonic_ns()), lambda event, detail: said.append((event, detail)))
    return watch, said


def test_a_proof_that_hangs_does_not_make_a_fault_outlast_its_time() -> None:
    fault = Slow(is_proved=False)
    watch, said = watched(fault)
    began = time.monotonic()
    watch.close(wanted_ns=S, is_early=False)
    assert time.monotonic() - began < 1.0
    assert [event for event, _ in said] == ["no_bite"]
    fault.release.set()  # the proof comes too late, and is not told any more
    wait_for(lambda: not [each for each in threading.enumerate() if each.name == "watch "], 5)
    assert len(said) == 1


def test_a_fault_out_of_sight_is_not_taken_for_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.watch.UNSEEN_S", 0.2)
    fault = Slow(is_proved=True)
    watch, said = watched(fault)
    wait_for(watch.is_cut_short, 10)
    fault.release.set()
    assert [event for event, _ in said] == ["bites", "cut_short"]
    assert "not seen for" in said[1][1]


def test_one_that_began_late_is_not_a_whole_one() -> None:
    fault = Slow(is_proved=True)
    fault.release.set()
    watch, said = watched(fault)
    wait_for(lambda: bool(said), 10)
    watch.close(wanted_ns=60 * S, is_early=False)
    assert [event for event, _ in said] == ["bites", "cut_short"]
    assert "it began late; wanted 60 s" in said[1][1]
