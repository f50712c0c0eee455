"""Operations that a worker took with it when it died get rows: from the ledger, written before each was sent.

Without this a killed worker's open operations would be in no table, and nobody would miss them.
"""

import contextlib
from pathlib import Path
from typing import Any

from harness.core.ledger import Intent, read_ledger
from harness.rundir import RunDirectory, RunDirectoryError, SegmentWriter

WHY = "its load worker was lost before it could say what became of it"
_SWARM_SHIFT = 52  # of an operation id: how many bits below the number of its swarm


def record_lost_operations(run: RunDirectory, plan: dict[str, Any]) -> int:
    """Adds a row for every operation that the ledger mentions and no row tells of. Returns how many.

    Their effect is unknown and their ending `dropped`: we, not the cloud, gave up on them.
    Call it when the swarm has ended, and before the tables are compacted.
    Raises: RunDirectoryError when the disk takes no more.
    """
    known = set(run.read("operations", ["operation_id"]).column("operation_id").to_pylist())
    swarms = [(each["name"], each["scenario"]) for each in plan["swarms"]]
    rows: list[dict[str, Any]] = []
    for path in sorted((run.path / "ledger").glob("*.jsonl")):
        for intent in _intents(path):
            if intent.operation_id is None or intent.operation_id in known:
                continue
            known.add(intent.operation_id)  # an operation may intend several things
            swarm, scenario = swarms[intent.operation_id >> _SWARM_SHIFT]
            rows += [
                {
                    "process": path.stem,
                    "operation_id": intent.operation_id + number,
                    "swarm": swarm,
                    "scenario": scenario,
                    "kind": f"{intent.kind}.create",
                    "name": intent.name if intent.count == 1 else f"{intent.name}-{number + 1}",
                    "batch": intent.operation_id if intent.count > 1 else None,
                    "sent_ns": intent.at_ns,
                    "intended_ns": intent.at_ns,
                    "effect": "unknown",
                    "ending": "dropped",
                    "error": WHY,
                }
                for number in range(intent.count)
            ]
    if rows:
        place = {"cloud": plan.get("cloud"), "region": plan.get("region"), "project": plan.get("project")}
        try:
            writer = SegmentWriter(run.path, "operations", "engine", place)
            writer.append({name: [row[name] for row in rows] for name in rows[0]})
            writer.close()
        except OSError as error:
            raise RunDirectoryError(f"cannot write to {run.path}: {error.strerror}") from error
    return len(rows)


def in_doubt(run: RunDirectory) -> int:
    """How many operations of a run may still make something: sent, as the ledger has it, and never truly answered."""
    rows: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError):  # a table that cannot be read settles nothing
        rows = run.read("operations", ["operation_id", "effect"]).to_pylist()
    settled = {row["operation_id"] for row in rows if row["effect"] != "unknown"}
    paths = (run.path / "ledger").glob("*.jsonl")
    return len({each.operation_id for path in paths for each in _intents(path)} - settled)


def last_unready_ns(run: RunDirectory) -> int | None:
    """When the last server was asked for that was not seen to be usable, in ERROR or gone; None when all were.

    Or the last deletion of a server that was not seen to go: it may be forgotten, or stuck.
    """
    columns = ["kind", "sent_ns", "accepted_ns", "ready_ns", "gone_ns", "effect", "status"]
    return max(
        (
            row["accepted_ns"] or row["sent_ns"] or 0
            for row in run.read("operations", columns).to_pylist()
            if row["kind"] in ("server.create", "server.delete")
            and row["effect"] != "none"
            and row["ready_ns"] is row["gone_ns"] is None
            and row["status"] != "ERROR"
        ),
        default=None,
    )


def _intents(path: Path) -> list[Intent]:
    found: list[Intent] = []
    with contextlib.suppress(ValueError):  # what comes after a broken line cannot be trusted
        found.extend(read_ledger(path))
    return found
