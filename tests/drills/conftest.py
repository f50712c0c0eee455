"""A cloud by `squall cloud up` that outlives every run, with foreign resources in it, and the command to drill."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.drills.processes import WORD, all_of_run
from tests.drills.world import Onlooker
from tests.ports import free_port_base

ROOT = Path(__file__).resolve().parent.parent.parent
_left_out = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "drills: kills processes of real runs again and again (make drills)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """They take half an hour: only for who asks for them by name."""
    drills = [item for item in items if item.get_closest_marker("drills")]
    if drills and "drills" not in config.option.markexpr:
        items[:] = [item for item in items if item not in set(drills)]
        config.stash[_left_out] = len(drills)
        config.hook.pytest_deselected(items=drills)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(_left_out, 0):
        terminalreporter.section("not covered by this run")
        terminalreporter.line(f"{count:>5} drills. Run them with: make drills")


SQUALL = [sys.executable, "-m", "harness.cli"]
COMMAND_WITHIN_S = 180.0


@dataclass
class Site:
    """One cloud and how to run Squall against it."""

    directory: Path
    clouds_yaml: Path | None = None
    word: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def state(self) -> Path:
        return self.directory / "cloud"

    def environment(self) -> dict[str, str]:
        """Of every command: journals of our own, temporary files where we can look for leftovers."""
        variables = {
            "SQUALL_STATE_DIR": str(self.directory / "state"),
            "TMPDIR": str(self.directory / "tmp"),
            "PYTHONPATH": str(ROOT),
        }
        if self.clouds_yaml is not None:
            variables["OS_CLIENT_CONFIG_FILE"] = str(self.clouds_yaml)
        return {**os.environ, **variables}

    def squall(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        return subprocess.run(
            [*SQUALL, *arguments],
            env=self.environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )

    def start(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """One command that the drill will disturb; its processes carry our word."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [*SQUALL, *arguments],
                env={**self.environment(), WORD: self.word},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def left(self, run_dir: Path) -> list[str]:
        """Processes of runs of this site that live."""
        return [f"{process.name} (pid {process.pid})" for process in all_of_run(self.word, run_dir)]


@pytest.fixture
def site() -> Iterator[Site]:
    """A place to run in, without a cloud. Not pytest's own: the database's user must get through to its data."""
    with _Directory() as directory:
        yield Site(directory)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Site]:
    """20 hypervisors, ten times as fast, foreign resources planted."""
    with _Directory() as directory:
        made = Site(directory)
        arguments = ["--hypervisors", "20", "--time-scale", "0.1", "--port-base", str(free_port_base())]
        up = made.squall("cloud", "up", "--state", str(made.state), *arguments)
        try:
            assert up.returncode == 0, up.stdout + up.stderr
            made.clouds_yaml = made.state / "clouds.yaml"
            os.environ["OS_CLIENT_CONFIG_FILE"] = str(made.clouds_yaml)  # for openstacksdk in this process
            onlooker = Onlooker()
            onlooker.plant()
            onlooker.close()
            yield made
        finally:
            down = made.squall("cloud", "down", "--state", str(made.state))
            assert down.returncode == 0, down.stdout + down.stderr


class _Directory:
    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="squall-drill-"))
        self.path.chmod(0o711)
        (self.path / "tmp").mkdir(mode=0o711)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
