"""What runs in a state directory, asked of its supervisor and of the kernel: `status`, `show`, any other request."""

import contextlib
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import supervise
from harness.emulator import settings as settings_module
from harness.emulator.errors import CloudError
from harness.emulator.settings import Settings


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of a cloud. Memory is the proportional set size, in bytes; CPU in seconds since its start."""

    name: str
    pid: int
    state: str
    pss_bytes: int = 0
    cpu_s: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    port: str = ""


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """What `status` shows. `running`: the supervisor answers."""

    running: bool
    processes: list[ProcessStatus] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether everything that ought to run is ready."""
        return self.running and all(process.state in ("ready", "stopped") for process in self.processes)


def status(state: Path) -> CloudStatus:
    """What runs in a state directory; also when its supervisor is dead."""
    try:
        settings = settings_module.load(state)
    except (OSError, ValueError):
        return CloudStatus(running=False)
    try:
        answer = ask(state, {"do": "status"}, timeout_s=5.0)
    except CloudError:
        strays = [entry for entry in supervise.PidFile.read(state / "pids.json") if entry.alive]
        return CloudStatus(
            running=False,
            processes=[ProcessStatus(e.name, e.pid, "stray", *_usage(e.pid)) for e in strays],
        )
    control = json.loads((state / "control.json").read_bytes())
    shown = [ProcessStatus("supervisor", control["pid"], "ready", *_usage(control["pid"], family=False))]
    for row in answer["processes"]:
        usage = _usage(row["pid"]) if row["state"] in ("ready", "starting") else (0, 0.0)
        state_now = "paused" if row["state"] == "ready" and _is_stopped(row["pid"]) else row["state"]
        shown.append(
            ProcessStatus(
                row["name"],
                row["pid"],
                state_now,
                *usage,
                row["restarts"],
                row["exit_code"],
                _ports(settings, row["name"]),
            )
        )
    return CloudStatus(running=True, processes=shown)


def ask(state: Path, request: dict[str, Any], *, timeout_s: float = 60.0) -> dict[str, Any]:
    """One request to the supervisor. Raises: CloudError when there is none, or when it says no."""
    try:
        control = json.loads((state / "control.json").read_bytes())
        token = settings_module.load(state).control_token
        host, _, port = str(control["address"]).rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=timeout_s)
    except (OSError, ValueError, KeyError) as error:
        raise CloudError(f"no cloud runs in {state}") from error
    try:
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in ({"token": token}, request)))
            line = lines.readline()
    except OSError as error:
        raise CloudError(f"the supervisor of {state} does not answer: {error}") from error
    if not line:
        raise CloudError(f"the supervisor of {state} closed the connection")
    answer: dict[str, Any] = json.loads(line)
    if not answer.get("ok"):
        raise CloudError(str(answer.get("error", "refused")))
    return answer


def show(state: Path) -> int:
    """Print the table of `status`. Returns its exit code."""
    now = status(state)
    if now.processes:
        print(f"{'process':<14}{'pid':>8}  {'state':<9}{'MiB':>7}{'CPU s':>9}{'restarts':>10}  ports")
    for row in now.processes:
        exit_text = f" (exit {row.exit_code})" if row.exit_code is not None else ""
        print(
            f"{row.name:<14}{row.pid:>8}  {row.state:<9}{row.pss_bytes / 2**20:>7.1f}{row.cpu_s:>9.2f}"
            f"{row.restarts:>10}  {row.port}{exit_text}"
        )
    if not now.running:
        print(f"no cloud runs in {state}" + (" but strays do: squall cloud down" if now.processes else ""))
        return 3
    return 0 if now.healthy else 1


def _usage(pid: int, *, family: bool = True) -> tuple[int, float]:
    """PSS in bytes and CPU seconds of a process and, unless told otherwise, all its descendants."""
    pss, ticks = 0, 0
    try:
        members = [supervise.record("", pid)]
    except ProcessLookupError:
        return 0, 0.0
    if family:
        members = supervise.family(members)
    for member in members:
        with contextlib.suppress(OSError, ValueError, IndexError):
            rollup = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
            pss += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
            stat = Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
    return pss, ticks / os.sysconf("SC_CLK_TCK")


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    return False


def _ports(settings: Settings, name: str) -> str:
    if name == "database":
        return str(settings.database.server_port)
    if name == "broker":
        return f"{settings.broker.server_port} {settings.broker.management_port}"
    if name == "proxy":
        return f"{settings.database.port} {settings.broker.port}"
    return " ".join(f"{service}:{settings.ports[service]}" for service in settings.api.get(name, ()))
