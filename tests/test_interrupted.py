"""Ctrl-C and SIGTERM while the bundled cloud starts: at once, and nothing is left of it, running or lying about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import supervise
from tests.emulator.waiting import wait_until
from tests.ports import free_port_base

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent
RUN = """\
version: 1
name: early
cloud: {emulator: {hypervisors: 20}}
phases: [{name: load, kind: load, for: 5 s}]
swarms: [{name: reads, scenario: background, arrivals: {kind: constant, rate: 5}}]
"""
REACHED_WITHIN_S = 60.0
# A quiet machine needs less than a second; where many share a core, the whole start would take far longer than this.
AT_ONCE_S = 10.0


class Site:
    """A directory in which a command runs and leaves, or does not leave, its traces."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("tmp", "state"):
            (directory / name).mkdir(mode=0o711)
        (directory / "run.yaml").write_text(RUN)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        places = {"SQUALL_STATE_DIR": str(self.directory / "state"), "TMPDIR": str(self.directory / "tmp")}
        with (self.directory / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.cli", *arguments],
                cwd=self.directory,
                env={**os.environ, **places, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return (self.directory / "said").read_text()

    def processes(self) -> list[supervise.Recorded]:
        """Those of the cloud, by its pid file."""
        found = list(self.directory.glob("tmp/*/pids.json")) + list(self.directory.glob("state/cloud/pids.json"))
        return [each for path in found for each in supervise.PidFile.read(path)]

    def files(self) -> list[str]:
        """Everything but what was there before, and the database elsewhere when its user cannot get in here."""
        ours = {"run.yaml", "said", "tmp", "state"}
        return [
            name
            for path in self.directory.rglob("*")
            if (name := str(path.relative_to(self.directory))) not in ours and not (path.is_dir() and "state/" in name)
        ]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    supervise.kill_families(made.processes())


@pytest.fixture
def port_base() -> int:
    return free_port_base()


COMMANDS = {"run": ("run", "run.yaml"), "up": ("cloud", "up", "--hypervisors", "20", "--port-base", "PORT")}


@pytest.mark.parametrize("stage", ["supervisor", "broker", "database", "api"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_early_interrupt_takes_effect_at_once(site: Site, command: str, stage: str, port_base: int) -> None:
    number = signal.SIGINT if stage in ("supervisor", "database") else signal.SIGTERM
    before = set(Path("/var/tmp").glob("squall*"))
    running = site.start(*(str(port_base) if each == "PORT" else each for each in COMMANDS[command]))
    try:
        wait_until(
            lambda: any(each.name == stage for each in site.processes()) or running.poll() is not None,
            within_s=REACHED_WITHIN_S,
        )
        assert running.poll() is None, site.said
        began = time.monotonic()
        running.send_signal(number)
        assert running.wait(60) == 130, site.said
        assert time.monotonic() - began < AT_ONCE_S, site.said
    finally:
        running.kill()
        running.wait()
    assert "interrupted" in site.said
    assert "Traceback" not in site.said
    assert "preflight passed" not in site.said
    assert not site.files()
    assert set(Path("/var/tmp").glob("squall*")) <= before


def test_a_cloud_whose_starter_is_killed_does_not_come_up(site: Site, port_base: int) -> None:
    arguments = (str(port_base) if each == "PORT" else each for each in COMMANDS["up"])
    starter = site.start(*arguments)
    wait_until(lambda: any(each.name == "broker" for each in site.processes()), within_s=REACHED_WITHIN_S)
    everything = site.processes()
    starter.kill()
    starter.wait()
    wait_until(lambda: not any(each.alive for each in [*everything, *site.processes()]), within_s=REACHED_WITHIN_S)
    assert not (site.directory / "state" / "cloud" / "control.json").exists()
    assert site.start("cloud", "down").wait(60) == 0
    assert not site.files()
