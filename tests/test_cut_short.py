"""A second Ctrl-C ends the clean-up of a run on a cloud that stays, even when that cloud does not answer any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.interrupts import Interrupts
from harness.rundir import RunDirectory
from tests.cloud.small_cloud import small_cloud, write_clouds_yaml
from tests.emulator.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
RUN = """\
version: 1
name: hasty
cloud: {name: small}
client: {workers: 1, ready: active}
phases: [{name: load, kind: load, for: 10 min}]
swarms:
  - {name: burst, scenario: burst, arrivals: {kind: burst, count: 1}, at: {phase: load}, options: {servers: 2}}
"""
REACHED_WITHIN_S = 60.0
# Watching alone lasts 130 s, and one request that hangs 60 s.
CUT_SHORT_WITHIN_S = 40.0


@contextmanager
def started(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """A run on the small cloud, and what it has said so far."""
    (directory / "run.yaml").write_text(RUN)
    places = {"SQUALL_STATE_DIR": str(directory / "state"), "OS_CLIENT_CONFIG_FILE": str(directory / "clouds.yaml")}
    with (directory / "said").open("wb") as said:
        engine = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "run", "run.yaml", "--run-dir", "a run"],
            cwd=directory,
            env={**os.environ, **places, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield engine, (directory / "said").read_text
    finally:
        engine.kill()
        engine.wait()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_second_interrupt_ends_the_watching_and_tells_what_may_be_left(tmp_path: Path) -> None:
    hangs, hung, over = threading.Event(), threading.Event(), threading.Event()

    def misbehaves(method: str, path: str) -> int | None:
        """A POST that fails may have made something; later nothing is answered."""
        if hangs.is_set():
            hung.set()
            over.wait(120)
        return 500 if method == "POST" and path.endswith("/servers") else None

    with small_cloud() as cloud:
        cloud.fail = misbehaves
        write_clouds_yaml(cloud, tmp_path)
        with started(tmp_path) as (engine, said):
            try:
                reach(engine, said, lambda: cloud.counted("POST", "/servers$") > 0)
                engine.send_signal(signal.SIGINT)
                reach(engine, said, lambda: "watching 130 s" in said())
                hangs.set()
                reach(engine, said, hung.is_set)
                began = time.monotonic()
                engine.send_signal(signal.SIGINT)
                assert engine.wait(CUT_SHORT_WITHIN_S) == 130, said()
                assert time.monotonic() - began < CUT_SHORT_WITHIN_S
            finally:
                over.set()
            assert "Traceback" not in said()
            run = RunDirectory.open(tmp_path / "a run")
            described = run.read_json("run.json")
            mark = f"squall-{described['run_id']}"
            assert f"NOT CLEANED UP: what may still carry the mark {mark}" in said()
            assert "operations that were not answered may yet make" in said()
            assert "run: squall clean 'a run'" in said()
            assert [mark in each for each in described["left_behind"]] == [True, False]
            assert described["interrupted"] is True
            assert run.read_json("verdict.json")["exit_code"] == 130


def reach(engine: subprocess.Popen[bytes], said: Callable[[], str], there: Callable[[], bool]) -> None:
    wait_until(lambda: there() or engine.poll() is not None, within_s=REACHED_WITHIN_S)
    assert engine.poll() is None, said()


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_a_signal_is_told_unless_it_breaks(patience: int) -> None:
    told: list[int] = []
    with Interrupts(lambda: told.append(1)) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert len(told) == 1
        with interrupts.breaking(after=patience):
            for _ in range(patience):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert len(told) == 1 + patience
            signal.raise_signal(signal.SIGINT)  # what is half there is being ended
        signal.raise_signal(signal.SIGINT)
        assert len(told) == 3 + patience
