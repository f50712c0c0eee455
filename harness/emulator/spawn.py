"""How a cloud's processes come to life: backing servers as commands of their own, roles as forks of the supervisor."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.emulator.settings import Settings, write_private

ROOT = Path(__file__).resolve().parent.parent.parent


def with_root(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process of ours that starts in another directory: our packages are found first."""
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def spawn_broker(settings: Settings, state: Path, log: Path) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the embedded broker. Returns it and a pipe to read: a line says that it is ready, its end that it ended."""
    password_file = state / "broker-password"
    write_private(password_file, settings.broker.password.encode() + b"\n")
    command = [sys.executable, "-m", "harness.emulator.broker"]
    command += ["--listen", f"{settings.broker.server_host}:{settings.broker.server_port}"]
    command += ["--management", f"{settings.broker.server_host}:{settings.broker.management_port}"]
    if settings.broker.server_socket:
        command += ["--socket", settings.broker.server_socket]
    command += ["--user", settings.broker.user, "--password-file", str(password_file)]
    return _spawn(command, log)


def spawn_proxy(
    settings: Settings, state: Path, log: Path, *, database_socket: str
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the fault proxy with its two links. Returns what `spawn_broker` does.

    Args: database_socket: where the database listens beside its port; empty when it does not.
    """
    servers = (
        ("database", settings.database, database_socket),
        ("broker", settings.broker, settings.broker.server_socket),
    )
    links = [
        {
            "name": name,
            "listen": f"{where.host}:{where.port}",
            "listen_socket": where.socket,
            "upstream": f"{where.server_host}:{where.server_port}",
            "upstream_socket": server_socket,
        }
        for name, where, server_socket in servers
    ]
    config = {
        "control": {"listen": f"127.0.0.1:{settings.proxy.control_port}", "token": settings.control_token},
        "ready_file": str(state / "proxy-ready.json"),
        "seed": settings.seed,
        "links": links,
    }
    write_private(state / "proxy.json", json.dumps(config, indent=1).encode())
    return _spawn([sys.executable, "-m", "faults.proxy", "--config", str(state / "proxy.json")], log)


def fork_role(settings: Settings, name: str, role: str, index: int, log: Path) -> tuple[int, int]:
    """Fork a process that plays a role. Returns its pid and a pipe to read: a byte says that it is ready."""
    ready_read, ready_write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _play(settings, name, role, index, log, ready_write)
    os.close(ready_write)
    return pid, ready_read


def _play(settings: Settings, name: str, role: str, index: int, log: Path, ready_fd: int) -> None:
    """In the forked process: let go of everything of the supervisor's and play the role."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.dup2(ready_fd, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        from harness.emulator import process

        code = process.run(settings, name, role, index, ready_fd=3)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _spawn(command: list[str], log: Path) -> tuple["subprocess.Popen[bytes]", int]:
    with log.open("ab") as file:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env=with_root(os.environ),
            cwd="/",
        )
    assert popen.stdout is not None
    ready_fd = os.dup(popen.stdout.fileno())
    popen.stdout.close()
    return popen, ready_fd
