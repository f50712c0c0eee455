"""What an unkind machine does to us: full disks, lost journals, pids given to strangers, death in a restart."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import faults
from faults.errors import TargetUnfit
from faults.fault import UndoRecord
from faults.journal import Journal, journal_of, journals
from faults.processes import identify
from faults.targets import ProcessMeans
from tests.faults.server import ROOT, wait_for
from tests.faults.test_contract import events, state_of, write_plan

TREE_WITHIN_S = 20.0


@pytest.fixture
def nemesis(
    tmp_path: Path, own_environment: dict[str, str], servers: dict[str, dict[str, Any]]
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """One nemesis without an engine; afterwards everything is as before."""
    before = {name: state_of(target) for name, target in servers.items()}
    made: list[subprocess.Popen[bytes]] = []

    def start(fault: str, target: dict[str, Any], for_s: float = 60.0, **more: Any) -> subprocess.Popen[bytes]:
        plan = write_plan(tmp_path, fault, target, for_s)
        command = [sys.executable, "-m", "faults.nemesis", "--plan", str(plan), "--standalone"]
        made.append(subprocess.Popen(command, cwd=ROOT, env=own_environment, **more))
        return made[-1]

    yield start
    for each in made:
        if each.poll() is None:
            each.kill()
        each.wait()
    wait_for(lambda: faults.open_faults() == [], TREE_WITHIN_S)
    assert {name: state_of(target) for name, target in servers.items()} == before


def is_stopped(target: dict[str, Any]) -> bool:
    root = identify(int(Path(target["process"]["pid_file"]).read_text()))
    return root is not None and root.is_stopped


def test_a_deleted_journal_does_not_keep_a_fault_on(
    nemesis: Callable[..., subprocess.Popen[bytes]], servers: dict[str, Any], tmp_path: Path
) -> None:
    process = nemesis("broker.hang", servers["broker"])
    wait_for(lambda: "bites" in events(tmp_path), TREE_WITHIN_S)
    journals()[0].end()
    (tmp_path / "state" / "journal").rmdir()
    process.terminate()
    assert process.wait(TREE_WITHIN_S) == 0
    assert events(tmp_path)[-2:] == ["undone", "gone"]


def test_events_that_a_full_disk_does_not_take_keep_nothing_from_being_undone(
    nemesis: Callable[..., subprocess.Popen[bytes]], servers: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "faults.jsonl").symlink_to("/dev/full")
    process = nemesis("broker.hang", servers["broker"], stderr=subprocess.PIPE)
    wait_for(lambda: is_stopped(servers["broker"]), TREE_WITHIN_S)
    process.terminate()
    _, said = process.communicate(timeout=TREE_WITHIN_S)
    assert process.returncode == 0, said
    assert b"gone: not in faults.jsonl: [Errno 28]" in said
    assert b"Traceback" not in said


def small_files(limit: int) -> Callable[[], None]:
    """A disk that is full as soon as a file has so many bytes."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return limited


def test_what_cannot_be_journalled_is_not_injected(
    nemesis: Callable[..., subprocess.Popen[bytes]], servers: dict[str, Any], tmp_path: Path
) -> None:
    process = nemesis("database.hang", servers["database"], for_s=3.0, preexec_fn=small_files(450))
    assert process.wait(TREE_WITHIN_S) == 0
    said = (tmp_path / "faults.jsonl").read_text()
    assert events(tmp_path) == ["planned", "failed"]
    assert "nothing was injected: OSError" in said
    assert journals() == []


