"""Real servers behind a real proxy: one PostgreSQL, one embedded broker, one proxy for the whole session."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.embedded import embedded_targets
from faults.means.control import ProxyControl
from faults.probes import probe
from faults.processes import descendants, identify
from faults.secret import Secret
from faults.targets import ProbeMeans, read_target
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings
from tests.faults.server import ROOT, restart_argv, wait_for
from tests.servers.processes import port as own_port

TOKEN = "a token for the tests only"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def end_tree(pid: int) -> None:
    """SIGKILL exactly one process that a test has started, with its children."""
    root = identify(pid)
    if root is not None:
        for process in [root, *descendants(root)]:
            process.send(signal.SIGKILL)


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of a test are its own."""
    monkeypatch.setenv("SQUALL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


class Proxy:
    """A proxy process of the tests."""

    def __init__(self, directory: Path, links: list[dict[str, str]], **more: Any) -> None:
        self.token_file = directory / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.token_file.chmod(0o600)
        config = {"control": {"token_file": str(self.token_file)}, "links": links, **more}
        (directory / "proxy.json").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.proxy", "--config", str(directory / "proxy.json")],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.control_address: str = ready["control"]
        self.links: dict[str, str] = ready["links"]
        self.control = ProxyControl(self.control_address, Secret(file=str(self.token_file)))

    def address(self, link: str) -> tuple[str, int]:
        host, _, port = self.links[link].rpartition(":")
        return host, int(port)

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


KINDS = {  # program -> target, protocol, what must be installed
    "postgresql": ("database", "postgresql", ""),
    "broker": ("broker", "amqp", ""),
    "mariadb": ("database", "mysql", "/usr/sbin/mariadbd"),
    "rabbitmq": ("broker", "amqp", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
}
USER = "squall"
DATABASES = {"postgresql": "postgres", "mariadb": "squall"}


class Targets(dict[str, dict[str, Any]]):
    """Targets by name; the bundled cloud is started for the first who asks for it."""

    def __init__(self, base: Path, closing: contextlib.ExitStack) -> None:
        super().__init__()
        self._base, self._closing = base, closing

    def __missing__(self, name: str) -> dict[str, Any]:
        assert name == "cloud"
        settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=2))
        cloud = self._closing.enter_context(EmbeddedCloud(settings, self._base / "cloud"))
        self[name] = embedded_targets(cloud.state)[name]
        return self[name]


@pytest.fixture(
    scope="session",
    params=["postgresql+broker", pytest.param("mariadb+rabbitmq", marks=pytest.mark.servers("MariaDB", "RabbitMQ"))],
)
def servers(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, Any]]]:
    """Targets `database` and `broker`, each with all means; servers of our own, of the wheel or of Debian.

    The database's account may do everything there.
    """
    kinds = request.param.split("+")
    missing = [KINDS[kind][2] for kind in kinds if KINDS[kind][2] and not Path(KINDS[kind][2]).exists()]
    if missing or ("mariadb" in kinds and os.geteuid() != 0):
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing more'} (make test-full)")
    # Not under pytest's own directory: PostgreSQL runs as another user when the tests run as root.
    base = Path(tempfile.mkdtemp(prefix="squall-faults-"))
    base.chmod(0o711)
    emulated = contextlib.ExitStack()
    found = Targets(base, emulated)
    parents: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        for kind in kinds:
            name, protocol, _ = KINDS[kind]
            directory = base / kind
            directory.mkdir(mode=0o711)
            port, password = own_port(), secrets.token_hex(8)
            document = {"port": port, "password": password}
            if kind == "rabbitmq":
                document |= {"epmd_port": own_port(), "dist_port": own_port()}
            (directory / "server.json").write_text(json.dumps(document))
            (directory / "secret").write_text(password + "\n")
            parents[directory] = subprocess.Popen(restart_argv(kind, directory), cwd="/")
            probed = ProbeMeans(protocol, f"127.0.0.1:{port}")  # type: ignore[arg-type]
            wait_for(lambda probed=probed: probe(probed, 1.0).is_healthy, 90, f"{kind} is up")
            found[name] = {
                "kind": name,
                "process": {"pid_file": str(directory / "pid")},
                "restart": {"argv": restart_argv(kind, directory)},
                "probe": {"protocol": protocol, "address": f"127.0.0.1:{port}"},
            }
            if name == "database":  # with an account and a database, as an embedded cloud's has
                account = {"user": USER, "password": {"file": str(directory / "secret")}, "database": DATABASES[kind]}
                found[name]["probe"] |= account
                means = read_target(found[name]).probe
                assert means is not None
                wait_for(lambda means=means: probe(means, 5.0).is_healthy, 30, f"{kind} lets {USER} in")
        links = [
            {"name": name, "listen": "127.0.0.1:0", "upstream": target["probe"]["address"]}
            for name, target in found.items()
        ]
        proxy = Proxy(base, links)
        try:
            for name, target in found.items():
                token = {"file": str(proxy.token_file)}
                target["link"] = {"control": proxy.control_address, "name": name, "token": token}
            yield found
        finally:
            proxy.close()
    finally:
        emulated.close()
        for directory, parent in parents.items():
            if (directory / "pid").exists():
                end_tree(int((directory / "pid").read_text()))
            parent.wait(10)
            if directory.name == "rabbitmq":
                epmd_port = str(json.loads((directory / "server.json").read_text())["epmd_port"])
                kill = ["epmd", "-port", epmd_port, "-kill"]  # refuses as long as it has not seen its node die
                wait_for(
                    lambda kill=kill: b"Killed" in subprocess.run(kill, capture_output=True, check=False).stdout, 10
                )
        subprocess.run(["rm", "-rf", str(base)], check=False)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Makes proxies that end with the test."""
    made: list[Proxy] = []

    def make(upstreams: dict[str, int], **more: Any) -> Proxy:
        directory = tmp_path / f"proxy-{len(made)}"
        directory.mkdir()
        links = [
            {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"} for name, port in upstreams.items()
        ]
        made.append(Proxy(directory, links, **more))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.close()
        elif each.process.stdout is not None:
            each.process.stdout.close()


@pytest.fixture
def own_environment(state_directory: Path) -> dict[str, str]:
    """For child processes of a test."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "SQUALL_STATE_DIR": str(state_directory)}
