"""One contract over every registered fault: visible while on, gone after, healed whatever happens, twice = once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import faults
from faults.errors import TargetUnfit
from faults.holding import holding
from faults.journal import journal_of, journals
from faults.means.control import EmulatorControl, ProxyControl
from faults.probes import probe
from faults.processes import descendants
from faults.targets import Target, read_target
from tests.faults.server import ROOT, wait_for

# What each is asked for here, by its name or its last word; a fault with a default for each parameter needs no line.
PARAMS: dict[str, dict[str, Any]] = {
    "latency": {"latency": "60 ms", "jitter": "5 ms"},
    "hang": {"unanswered": "300 ms"},
    "cloud.truth": {"switch": "stale_read"},
}
CASES = sorted(faults.catalogue())


def target_of(fault: str, servers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By the first word of its name. A fault that is not for a server of this protocol, as it says, is left out."""
    word = fault.partition(".")[0]
    data = servers[word if word in ("database", "cloud") else "broker"]
    kind = faults.catalogue()[fault]
    assert not kind.unusable, f"{fault} {kind.unusable}"
    problems = kind(params_of(fault)).problems(read_target(data), 30 * 10**9)
    if unfit := [problem for problem in problems if problem.startswith("its target's probe: ")]:
        pytest.skip(unfit[0])
    return data


def params_of(fault: str) -> dict[str, Any]:
    return PARAMS.get(fault) or PARAMS.get(fault.split(".")[1], {})


def state_of(data: dict[str, Any]) -> dict[str, Any]:
    """What must be the same before and after: processes running, toxics, an answer; or truth switches."""
    target = read_target(data)
    if target.emulator is not None:
        controls = target.emulator.controls.items()
        return {name: EmulatorControl(each, target.emulator.token).switches() for name, each in controls}
    assert target.link is not None
    assert target.process is not None
    assert target.probe is not None
    root = target.process.identity()
    return {
        "stopped": [process.pid for process in [root, *descendants(root)] if process.is_stopped],
        "link": ProxyControl(target.link.control, target.link.token).link(target.link.name),
        "healthy": probe(target.probe, 5.0).is_healthy,
        "healthy through the link": probe(target.probe, 5.0, listen_of(target)).is_healthy,
    }


def listen_of(target: Target) -> str:
    assert target.link is not None
    return str(ProxyControl(target.link.control, target.link.token).link(target.link.name)["listen"])


def write_plan(path: Path, fault: str, target: dict[str, Any], for_s: float = 30.0) -> Path:
    plan = {
        "run_id": "contract",
        "run_dir": str(path),
        "faults": [
            {
                "id": f"1-{fault}",
                "fault": fault,
                "target": "target",
                "start_ns": 0,
                "duration_ns": round(for_s * 1e9),
                "params": params_of(fault),
            }
        ],
        "targets": {"target": target},
    }
    (path / "plan.json").write_text(json.dumps(plan))
    return path / "plan.json"


def events(path: Path) -> list[str]:
    lines = (path / "faults.jsonl").read_text().splitlines() if (path / "faults.jsonl").exists() else []
    return [json.loads(line)["event"] for line in lines]


@pytest.mark.parametrize("fault", CASES)
def test_visible_while_on_gone_after_a_body_that_raises_and_undo_twice_is_undo_once(
    fault: str, servers: dict[str, dict[str, Any]]
) -> None:
    target = target_of(fault, servers)
    before = state_of(target)
    records = []

    def body() -> None:
        with holding(fault, target, params_of(fault)) as injection:
            assert injection.fault.bites(injection.target)
            assert injection.fault.evidence()
            state = journals()[0].read()
            assert state is not None
            assert [one.fault for one in state.open.values()] == [fault]
            records.append(state.open["1"].record)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert state_of(target) == before
    assert journals() == []
    process = read_target(target).process
    running = process and process.identity()
    again = faults.catalogue()[fault]()  # knows nothing but the record, as a new process does
    again.undo(records[0])
    again.undo(records[0])
    assert again.is_gone(records[0])
    assert (process and process.identity()) == running
    assert state_of(target) == before


@pytest.mark.parametrize("fault", CASES)
def test_a_second_injection_is_refused_or_adds_up_as_declared(fault: str, servers: dict[str, dict[str, Any]]) -> None:
    target = target_of(fault, servers)
    kind = faults.catalogue()[fault]
    planned = [
        {"id": str(i), "fault": fault, "target": "t", "start_ns": 0, "duration_ns": 10**9, "params": params_of(fault)}
        for i in (1, 2)
    ]
    problems = faults.validate(planned, {"t": target})
    assert bool(problems) is not kind.stacks, problems
    if not kind.stacks:
        # The plan says no; and should a second one come from elsewhere, so does the target.
        with holding(fault, target, params_of(fault)), pytest.raises(TargetUnfit):
            kind(params_of(fault), key="second").prepare(read_target(target))
        return
    before = state_of(target)
    with holding(fault, target, params_of(fault)) as first, holding(fault, target, params_of(fault)) as second:
        assert first.fault.bites(first.target)
        assert second.fault.bites(second.target)
    assert state_of(target) == before


STEPS = ["opened", "injected", "bites", "undoing", "undone"]
# Database and broker share each means: each step has one of the two, and all of them in `make drills`.
TWINS = {f"{where}.{what}" for where in ("database", "broker") for what in ("latency", "hang", "crash")}
KILLS = [
    (fault, event, ("watched", "alone")[(i + j) % 2])
    for i, event in enumerate(STEPS)
    for j, fault in enumerate(CASES)
    if "SQUALL_DRILLS" in os.environ or fault not in TWINS or (i + fault.startswith("database.")) % 2
]


@pytest.mark.parametrize(("fault", "event", "watch"), KILLS)
def test_healed_after_kill_9_in_each_step(
    fault: str,
    event: str,
    watch: str,
    servers: dict[str, dict[str, Any]],
    tmp_path: Path,
    own_environment: dict[str, str],
) -> None:
    target = target_of(fault, servers)
    before = state_of(target)
    plan = write_plan(tmp_path, fault, target, for_s=0.6 if event.startswith("undo") else 30)
    command = [sys.executable, "-m", "tests.faults.killed", str(plan), event, watch]
    done = subprocess.run(command, cwd=ROOT, env=own_environment, timeout=60, check=False)
    assert done.returncode == -9, events(tmp_path)
    if watch == "alone":
        assert len(faults.open_faults()) == 1
        report = faults.heal()
        assert (len(report.healed), report.open) == (1, [])
    else:
        wait_for(lambda: not journal_of("contract").path.exists(), 30, "the watchdog closes and removes the journal")
    assert faults.heal().healed == []
    assert state_of(target) == before
