"""Starting a server again, by the means its target names."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from faults.errors import TargetUnfit, UndoFailed
from faults.places import private_directory
from faults.processes import Identity, identify
from faults.targets import RestartMeans, split_address


class CloudGone(Exception):
    """The embedded cloud's supervisor is gone, and with it, by its guardian, all its processes: nothing to start."""


def restart(
    means: RestartMeans, serves: Callable[[], bool], former: Identity | None, note: Callable[[Identity], None]
) -> None:
    """Start it, and wait until it `serves` or, by the command's or the supervisor's word, soon will.

    A command may end when the server runs, or be the server itself and go on. It is run once at a time.

    Args:    former: a command that was started before, perhaps by one who died while it waited. note: told the new one.
    Raises:  UndoFailed with what the command or the supervisor said; CloudGone.
    """
    if means.argv:
        _run(means, serves, former, note)
    else:
        _ask(means)


def is_cloud_gone(means: RestartMeans) -> bool:
    """Whether the supervisor that should start it does not exist any more."""
    if not means.supervisor:
        return False
    try:
        with socket.create_connection(split_address(means.supervisor) or ("", 0), timeout=5.0):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def _run(
    means: RestartMeans, serves: Callable[[], bool], former: Identity | None, note: Callable[[Identity], None]
) -> None:
    deadline = time.monotonic() + means.within_s
    log_path = private_directory("logs") / "restart.log"
    while former is not None and former.is_alive:
        if _serves_or_late(means, serves, deadline, log_path):
            return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUALL_")}  # our token
    with open(log_path, "ab") as log:
        try:
            # A session of its own: the server must not die with us, or hear our Ctrl-C.
            process = subprocess.Popen(
                means.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
                cwd="/",
            )
        except OSError as error:
            raise UndoFailed(f"restart command {means.argv[0]}: {error.strerror}; still down") from error
    if identity := identify(process.pid):
        note(identity)
    while process.poll() is None:
        if _serves_or_late(means, serves, deadline, log_path):
            return
    if process.returncode != 0:
        raise UndoFailed(f"restart command {means.argv[0]} ended with code {process.returncode}; see {log_path}")


def _serves_or_late(means: RestartMeans, serves: Callable[[], bool], deadline: float, log_path: Path) -> bool:
    if serves():
        return True
    if time.monotonic() > deadline:
        raise UndoFailed(
            f"restart command {means.argv[0]} runs for {means.within_s:g} s and nothing serves; see {log_path}"
        )
    time.sleep(0.05)
    return False


def _ask(means: RestartMeans) -> None:
    if is_cloud_gone(means):
        raise CloudGone
    assert means.token is not None
    request = ({"token": means.token.read()}, {"do": "restart", "name": means.name})
    try:
        with socket.create_connection(split_address(means.supervisor) or ("", 0), timeout=means.within_s) as connection:
            connection.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in request))
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline() or b"{}")
    except (OSError, ValueError, TargetUnfit) as error:
        raise UndoFailed(f"supervisor at {means.supervisor}: {error}; {means.name} is still down") from error
    if not answer.get("ok"):
        said = answer.get("error", "it closed the connection")
        raise UndoFailed(f"supervisor at {means.supervisor}: {said}; {means.name} is still down")
