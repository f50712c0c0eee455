"""Wrong plans are refused from data alone, each problem in one sentence that begins with the fault's id."""

import os
from pathlib import Path
from typing import Any

import pytest

import faults
from faults.errors import TargetUnfit
from faults.processes import identify
from faults.targets import ProcessMeans, read_target

SECRET = {"file": "/nonexistent"}
TARGET = {
    "kind": "database",
    "link": {"control": "127.0.0.1:1", "name": "db", "token": SECRET},
    "process": {"pid": 1},
    "restart": {"argv": ["true"]},
    "probe": {"protocol": "postgresql", "address": "127.0.0.1:1"},
}
S = 10**9


def planned(id: str, fault: str, start_s: float, for_s: float, target: str = "db", **params: Any) -> dict[str, Any]:
    times = {"start_ns": round(start_s * S), "duration_ns": round(for_s * S)}
    return {"id": id, "fault": fault, "target": target, "params": params, **times}


def test_a_sound_plan_has_no_problem() -> None:
    plan = [
        planned("1", "database.latency", 0, 5, latency="40 ms", jitter="5 ms", connections="50 %"),
        planned("2", "database.latency", 3, 5, latency="40 ms"),
        planned("3", "database.hang", 1, 2),
        planned("4", "database.crash", 4, 2, down="1.4 s"),
    ]
    assert faults.validate(plan, {"db": TARGET}) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (planned("7", "database.latencyy", 0, 1), "unknown fault 'database.latencyy'; wanted one of broker.crash,"),
        (planned("7", "database.hang", 0, 1, target="dbx"), "unknown target 'dbx'; wanted one of bare, db"),
        (planned("7", "database.latency", 0, 1), "parameter 'latency' is missing"),
        (planned("7", "database.latency", 0, 1, latency="40"), "a number and one of ns, us, ms"),
        (planned("7", "database.latency", 0, 1, latency=40), "got 40"),
        (planned("7", "database.latency", 0, 1, latency="-40 ms"), "from zero to a year"),
        (planned("7", "database.latency", 0, 1, latency="10 us"), "wanted 1 ms or more"),
        (planned("7", "database.latency", 0, 1, latency="40 ms", direction="up"), "wanted one of downstream, upstream"),
        (planned("7", "database.latency", 0, 1, latency="40 ms", connections=1.5), "ratio from 0 to 1"),
        (planned("7", "database.hang", 0, 1, latency="1 s"), "unknown parameter 'latency'; wanted one of unanswered"),
        (planned("7", "database.hang", 0, 0), "wanted a fault of 100 ms or more"),
        (planned("7", "database.crash", 0, 1, target="bare"), "has no process, restart"),
    ],
)
def test_each_mistake_is_named(fault: dict[str, Any], said: str) -> None:
    bare = {"kind": "database", "probe": TARGET["probe"]}
    problems = faults.validate([fault], {"db": TARGET, "bare": bare})
    assert len(problems) == 1, problems
    assert problems[0].startswith("7: ")
    assert said in problems[0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (planned("7", "database.hang", 0, 1), "'unanswered': wanted at most 80% of `for` (1 s)"),
        (planned("7", "database.hang", 0, 5, unanswered="6 s"), "got 6 s; lower it or hold the fault longer"),
        (planned("7", "database.hang", 0, 5, unanswered="0 s"), "wanted 100 ms or more"),
        (planned("7", "broker.hang", 0, 5, target="tcp"), "wanted protocol postgresql, mysql or amqp; got tcp"),
        (planned("7", "database.latency", 0, 5, target="tcp", latency="5 ms"), "got tcp, which the kernel answers"),
        (planned("7", "database.latency", 0, 5, latency="5 ms", jitter="5 ms"), "at least 1 ms below latency (5 ms)"),
        (planned("7", "database.latency", 0, 5, latency="5 ms", jitter="1 s"), "got 1 s"),
        (planned("7", "database.latency", 0, 5, latency="5 ms", connections="0 %"), "wanted a share above zero"),
        (planned("7", "database.latency", 0, 5, latency="2 s"), "its proof waits for 3 late answers, 6 s in all"),
        (planned("7", "database.latency", 0, 5, latency="1 s", direction="both"), "lower it or hold the fault longer"),
        (planned("7", "database.latency", 0, 5, target="mysql", latency="5 ms", direction="upstream"), "greets first"),
        (planned("7", "database.crash", 0, 5, down="6 s"), "'down': wanted at most `for` (5 s); got 6 s"),
        (planned("7", "database.crash", 0, 5, down="0 s"), "wanted 100 ms or more"),
    ],
)
def test_what_could_not_be_proved_or_would_outlast_itself_is_refused(fault: dict[str, Any], said: str) -> None:
    others = {
        protocol: {**TARGET, "probe": {"protocol": protocol, "address": "127.0.0.1:1"}} for protocol in ("tcp", "mysql")
    }
    problems = faults.validate([fault], {"db": TARGET, **others})
    assert len(problems) == 1, problems
    assert problems[0].startswith("7: ")
    assert said in problems[0]


