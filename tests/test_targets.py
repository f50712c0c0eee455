"""The file of fault targets: what it must name, what is read through it, and that no experiment needs an address."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cli import main
from harness.experiment import ExperimentInvalid
from harness.targets import check_targets, gauge_sources, load_targets
from harness.telemetry.database import MariaDB

EXPERIMENT = str(Path(__file__).parent.parent / "experiments" / "burst-20-faults.yaml")
TARGETS = """\
database:
  kind: database
  link: {control: 127.0.0.1:8474, name: database, token: {file: TOKEN}}
  process: {pid_file: /run/mysqld/mysqld.pid, command: mariadbd}
  restart: {argv: [systemctl, start, mariadb]}
  probe: {protocol: mysql, address: 127.0.0.1:3306, user: squall, password: {file: TOKEN}}
broker:
  kind: broker
  process: {pid_file: /run/rabbitmq/pid, command: beam.smp}
  probe: {protocol: amqp, address: 127.0.0.1:5672}
"""


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a token of 24 characters\n")
    return path


@pytest.fixture
def file(tmp_path: Path, token: Path) -> Path:
    path = tmp_path / "targets.yaml"
    path.write_text(TARGETS.replace("TOKEN", str(token)))
    return path


def test_the_file_gives_an_experiment_its_targets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", EXPERIMENT, "--cloud", "mine", "--targets", str(file), "--dry-run"]) == 0
    assert [fault["target"] for fault in json.loads(capsys.readouterr().out)["faults"]] == [
        "database",
        "broker",
        "database",
    ]


def test_without_it_a_cloud_of_yours_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", EXPERIMENT, "--cloud", "mine", "--dry-run"]) == 2
    assert "unknown target 'database'" in capsys.readouterr().err


def test_it_never_goes_with_the_bundled_cloud(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", EXPERIMENT, "--targets", str(file), "--dry-run"]) == 2
    assert "wanted --cloud beside --targets" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("instead_of", "write", "says"),
    [
        ("command: mariadbd", "comand: mariadbd", "target 'database': Object contains unknown field `comand`"),
        ("control: 127.0.0.1:8474", "control: nowhere", "target 'database': link.control: wanted host:port"),
        ("{file: TOKEN}}", "{env: SQUALL_NOT_SET}}", "target 'database': environment variable SQUALL_NOT_SET"),
        (TARGETS, "[database]", "wanted names of targets"),
        (TARGETS, "a: b: c", "not YAML"),
        (
            "kind: broker",
            "management: {url: 'https://b:1', user: u, password: {file: TOKEN}}",
            "target 'broker': management.url: wanted http://host:port",
        ),
    ],
)
def test_each_mistake_is_named(file: Path, token: Path, instead_of: str, write: str, says: str) -> None:
    file.write_text(TARGETS.replace(instead_of, write).replace("TOKEN", str(token)))
    with pytest.raises(ExperimentInvalid, match=says.replace("(", "\\(")) as refused:
        check_targets(load_targets(file), file)
    assert str(refused.value).startswith(f"{file}: ")


@pytest.fixture
def management() -> Iterator[str]:
    """As much of RabbitMQ's management API as gauges are read from."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            overview = {"queue_totals": {"messages_ready": 7}, "object_totals": {"connections": 3, "queues": 2}}
            body = json.dumps([{"mem_used": 2**20}] if self.path == "/api/nodes" else overview).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_gauges_are_read_where_a_target_has_an_account(file: Path, token: Path, management: str) -> None:
    targets = load_targets(file)
    assert [type(source) for source in gauge_sources(targets)] == [MariaDB]
    targets["rabbit-2"] = targets["broker"] | {
        "management": {"url": management, "user": "monitor", "password": {"file": str(token)}}
    }
    check_targets(targets, file)
    broker = gauge_sources(targets)[1]
    assert broker.name == "broker rabbit-2"
    gauges = {gauge.name: (gauge.source, gauge.value, gauge.labels) for gauge in asyncio.run(broker.read())}
    assert gauges["ready"] == ("broker", 7.0, "rabbit-2")
    assert gauges["connections"] == ("broker", 3.0, "rabbit-2")
