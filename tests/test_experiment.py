"""Wrong experiments are refused with file, line, wanted and got, before anything is touched."""

from pathlib import Path
from typing import Any

import pytest

from harness.experiment import ExperimentInvalid, json_schema, load, parse
from harness.plan import check_load, make_plan
from tests.sample import GOOD

# Ten to the ninth elements when its aliases are followed.
BOMB = (
    "[&a [x, x, x, x, x, x, x, x, x, x]"
    + "".join(f", &{one} [{', '.join(['*' + other] * 10)}]" for other, one in zip("abcdefgh", "bcdefghi", strict=True))
    + "]"
)


def planned(text: str, file: str = "good.yaml") -> dict[str, Any]:
    """The plan, as far as it can be checked without loading scenarios: bursts ask for what their options say."""
    source = parse(text, file)
    plan = make_plan(source)
    for swarm in plan["swarms"]:
        swarm["servers_each"] = swarm["options"].get("servers", 0)
    check_load(source, plan)
    return plan


def test_every_experiment_that_we_ship_is_valid() -> None:
    paths = sorted((Path(__file__).parent.parent / "experiments").glob("*.yaml"))
    assert paths
    for path in paths:
        make_plan(load(path))


def test_the_plan_has_absolute_times() -> None:
    plan = make_plan(parse(GOOD, "good.yaml"))
    assert [(p["name"], p["start_ns"] / 1e9, p["end_ns"] / 1e9) for p in plan["phases"]] == [
        ("baseline", 0, 20),
        ("storm", 20, 40),
        ("after", 40, 60),
    ]
    assert [(f["id"], f["start_ns"] / 1e9, f["duration_ns"] / 1e9) for f in plan["faults"]] == [
        ("1-database.hang", 22, 3)
    ]
    assert [(s["name"], s["start_ns"] / 1e9) for s in plan["swarms"]] == [("reads", 0), ("burst", 21)]
    assert plan["slos"][0]["limit"] == 500e6


