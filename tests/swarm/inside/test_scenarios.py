"""Scenarios are found by file name or entry point, refuse what they do not know, and scale as the web page says."""

import importlib.metadata
from pathlib import Path

import pytest
import yaml

from harness import extensions
from harness.swarm.plain import at_rate, base_rate, locust_user
from harness.swarm.scenario import Scenario, ScenarioError, experiment_path, find


@pytest.mark.parametrize("name", ["burst", "lifecycle", "network_setup", "background"])
def test_a_file_is_a_scenario_with_its_experiment(name: str) -> None:
    found = find(name)
    assert found.name == name
    assert found.__doc__ or __import__(f"locustfiles.{name}", fromlist=["x"]).__doc__
    assert experiment_path(found).is_file()
    assert found({}).option == dict(found.options)


def test_an_unknown_scenario_or_option_is_named_with_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="background, burst, lifecycle, network_setup"):
        find("storm")
    with pytest.raises(ScenarioError, match=r"unknown option 'server'; it has .*servers"):
        find("burst")({"server": 3})


class Foreign(Scenario):
    name = "foreign"
    experiment = "x.yaml"


def test_another_package_adds_one_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("foreign", f"{__name__}:Foreign", extensions.SCENARIOS)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [entry])
    assert find("foreign") is Foreign


def test_the_pages_number_is_the_rate_of_all_open_swarms_together(tmp_path: Path) -> None:
    document = {
        "swarms": [
            {"name": "a", "arrivals": {"kind": "poisson", "rate": 15}},
            {"name": "b", "arrivals": {"kind": "ramp", "from": 1, "to": 5}},
            {"name": "c", "arrivals": {"kind": "burst", "count": 7}},
        ]
    }
    experiment = tmp_path / "e.yaml"
    experiment.write_text(yaml.safe_dump(document))
    assert base_rate(experiment) == 20
    (tmp_path / "made").mkdir()
    assert at_rate(experiment, 20, tmp_path / "made") == experiment
    scaled = at_rate(experiment, 40, tmp_path / "made")
    swarms = yaml.safe_load(scaled.read_text())["swarms"]
    assert [swarm["arrivals"] for swarm in swarms] == [
        {"kind": "poisson", "rate": 30}, {"kind": "ramp", "from": 2, "to": 10}, {"kind": "burst", "count": 7},
    ]  # fmt: skip


def test_locust_knows_a_scenario_by_the_rate_it_means() -> None:
    assert locust_user(find("network_setup")).__name__ == "NetworkSetupArrivalsPerSecond"
