"""`cloud.truth` beyond the contract: what it may be asked for, and how it ends when all who could end it are dead."""

import time
from collections.abc import Callable
from typing import Any

import pytest

import faults
from faults.cloud import truth
from faults.errors import TargetUnfit
from faults.fault import UndoRecord
from faults.means.control import ControlRefused, EmulatorControl
from faults.secret import Secret
from faults.targets import EmulatorMeans, read_target
from harness.emulator.settings import TruthSettings
from tests.faults.conftest import free_port
from tests.faults.server import wait_for
from tests.faults.test_contract import state_of

PARAMS = {"switch": "stale_read"}


def means_of(data: dict[str, Any]) -> EmulatorMeans:
    means = read_target(data).emulator
    assert means is not None
    return means


def test_it_knows_every_switch_of_the_cloud() -> None:
    assert sorted(truth.SWITCHES) == sorted(TruthSettings.__struct_fields__)


def test_a_probability_of_zero_or_an_unknown_switch_is_refused() -> None:
    target = {"kind": "cloud", "emulator": {"controls": {"api": "127.0.0.1:1"}, "token": {"env": "TOKEN"}}}
    planned = {"id": "1", "fault": "cloud.truth", "target": "cloud", "start_ns": 0, "duration_ns": 10**9}

    def problems(**params: Any) -> str:
        return "; ".join(faults.validate([{**planned, "params": params}], {"cloud": target}))

    assert problems(**PARAMS) == ""
    assert "wanted more than zero" in problems(**PARAMS, probability="0 %")
    assert "wanted one of lost_cast, " in problems(switch="lost_casts")
    assert "'switch' is missing" in problems()


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ({"controls": {}, "token": {"env": "TOKEN"}}, "at least one process"),
        ({"controls": {"api": "nowhere"}, "token": {"env": "TOKEN"}}, "emulator.controls.api: wanted host:port"),
        ({"controls": {"api": "127.0.0.1:1"}, "token": {}}, "emulator.token: wanted exactly one of file and env"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(means: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_target({"kind": "cloud", "emulator": means})


def test_with_nobody_left_to_end_it_each_process_ends_it_by_itself(
    servers: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nemesis and watchdog are dead, and nobody runs `squall heal`."""
    monkeypatch.setattr(truth, "LEASE_S", 0.5)
    target = read_target(servers["cloud"])
    before = state_of(servers["cloud"])
    fault = truth.Truth(PARAMS)
    record = fault.prepare(target)
    fault.inject(target)
    assert fault.bites(target)
    wait_for(lambda: fault.is_gone(record), 10, "the lease is over")
    assert not fault.still_on(target)
    assert "in 0 of " in fault.evidence()
    fault.keep_alive(record)  # a heartbeat that comes too late turns nothing on
    assert state_of(servers["cloud"]) == before


def test_a_heartbeat_lets_the_lease_run_anew(
    servers: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = read_target(servers["cloud"])
    monkeypatch.setattr(truth, "LEASE_S", 2.0)
    fault = truth.Truth(PARAMS)
    record = fault.prepare(target)
    fault.inject(target)
    first_over = time.monotonic() + 2.0
    monkeypatch.setattr(truth, "LEASE_S", 60.0)
    fault.keep_alive(record)
    wait_for(lambda: time.monotonic() > first_over + 0.5, 10)
    assert fault.still_on(target)
    fault.undo(record)
    assert fault.is_gone(record)


def test_of_a_cloud_that_is_gone_nothing_is_on() -> None:
    means = {"controls": {"api": f"127.0.0.1:{free_port()}"}, "token": {"file": "/nowhere/settings.json"}}
    record = UndoRecord("cloud.truth", {"switch": "lost_cast", "emulator": means})
    fault = truth.Truth()
    fault.undo(record)
    assert fault.is_gone(record)
    with pytest.raises(TargetUnfit, match="api at "):
        truth.Truth(PARAMS).prepare(read_target({"kind": "cloud", "emulator": means}))


def test_without_the_token_it_is_refused(servers: dict[str, dict[str, Any]], tmp_path: Any) -> None:
    (tmp_path / "token").write_text("wrong")
    means = means_of(servers["cloud"])
    control = EmulatorControl(means.controls["api"], Secret(file=str(tmp_path / "token")))
    calls: list[Callable[[], object]] = [control.switches, lambda: control.turn("lost_cast", 1)]
    for call in calls:
        with pytest.raises(ControlRefused, match="emulator control answered 401"):
            call()