@pytest.mark.parametrize(
    ("instead_of", "write", "says"),
    [
        ("for: 20 s}", "for: 20}", "bad.yaml:5: phases[0].for: wanted a duration with its unit"),
        ("for: 20 s}", "for: -1 s}", "bad.yaml:5: phases[0].for: wanted a duration"),
        ("for: 20 s}", "for: 20 m}", "bad.yaml:5: phases[0].for: wanted a duration"),
        ("name: small", "nam: small", "unknown key 'nam'; did you mean 'name'?"),
        ("rate: 10", "rate: 0", "bad.yaml:13: swarms[0].arrivals.rate: wanted a number > 0.0; got 0"),
        ("kind: poisson", "kind: poison", "wanted one of constant, poisson, burst, ramp, closed; got 'poison'"),
        (
            "hypervisors: 10",
            "hypervisors: many",
            "cloud.emulator.hypervisors: wanted a whole number; got 'many'",
        ),
        ("version: 1", "version: 2", "bad.yaml:1: version: wanted 1; got 2"),
        ("name: small", "name: small\nname: big", "bad.yaml:3: key 'name' is given twice"),
        (
            "name: small",
            "name: small\n3: big",
            "bad.yaml:3: wanted a word as key, in quotes if it looks like none; got 3",
        ),
        (
            "name: small",
            "name: small\non: big",
            "bad.yaml:3: wanted a word as key, in quotes if it looks like none; got on",
        ),
        ("measure: response_p95", "measure: p95", "wanted one of response_p95"),
        ("at_most: 500 ms", "at_most: 500", "wanted a duration"),
        ("at_most: 500 ms", "at_least: 1 s, at_most: 500 ms", "exactly one of 'at_most' and 'at_least'"),
        (
            "after: 2 s, for: 3 s",
            "after: 18 s, for: 3 s",
            "bad.yaml:10: phases[1].faults[0]: wanted a fault that ends within",
        ),
        ("kind: fault", "kind: load", "wanted faults only in phases of kind 'fault'"),
        ("{phase: storm,", "{phase: strom,", "wanted one of after, baseline, storm; got 'strom'"),
        ("name: after", "name: storm", "wanted a name of its own; got 'storm' again"),
        ("{phase: baseline, route", "{phase: base, route", "wanted one of after, baseline, storm; got 'base'"),
        ("kind: burst, count: 1", "kind: burst, count: 1, over: 50 s", "wanted a burst that is over before the run is"),
        ("response_p95", "response_p0", "wanted one of response_p95"),
        ("at_most: 500 ms", "at_least: 500 ms", "wanted 'at_most' for response_p95"),
        (
            "measure: response_p95, at_most: 500 ms",
            "measure: availability, at_most: 99 %",
            "wanted 'at_least' and more",
        ),
        (
            "measure: response_p95, at_most: 500 ms",
            "measure: availability, at_least: 0 %",
            "wanted 'at_least' and more",
        ),
        ("measure: response_p95", "measure: response_p95, fault: database.hang", "'fault' would be ignored"),
        ("name: small", "name: small\ndrain: 30", "bad.yaml:3: drain: wanted a duration with its unit"),
        ("max_servers: 200", "max_servers: 50", "wanted at least the 100 servers that the bursts ask for; got 50"),
        ("response_p95", "response_p99.9", "too short to be able to fail this: wanted at least 1000 samples"),
        ("at_most: 10 s", "at_most: 60 s", "too short to be able to fail this: wanted more than 60 s of load after"),
        ("rate: 10", "rate: .inf", "bad.yaml:13: swarms[0].arrivals.rate: wanted a number <= 1000000.0; got inf"),
        (
            "rate: 10",
            "rate: 1e9",
            "bad.yaml:13: swarms[0].arrivals.rate: wanted a number <= 1000000.0; got 1000000000.0",
        ),
        ("for: 20 s}", "for: 99999999999999 h}", "wanted a duration from zero to a year; got '99999999999999 h'"),
        ("name: small", "name: small\nseed: 99999999999999999999", "bad.yaml:3: seed: wanted a whole number <= 92233"),
        ("name: small", "name: sm\0all", "bad.yaml:2: not YAML: special characters are not allowed: 0x0"),
        ("name: small", "name: größe", "bad.yaml:2: name: wanted letters, digits"),
        ("name: small", "name: &a [*a]", "bad.yaml: not YAML that can be read"),
        ("name: small", f"name: {BOMB}", "bad.yaml: wanted at most 10,000 elements"),
        ("name: small", "name: !!python/name:os.system x", "bad.yaml:2: not YAML: could not determine a constructor"),
        (
            "kind: baseline",
            "kind: bse",
            "phases[0].kind: wanted one of warm-up, baseline, fault, recovery, load; got 'bse'",
        ),
        ("{emulator", "{{emulator", "bad.yaml:4: not YAML"),
        (GOOD, "", "the file is empty"),
        (GOOD, "- 1", "wanted keys with values; got [1]"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(instead_of: str, write: str, says: str) -> None:
    text = GOOD.replace(instead_of, write, 1)
    assert text != GOOD
    with pytest.raises(ExperimentInvalid) as caught:
        planned(text, "bad.yaml")
    assert says in str(caught.value)
    assert str(caught.value).startswith("bad.yaml:")


def test_a_missing_or_binary_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ExperimentInvalid, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ExperimentInvalid, match="wanted UTF-8"):
        load(tmp_path / "binary.yaml")


def test_the_schema_for_editors_knows_every_key() -> None:
    text = str(json_schema())
    for key in ("phases", "arrivals", "hypervisors", "for", "slos", "expect"):
        assert f"'{key}'" in text


def test_a_fault_that_follows_on_a_swarm_starts_at_the_latest_so_that_it_ends_with_its_phase() -> None:
    text = GOOD.replace("after: 2 s, for: 3 s", "follows: burst, after: 300 ms, for: 3 s")
    (fault,) = make_plan(parse(text, "good.yaml"))["faults"]
    assert (fault["follows"], fault["after_ns"], fault["start_ns"]) == ("burst", 300_000_000, 37 * 10**9)
    with pytest.raises(ExperimentInvalid, match="wanted one of burst, reads; got 'nobody'"):
        make_plan(parse(text.replace("follows: burst", "follows: nobody"), "bad.yaml"))
