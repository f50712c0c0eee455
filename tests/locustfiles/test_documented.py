"""The scenario of docs/scenarios.md, installed as the page says, under plain `locust -f` on a bundled cloud."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.rundir import RunDirectory
from tests.outside import block, documented, importable, install


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    code, entries = documented("scenarios.md")
    entries["squall.scenarios"] |= {"gone": "my_package.gone:Gone", "no_class": "my_package.rename:choose"}
    experiment = block("scenarios.md", "yaml")
    files = {"my_package/__init__.py": "", "my_package/rename.py": code, "my_package/rename.yaml": experiment}
    with importable(install(tmp_path / "site", files, entries)):
        yield tmp_path / "site"


def test_the_scenario_of_the_page_runs_its_own_experiment(site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", str(site / "my_package" / "rename.py"), "--headless"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode in (0, 3), ran.stderr[-4000:]  # 3: a machine so busy that it cannot judge a cloud
    (path,) = (tmp_path / "runs").iterdir()
    run = RunDirectory.open(path)
    operations = run.read("operations").to_pandas()
    assert operations["error"].isna().all(), operations["error"].dropna().tolist()
    kinds = operations["kind"].value_counts().to_dict()
    assert kinds["server.rename"] == kinds["server.create"] == kinds["server.stop"] == kinds["server.delete"] >= 8
    creates = operations[operations["kind"] == "server.create"]
    assert (creates["gone_ns"] - creates["ready_ns"] < 20e9).all(), "its journey did not hang until the drain was over"
    assert "PUT /servers/{id}" in set(run.read("requests").to_pandas()["route"])
    assert json.loads((path / "run.json").read_text())["name"] == "rename"


@pytest.mark.usefixtures("site")
def test_a_scenario_that_cannot_be_had_is_refused_in_a_sentence() -> None:
    swarms = [{"scenario": name} for name in ("rename", "gone", "no_class", "nowhere")]
    command = [sys.executable, "-m", "harness.swarm", "check"]
    ran = subprocess.run(
        command, input=json.dumps({"swarms": swarms}), capture_output=True, text=True, timeout=60, check=False
    )
    answers = json.loads(ran.stdout)
    assert answers[0] == {"problem": None, "servers_each": 1}
    _, gone, no_class, nowhere = [str(answer["problem"]) for answer in answers]
    assert gone.startswith("scenario 'gone' cannot be loaded (gone = 'my_package.gone:Gone', acme): ")
    assert "No module named 'my_package.gone'" in gone
    assert "wanted a class of harness.swarm.scenario.Scenario, got <function choose" in no_class
    assert nowhere.startswith("no scenario 'nowhere'; known: background, burst, gone,")
