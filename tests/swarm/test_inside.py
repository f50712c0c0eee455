"""Runs tests/swarm/inside in a process that Locust may patch."""

import os
import subprocess
import sys
from pathlib import Path

INSIDE = Path(__file__).parent / "inside"


def test_what_needs_gevent_in_its_own_process() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", str(INSIDE)]
    ran = subprocess.run(
        command,
        env={**os.environ, "SQUALL_TEST_INSIDE": "1"},
        cwd=INSIDE.parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
