"""I1: does a read show what was acknowledged before it was sent?

Scenarios that read a server itself leave a row `server.read` with the status that they saw, `NOT_FOUND` for a 404. It
is stale when it shows a state that the cloud had acknowledged as past. While an action is under way either state is
right. Of a server that is not there afterwards, although nobody deleted it, `lost_server` speaks.
"""

from collections.abc import Iterator
from typing import Any

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.intents import values
from harness.checkers.registry import Checker

STALE_READ = Code("stale_read", "I1", "S2", "A read showed an older state than what was acknowledged before it.")
NOT_FOUND = "NOT_FOUND"

_COLUMNS = ("resource_id", "name", "kind", "status", "sent_ns", "accepted_ns", "ready_ns")
Row = dict[str, Any]


def check(history: History) -> Evidence:
    evidence = Evidence()
    there = history.after.servers
    stale = []
    for identity, rows in _by_server(history).items():
        reads = [row for row in rows if row["kind"] == "server.read" and row["accepted_ns"] is not None]
        evidence.checked += len(reads)
        if reads:
            acts = [row for row in rows if row["kind"] != "server.read"]
            problems = [*_missed(reads, acts, identity in there), *_outdated(reads, acts)]
            name = max(str(row["name"] or "") for row in rows)
            stale += [Affected("server", identity, name, None, each) for each in problems]
    evidence.findings += finding(STALE_READ, stale, "read in a state that was past")
    return evidence


def _by_server(history: History) -> dict[str, list[Row]]:
    rows = history.operations
    rows = rows[rows["resource_id"].notna() & rows["sent_ns"].notna()]
    found: dict[str, list[Row]] = {}
    for line in zip(*(values(rows[column]) for column in _COLUMNS), strict=True):
        row = dict(zip(_COLUMNS, line, strict=True))
        found.setdefault(row["resource_id"], []).append(row)
    return found


def _missed(reads: list[Row], acts: list[Row], is_there: bool) -> Iterator[str]:
    """404 after the create was acknowledged and before any deletion, unless `lost_server` says it all."""
    accepted = [row["accepted_ns"] for row in acts if row["kind"] == "server.create" and row["accepted_ns"] is not None]
    deleted_ns = min((row["sent_ns"] for row in acts if row["kind"] == "server.delete"), default=None)
    seen = [row["ready_ns"] for row in acts if row["ready_ns"] is not None]
    seen += [row["accepted_ns"] for row in reads if row["status"] != NOT_FOUND]
    last_seen_ns = max(seen, default=0)
    for row in reads:
        if row["status"] != NOT_FOUND or not accepted or row["sent_ns"] < min(accepted):
            continue
        if deleted_ns is not None and deleted_ns <= row["accepted_ns"]:
            continue
        if is_there or last_seen_ns > row["accepted_ns"] or deleted_ns is not None:
            yield f"not found {(row['sent_ns'] - min(accepted)) / 1e9:.3f} s after its creation was acknowledged"


def _outdated(reads: list[Row], acts: list[Row]) -> Iterator[str]:
    """A status that an earlier act had, read when a later one was acknowledged and none was under way."""
    moments: list[tuple[int, int, Row]] = []
    for row in acts:
        moments.append((row["sent_ns"], 0, row))
        if row["ready_ns"] is not None:
            moments.append((row["ready_ns"], 1, row))
    for row in reads:
        moments += [(row["sent_ns"], 2, row), (row["accepted_ns"], 3, row)]
    past, current, under_way, begun = {"BUILD"}, "BUILD", 0, 0
    quiet: dict[int, tuple[int, str, frozenset[str]]] = {}
    for _, what, row in sorted(moments, key=lambda each: (*each[:2], str(each[2]["kind"]), str(each[2]["status"]))):
        if what == 0:
            under_way, begun = under_way + 1, begun + 1
        elif what == 1:
            under_way -= 1
            if row["status"] is not None:  # else it was no change of state: a new name
                past.add(current)
                current = str(row["status"])
                past.discard(current)
        elif what == 2 and not under_way:
            quiet[id(row)] = (begun, current, frozenset(past))
        elif what == 3 and id(row) in quiet:
            begun_before, known, older = quiet.pop(id(row))
            if begun_before == begun and row["status"] != known and row["status"] in older:
                yield f"read as {row['status']} when it was known to be {known}"


CHECKER = Checker(
    name="reads",
    question="Did every read show what had been acknowledged before it?",
    invariants=("I1",),
    codes=(STALE_READ,),
    check=check,
)
