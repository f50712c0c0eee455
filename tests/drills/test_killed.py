"""kill -9 of any process of a run, at any moment: after `squall heal` and `squall clean` it is as if it had not been.

The cloud outlives the run. SQUALL_DRILLS says how many (default 30); each has its own seed, which gives the moment.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.means.control import ProxyControl
from faults.secret import Secret
from harness.emulator import settings as emulator_settings
from harness.emulator.status import status
from harness.supervise import PidFile, Recorded
from tests.drills.conftest import ROOT, Site
from tests.drills.processes import of_run, stopped
from tests.drills.world import Onlooker, World, differences
from tests.emulator.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.drills, pytest.mark.timeout(600)]

STORM = ROOT / "tests" / "drills" / "storm.yaml"
DRILLS = int(os.environ.get("SQUALL_DRILLS", "30"))
FIRST = int(os.environ.get("SQUALL_DRILLS_FROM", "0"))
ROLES = ("engine", "master", "worker", "nemesis", "proxy")
STAGES = {  # name -> what the run says when it has come to it
    "snapshot": "preflight passed",
    "load": "phase 'storm'",
    "a fault is on": "database.hang on database: bites",
    "drain": "drain:",
    "settle": "settle:",
    "audit": "audit:",
    "clean up": "clean up:",
}
STORM_S = 20.0
PREPARED_S = 8.0
STARTED_WITHIN_S = 60.0
REACHED_WITHIN_S = 120.0
ENDED_WITHIN_S = 180.0
GONE_WITHIN_S = 30.0


Moment = Callable[[subprocess.Popen[bytes], Path], None]  # waits for it


@pytest.fixture(scope="module")
def onlooker(cloud: Site) -> Iterator[Onlooker]:
    looking = Onlooker()
    yield looking
    looking.close()


@pytest.fixture(scope="module")
def before(onlooker: Onlooker) -> World:
    """What was planted. It must never change."""
    return onlooker.look()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + DRILLS))
def test_whatever_is_killed_nothing_of_the_run_is_left(
    cloud: Site, onlooker: Onlooker, before: World, seed: int
) -> None:
    role = ROLES[seed % len(ROLES)]
    # Engine and proxy are there before the run has prepared itself.
    after_s = random.Random(seed).uniform(0.0, STORM_S + (PREPARED_S if role in ("engine", "proxy") else 0.0))
    drill(cloud, onlooker, before, f"kill-{seed}-{role}", role, seconds(after_s))


@pytest.mark.parametrize("stage", STAGES)
def test_the_engine_dies_in_each_stage(cloud: Site, onlooker: Onlooker, before: World, stage: str) -> None:
    name = f"kill-in-{stage.replace(' ', '-')}"
    engine = drill(cloud, onlooker, before, name, "engine", said(STAGES[stage]), settle="15 s")
    assert engine == -signal.SIGKILL


@pytest.mark.parametrize("fault", ["database.latency on database", "broker.latency on broker"])
def test_the_proxy_dies_while_it_delays(cloud: Site, onlooker: Onlooker, before: World, fault: str) -> None:
    """The fault is over with it, and whatever the run measured then was not under it: never a pass."""
    name = f"kill-proxy-{fault.partition('.')[0]}"
    engine = drill(cloud, onlooker, before, name, "proxy", said(f"{fault}: bites"))
    assert engine not in (0, -signal.SIGKILL)
    text = (cloud.directory / f"{name}.log").read_text()
    assert f"{fault}: cut_short after " in text, text
    verdict = json.loads((cloud.directory / name / "verdict.json").read_text())
    (cut,) = [each for each in verdict["faults"] if fault == f"{each['fault']} on {each['target']}"]
    assert (cut["bit"], cut["gone"]) == (True, True)
    assert cut["doubt"].startswith("did not bite over its whole window: after "), text
    assert any(cut["doubt"] in reason for reason in verdict["reasons"]), text


@pytest.mark.parametrize("role", ["watchdog", "guardian"])
def test_helpers_may_die_too(cloud: Site, onlooker: Onlooker, before: World, role: str) -> None:
    drill(cloud, onlooker, before, f"kill-{role}", role, seconds(9.0))


def test_nemesis_and_watchdog_die_while_the_database_hangs(cloud: Site, onlooker: Onlooker, before: World) -> None:
    """The worst: nobody is left to wake it but `squall heal`."""
    drill(cloud, onlooker, before, "kill-both", "watchdog+nemesis", seconds(10.5))


def test_the_cloud_itself_dies(cloud: Site, onlooker: Onlooker, before: World) -> None:
    """Its guardian ends all of it; up again by hand, with its data."""
    drill(cloud, onlooker, before, "kill-supervisor", "supervisor", seconds(6.0))


def seconds(after_s: float) -> Moment:
    """So long after the process to kill was there."""

    def wait(engine: subprocess.Popen[bytes], log: Path) -> None:
        try:
            engine.wait(after_s)
        except subprocess.TimeoutExpired:
            return

    return wait


def said(words: str) -> Moment:
    """As soon as the run has said this."""

    def wait(engine: subprocess.Popen[bytes], log: Path) -> None:
        wait_until(lambda: words in log.read_text() or engine.poll() is not None, within_s=REACHED_WITHIN_S)
        assert engine.poll() is None, log.read_text()

    return wait


def drill(
    cloud: Site, onlooker: Onlooker, before: World, name: str, role: str, wait: Moment, settle: str = "2 s"
) -> int:
    """One run, one kill at one moment, then what an operator does. Returns the run's exit code."""
    experiment = cloud.directory / f"{name}.yaml"
    experiment.write_text(STORM.read_text().replace("settle: 2 s", f"settle: {settle}"))
    run_dir, log = cloud.directory / name, cloud.directory / f"{name}.log"
    engine = cloud.start(
        ["run", str(experiment), "--cloud", "demo", "--admin-cloud", "admin", "--run-dir", str(run_dir)], log
    )
    try:
        victims = [victim for part in role.split("+") for victim in wait_for_role(cloud, part, run_dir, engine)]
        began = time.monotonic()
        wait(engine, log)
        after_s = time.monotonic() - began
        for victim in victims:
            victim.signal(signal.SIGKILL)
        assert engine.wait(ENDED_WITHIN_S) != 2 or not run_dir.exists(), log.read_text()
    finally:
        if engine.poll() is None:
            engine.kill()
            engine.wait()
    story = f"{role} killed {after_s:.1f} s after it was there; engine: {engine.returncode}\n{log.read_text()}"
    print(story.partition("\n")[0])
    if role == "supervisor":
        wait_until(lambda: not any(each.alive for each in victims), within_s=GONE_WITHIN_S)
        up_again(cloud)

    healed = cloud.squall("heal")
    assert healed.returncode == 0, healed.stdout + healed.stderr + story
    assert cloud.squall("heal", "--list").stdout == "no fault is open\n"
    if (run_dir / "run.json").exists():
        cleaned = cloud.squall("clean", str(run_dir))
        assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr + story
        story += cleaned.stdout

    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := cloud.left(run_dir)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, story
    assert toxics(cloud) == {"database": [], "broker": []}, story
    assert not stopped(PidFile.read(cloud.state / "pids.json")), story
    assert not list((cloud.directory / "tmp").iterdir()), story
    status = cloud.squall("cloud", "status", "--state", str(cloud.state))
    assert status.returncode == 0, status.stdout + status.stderr + story
    changed = differences(before, onlooker.look())
    assert not changed, "\n".join(changed) + "\n" + story
    onlooker.is_usable()
    return engine.returncode


