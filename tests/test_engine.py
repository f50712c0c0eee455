"""Whole runs, short ones: on a cloud of their own, and on one that stays and can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest

from harness.cloud import janitor
from harness.cloud.session import connect
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings
from harness.rundir import TABLES, RunDirectory
from harness.supervise import PidFile, family

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent
BURST = """\
version: 1
name: short
seed: 11
time_scale: 0.05
cloud: {name: demo, admin: admin}
client: {workers: 1, ready: active}
phases:
  - {name: load, kind: load, for: 2 s}
swarms:
  - {name: reads, scenario: background, arrivals: {kind: poisson, rate: 5}}
  - name: burst
    scenario: burst
    arrivals: {kind: burst, count: 4, over: 1 s}
    at: {phase: load}
    options: {servers: 2, delete: false}
    deadline: 30 s
drain: 30 s
"""


@dataclass
class Ran:
    """One run that is over."""

    code: int
    said: str
    directory: RunDirectory

    @property
    def verdict(self) -> dict[str, Any]:
        return dict(self.directory.read_json("verdict.json"))

    @property
    def damage(self) -> set[str]:
        """Codes of what the audit found."""
        return {each["code"] for each in self.verdict["findings"]}

    def arrivals(self) -> list[tuple[str, int, int]]:
        """Every intended operation of the run: its kind, number and time."""
        rows = self.directory.read("operations").to_pylist()
        return sorted((row["kind"], row["operation_id"], row["intended_ns"]) for row in rows)


Squall = Callable[..., Ran]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Not pytest's own: the user that the database runs as must get through."""
    directory = Path(tempfile.mkdtemp(prefix="squall-engine-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def cloud(place: Path) -> Iterator[EmbeddedCloud]:
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=20))
    settings.database.fsync = False
    settings.nova.build.low_s = settings.nova.build.high_s = 0.1
    with EmbeddedCloud(settings, place / "cloud") as running:
        yield running


@pytest.fixture
def squall(place: Path, request: pytest.FixtureRequest) -> Squall:
    """Runs an experiment to its end; on the standing cloud when the test has one."""
    clouds = {}
    if "cloud" in request.fixturenames:
        clouds["OS_CLIENT_CONFIG_FILE"] = str(request.getfixturevalue("cloud").clouds_yaml)

    def run(text: str, *arguments: str, **environment: str) -> Ran:
        directory = Path(tempfile.mkdtemp(dir=place))
        (directory / "experiment.yaml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", "run", "experiment.yaml", "--run-dir", "run", *arguments],
            cwd=directory,
            env={**os.environ, "SQUALL_STATE_DIR": str(directory / "state"), **clouds, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr, RunDirectory(directory / "run"))

    return run


@contextmanager
def misbehaving(cloud: EmbeddedCloud, processes: list[str], **truth: float) -> Iterator[None]:
    """Truth switches on, in some processes, for the length of a block; what they leave for ever is removed."""
    for name in processes:
        set_truth(cloud, name, truth)
    try:
        yield
    finally:
        for name in processes:
            set_truth(cloud, name, dict.fromkeys(truth, 0.0))
        forget_allocations(cloud)


