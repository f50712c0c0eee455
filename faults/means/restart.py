"""Starting a server again, by the means its target names."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request

import msgspec

from faults.errors import TargetUnfit, UndoFailed
from faults.places import private_directory
from faults.targets import RestartMeans


def restart(means: RestartMeans) -> None:
    """Start it: the command ended well, or still runs (a server in the foreground), or the supervisor agreed.

    Raises:  UndoFailed with what the command or the supervisor said.
    """
    if means.argv:
        _run(means)
    else:
        _ask(means)


def _run(means: RestartMeans) -> None:
    log_path = private_directory("logs") / "restart.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUALL_")}  # our token
    with open(log_path, "ab") as log:
        try:
            # A session of its own: the server must not die with us, or hear our Ctrl-C.
            process = subprocess.Popen(
                means.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
            )
        except OSError as error:
            raise UndoFailed(f"restart command {means.argv[0]}: {error.strerror}; still down") from error
    try:
        code = process.wait(timeout=min(2.0, means.within_s))
    except subprocess.TimeoutExpired:
        return  # it runs on: the probe decides whether it serves
    if code != 0:
        raise UndoFailed(f"restart command {means.argv[0]} ended with code {code}; still down; see {log_path}")


def _ask(means: RestartMeans) -> None:
    request = urllib.request.Request(means.url, msgspec.json.encode(means.body), method="POST")
    request.add_header("Content-Type", "application/json")
    try:
        if means.token is not None:
            request.add_header("Authorization", f"Bearer {means.token.read()}")
        with urllib.request.urlopen(request, timeout=means.within_s) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise UndoFailed(f"supervisor at {means.url} answered {error.code}; still down") from error
    except (OSError, TargetUnfit) as error:
        raise UndoFailed(f"supervisor at {means.url}: {error}; still down") from error