def wait_for_role(cloud: Site, role: str, run_dir: Path, engine: subprocess.Popen[bytes]) -> list[Recorded]:
    """The process to kill, as soon as there is one; of several workers, the first."""
    if role in ("proxy", "supervisor"):
        return [each for each in PidFile.read(cloud.state / "pids.json") if each.name == role]
    found: list[Recorded] = []

    def is_there() -> bool:
        assert engine.poll() is None, "the run ended before the process to kill was there"
        found[:] = of_run(cloud.word, run_dir).get(role, [])
        return bool(found)

    wait_until(is_there, within_s=STARTED_WITHIN_S)
    return found[:1]


def toxics(cloud: Site) -> dict[str, list[object]]:
    settings = emulator_settings.load(cloud.state)
    secret = Secret(file=str(cloud.state / "settings.json"), key="control_token")
    control = ProxyControl(f"127.0.0.1:{settings.proxy.control_port}", secret)
    return {name: control.link(name)["toxics"] for name in ("database", "broker")}


def up_again(cloud: Site) -> None:
    """As an operator does: the same command, the same ports."""
    settings = emulator_settings.load(cloud.state)
    wait_until(lambda: not status(cloud.state).processes, within_s=GONE_WITHIN_S)
    base = settings.ports["keystone"] - 5000
    arguments = ["--hypervisors", "20", "--time-scale", "0.1", "--port-base", str(base)]
    up = cloud.squall("cloud", "up", "--state", str(cloud.state), *arguments)
    assert up.returncode == 0, up.stdout + up.stderr
