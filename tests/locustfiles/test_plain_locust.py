"""Plain Locust on the bundled cloud: Start in the page makes a run, Stop ends it; every scenario does its journey."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cloud import compute, network
from harness.cloud.api import Api
from harness.cloud.session import connect
from harness.emulator.cloud import EmbeddedCloud
from harness.rundir import RunDirectory

ROOT = Path(__file__).resolve().parents[2]

EXPERIMENT = """
version: 1
name: plain
time_scale: 0.1
cloud: {{name: demo}}
phases:
  - {{name: warm-up, kind: warm-up, for: 1 s}}
  - {{name: load, kind: load, for: {load}}}
swarms:
  - {{name: mix, scenario: background, arrivals: {{kind: poisson, rate: 10}}}}
  - {{name: one post, scenario: burst, arrivals: {{kind: burst, count: 1}}, options: {{servers: 5}}}}
  - name: posts
    scenario: burst
    arrivals: {{kind: burst, count: 1}}
    options: {{servers: 3, each: true, delete: true}}
  - {{name: life, scenario: lifecycle, arrivals: {{kind: burst, count: 1}}}}
  - {{name: nets, scenario: network_setup, arrivals: {{kind: burst, count: 2}}}}
drain: 40 s
settle: 1 s
"""


def get(url: str, form: dict[str, str] | None = None) -> Any:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    with urllib.request.urlopen(url, data=data, timeout=10) as answer:
        raw = answer.read()
    return json.loads(raw) if raw.startswith(b"{") else raw.decode()


def eventually(what: Callable[[], Any], within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while True:
        try:
            found = what()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_start_and_stop_in_the_page_each_make_a_run_of_their_own(
    cloud: EmbeddedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
    experiment = tmp_path / "plain.yaml"
    experiment.write_text(EXPERIMENT.format(load="60 s"))
    port = free_port()
    page = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(ROOT / "locustfiles/burst.py"),
        "--experiment",
        str(experiment),
    ]
    command += ["--cloud", "demo", "--admin-cloud", "admin"]
    command += ["--web-port", str(port)]
    with (tmp_path / "locust.log").open("wb") as log:
        locust = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=dict(os.environ))
    try:
        assert "arrivals per second" in eventually(lambda: get(page))
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass  # it is to be reached from this machine's own address alone
        assert get(f"{page}/swarm", {"user_count": "10", "spawn_rate": "10"})["success"]
        eventually(lambda: get(f"{page}/stats/requests")["stats"][:-1])
        assert get(f"{page}/stop", {})["success"]
        (first,) = eventually(lambda: list((tmp_path / "runs").glob("*/verdict.json")))
        assert json.loads(first.read_text())["exit_code"] == 130
        eventually(lambda: get(f"{page}/stats/requests")["state"] in ("stopped", "ready"))

        experiment.write_text(EXPERIMENT.format(load="5 s"))
        eventually(lambda: "ended with exit code" in (tmp_path / "locust.log").read_text())
        assert get(f"{page}/swarm", {"user_count": "20", "spawn_rate": "20"})["success"]
        second = eventually(
            lambda: [path for path in (tmp_path / "runs").glob("*/verdict.json") if path != first], within_s=120
        )[0].parent
    finally:
        locust.terminate()
        locust.wait(60)
    operations = RunDirectory(second).read("operations").to_pandas()
    assert operations["error"].isna().all(), operations["error"].dropna().tolist()
    creates = operations[operations["kind"] == "server.create"]
    assert creates["swarm"].astype(str).value_counts().to_dict() == {"one post": 5, "posts": 3, "life": 1}
    assert creates["ready_ns"].notna().all()
    assert creates[creates["swarm"] != "one post"]["gone_ns"].notna().all()
    assert {
        "server.stop",
        "server.start",
        "server.reboot",
        "server.delete",
        "network.setup",
        "network.teardown",
    } <= set(operations["kind"])
    reads = RunDirectory(second).read("requests").to_pandas()
    mix = reads[reads["swarm"] == "mix"]
    assert 60 < len(mix) < 200  # 20 per second as the page said, for 6 s
    assert (reads["status"] < 500).all()
    api = Api(connect("demo"))
    assert not [server["name"] for server in compute.all_servers(api) if server["name"].startswith("squall-")]
    assert not [each["name"] for each in network.list_networks(api) if each["name"].startswith("squall-")]
