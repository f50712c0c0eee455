"""What a worker had open when it was killed is kept: from the ledger."""

from pathlib import Path

from harness.core.ledger import Intent, Ledger
from harness.rundir import RunDirectory, SegmentWriter
from harness.unfinished import WHY, last_unready_ns, record_lost_operations

PLAN = {
    "cloud": "c",
    "swarms": [{"name": "reads", "scenario": "background"}, {"name": "burst", "scenario": "burst"}],
}
BURST = 1 << 52


def intend(ledger: Ledger, operation_id: int, name: str, kind: str = "server", count: int = 1) -> None:
    ledger.intend(Intent(at_ns=5, kind=kind, name=name, mark="m", cloud="c", operation_id=operation_id, count=count))


def test_an_operation_without_a_row_gets_one_and_only_one(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    writer = SegmentWriter(run.path, "operations", "worker-0")
    writer.append({"operation_id": [BURST], "name": ["told"], "ending": ["answered"]})
    writer.close()
    ledger = Ledger(run.path, "worker-0")
    intend(ledger, BURST, "told")
    intend(ledger, BURST | 1 << 16, "many", count=3)
    intend(ledger, BURST | 2 << 16, "net", kind="network")
    intend(ledger, BURST | 2 << 16, "net", kind="subnet")  # of the same operation
    ledger.close()
    with ledger.path.open("ab") as file:
        file.write(b'{"at_ns": 7, "kind": "ser')  # killed while it wrote
    assert record_lost_operations(run, PLAN) == 4
    assert record_lost_operations(RunDirectory(run.path), PLAN) == 0
    rows = run.read("operations").to_pylist()
    lost = [row for row in rows if row["name"] != "told"]
    assert [(row["name"], row["kind"]) for row in lost] == [
        *((f"many-{number}", "server.create") for number in (1, 2, 3)),
        ("net", "network.create"),
    ]
    assert {row["operation_id"] for row in lost} == {*((BURST | 1 << 16) + n for n in range(3)), BURST | 2 << 16}
    assert {(row["process"], row["swarm"], row["effect"], row["ending"], row["error"]) for row in lost} == {
        ("worker-0", "burst", "unknown", "dropped", WHY)
    }
    assert [row["batch"] for row in lost] == [BURST | 1 << 16] * 3 + [None]


def test_a_run_waits_for_what_was_accepted_and_not_seen_to_be_done(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    writer = SegmentWriter(run.path, "operations", "worker-0")
    rows = [
        {"kind": "server.create", "sent_ns": 1, "accepted_ns": 2, "ready_ns": 9, "effect": "done"},
        {"kind": "server.create", "sent_ns": 3, "accepted_ns": 4, "effect": "done"},
        {"kind": "server.delete", "sent_ns": 5, "accepted_ns": 6, "effect": "done"},
        {"kind": "server.delete", "sent_ns": 7, "accepted_ns": 8, "gone_ns": 9, "effect": "done"},
    ]
    for row in rows[:2]:
        writer.append({name: [value] for name, value in row.items()})
    assert last_unready_ns(run) == 4
    for row in rows[2:]:
        writer.append({name: [value] for name, value in row.items()})
    writer.close()
    assert last_unready_ns(run) == 6  # the server may live on as if nobody had asked
