"""One process of a cloud as its supervisor sees it, and how those that are commands of their own are started."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import supervise
from harness.emulator.control_port import Peer
from harness.emulator.settings import Settings, write_private

BACKING = ("database", "broker", "proxy")
FAULTY = ("database", "broker")  # a fault may end them, so only a fault, or a person, starts them again
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(slots=True)
class Child:
    """States: starting, ready, dead. `wanted`: whether it ought to run."""

    name: str
    role: str = ""
    index: int = 0
    state: str = "dead"
    pid: int = 0
    exit_code: int | None = None
    popen: "subprocess.Popen[bytes] | None" = None
    recorded: supervise.Recorded | None = None
    ready_fd: int | None = None
    started_at: float = 0.0
    deadline: float = 0.0
    ready_after_s: float = 0.0
    restarts: int = 0
    restart_at: float | None = None
    give_up_at: float = 0.0
    restarting: bool = False
    wanted: bool = True
    waiting: list[Peer] = field(default_factory=list)  # who asked for a restart and waits for it

    def reap(self) -> int | None:
        """The exit code when it has ended (negative: the signal), else None."""
        if self.popen is not None:
            return self.popen.poll()
        if not self.pid:
            return None
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def shown(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state if self.wanted or self.state != "dead" else "stopped",
            "exit_code": self.exit_code if self.state == "dead" else None,
            "restarts": self.restarts,
            "up_s": round(time.monotonic() - self.started_at, 1) if self.state == "ready" else 0.0,
            "ready_after_s": round(self.ready_after_s, 3),
        }


def with_root(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process of ours that starts in another directory: our packages are found first."""
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def spawn_broker(child: Child, settings: Settings, state: Path, log: Path) -> None:
    """Start the embedded broker; a line on its output says that it is ready."""
    password_file = state / "broker-password"
    write_private(password_file, settings.broker.password.encode() + b"\n")
    command = [sys.executable, "-m", "harness.emulator.broker"]
    command += ["--listen", f"{settings.broker.server_host}:{settings.broker.server_port}"]
    command += ["--management", f"{settings.broker.server_host}:{settings.broker.management_port}"]
    command += ["--user", settings.broker.user, "--password-file", str(password_file)]
    _spawn(child, command, log)


def spawn_proxy(child: Child, settings: Settings, state: Path, log: Path) -> None:
    """Start the fault proxy with its two links; a line on its output says that it is ready."""
    links = [
        {
            "name": name,
            "listen": f"{where.host}:{where.port}",
            "upstream": f"{where.server_host}:{where.server_port}",
        }
        for name, where in (("database", settings.database), ("broker", settings.broker))
    ]
    config = {
        "control": {"listen": f"127.0.0.1:{settings.proxy.control_port}", "token": settings.control_token},
        "ready_file": str(state / "proxy-ready.json"),
        "seed": settings.seed,
        "links": links,
    }
    write_private(state / "proxy.json", json.dumps(config, indent=1).encode())
    _spawn(child, [sys.executable, "-m", "faults.proxy", "--config", str(state / "proxy.json")], log)


def _spawn(child: Child, command: list[str], log: Path) -> None:
    environment = with_root(os.environ)
    with log.open("ab") as file:
        child.popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=environment,
            cwd="/",
        )
    child.pid = child.popen.pid
    assert child.popen.stdout is not None
    child.ready_fd = os.dup(child.popen.stdout.fileno())
    child.popen.stdout.close()