def test_a_fault_that_is_gone_and_cannot_be_closed_is_healed_when_there_is_room(
    own_environment: dict[str, str],
) -> None:
    """By a heal on the full disk, which must say so, and by one after it."""
    write = (
        "from faults.journal import Journal; from faults.fault import UndoRecord;"
        "Journal.create('dead', '/x').open('1', 'broker', UndoRecord('broker.hang', {'processes': [{'pid': 999999,"
        " 'start': 1, 'boot': 'x'}], 'probe': {'protocol': 'tcp', 'address': '127.0.0.1:1'}}), 0)"
    )
    subprocess.run([sys.executable, "-c", write], cwd=ROOT, env=own_environment, check=True, timeout=30)
    size = journal_of("dead").path.stat().st_size
    heal = "import faults; report = faults.heal(); print(report.healed, report.open)"
    asked = subprocess.run(
        [sys.executable, "-c", heal],
        cwd=ROOT,
        env=own_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=small_files(size),
    )
    assert asked.stdout.startswith("[] ["), asked.stderr
    assert "it is gone, but the journal does not take that" in asked.stdout
    assert len(faults.open_faults()) == 1
    report = faults.heal()
    assert (len(report.healed), report.open) == (1, [])


def test_a_stranger_with_the_pid_of_a_victim_is_left_alone() -> None:
    """Whatever the journal says: the start time is another."""
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        own = identify(stranger.pid)
        assert own is not None
        os.kill(stranger.pid, signal.SIGSTOP)
        wait_for(lambda: own.is_stopped, 5)
        former = {"pid": own.pid, "start": own.start - 1, "boot": own.boot}
        probe = {"protocol": "tcp", "address": "127.0.0.1:1"}
        record = UndoRecord("database.hang", {"processes": [former], "probe": probe})
        kind = faults.catalogue()["database.hang"]
        kind().undo(record)
        assert kind().is_gone(record)
        crash = UndoRecord(
            "database.crash", {"processes": [former], "probe": probe, "restart": {"argv": ["true"], "within_s": 1}}
        )
        faults.catalogue()["database.crash"]().undo(crash)
        assert own.is_stopped
    finally:
        stranger.kill()
        stranger.wait()


def test_a_pid_file_of_a_former_process_is_refused(tmp_path: Path) -> None:
    """The server died and left it; its pid has gone to a stranger since."""
    own = identify(os.getpid())
    assert own is not None
    file = tmp_path / "pid"
    file.write_text(str(own.pid))
    assert ProcessMeans(pid_file=str(file)).identity() == own
    began = time.time() - own.age_s()
    os.utime(file, (began - 60, began - 60))
    with pytest.raises(TargetUnfit, match="s older than process"):
        ProcessMeans(pid_file=str(file)).identity()
    assert ProcessMeans(pid_file=str(file), command="python").identity() == own


def test_a_restart_is_not_begun_twice_when_the_first_to_undo_dies_in_it(
    nemesis: Callable[..., subprocess.Popen[bytes]], servers: dict[str, Any], tmp_path: Path
) -> None:
    """A second server beside the first, which is still starting, is what operators fear most."""
    count = tmp_path / "count"
    argv = ["sh", "-c", f'echo started >> "{count}"; sleep 2; exec "$@"', "sh", *servers["broker"]["restart"]["argv"]]
    process = nemesis("broker.crash", {**servers["broker"], "restart": {"argv": argv}}, for_s=0.5)

    def is_noted() -> bool:
        state = journal_of("contract").read()
        return state is not None and any("restarter" in each.record.data for each in state.open.values())

    wait_for(is_noted, TREE_WITHIN_S)
    process.kill()
    process.wait()
    wait_for(lambda: not journal_of("contract").path.exists(), 30, "the watchdog closes it")
    assert count.read_text() == "started\n"
    wait_for(lambda: state_of(servers["broker"])["healthy"], TREE_WITHIN_S)


def test_a_journal_that_ends_while_all_are_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create("here", "")
    ended = Journal.create("ended", "")
    stat = Path.stat

    def stat_of_the_ended(self: Path, **more: Any) -> os.stat_result:
        if self == ended.path:
            raise FileNotFoundError
        return stat(self, **more)

    monkeypatch.setattr(Path, "stat", stat_of_the_ended)
    assert [each.path for each in journals()] == [journal.path]
