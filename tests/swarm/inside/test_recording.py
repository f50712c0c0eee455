"""What is recorded reads back as it was; Locust's table gets the same in bulk; health counts where time went."""

import os
from pathlib import Path

import pytest
from locust.stats import RequestStats

from harness.cloud.api import Exchange, RequestFailed
from harness.cloud.readiness import Seen
from harness.core.clock import MS, FakeClock, S
from harness.core.histogram import Histogram
from harness.core.outcomes import answered, unanswered
from harness.rundir import RunDirectory
from harness.swarm.health import Monitor
from harness.swarm.operations import Operation
from harness.swarm.recorder import Recorder, write_clock

PLACE = {"cloud": "small", "region": "R", "project": "p"}


def exchange(sent_ms: int, took_ms: int, status: int = 200, intended_ms: int | None = None) -> Exchange:
    sent = sent_ms * MS
    intended = sent if intended_ms is None else intended_ms * MS
    outcome = answered("GET", status) if status else unanswered("GET", 3, was_sent=True)
    done = sent + took_ms * MS
    return Exchange("compute", "GET /servers/{id}", intended, sent, done, status, outcome, f"req-{sent_ms}", 10)


def test_rows_histograms_and_locusts_table_agree(tmp_path: Path) -> None:
    stats = RequestStats()
    recorder = Recorder(tmp_path, "worker-0", PLACE, stats, wall_s=1_700_000_000)
    observe = recorder.observer("background", "mix")
    for number in range(200):
        observe(exchange(sent_ms=number, took_ms=5, intended_ms=max(0, number - 10)))
    observe(exchange(sent_ms=300, took_ms=50, status=500))
    observe(exchange(sent_ms=300, took_ms=900, status=0))
    summary = recorder.flush([])
    recorder.close()
    assert (summary["sent"], summary["errors"]) == (202, 2)
    assert Histogram.from_message(summary["response"]).max == 900 * MS

    rows = RunDirectory(tmp_path).read("requests").to_pandas()
    assert len(rows) == 202
    assert set(rows["route"]) == {"GET /servers/{id}"}
    assert set(rows["process"]) == {"worker-0"}
    assert set(rows["cloud"]) == {"small"}
    assert rows["operation_id"].isna().all()
    assert rows["ending"].astype(str).value_counts().to_dict() == {"answered": 201, "timeout": 1}
    assert (rows["intended_ns"] <= rows["sent_ns"]).all()
    assert rows[rows["status"] != 200]["request_id"].tolist() == ["req-300", "req-300"]
    assert rows["request_id"].notna().sum() <= 7

    entry = stats.get("/servers/{id}", "GET")
    assert (entry.num_requests, entry.num_failures) == (202, 2)
    assert stats.total.num_requests == 202
    assert entry.max_response_time == 900
    assert entry.get_response_time_percentile(0.5) == 15
    assert sum(entry.num_reqs_per_sec.values()) == 202


def operation(**fields: object) -> Operation:
    made = Operation(1, "burst", "burst", "server.create", "n-1", intended_ns=1 * S, sent_ns=1 * S, is_watched=True)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_an_operation_becomes_a_row(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "worker-0", PLACE)
    done = operation(batch=1)
    done.accepted(exchange(sent_ms=1000, took_ms=100))
    done.saw(Seen(1, "reached", 4 * S, S // 4, "id-1", "ACTIVE"), "port_active")
    recorder.finished += [done, operation(operation_id=2)]
    recorder.close()
    first, second = RunDirectory(tmp_path).read("operations").to_pylist()
    assert (first["ready_ns"], first["resolution_ns"], first["ready_level"]) == (4 * S, S // 4, "port_active")
    assert (first["resource_id"], first["status"], first["batch"], first["gone_ns"]) == ("id-1", "ACTIVE", 1, None)
    assert (second["effect"], second["ending"], second["ready_ns"], second["process"]) == (
        "none", "dropped", None, "worker-0",
    )  # fmt: skip


def test_a_request_in_doubt_is_settled_by_what_is_seen_later() -> None:
    made = operation()
    lost = Exchange("compute", "POST /servers", S, S, 2 * S, 0, unanswered("POST", 3, was_sent=True), None, 0)
    made.failed(RequestFailed("no answer", lost))
    assert (made.effect, made.ending) == ("unknown", "timeout")
    made.saw(Seen(1, "reached", 5 * S, S, "id-1", "ACTIVE"), "active")
    assert (made.effect, made.ready_ns, made.error) == ("done", 5 * S, "no answer")


def test_ready_is_not_before_the_answer_that_told_of_it() -> None:
    made = operation()
    made.saw(Seen(1, "reached", 2 * S, S, "id-1", "ACTIVE"), "active")
    made.accepted(exchange(sent_ms=1000, took_ms=2000))
    assert made.ready_ns == made.accepted_ns == 3 * S


def test_error_and_loss_are_kept_with_their_reason() -> None:
    broken, lost = operation(), operation()
    broken.saw(Seen(1, "error", 2 * S, S, "i", "ERROR", "No valid host"), "active")
    lost.saw(Seen(1, "gone", 2 * S, S, "i", "GONE"), "active")
    assert (broken.error, broken.ready_ns) == ("No valid host", None)
    assert (lost.error, lost.gone_ns) == ("gone before it was ready", 2 * S)


def test_a_second_of_health_counts_by_intention() -> None:
    clock = FakeClock()
    monitor = Monitor(clock)
    for number in range(100):
        monitor.note(number * MS, number * MS + (50 * MS if number >= 98 else 100_000))
    monitor.note(500 * MS, None)
    monitor.note(S + 1, S + 1)
    clock.advance(S)
    (row,) = monitor.take(0, in_flight=3)
    assert (row.second, row.intended, row.started, row.late, row.dropped, row.in_flight) == (0, 101, 100, 2, 1, 3)
    assert row.start_error_p50_ns == 100_000
    assert row.start_error_p99_ns == 50 * MS
    assert row.is_limited
    clock.advance(S)
    (row,) = monitor.take(1, in_flight=0)
    assert (row.intended, row.is_limited) == (1, False)


def test_an_arrival_that_started_late_is_counted_in_the_second_it_was_meant_for() -> None:
    clock = FakeClock()
    monitor = Monitor(clock)
    monitor.take(0, 0)
    monitor.note(900 * MS, 2900 * MS)
    clock.advance(3 * S)
    assert [(row.second, row.intended, row.late) for row in monitor.take(2, 0)] == [(0, 1, 1), (2, 0, 0)]


def test_each_process_tells_of_its_clock(tmp_path: Path) -> None:
    write_clock(tmp_path, "worker-0", PLACE, FakeClock(5 * S))
    (row,) = RunDirectory(tmp_path).read("clocks").to_pylist()
    assert (row["process"], row["pid"], row["offset_ns"], row["measured_ns"]) == ("worker-0", os.getpid(), 0, 5 * S)


@pytest.mark.parametrize("count", [0, 3])
def test_an_empty_second_says_so(tmp_path: Path, count: int) -> None:
    recorder = Recorder(tmp_path, "w", PLACE)
    observe = recorder.observer("s", "c")
    for number in range(count):
        observe(exchange(number, 1))
    assert recorder.flush([])["sent"] == count
    recorder.close()
