"""The file of fault targets: what it must name, what is read through it, and that no experiment needs an address."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from faults.errors import TargetUnfit
from faults.processes import command_line, descendants
from faults.proxy.config import load_config
from faults.targets import ProcessMeans, read_target
from harness.cli import main
from harness.experiment import ExperimentInvalid
from harness.targets import check_targets, gauge_sources, load_targets
from harness.telemetry.database import MariaDB
from tests.emulator.broker.place import Place, start_embedded, stop_embedded
from tests.emulator.waiting import wait_until

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


DOCS = Path(__file__).parent.parent / "docs"


def _blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


def test_what_the_documentation_shows_is_valid(tmp_path: Path) -> None:
    shown = [yaml.safe_load(block) for block in _blocks("real-clouds.md", "yaml") if "kind:" in block]
    shown += [
        document["targets"] for document in map(yaml.safe_load, _blocks("faults.md", "yaml")) if "targets" in document
    ]
    assert len(shown) == 3
    for document in shown:
        for each in document.values():
            read_target(each)
    [config] = _blocks("faults.md", "json")
    secret = tmp_path / "token"
    secret.write_text("a token of 24 characters\n")
    file = tmp_path / "proxy.json"
    file.write_text(config.replace("/etc/squall/proxy-token", str(secret)))
    assert [link.name for link in load_config(file).links] == ["database"]


def test_a_container_is_its_first_process_with_all_its_children(tmp_path: Path) -> None:
    """As kolla's: an init that runs `kolla_start`, and the server below it."""
    shell = ["bash", "-c", "sleep 600 & wait", "dumb-init", "--single-child", "--", "kolla_start"]
    first = subprocess.Popen(shell, start_new_session=True)
    try:
        file = tmp_path / "mariadb.pid"
        file.write_text(f"{first.pid}\n")
        wait_until(lambda: descendants(ProcessMeans(pid_file=str(file)).identity()))
        root = ProcessMeans(pid_file=str(file), command="kolla_start").identity()
        assert [command_line(child.pid) for child in descendants(root)] == ["sleep 600"]
        with pytest.raises(TargetUnfit, match="wanted 'mariadb' in it"):
            ProcessMeans(pid_file=str(file), command="mariadb").identity()
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


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
        (TARGETS, "a: {kind: database}\na: {kind: database}", "targets.yaml:2: key 'a' is given twice"),
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
    assert str(refused.value).startswith(f"{file}:")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Place]:
    place = start_embedded(tmp_path)
    yield place
    stop_embedded(place)


def test_gauges_are_read_where_a_target_has_an_account(file: Path, tmp_path: Path, broker: Place) -> None:
    targets = load_targets(file)
    assert [type(source) for source in gauge_sources(targets)] == [MariaDB]
    assert broker.management is not None
    url = f"http://{broker.management[0]}:{broker.management[1]}"
    password = {"file": str(tmp_path / "password")}
    targets["rabbit-2"] = targets["broker"] | {"management": {"url": url, "user": "openstack", "password": password}}
    check_targets(targets, file)
    source = gauge_sources(targets)[1]
    assert source.name == "broker rabbit-2"
    gauges = asyncio.run(source.read())
    assert {gauge.labels for gauge in gauges} == {"rabbit-2"}
    assert {"ready", "connections"} < {gauge.name for gauge in gauges}