def set_truth(cloud: EmbeddedCloud, process: str, truth: dict[str, float]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{cloud.settings.control_ports[process]}/__squall/truth",
        data=json.dumps(truth).encode(),
        method="PUT",
        headers={"X-Squall-Token": cloud.settings.control_token},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert truth.items() <= json.load(answer).items()


def forget_allocations(cloud: EmbeddedCloud) -> None:
    """Nothing else would ever remove what leaked."""
    admin = openstack.connect(load_envvars=False, **auth(cloud, "admin"))
    placement = admin.placement
    for provider in placement.get("/resource_providers").json()["resource_providers"]:
        for consumer in placement.get(f"/resource_providers/{provider['uuid']}/allocations").json()["allocations"]:
            assert placement.delete(f"/allocations/{consumer}").status_code == 204
    admin.close()


def auth(cloud: EmbeddedCloud, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(cloud.clouds_yaml.read_text())["clouds"][name]
    return entry


# A run on a cloud of its own.


EMBEDDED = """\
version: 1
name: whole
seed: 5
time_scale: 0.1
cloud: {emulator: {hypervisors: 20, build: {low: 0.1 s, high: 0.2 s}}}
client: {workers: 2, ready: port_active}
phases:
  - {name: baseline, kind: baseline, for: 2 s}
  - name: storm
    kind: fault
    for: 4 s
    faults:
      - {fault: database.latency, target: database, for: 2 s, latency: 2 ms}
      - {fault: broker.hang, target: broker, after: 500 ms, for: 1500 ms}
  - {name: recovery, kind: recovery, for: 2 s}
swarms:
  - {name: reads, scenario: background, arrivals: {kind: poisson, rate: 5}}
  - {name: network set-up, scenario: network_setup, arrivals: {kind: constant, rate: 1}, phases: [recovery]}
  - {name: burst, scenario: burst, arrivals: {kind: burst, count: 1}, at: {phase: storm}, options: {servers: 20}}
slos:
  - {phase: storm, swarm: burst, measure: success_ratio, at_least: 99 %}
drain: 30 s
settle: 2 s
"""


def test_a_run_is_complete_and_leaves_no_secret(squall: Squall, place: Path) -> None:
    temporary = place / "tmp"
    temporary.mkdir(mode=0o711)
    with secrets_written_below(temporary) as secrets:
        ran = squall(EMBEDDED, TMPDIR=str(temporary))
    assert ran.code == 0, ran.said
    assert not list(temporary.iterdir())
    assert {"pass"} == {phase["verdict"] for phase in ran.verdict["phases"]} - {"none"}
    assert [(fault["bit"], fault["gone"]) for fault in ran.verdict["faults"]] == [(True, True)] * 2
    there = {str(path.relative_to(ran.directory.path)) for path in ran.directory.path.rglob("*") if path.is_file()}
    documents = ["run.json", "plan.json", "experiment.yaml", "faults.jsonl", "verdict.json"]
    documents += ["report.html", "junit.xml", "summary.md", "ledger/worker-0.jsonl", "ledger/worker-1.jsonl"]
    documents += [f"snapshots/{name}.json.gz" for name in ("before", "after", "cleaned")]
    documents += [f"tables/{name}.parquet" for name in TABLES]
    documents += [f"logs/cloud/{name}.log" for name in ("api", "conductor", "compute", "database", "broker", "proxy")]
    assert set(documents) <= there
    assert not {path for path in there if path.endswith((".arrows", ".part", "pids.json", "settings.json"))}
    rows = {name: ran.directory.read(name).num_rows for name in ("requests", "operations", "gauges", "health")}
    assert min(rows.values()) > 0, rows
    assert len(secrets) >= 5, secrets
    for path in ran.directory.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [name for name, secret in secrets.items() if secret.encode() in data], path


@contextmanager
def secrets_written_below(directory: Path) -> Iterator[dict[str, str]]:
    """Every password and token in a settings.json that appears while the block runs."""
    found: dict[str, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05) and not found:
            for path in directory.glob("*/settings.json"):
                try:
                    found.update(_secrets_of(json.loads(path.read_bytes())))
                except (OSError, ValueError):
                    continue  # not yet, or not any more

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield found
    finally:
        over.set()
        watching.join()


def _secrets_of(document: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _secrets_of(value, f"{path}{key}.")
        elif isinstance(value, str) and len(value) > 7 and any(word in key for word in ("password", "token", "secret")):
            yield f"{path}{key}", value


# What the audit must find, and what it must not.


@pytest.fixture(scope="module")
def arrivals() -> list[list[tuple[str, int, int]]]:
    """Of the runs of BURST so far: all have one seed."""
    return []


@pytest.mark.parametrize(
    ("truth", "processes", "change", "found"),
    [
        (None, [], "", set()),
        ("lost_cast", ["conductor"], "drain: 2 s", {"stuck_build", "leaked_allocation"}),
        ("duplicate_fixed_address", ["api"], "", {"duplicate_address"}),
        ("created_500", ["api"], "", {"unexpected_server"}),
        ("leaked_allocation", ["api", "compute"], "delete: true", {"leaked_allocation", "not_conserved"}),
    ],
    ids=lambda value: str(value) if isinstance(value, str) and value and ":" not in value else "",
)
def test_the_audit_finds_exactly_what_is_wrong(
    cloud: EmbeddedCloud,
    squall: Squall,
    arrivals: list[list[tuple[str, int, int]]],
    truth: str | None,
    processes: list[str],
    change: str,
    found: set[str],
) -> None:
    key = change.partition(":")[0]
    text = re.sub(rf"{key}: [\w ]+", change, BURST) if change else BURST
    with misbehaving(cloud, processes, **({truth: 1.0} if truth else {})):
        ran = squall(text)
    assert ran.damage == found, ran.said + json.dumps(ran.verdict["findings"], indent=1)
    assert ran.code == (5 if found else 0), ran.said
    assert ran.directory.read_json("run.json")["left_behind"] == [], ran.said
    # The same seed asks for the same at the same times, whatever the cloud makes of it.
    arrivals.append([each for each in ran.arrivals() if each[0] == "server.create"])
    assert len(arrivals[-1]) == 8
    assert arrivals[-1] == arrivals[0]


STALE = """\
version: 1
name: stale
seed: 6
time_scale: 0.05
cloud: {name: demo, admin: admin}
client: {workers: 1, ready: active}
allow: [cloud.truth]
phases:
  - {name: baseline, kind: baseline, for: 1 s}
  - name: stale
    kind: fault
    for: 7 s
    faults: [{fault: cloud.truth, target: cloud, for: 6 s, switch: stale_read}]
swarms:
  - {name: life, scenario: lifecycle, arrivals: {kind: burst, count: 1}, at: {phase: stale, after: 1 s}}
drain: 10 s
settle: 100 ms
"""


def test_a_bug_that_is_switched_on_for_a_time_is_a_fault_like_others(cloud: EmbeddedCloud, squall: Squall) -> None:
    ran = squall(STALE)
    assert ran.damage == {"stale_read"}, ran.said + json.dumps(ran.verdict["findings"], indent=1)
    assert ran.code == 5, ran.said
    (fault,) = ran.verdict["faults"]
    assert (fault["bit"], fault["gone"]) == (True, True), ran.said
    reads = [row for row in ran.directory.read("operations").to_pylist() if row["kind"] == "server.read"]
    assert [(row["status"], row["error"]) for row in reads] == [("NOT_FOUND", "the server is not found")]


def test_a_bug_is_not_switched_on_without_leave(cloud: EmbeddedCloud, squall: Squall) -> None:
    ran = squall(STALE.replace("allow: [cloud.truth]\n", ""))
    assert ran.code == 2, ran.said
    assert "allow" in ran.said


UNKNOWN = """\
version: 1
name: unknown
seed: 3
time_scale: 0.05
cloud: {name: demo, admin: admin}
client: {workers: 1, ready: active}
targets:
  decoy: {kind: broker, process: {pid: PID}, probe: {protocol: amqp, address: "127.0.0.1:PORT"}}
phases:
  - name: load
    kind: fault
    for: 3 s
    faults: [{fault: broker.hang, target: decoy, after: 500 ms, for: 1500 ms}]
swarms:
  - {name: at once, scenario: background, arrivals: {kind: burst, count: 50}, at: {phase: load}, max_in_flight: 1}
slos:
  - {phase: load, route: "GET /nothing", measure: response_p50, at_most: 1 s}
  - {phase: load, swarm: at once, measure: response_p50, at_most: 10 s}
drain: 5 s
settle: 100 ms
"""


def test_what_cannot_be_told_is_unknown(cloud: EmbeddedCloud, squall: Squall) -> None:
    """No samples; arrivals that the client dropped; a broker that answers while a process that it is not hangs."""
    decoy = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    try:
        text = UNKNOWN.replace("PID", str(decoy.pid)).replace("PORT", str(cloud.settings.broker.server_port))
        ran = squall(text)
    finally:
        decoy.kill()
        decoy.wait()
    assert ran.code == 3, ran.said
    assert ran.verdict["verdict"] == "unknown"
    (fault,) = ran.verdict["faults"]
    assert (fault["bit"], fault["gone"]) == (False, True)
    (load,) = ran.verdict["phases"]
    assert [target["verdict"] for target in load["targets"]] == ["unknown", "unknown"], ran.said
    reasons = [target["reason"] for target in load["targets"]]
    assert ("no samples" in reasons[0], "the client was the limit" in reasons[1]) == (True, True), reasons


LIMITED = """\
version: 1
name: limited
seed: 5
time_scale: 0.05
cloud: {name: demo, admin: admin}
client: {workers: 1, ready: active}
phases:
  - {name: load, kind: load, for: 60 s}
swarms:
  - {name: life, scenario: lifecycle, arrivals: {kind: constant, rate: 5}, options: {think_s: 1.0}}
limits: LIMITS
drain: 30 s
"""


@pytest.mark.parametrize(
    ("limits", "truth", "says"),
    [
        ("{max_servers: 3}", {}, "servers are more than limits.max_servers = 3"),
        ("{abort_error_ratio: 0.05, abort_after: 1 s}", {"created_500": 1.0}, "more than 5% errors for 1 s"),
    ],
)
def test_a_passed_limit_ends_the_load_and_is_no_interruption(
    cloud: EmbeddedCloud, squall: Squall, limits: str, truth: dict[str, float], says: str
) -> None:
    with misbehaving(cloud, ["api"] if truth else [], **truth):
        ran = squall(LIMITED.replace("LIMITS", limits) + "expect: {exit: 6}\n")
    assert "ABORTED: " in ran.said
    assert says in ran.said
    document = ran.directory.read_json("run.json")
    assert (document["interrupted"], says in document["aborted"]) == (False, True)
    assert ran.verdict["true_exit_code"] == 6, ran.said
    assert ran.code == 0, "the drill expects just that"
    assert document["stopped_ns"] < 30e9


def test_a_burst_that_names_no_number_is_held_to_the_limit_all_the_same(squall: Squall, cloud: EmbeddedCloud) -> None:
    ran = squall(BURST.replace("options: {servers: 2, delete: false}", "options: {}") + "limits: {max_servers: 100}\n")
    assert ran.code == 2
    assert "wanted at least the 2000 servers that the bursts ask for; got 100" in ran.said


# What a killed worker takes with it.


LONG = """\
version: 1
name: long
seed: 4
time_scale: 0.05
cloud: {name: demo, admin: admin}
client: {workers: 2, ready: active}
phases: [{name: load, kind: load, for: 8 s}]
swarms:
  - {name: reads, scenario: background, arrivals: {kind: constant, rate: 10}}
  - {name: lives, scenario: lifecycle, arrivals: {kind: constant, rate: 2}, options: {think_s: 20}}
drain: 1 s
"""


def test_a_killed_worker_is_missed_and_its_work_accounted_for(
    cloud: EmbeddedCloud, squall: Squall, place: Path
) -> None:
    killed: list[str] = []
    over = threading.Event()

    def kill_one() -> None:
        """As soon as both have intended servers: these are then open for 20 seconds and more."""
        while not over.wait(0.1):
            for ledger in place.glob("*/run/ledger/worker-1.jsonl"):
                if len(ledger.read_bytes().splitlines()) >= 2:
                    pid = worker_of(ledger.parent.parent, 1)
                    if pid is not None:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(ledger.stem)
                        return

    killing = threading.Thread(target=kill_one)
    killing.start()
    try:
        ran = squall(LONG)
    finally:
        over.set()
        killing.join()
    assert killed == ["worker-1"], ran.said
    run = ran.directory.read_json("run.json")
    assert [lost["name"] for lost in run["worker_lost"]] == killed
    assert ran.code == 3, ran.said
    assert run["left_behind"] == [], ran.said
    accounts = {each["swarm"]: each for each in ran.verdict["arrivals"]}
    assert {name: each["planned"] for name, each in accounts.items()} == {"reads": 80, "lives": 16}
    for each in accounts.values():
        told = [each[fate] for fate in ("completed", "failed", "broken", "open", "dropped")]
        assert each["planned"] == sum(told) + each["lost"] + each["cancelled"], each
        # The other worker's half is whole.
        assert 0 < each["lost"] <= each["planned"] // 2, each
        assert each["cancelled"] == 0, each
        assert any(f"arrivals of '{each['swarm']}' were lost" in reason for reason in ran.verdict["reasons"])
    rows = [row for row in ran.directory.read("operations").to_pylist() if row["process"] == "worker-1"]
    intended = [line["operation_id"] for line in ran.directory.read_lines("ledger/worker-1.jsonl")]
    kept = {row["operation_id"] for row in rows if row["error"] and "worker was lost" in row["error"]}
    assert kept, rows
    assert set(intended) <= {row["operation_id"] for row in rows}
    assert "lost" in (ran.directory.path / "report.html").read_text()


def worker_of(run_dir: Path, index: int) -> int | None:
    """The pid of a load worker of a run, by its master, which the run's pid file names."""
    for master in PidFile.read(run_dir / "logs" / "pids.json"):
        for each in family([master]):
            command = Path(f"/proc/{each.pid}/cmdline")
            with contextlib.suppress(OSError):
                if command.read_bytes().split(b"\0")[-3:-1] == [b"--index", str(index).encode()]:
                    return each.pid
    return None


def test_cleaning_waits_for_what_is_still_in_flight(cloud: EmbeddedCloud) -> None:
    """A POST that hangs somewhere when its sender dies lands after the first look, which found nothing."""
    mark = "squall-late"
    entry = auth(cloud, "demo")
    sdk = openstack.connect(load_envvars=False, **entry)
    flavor, image = next(iter(sdk.compute.flavors())), next(iter(sdk.image.images()))
    network = sdk.network.find_network("private", ignore_missing=False)
    server = {"name": f"{mark}-1", "flavorRef": flavor.id, "imageRef": image.id, "networks": [{"uuid": network.id}]}
    body = json.dumps({"server": server}).encode()
    head = f"POST /v2.1/servers HTTP/1.1\r\nHost: nova\r\nX-Auth-Token: {sdk.auth_token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", cloud.settings.ports["nova"])) as posting:
        posting.sendall(head.encode() + body[:10])
        threading.Timer(1.0, posting.sendall, (body[10:],)).start()
        with contextlib.closing(connect("demo", clouds_file=str(cloud.clouds_yaml))) as connection:
            report = janitor.sweep(connection, [mark], quiet_s=4.0)
        posting.settimeout(30)
        assert b" 202 " in posting.recv(4096)
    assert report.left == []
    assert (report.found["server"], report.deleted["server"]) == (1, 1)
    assert not list(sdk.compute.servers(name=mark))
    sdk.close()


def test_a_wrong_password_is_refused(cloud: EmbeddedCloud, squall: Squall, place: Path) -> None:
    clouds = cloud.clouds_yaml.read_text().replace(cloud.settings.demo_password, "not the password")
    (place / "wrong.yaml").write_text(clouds)
    ran = squall(BURST, OS_CLIENT_CONFIG_FILE=str(place / "wrong.yaml"))
    assert ran.code == 2, ran.said
    assert "squall: cloud 'demo' cannot be used" in ran.said
    assert "401" in ran.said
    assert "Traceback" not in ran.said
    assert not ran.directory.path.exists()
