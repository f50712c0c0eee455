"""A RabbitMQ of the tests' own, with its own Erlang name service and cookie."""

import base64
import contextlib
import json
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from harness.emulator.settings import BrokerSettings
from tests.servers.processes import Processes, accepts, as_user, port, program, unprivileged

VARIABLES = ("SQUALL_TEST_RABBITMQ", "SQUALL_TEST_RABBITMQ_MANAGEMENT")
READY_WITHIN_S = 90.0
CONTROL = "SQUALL_TEST_RABBITMQ_CONTROL"
"""Names a file with the environment of rabbitmqctl; not there for a broker that these tests have not started."""
CONTROL_WITHIN_S = 30.0
_INSTALLED = Path("/usr/lib/rabbitmq/lib")
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = openstack
default_pass = {password}
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
log.console = true
log.console.level = warning
log.file = false
"""


def is_installed() -> bool:
    return _scripts() is not None and program("epmd") is not None


def start(processes: Processes) -> dict[str, str]:
    """Returns what the environment must say of an empty broker. Raises: ServerFailed."""
    user, scripts, epmd = unprivileged("rabbitmq"), _scripts(), program("epmd")
    assert scripts is not None
    assert epmd is not None
    home = processes.folder("rabbitmq", user)
    amqp, management, names, distribution = port(), port(), port(), port()
    password = secrets.token_hex(12)
    (home / "rabbitmq.conf").write_text(_CONFIGURATION.format(amqp=amqp, management=management, password=password))
    (home / "plugins").write_text("[rabbitmq_management].\n")
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),  # where Erlang makes its cookie
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"squall-{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_BASE": str(home),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    for file in ("rabbitmq.conf", "plugins"):
        (home / file).chmod(0o644)  # in a directory that only its owner enters
    (home / "control.json").write_text(json.dumps(environment))
    # Erlang would start one by itself, as a daemon that outlives the broker.
    processes.start("epmd", [epmd, "-port", str(names), "-address", "127.0.0.1"], user=user, env=environment)
    processes.wait("epmd", lambda: accepts(names), 10.0)
    processes.start("rabbitmq", [str(scripts / "rabbitmq-server")], user=user, env=environment)
    processes.wait("rabbitmq", lambda: accepts(amqp), READY_WITHIN_S)
    return {
        "SQUALL_TEST_RABBITMQ": f"amqp://openstack:{password}@127.0.0.1:{amqp}/",
        "SQUALL_TEST_RABBITMQ_MANAGEMENT": f"http://127.0.0.1:{management}",
        CONTROL: str(home / "control.json"),
    }


def control(*words: str) -> None:
    """Run rabbitmqctl on the broker that these tests have started. Raises: CalledProcessError, TimeoutExpired."""
    scripts = _scripts()
    assert scripts is not None
    environment = json.loads(Path(os.environ[CONTROL]).read_text())
    command = [str(scripts / "rabbitmqctl"), "--node", environment["RABBITMQ_NODENAME"], *words]
    subprocess.run(
        command,
        env=environment,
        cwd="/",
        check=True,
        timeout=CONTROL_WITHIN_S,
        capture_output=True,
        **as_user(unprivileged("rabbitmq")),
    )


def settings(**more: Any) -> BrokerSettings:
    """How the emulator reaches the broker that the environment names."""
    parts = urlsplit(os.environ["SQUALL_TEST_RABBITMQ"])
    host, number = parts.hostname or "127.0.0.1", parts.port or 5672
    return BrokerSettings(
        embedded=False,
        host=host,
        port=number,
        server_host=host,
        server_port=number,
        management_port=urlsplit(os.environ["SQUALL_TEST_RABBITMQ_MANAGEMENT"]).port or 15672,
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        **{"virtual_host": unquote(parts.path[1:]) or "/", **more},
    )


@contextlib.contextmanager
def virtual_host() -> Iterator[str]:
    """A new virtual host, so that two clouds on one broker do not hear each other; deleted after the block."""
    name, user = f"squall-{secrets.token_hex(4)}", settings().user
    _manage("PUT", f"vhosts/{name}")
    _manage("PUT", f"permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    try:
        yield name
    finally:
        _manage("DELETE", f"vhosts/{name}")


def queues(virtual_host: str) -> list[str]:
    """Names of the queues of a virtual host."""
    return [str(queue["name"]) for queue in _manage("GET", f"queues/{quote(virtual_host, safe='')}")]


def _manage(method: str, path: str, body: object = None) -> Any:
    where = settings()
    login = base64.b64encode(f"{where.user}:{where.password}".encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['SQUALL_TEST_RABBITMQ_MANAGEMENT']}/api/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"null")


def _scripts() -> Path | None:
    """The scripts themselves: those in /usr/sbin insist on the system's own user and directories."""
    found = sorted(_INSTALLED.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1].parent if found else None
