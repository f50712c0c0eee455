"""Runs a real database or broker for the tests and writes its pid file. Also the targets' restart command.

It stays as the server's parent and reaps it: where pid 1 does not, PostgreSQL takes its dead predecessor for alive.

    python -m tests.faults.server postgresql|broker DIR
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness.emulator import postgres
from harness.emulator.settings import DatabaseSettings

ROOT = Path(__file__).resolve().parents[2]


def restart_argv(kind: str, directory: Path) -> list[str]:
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.faults.server", kind, str(directory)]


def start_postgresql(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    settings = DatabaseSettings(server_port=data["port"], password=data["password"], max_connections=40, fsync=False)
    place = postgres.prepare(directory, postgres.find_binaries(), ephemeral=False)
    postgres.initialise(place, settings, directory / "log")
    process = postgres.start(place, settings, directory / "log")
    write_pid(directory, process.pid)
    process.wait()


def start_broker(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    (directory / "password").write_text(data["password"] + "\n")
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness.emulator.broker", "--listen", f"127.0.0.1:{data['port']}"),
                *("--management", "127.0.0.1:0", "--password-file", str(directory / "password")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=ROOT,
        )
    write_pid(directory, process.pid)
    process.wait()


def write_pid(directory: Path, pid: int) -> None:
    """Whole, and before the server answers: whoever sees it answer finds its pid."""
    part = directory / "pid.part"
    part.write_text(str(pid))
    part.replace(directory / "pid")


def wait_for(condition, within_s: float, what: str = "") -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        time.sleep(0.02)


if __name__ == "__main__":
    os.chdir("/")
    {"postgresql": start_postgresql, "broker": start_broker}[sys.argv[1]](Path(sys.argv[2]))
