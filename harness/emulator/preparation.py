"""Before a cloud starts: its state directory, free ports, secrets, settings.json and clouds.yaml."""

import contextlib
import json
import os
import random
import resource
import socket
from pathlib import Path
from typing import Any

from harness import supervise
from harness.emulator import backends, local_sockets
from harness.emulator import settings as settings_module
from harness.emulator.errors import CloudError, CloudRefused
from harness.emulator.settings import CONVENTIONAL_PORTS, Settings

# Below the range that the kernel gives to outgoing connections, so that none takes a port between choice and use.
FREE_PORTS = range(20_000, 32_000)
# A pool of 55 connections for each of seven databases, the requests of a burst, each on a connection of its own, and
# ten thousand clients that keep theirs open.
WANTED_FILES, NEEDED_FILES = 16_384, 1024
_LISTENING = "0A"  # in /proc/net/tcp


def prepare(settings: Settings, state: Path, *, fixed_ports: bool) -> None:
    """Fill in ports and secrets, write settings.json and clouds.yaml, end what a dead run left.

    Raises: CloudRefused before anything is made, when a port is taken or too few files may be open; CloudError.
    """
    allow_open_files()
    try:
        _end_leftovers(state)
        if fixed_ports:
            _check_ports(settings)
        former = _former(state)
        is_kept = former is not None and _is_same_server(settings, former)
        backends.check(settings, kept=is_kept)
        _make_directories(state)
        if former is not None:
            _keep_secrets(settings, former)
        settings.database.is_fresh = not is_kept
        settings.fill_secrets()
        settings.glance.filesystem_store_datadir = settings.glance.filesystem_store_datadir or str(state / "images")
        _fill_ports(settings, fixed_ports=fixed_ports)
        _fill_sockets(settings, state)
        settings_module.save(settings, state)
        settings_module.write_private(state / "clouds.yaml", clouds_yaml(settings).encode())
    except OSError as error:
        raise CloudError(f"{state}: {error.strerror or error}") from error


def allow_open_files() -> None:
    """Let us and all that we start open as many files and connections as a cloud in a burst has need of.

    Raises: CloudRefused: a cloud that runs out of them fails requests of its own accord, and a verdict would blame it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    most = WANTED_FILES if hard == infinite else min(hard, WANTED_FILES)
    if most < NEEDED_FILES:
        raise CloudRefused(
            f"wanted at least {NEEDED_FILES} open files for each process; this shell allows {hard}. "
            f"Raise it first: ulimit -Hn, /etc/security/limits.conf, LimitNOFILE= or --ulimit nofile"
        )
    if soft != infinite and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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
    if not fixed_ports:
        for service in settings.ports:
            settings.ports[service] = free_port(taken)
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


def _fill_sockets(settings: Settings, state: Path) -> None:
    database, broker = settings.database, settings.broker
    database.socket = broker.socket = broker.server_socket = ""
    if not settings.proxy.enabled or not local_sockets.are_possible(state):
        return
    if database.embedded:
        database.socket = local_sockets.of_postgres(state, database.port)
    if broker.embedded:
        broker.socket = local_sockets.path(state, "broker-proxy.sock")
        broker.server_socket = local_sockets.path(state, "broker.sock")


def _check_ports(settings: Settings) -> None:
    for service, port in settings.ports.items():
        if not _is_free(settings.host, port):
            raise CloudRefused(
                f"port {port}, wanted for {service}, is in use by {_listener(port)}; end that, or choose other ports "
                f"with --port-base (now {port - CONVENTIONAL_PORTS.get(service, port)})"
            )


def _listener(port: int) -> str:
    """Who listens on a TCP port, as far as the kernel shows us: other users' processes are hidden from all but root."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(each) in sockets for each in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                return f"process {process.name} ({command[:80]})"
    return f"a process that is not ours to see; to see it, as root: ss -ltnp sport = :{port}"


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


def _former(state: Path) -> Settings | None:
    """The settings of the cloud that was here before."""
    with contextlib.suppress(OSError, ValueError):
        return settings_module.load(state)
    return None


def _is_same_server(settings: Settings, former: Settings) -> bool:
    ours, theirs = settings.database, former.database
    if ours.embedded or theirs.embedded:
        return ours.embedded and theirs.embedded
    places = [(each.dialect, each.server_host, each.server_port, each.prefix) for each in (ours, theirs)]
    return places[0] == places[1]


def _keep_secrets(settings: Settings, former: Settings) -> None:
    """A database that is kept knows its password, and keystone its users'."""
    for name in ("admin_password", "demo_password", "service_password", "control_token"):
        if not getattr(settings, name):
            setattr(settings, name, getattr(former, name))
    if settings.database.embedded and former.database.embedded and not settings.database.password:
        settings.database.password = former.database.password
