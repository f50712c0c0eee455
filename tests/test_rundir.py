"""The run directory keeps every whole batch, whatever happens to the writer."""

from pathlib import Path

import pytest

from harness.rundir import TABLES, RunDirectory, RunDirectoryError, SegmentWriter


def _requests(n: int, route: str) -> dict[str, list[object]]:
    return {
        "route": [route] * n,
        "intended_ns": list(range(n)),
        "sent_ns": list(range(n)),
        "done_ns": list(range(n)),
        "status": [200] * n,
    }


def test_what_two_processes_write_is_read_back_whole_and_survives_compaction(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.write_json("run.json", {"schema_version": 1})
    for process in ("worker-1", "worker-2"):
        writer = SegmentWriter(run.path, "requests", process, {"cloud": "demo"})
        writer.append(_requests(3, "GET /servers"))
        writer.append(_requests(2, "GET /servers/{id}"))
        writer.close()
    before = run.read("requests").to_pylist()
    assert len(before) == 10
    assert {row["process"] for row in before} == {"worker-1", "worker-2"}
    assert {row["cloud"] for row in before} == {"demo"}
    assert run.compact() == {}
    assert run.read("requests").to_pylist() == before
    assert run.read("requests").schema.names == TABLES["requests"].names
    assert not list((run.path / "segments").iterdir())


def test_a_torn_last_batch_is_dropped_and_counted(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.write_json("run.json", {"schema_version": 1})
    writer = SegmentWriter(run.path, "requests", "worker-1")
    writer.append(_requests(3, "GET /servers"))
    size = writer.path.stat().st_size
    writer.append(_requests(5, "GET /servers"))
    with open(writer.path, "r+b") as file:
        file.truncate(size + 40)
    assert run.read("requests").num_rows == 3
    assert run.torn() == {"requests-worker-1.arrows": 1}


def test_a_segment_of_a_killed_writer_counts_as_torn_even_at_a_batch_border(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.write_json("run.json", {"schema_version": 1})
    SegmentWriter(run.path, "requests", "worker-1").append(_requests(3, "GET /servers"))
    assert run.torn() == {"requests-worker-1.arrows": 1}
    assert run.read("requests").num_rows == 3


def test_a_run_never_writes_into_another(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="exists already"):
        RunDirectory.create(tmp_path / "run")


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no run\.json"):
        RunDirectory.open(tmp_path)


def test_an_empty_run_has_every_table(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    for table, schema in TABLES.items():
        assert run.read(table).schema.names == schema.names
