"""Starts the supervisor of a cloud and waits for the line with which it says that everything serves, or what failed."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from harness import supervise
from harness.emulator.errors import CloudError
from harness.emulator.spawn import with_root

START_WITHIN_S = 120.0
DOWN_WITHIN_S = 30.0
END_WITHIN_S = 5.0  # what is only half there need not end in order


def launch(state: Path, *, parent_fd: int | None) -> "subprocess.Popen[bytes]":
    report_read, report_write = os.pipe()
    command = [sys.executable, "-m", "harness.emulator.supervisor", "--state", str(state.resolve())]
    command += ["--report-fd", str(report_write)]
    passed = [report_write]
    if parent_fd is not None:
        command += ["--parent-fd", str(parent_fd), "--ephemeral"]
        passed.append(parent_fd)
    try:
        with (state / "logs" / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=with_root(os.environ),
            )
    finally:
        os.close(report_write)
    with os.fdopen(report_read, "rb") as report:
        try:
            line = _read_line(report.fileno(), START_WITHIN_S)
        except TimeoutError:
            _end(process, state)
            raise CloudError(f"the cloud was not ready within {START_WITHIN_S:.0f} s; see {state}/logs") from None
        except BaseException:
            _end(process, state)
            raise
    message = json.loads(line) if line else {"error": f"the supervisor ended; see {state}/logs/supervisor.log"}
    if "error" in message:
        process.wait(DOWN_WITHIN_S)
        raise CloudError(message["error"])
    return process


def _end(process: "subprocess.Popen[bytes]", state: Path) -> None:
    """End a supervisor in the middle of its start, and wait until what it had started is gone."""
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        everything = supervise.PidFile.read(state / "pids.json")
        process.kill()  # its guardian ends the rest
        process.wait()
        supervise.wait_gone(everything, DOWN_WITHIN_S)


def _read_line(descriptor: int, within_s: float) -> bytes:
    deadline = time.monotonic() + within_s
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        data = os.read(descriptor, 4096)
        if not data:
            return b""
        line += data
    return line
