"""Locust's web page with our locustfile, used as a person does: Start makes a cloud and a run, Stop winds it up."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.rundir import RunDirectory
from tests.servers.chromium import Page
from tests.servers.processes import Processes, accepts, port

pytestmark = [pytest.mark.servers("Chromium"), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
RUN_WITHIN_S = 120.0
EXPERIMENT = """\
version: 1
name: page
time_scale: 0.1
cloud: {emulator: {hypervisors: 4}}
client: {level: adapter, workers: 1}
phases:
  - {name: warm-up, kind: warm-up, for: 1 s}
  - {name: load, kind: load, for: 10 min}
swarms:
  - {name: mix, scenario: background, arrivals: {kind: poisson, rate: 5}}
  - {name: one post, scenario: burst, arrivals: {kind: burst, count: 1}, options: {servers: 3}}
drain: 20 s
settle: 1 s
"""
STATE = "return document.body.innerText.includes(arguments[0])"


@pytest.fixture
def locust(processes: Processes, tmp_path: Path) -> Iterator[str]:
    """The page's URL; Locust runs in `tmp_path` and ends with the test, with all it has started."""
    experiment, number = tmp_path / "page.yaml", port()
    experiment.write_text(EXPERIMENT)
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "burst.py")]
    command += ["--experiment", str(experiment), "--web-host", "127.0.0.1", "--web-port", str(number)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {"SQUALL_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    processes.start("locust", command, env=environment, cwd=tmp_path)
    try:
        processes.wait("locust", lambda: accepts(number), READY_WITHIN_S)
        yield f"http://127.0.0.1:{number}/"
    finally:
        processes.end("locust", within_s=RUN_WITHIN_S)


def button(text: str) -> str:
    """Where a button is: pages show in capitals what they hold as `Start`."""
    return f"//button[normalize-space() = '{text.capitalize()}' or normalize-space() = '{text.upper()}']"


def test_start_and_stop_clicked_make_a_run_with_a_verdict(
    locust: str, browse: Callable[[int], Page], processes: Processes, tmp_path: Path
) -> None:
    page = browse(1280)
    page.requests()
    page.open(locust)
    page.wait(STATE, "READY")
    assert "arrivals per second" in page.run("return document.documentElement.outerHTML")
    start(page)
    page.open(locust)
    page.wait("return /http:..127\\.0\\.0\\.1:\\d+.v3/.test(document.body.innerText)")
    assert all(url.startswith(locust) for url in page.requests() if url.startswith("http"))
    page.click(button("stop"))
    page.wait(STATE, "STOPPED", within_s=RUN_WITHIN_S)

    (run,) = (tmp_path / "runs").iterdir()
    log = processes.log("locust")
    processes.wait("locust", lambda: "the run ended with exit code" in log.read_text(), RUN_WITHIN_S)
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["exit_code"] == 130, "Stop is an interruption, and says so"
    assert re.search(r"exit code 130\b", log.read_text())
    assert {finding["code"] for finding in verdict["findings"]} == set()
    created = RunDirectory(run).read("operations").to_pandas()
    assert len(created[created["kind"] == "server.create"]) == 3
    rates = RunDirectory(run).read("requests").to_pandas()
    assert (rates["status"] < 400).all()
    assert (run / "report.html").stat().st_size > 10_000
    assert page.console() == []

    page.open(locust)
    page.wait(STATE, "STOPPED")
    page.click(button("new"))
    start(page)
    processes.wait("locust", lambda: log.read_text().count("phase 'load'") == 2, RUN_WITHIN_S)
    page.click(button("stop"))
    processes.wait("locust", lambda: log.read_text().count("the run ended with exit code 130") == 2, RUN_WITHIN_S)
    second = {path for path in (tmp_path / "runs").iterdir() if path != run}
    assert [json.loads((path / "verdict.json").read_text())["exit_code"] for path in second] == [130]
    assert page.console() == []

    page.open((run / "report.html").as_uri())
    assert re.search(r"interrupted", page.text())
    assert page.console() == []


def start(page: Page) -> None:
    """Fill in the form, press Start, and wait until there is load."""
    html = page.run("return document.documentElement.outerHTML")
    assert "the bundled cloud" in html
    assert "No host" not in html
    page.type("//input[@name='userCount']", "8")
    page.type("//input[@name='spawnRate']", "8")
    page.click(button("start"))
    page.wait(STATE, "/servers/{id}", within_s=RUN_WITHIN_S)
    page.wait(STATE, "RUNNING")
