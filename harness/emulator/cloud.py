"""A whole emulated cloud: `up`, `status`, `down` for the command line, `EmbeddedCloud` for the engine and for tests.

    python -m harness.emulator.cloud up --state DIR [--hypervisors 20] [--time-scale 0.1] [--free-ports | --port-base N]
    python -m harness.emulator.cloud status --state DIR
    python -m harness.emulator.cloud down --state DIR [--wipe]

Exit codes: 0 done; 1 it could not be done, or something of the cloud is dead; 2 usage; 3 (`status`) no cloud runs here.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from harness import supervise
from harness.emulator import settings as settings_module
from harness.emulator.children import with_root
from harness.emulator.settings import CONVENTIONAL_PORTS, DEFAULT_PORT_BASE, Settings

START_WITHIN_S = 120.0
DOWN_WITHIN_S = 30.0
# Below the range that the kernel gives to outgoing connections, so that none takes a port between choice and use.
FREE_PORTS = range(20_000, 32_000)


class CloudError(Exception):
    """The cloud could not be started, reached or ended. After a failed start nothing is left running."""


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


class EmbeddedCloud:
    """A cloud that lives as long as this object's `with` block, and no longer than this process.

    Args:
        settings: what it is like; ports, passwords and tokens that are missing are filled in.
        state: its directory; made if missing. Logs, settings and clouds.yaml stay there, data does not.
        fixed_ports: keep the ports of the settings; default: free ones.
        logs: where its logs go instead; the whole state directory is then removed at the end, even when we are killed.
    """

    def __init__(self, settings: Settings, state: Path, *, fixed_ports: bool = False, logs: Path | None = None) -> None:
        self.settings = settings
        self.state = state
        self._fixed_ports = fixed_ports
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None
        self._parent_end = -1

    def __enter__(self) -> "EmbeddedCloud":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns when every process serves. Raises: CloudError; nothing is left running then."""
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
            self.state.mkdir(parents=True, exist_ok=True)
            (self.state / "logs").symlink_to(self._logs.resolve())
        prepare(self.settings, self.state, fixed_ports=self._fixed_ports)
        read_end, self._parent_end = os.pipe()
        try:
            self._process = _launch(self.state, parent_fd=read_end)
        except BaseException:
            os.close(self._parent_end)
            raise
        finally:
            os.close(read_end)
        self.settings = settings_module.load(self.state)

    def close(self) -> None:
        """End everything and remove the data. Safe to repeat."""
        if self._process is None:
            return
        os.close(self._parent_end)
        try:
            self._process.wait(DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its guardian ends the rest
            self._process.wait()
        self._process = None

    @property
    def clouds_yaml(self) -> Path:
        """For OS_CLIENT_CONFIG_FILE; clouds `admin` and `demo`."""
        return self.state / "clouds.yaml"

    def url(self, service: str) -> str:
        return self.settings.url(service)

    def status(self) -> CloudStatus:
        return status(self.state)

    def restart(self, name: str) -> dict[str, Any]:
        """End a process (SIGKILL) and start it again; returns when it is ready. Raises: CloudError."""
        return ask(self.state, {"do": "restart", "name": name})

    def kill(self, name: str, number: int = signal.SIGKILL) -> dict[str, Any]:
        """Send a signal to one process by name. Raises: CloudError."""
        return ask(self.state, {"do": "kill", "name": name, "signal": int(number)})

    def stop(self, name: str) -> dict[str, Any]:
        """End a process for good (until `restart`). Raises: CloudError."""
        return ask(self.state, {"do": "stop", "name": name})

    def pid(self, name: str) -> int:
        """The pid of a process by name. Raises: KeyError."""
        for process in supervise.PidFile.read(self.state / "pids.json"):
            if process.name == name:
                return process.pid
        raise KeyError(name)


def up(settings: Settings, state: Path) -> float:
    """Start a cloud that outlives us; returns when it is ready, with the seconds that took. Raises: CloudError."""
    running = status(state)
    if running.running:
        raise CloudError(f"a cloud is already running in {state}; end it first: squall cloud down --state {state}")
    began = time.monotonic()
    prepare(settings, state, fixed_ports=True)
    _launch(state, parent_fd=None)
    return time.monotonic() - began


def down(state: Path, *, wipe: bool = False) -> bool:
    """End the cloud of a state directory, however it is. Returns whether there was anything to end.

    Args: wipe: remove the state directory too, with all data.
    Raises: CloudError when a process would not end.
    """
    entries = supervise.PidFile.read(state / "pids.json")
    was_there = any(entry.alive for entry in entries)
    with contextlib.suppress(CloudError):
        ask(state, {"do": "down"})
    left = supervise.wait_gone(entries, 1.0)
    left = supervise.kill_families(left) if left else []
    if left:
        raise CloudError(f"still there: {', '.join(f'{process.name} (pid {process.pid})' for process in left)}")
    if wipe:
        _wipe(state)
    return was_there


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


def prepare(settings: Settings, state: Path, *, fixed_ports: bool) -> None:
    """Fill in ports and secrets, write settings.json and clouds.yaml, end what a dead run left. Raises: CloudError."""
    try:
        _make_directories(state)
        _end_leftovers(state)
        with contextlib.suppress(OSError, ValueError):
            _keep_secrets(settings, settings_module.load(state))
        settings.fill_secrets()
        settings.glance.filesystem_store_datadir = settings.glance.filesystem_store_datadir or str(state / "images")
        _fill_ports(settings, fixed_ports=fixed_ports)
        settings_module.save(settings, state)
        settings_module.write_private(state / "clouds.yaml", clouds_yaml(settings).encode())
    except OSError as error:
        raise CloudError(f"{state}: {error.strerror or error}") from error


def clouds_yaml(settings: Settings) -> str:
    """For openstacksdk; JSON, which is YAML."""

    def cloud(user: str, project: str, password: str) -> dict[str, Any]:
        return {
            "auth": {
                "auth_url": settings.auth_url,
                "username": user,
                "password": password,
                "project_name": project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": settings.region,
            "identity_api_version": 3,
            "interface": "public",
        }

    clouds = {
        "admin": cloud("admin", "admin", settings.admin_password),
        "demo": cloud("demo", "demo", settings.demo_password),
    }
    return json.dumps({"clouds": clouds}, indent=1) + "\n"


def free_port(taken: set[int]) -> int:
    """A port that nobody listens on, out of the way of outgoing connections. Adds it to `taken`."""
    dice = random.SystemRandom()
    for _ in range(1000):
        port = dice.choice(FREE_PORTS)
        if port not in taken and _is_free("127.0.0.1", port):
            taken.add(port)
            return port
    raise CloudError(f"no free port found between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def _fill_ports(settings: Settings, *, fixed_ports: bool) -> None:
    taken: set[int] = set(settings.ports.values()) if fixed_ports else set()
    for service, port in settings.ports.items():
        if not fixed_ports:
            settings.ports[service] = free_port(taken)
        elif not _is_free(settings.host, port):
            raise CloudError(
                f"port {port} of {service} is in use; end what listens there or choose others with --port-base"
            )
    proxied = settings.proxy.enabled
    for where in (settings.database, settings.broker):
        if where.embedded:
            where.server_host = "127.0.0.1"
            where.server_port = free_port(taken)
        if proxied:
            where.host, where.port = "127.0.0.1", free_port(taken)
        else:
            where.host, where.port = where.server_host, where.server_port
    if settings.broker.embedded:
        settings.broker.management_port = free_port(taken)
    settings.proxy.control_port = free_port(taken) if proxied else 0
    settings.control_ports = {name: free_port(taken) for name, _, _ in settings.processes()}


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _make_directories(state: Path) -> None:
    # Others may pass through but not look: the database's own user must get to its data. Secrets are 0600 each.
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o711 if os.geteuid() == 0 else 0o700)
    (state / "logs").mkdir(mode=0o700, exist_ok=True)


def _end_leftovers(state: Path) -> None:
    left = supervise.kill_families(supervise.PidFile.read(state / "pids.json"))
    if left:
        raise CloudError(f"a former run's {left[0].name} (pid {left[0].pid}) does not end")
    for name in ("control.json", "pids.json"):
        (state / name).unlink(missing_ok=True)


def _keep_secrets(settings: Settings, former: Settings) -> None:
    """A database that is kept knows its password, and keystone its users'."""
    for name in ("admin_password", "demo_password", "service_password", "control_token"):
        if not getattr(settings, name):
            setattr(settings, name, getattr(former, name))
    if settings.database.embedded and former.database.embedded and not settings.database.password:
        settings.database.password = former.database.password


def _launch(state: Path, *, parent_fd: int | None) -> "subprocess.Popen[bytes]":
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
            process.terminate()
            raise CloudError(f"the cloud was not ready within {START_WITHIN_S:.0f} s; see {state}/logs") from None
        except BaseException:
            process.terminate()
            process.wait()
            raise
    message = json.loads(line) if line else {"error": f"the supervisor ended; see {state}/logs/supervisor.log"}
    if "error" in message:
        process.wait(DOWN_WITHIN_S)
        raise CloudError(message["error"])
    return process


def _read_line(descriptor: int, within_s: float) -> bytes:
    import select

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


def _wipe(state: Path) -> None:
    from harness.emulator import postgres

    with contextlib.suppress(postgres.PostgresUnavailable):
        postgres.kept_directory(state, remove=True)
    shutil.rmtree(state, ignore_errors=True)


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


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m harness.emulator.cloud`."""
    parser = argparse.ArgumentParser(prog="python -m harness.emulator.cloud")
    parser.add_argument("do", choices=["up", "status", "down"])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--hypervisors", type=int, default=20)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--port-base", type=int, default=DEFAULT_PORT_BASE)
    parser.add_argument("--free-ports", action="store_true")
    parser.add_argument("--wipe", action="store_true")
    options = parser.parse_args(arguments)
    try:
        match options.do:
            case "up":
                return _up(options)
            case "down":
                there = down(options.state, wipe=options.wipe)
                print("ended" if there else f"no cloud ran in {options.state}")
                return 0
            case _:
                return show(options.state)
    except CloudError as error:
        print(f"squall: {error}", file=sys.stderr)
        return 1


def _up(options: argparse.Namespace) -> int:
    document = {
        "time_scale": options.time_scale,
        "hypervisors": {"count": options.hypervisors},
        "ports": {name: options.port_base + port for name, port in CONVENTIONAL_PORTS.items()},
    }
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        print(f"squall: {error}", file=sys.stderr)
        return 2
    if options.free_ports:
        taken: set[int] = set()
        settings.ports = {name: free_port(taken) for name in settings.ports}
    took_s = up(settings, options.state)
    print(f"ready after {took_s:.1f} s")
    print(f"export OS_CLIENT_CONFIG_FILE={str(options.state / 'clouds.yaml')!r} OS_CLOUD=demo")
    return 0


def show(state: Path) -> int:
    """Print the table of `status`. Returns its exit code."""
    now = status(state)
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


if __name__ == "__main__":
    sys.exit(main())
