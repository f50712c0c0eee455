"""What the run asked for, what it was told, and which servers came of it: the common ground of I1 and I2.

An intent is one request that was about to be made; a burst of 500 in one request is one intent with a count of 500.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.checkers.history import History, Intent
from harness.checkers.snapshot import Server
from harness.core import marks

_NUMBERED = re.compile(r"^(.*)-\d+$")


@dataclass
class Asked:
    """One intent and its outcome.

    Attributes: answer: "accepted", "rejected" (answered with an error, or never reached the service), "unknown" (left,
    and never answered), "unsent", or "unrecorded" (its worker was lost before it could tell).
    seen: ids of servers that the run saw come of it. deleted: those of them that it asked to delete. gone: those that
    it saw to be gone. found: the servers of that name that are there after the run.
    """

    name: str
    count: int = 1
    answer: str = "unrecorded"
    seen: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    found: dict[str, Server] = field(default_factory=dict)


@dataclass
class Accounts:
    """All intents of the run by name, and the servers that carry its mark without one."""

    asked: dict[str, Asked]
    unasked: list[Server]


def accounts(history: History) -> Accounts:
    """Joins ledger, operations and the servers found after the run; linear in all three.

    Raises: Missing without the snapshot after the run, or without the plan.
    """
    servers = history.our_servers(history.after)
    asked: dict[str, Asked] = {}
    by_operation: dict[int, Asked] = {}
    for intent in history.ledger:
        if intent.kind in ("server", "server.create") and marks.bears(intent.name, history.mark):
            _enter(asked, by_operation, intent)
    owner = _outcomes(history, asked, by_operation)
    _deletions(history, owner)
    unasked = []
    for server in servers:
        account = owner.get(server.id) or _by_name(asked, server.name)
        if account is None:
            unasked.append(server)
        else:
            account.found[server.id] = server
    return Accounts(asked, unasked)


def _by_name(asked: dict[str, Asked], name: str | None) -> Asked | None:
    """The intent of this name; or of the name before the number, as Nova numbers the servers of one request."""
    if not name:
        return None
    if exact := asked.get(name):
        return exact
    numbered = _NUMBERED.match(name)
    many = asked.get(numbered[1]) if numbered else None
    return many if many is not None and many.count > 1 else None


def _enter(asked: dict[str, Asked], by_operation: dict[int, Asked], intent: Intent) -> None:
    account = asked.setdefault(intent.name, Asked(intent.name, 0))
    account.count += intent.count
    if intent.operation_id is not None:
        by_operation[intent.operation_id] = account


def _outcomes(history: History, asked: dict[str, Asked], by_operation: dict[int, Asked]) -> dict[str, Asked]:
    """Reads each intent's answer from the operations. Returns the intent of each server id that the run saw."""
    owner: dict[str, Asked] = {}
    written = set(asked)
    rows = history.creates
    columns = ("operation_id", "batch", "name", "resource_id", "accepted_ns", "effect", "ending")
    for operation, batch, name, resource, accepted, effect, ending in zip(
        *(values(rows[column]) for column in columns), strict=True
    ):
        account = _by_name(asked, name) or by_operation.get(int(batch if batch is not None else operation or 0))
        if account is None:
            if not name or not marks.bears(name, history.mark):
                continue
            # No ledger line: the operation itself says what was asked for.
            account = asked.setdefault(name, Asked(name))
        if resource:
            account.seen.add(resource)
            owner[resource] = account
        outcome = _answer(accepted is not None, effect, ending)
        if outcome == "unsent" and account.name in written:
            # The ledger is written just before the request leaves: the run ended while it was under way.
            outcome = "unknown"
        account.answer = _stronger(account.answer, outcome)
    return owner


def _deletions(history: History, owner: dict[str, Asked]) -> None:
    """Marks what the run asked to delete (a request that was cut off counts), and what it saw to be gone."""
    rows = history.operations
    rows = rows[rows["resource_id"].notna()]
    columns = ("kind", "resource_id", "effect", "ending", "gone_ns")
    for kind, resource, effect, ending, gone in zip(*(values(rows[column]) for column in columns), strict=True):
        account = owner.get(resource)
        if account is None:
            continue
        if gone is not None:
            account.gone.add(resource)
        if kind == "server.delete" and (effect in ("done", "unknown") or ending == "dropped" or gone is not None):
            account.deleted.add(resource)


_ANSWERS = ("unrecorded", "unsent", "rejected", "unknown", "accepted")


def _stronger(one: str, other: str) -> str:
    return max(one, other, key=_ANSWERS.index)


def _answer(accepted: bool, effect: str | None, ending: str | None) -> str:
    if accepted:
        return "accepted"
    if ending == "dropped":
        return "unsent"
    if ending in ("reset", "timeout") and effect != "none":
        return "unknown"
    if effect == "done":  # settled by a later read: the answer was lost, the server is there
        return "rejected" if ending == "answered" else "unknown"
    return "rejected" if ending in ("answered", "refused") or effect == "none" else "unknown"


def gap(history: History) -> str:
    """Why the record of what the run did may not be whole; empty when it is."""
    if history.run.get("worker_lost"):
        return "a load worker died"
    if any(name.startswith("operations") for name in history.torn):
        return "the table of operations is torn"
    return "" if "ended_wall_ns" in history.run else "the run did not come to its end"


def values(column: pd.Series) -> list[Any]:
    """The column as Python objects, with None for what is missing."""
    return column.astype(object).where(column.notna(), None).tolist()
