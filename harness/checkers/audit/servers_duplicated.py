"""I2: did each intent leave at most the servers it asked for, and a failed request none?"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.intents import Asked, accounts
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Server

DUPLICATE_SERVER = Code("duplicate_server", "I2", "S2", "One intent left more servers than it asked for.")
UNEXPECTED_SERVER = Code(
    "unexpected_server", "I2", "S2", "A request that the cloud answered with an error left a server behind."
)


def check(history: History) -> Evidence:
    evidence = Evidence()
    duplicated: list[Affected] = []
    unexpected: list[Affected] = []
    found = accounts(history)
    for asked in found.asked.values():
        evidence.checked += 1
        if asked.answer in ("rejected", "unsent"):
            why = "its request was answered with an error" if asked.answer == "rejected" else "its request never left"
            unexpected += [_affected(history, server, why) for server in asked.found.values()]
        elif len(asked.found.keys() | asked.seen) > asked.count:
            duplicated += _surplus(history, asked)
    if history.ledger:
        unexpected += [_affected(history, server, "no request of this run asked for it") for server in found.unasked]
    elif found.unasked:
        evidence.doubts.append(
            f"the ledger is missing: {len(found.unasked)} servers carry the mark, and who asked is not known"
        )
    evidence.findings += finding(DUPLICATE_SERVER, duplicated, "more servers than their intents asked for")
    evidence.findings += finding(UNEXPECTED_SERVER, unexpected, "there although their request failed")
    return evidence


def _surplus(history: History, asked: Asked) -> list[Affected]:
    """All servers of the intent that are there: nobody can say which of them is the one too many."""
    detail = f"{len(asked.found.keys() | asked.seen)} servers came of an intent for {asked.count}"
    return [_affected(history, server, detail) for server in asked.found.values()] or [
        Affected("server", each, asked.name, None, detail) for each in sorted(asked.seen)
    ]


def _affected(history: History, server: Server, detail: str) -> Affected:
    age = history.age_s(history.after, server)
    return Affected("server", server.id, server.name, age, f"{server.status}; {detail}")


CHECKER = Checker(
    name="servers_duplicated",
    question="Did each request leave no more servers than it asked for, and a failed one none?",
    invariants=("I2",),
    codes=(DUPLICATE_SERVER, UNEXPECTED_SERVER),
    check=check,
)