@pytest.mark.parametrize(
    ("second", "overlaps"),
    [
        (planned("2", "database.hang", 3, 2), True),
        (planned("2", "database.crash", 4.9, 2), True),
        (planned("2", "database.hang", 5, 2), False),
        (planned("2", "database.hang", 3, 2, target="alias"), True),
        (planned("2", "database.hang", 3, 2, target="another"), False),
        (planned("2", "database.latency", 1, 9, latency="5 ms"), False),
        (planned("2", "database.latency", 5, 2, latency="5 ms"), False),
        ({**planned("2", "database.hang", 7, 2), "earliest_ns": 4 * S}, True),
    ],
)
def test_faults_that_need_the_same_process_must_not_overlap(second: dict[str, Any], overlaps: bool) -> None:
    another = {"process": {"pid": 2}, "probe": {"protocol": "postgresql", "address": "127.0.0.1:2"}}
    targets = {"db": TARGET, "alias": dict(TARGET), "another": {**TARGET, **another}}
    problems = faults.validate([planned("1", "database.hang", 2, 3), second], targets)
    assert bool(problems) is overlaps, problems
    if overlaps:
        assert problems[0].startswith("2: overlaps 1")


@pytest.mark.parametrize("start_s", [2, 4.9])
def test_a_fault_that_begins_while_another_keeps_its_server_silent_is_refused(start_s: float) -> None:
    plan = [planned("1", "database.hang", 2, 3), planned("2", "database.latency", start_s, 9, latency="5 ms")]
    for order in (plan, plan[::-1]):
        (problem,) = faults.validate(order, {"db": TARGET})
        assert problem.startswith("2: begins while 1 keeps 'db' from answering")
        assert problem.endswith("at or after 5 s of the run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "databse"}, "kind"),
        ({"proces": {}}, "proces"),
        ({"process": {}}, "exactly one of pid and pid_file"),
        ({"process": {"pid": 1, "pid_file": "x"}}, "exactly one of pid and pid_file"),
        ({"restart": {}}, "exactly one of argv and supervisor"),
        ({"restart": {"supervisor": "127.0.0.1:1"}}, "needs name and token"),
        ({"probe": {"protocol": "oracle", "address": "a:1"}}, "oracle"),
        ({"probe": {"protocol": "mysql", "address": "localhost"}}, "wanted host:port"),
        ({"link": {"control": "nowhere", "name": "x", "token": SECRET}}, "link.control"),
        ({"link": {"control": "a:1", "name": "x", "token": {}}}, "exactly one of file and env"),
        ({"link": {"control": "a:1", "name": "x", "token": "secret in the open"}}, "link.token"),
    ],
)
def test_a_wrong_target_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_target({**TARGET, **change})
    problems = faults.validate([planned("1", "database.hang", 0, 1)], {"db": {**TARGET, **change}})
    assert problems[0].startswith("1: target 'db'")
    assert "secret in the open" not in problems[0]


def test_a_recycled_or_foreign_pid_is_refused(tmp_path: Path) -> None:
    own = identify(os.getpid())
    assert own is not None
    assert ProcessMeans(pid=own.pid, start=own.start).identity() == own
    with pytest.raises(TargetUnfit, match="another one has its pid"):
        ProcessMeans(pid=own.pid, start=own.start + 1).identity()
    with pytest.raises(TargetUnfit, match="wanted 'postgres' in it"):
        ProcessMeans(pid=own.pid, command="postgres").identity()
    file = tmp_path / "pids.json"
    file.write_text(f'[{{"name": "broker", "pid": 1}}, {{"name": "me", "pid": {own.pid}, "start": "{own.start}"}}]')
    assert ProcessMeans(pid_file=str(file), name="me").identity() == own
    with pytest.raises(TargetUnfit, match="no pid for 'database'"):
        ProcessMeans(pid_file=str(file), name="database").identity()
    file.write_text(f"{own.pid}\n/data\n")
    assert ProcessMeans(pid_file=str(file)).identity() == own
    with pytest.raises(TargetUnfit, match="No such file"):
        ProcessMeans(pid_file=str(tmp_path / "none")).identity()


def test_every_fault_describes_itself() -> None:
    for name, kind in faults.catalogue().items():
        shown = kind.describe()
        assert shown.startswith(name)
        assert all(parameter.name in shown for parameter in kind.parameters)
