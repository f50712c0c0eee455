"""Processes and files of one test session that are gone when it is, however it ends."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import supervise
from harness.emulator.preparation import free_port

END_WITHIN_S = 10.0
_taken: set[int] = set()


class ServerFailed(Exception):
    """A server did not start; what it started is ended. The message has its log's last lines."""


class Processes:
    """A directory, and processes in it, each a session of its own. A guardian ends them when we are killed."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="squall-servers-"))
        self.directory.chmod(0o711)  # servers run as users of their own
        self._pids = supervise.PidFile(self.directory / "pids.json")
        removals = self.directory / "removals.json"
        removals.write_text(json.dumps([str(self.directory)]))
        self._guardian = supervise.Guardian(self._pids.path, removals=removals)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def folder(self, name: str, owner: str | None = None) -> Path:
        """A new private directory; its owner, when given, must exist."""
        made = self.directory / name
        made.mkdir(mode=0o700)
        if owner is not None:
            shutil.chown(made, owner, pwd.getpwnam(owner).pw_gid)
        return made

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
    ) -> "subprocess.Popen[bytes]":
        """Start a process; its output goes to `log(name)`."""
        with self.log(name).open("ab") as log:
            started = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=cwd,
                env=None if env is None else dict(env),
                **as_user(user),
            )
        self._running[name] = started
        self._pids.add(supervise.record(name, started.pid))
        return started

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def wait(self, name: str, is_ready: Callable[[], bool], within_s: float) -> None:
        """Returns when it is ready. Raises: ServerFailed when it has ended before, or took too long."""
        deadline = time.monotonic() + within_s
        while not is_ready():
            ended = self._running[name].poll()
            if ended is not None or time.monotonic() > deadline:
                what = f"ended with {ended}" if ended is not None else f"was not ready within {within_s:.0f} s"
                raise ServerFailed(f"{name} {what}:\n{self.last_words(name)}")
            time.sleep(0.05)

    def last_words(self, name: str) -> str:
        log = self.log(name)
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    def end(self, name: str, number: int = signal.SIGTERM, *, within_s: float = END_WITHIN_S) -> None:
        """Ask a process to end, then make sure of it and of its children. Safe to repeat."""
        process, recorded = self._running.pop(name, None), self._pids.get(name)
        if process is None or recorded is None:
            return
        family = supervise.family([recorded])
        recorded.signal(number)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            pass
        supervise.kill_families([one for one in family if one.alive])
        process.wait()
        self._pids.drop(name)

    def close(self) -> None:
        """End what still runs, the last started first, in no orderly way, and remove the directory."""
        for name in reversed(list(self._running)):
            self.end(name, signal.SIGKILL)
        self._pids.remove()
        self._guardian.release()
        shutil.rmtree(self.directory, ignore_errors=True)


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments of Popen that make a process another user's."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def unprivileged(preferred: str) -> str | None:
    """Whom a server should run as when we are root; None: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(preferred).pw_name
    except KeyError:
        return "nobody"


def port() -> int:
    """A loopback port that nobody listens on and that no other server of this session was given."""
    return free_port(_taken)


def accepts(number: int) -> bool:
    """Whether something on this machine takes connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", number)) == 0


def program(*names: str) -> str | None:
    """The first of these programs that is there; Debian keeps servers where a plain user's PATH does not look."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=places))), None)
