"""Starting a server again, by the means its target names."""

from __future__ import annotations

import json
import os
import socket
import subprocess

from faults.errors import TargetUnfit, UndoFailed
from faults.places import private_directory
from faults.targets import RestartMeans, split_address

_FOREGROUND_S = 2.0


class CloudGone(Exception):
    """The embedded cloud's supervisor is gone, and with it, by its guardian, all its processes: nothing to start."""


def restart(means: RestartMeans) -> None:
    """Start it: the command ended well or still runs (a server in the foreground), or the supervisor says it is ready.

    Raises:  UndoFailed with what the command or the supervisor said; CloudGone.
    """
    if means.argv:
        _run(means)
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


def _run(means: RestartMeans) -> None:
    log_path = private_directory("logs") / "restart.log"
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
    try:
        code = process.wait(timeout=min(_FOREGROUND_S, means.within_s))
    except subprocess.TimeoutExpired:
        return  # it runs on: the probe decides whether it serves
    if code != 0:
        raise UndoFailed(f"restart command {means.argv[0]} ended with code {code}; still down; see {log_path}")


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
