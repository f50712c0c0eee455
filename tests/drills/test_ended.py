"""A run with the bundled cloud ends whole: by Ctrl-C in any stage, and by kill -9 of its engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.drills.conftest import Site
from tests.emulator.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.drills, pytest.mark.timeout(300)]

EMBEDDED = """\
version: 1
name: embedded
seed: 1
time_scale: 0.1
cloud: {emulator: {hypervisors: 20, build: {low: 0.1 s, high: 0.2 s}}}
client: {workers: 2, ready: active}
phases:
  - name: storm
    kind: fault
    for: 6 s
    faults: [{fault: database.hang, target: database, after: 2 s, for: 3 s}]
swarms:
  - {name: background, scenario: background, arrivals: {kind: poisson, rate: 5}}
  - {name: burst, scenario: burst, arrivals: {kind: burst, count: 1}, at: {phase: storm}, options: {servers: 10}}
drain: 20 s
settle: 15 s
"""
STAGES = {  # name -> what the run says when it has come to it
    "the cloud starts": "run ",
    "the snapshot is taken": "preflight passed",
    "load": "phase 'storm'",
    "a fault is on": "database.hang on database: bites",
    "drain": "drain:",
    "settle": "settle:",
    "audit": "audit:",
    "clean up": "clean up:",
}
REACHED_WITHIN_S = 120.0
ENDED_WITHIN_S = 60.0
GONE_WITHIN_S = 15.0


def started(site: Site) -> tuple[subprocess.Popen[bytes], Path, Path]:
    """A run on a cloud of its own, its directory, and what it says."""
    (site.directory / "embedded.yaml").write_text(EMBEDDED)
    run_dir, log = site.directory / "run", site.directory / "log"
    return site.start(["run", str(site.directory / "embedded.yaml"), "--run-dir", str(run_dir)], log), run_dir, log


def reach(engine: subprocess.Popen[bytes], log: Path, words: str) -> None:
    wait_until(lambda: words in log.read_text() or engine.poll() is not None, within_s=REACHED_WITHIN_S)
    assert engine.poll() is None, log.read_text()


def nothing_is_left(site: Site, run_dir: Path) -> list[str]:
    """What is, after the time a guardian may take: processes, temporary files, data of the database."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while True:
        left = site.left(run_dir)
        left += [str(path) for path in (site.directory / "tmp").iterdir()]
        left += [str(path) for path in (site.directory / "state").glob("*/*") if path.is_file()]
        left += [str(path) for path in run_dir.rglob("*") if path.name in ("settings.json", "pgdata", "pids.json")]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


@pytest.mark.parametrize("stage", STAGES)
def test_control_c_ends_everything(site: Site, stage: str) -> None:
    engine, run_dir, log = started(site)
    reach(engine, log, STAGES[stage])
    os.killpg(engine.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    assert engine.wait(ENDED_WITHIN_S) == 130, log.read_text()
    assert not nothing_is_left(site, run_dir), log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_engine_takes_everything_with_it(site: Site, stage: str) -> None:
    engine, run_dir, log = started(site)
    reach(engine, log, STAGES[stage])
    if stage == "the cloud starts":  # before it has a process, only the next run can tidy up
        wait_until(lambda: list((site.directory / "tmp").glob("*/pids.json")), within_s=REACHED_WITHIN_S)
    engine.kill()
    engine.wait()
    assert not nothing_is_left(site, run_dir), log.read_text()
    healed = site.squall("heal")
    assert (healed.returncode, healed.stdout) == (0, "no fault is open\n")


def test_the_next_run_removes_what_the_earliest_kill_leaves(site: Site) -> None:
    engine, run_dir, log = started(site)
    wait_until(lambda: list((site.directory / "tmp").iterdir()), within_s=REACHED_WITHIN_S)
    engine.kill()
    engine.wait()
    shutil.rmtree(run_dir)
    engine, run_dir, log = started(site)
    reach(engine, log, STAGES["the snapshot is taken"])
    engine.terminate()
    assert engine.wait(ENDED_WITHIN_S) == 130, log.read_text()
    assert not nothing_is_left(site, run_dir), log.read_text()


def test_data_of_a_database_elsewhere_goes_too(site: Site) -> None:
    """Where its user cannot get into our directory, the data is under /var/tmp."""
    (site.directory / "tmp").chmod(0o700)
    before = set(Path("/var/tmp").glob("squall*"))
    engine, run_dir, log = started(site)
    reach(engine, log, STAGES["load"])
    engine.kill()
    engine.wait()
    assert not nothing_is_left(site, run_dir), log.read_text()
    wait_until(lambda: set(Path("/var/tmp").glob("squall*")) <= before, within_s=GONE_WITHIN_S)
