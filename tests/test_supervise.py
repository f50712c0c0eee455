"""Only what we started is ended, and all of it, whatever happens to us."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import supervise
from tests.emulator.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
# A process with a child of its own, which prints that child's pid.
PARENT = [
    sys.executable,
    "-S",
    "-c",
    "import subprocess, sys, time; "
    "print(subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']).pid, flush=True); "
    "time.sleep(600)",
]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEPER)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_pid_and_start(sleeper: subprocess.Popen[bytes]) -> None:
    ours = supervise.record("sleeper", sleeper.pid)
    assert ours.alive
    stranger = supervise.Recorded("sleeper", sleeper.pid, ours.start + "0")
    assert not stranger.alive
    assert not stranger.signal(signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_zombie_has_ended() -> None:
    process = subprocess.Popen(SLEEPER)
    ours = supervise.record("sleeper", process.pid)
    process.kill()
    wait_until(lambda: not ours.alive)
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        supervise.record("sleeper", process.pid)


def test_a_family_ends_whole_even_when_it_is_stopped() -> None:
    process = subprocess.Popen(PARENT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    child = supervise.record("child", int(process.stdout.readline()))
    ours = supervise.record("parent", process.pid)
    child.signal(signal.SIGSTOP)
    ours.signal(signal.SIGSTOP)
    assert {member.pid for member in supervise.family([ours])} == {process.pid, child.pid}
    assert supervise.kill_families([ours]) == []
    assert process.wait() == -signal.SIGKILL
    assert not child.alive
    process.stdout.close()


def test_the_pid_file_says_what_runs(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pids = supervise.PidFile(tmp_path / "pids.json")
    pids.add(supervise.record("one", sleeper.pid))
    assert supervise.PidFile.read(tmp_path / "pids.json") == pids.entries
    assert json.loads((tmp_path / "pids.json").read_text())[0]["pid"] == sleeper.pid
    pids.drop("one")
    assert supervise.PidFile.read(tmp_path / "pids.json") == []
    pids.remove()
    assert supervise.PidFile.read(tmp_path / "pids.json") == []
    (tmp_path / "pids.json").write_text("[{")
    assert supervise.PidFile.read(tmp_path / "pids.json") == []


SCENARIO = """
    import json, signal, subprocess, sys, time
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
    from pathlib import Path
    from harness import supervise
    state = Path(sys.argv[1])
    pids = supervise.PidFile(state / "pids.json")
    (state / "data").mkdir()
    (state / "removals.json").write_text(json.dumps([str(state / "data")]))
    guardian = supervise.Guardian(pids.path, removals=state / "removals.json")
    children = []
    for name in ("running", "stopped"):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        pids.add(supervise.record(name, child.pid))
        children.append(child)
    children[1].send_signal(19)
    print(guardian.process.pid, flush=True)
    {ending}
"""


def _scenario(state: Path, ending: str) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(SCENARIO).replace("{ending}", ending)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(state)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_guardian_ends_everything_when_the_parent_dies(tmp_path: Path, number: int) -> None:
    state = tmp_path / "a state"
    state.mkdir()
    parent = _scenario(state, "time.sleep(600)")
    assert parent.stdout is not None
    guardian = supervise.record("guardian", int(parent.stdout.readline()))
    entries = supervise.PidFile.read(state / "pids.json")
    assert [entry.alive for entry in entries] == [True, True]
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    assert supervise.wait_gone([*entries, guardian], 10.0) == []
    assert list(state.iterdir()) == []


def test_the_guardian_goes_quietly_after_a_normal_end(tmp_path: Path) -> None:
    ending = (
        "[child.kill() for child in children]; [child.wait() for child in children]; pids.remove(); guardian.release()"
    )
    parent = _scenario(tmp_path, ending)
    assert parent.stdout is not None
    guardian_pid = int(parent.stdout.readline())
    assert parent.wait() == 0
    parent.stdout.close()
    assert supervise.start_time(guardian_pid) is None
    assert list(tmp_path.iterdir()) == []


def test_a_guardian_that_was_killed_is_replaced(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pids = supervise.PidFile(tmp_path / "pids.json")
    pids.add(supervise.record("sleeper", sleeper.pid))
    guardian = supervise.Guardian(pids.path)
    guardian.process.kill()
    wait_until(lambda: not guardian.alive)
    guardian.renew()
    assert guardian.alive
    guardian.release()
    assert sleeper.wait() == -signal.SIGKILL


def test_a_grandparents_end_leaves_the_parent_time_for_order(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    pids = supervise.PidFile(tmp_path / "pids.json")
    pids.add(supervise.record("sleeper", sleeper.pid))
    read_end, write_end = os.pipe()
    guardian = supervise.Guardian(pids.path, also=[read_end], grace_s=0.3)
    os.close(read_end)
    os.close(write_end)
    assert supervise.wait_gone(pids.entries, 0.15) != []  # still in its time of grace
    assert sleeper.wait(5) == -signal.SIGKILL
    guardian.release()
