"""I1: is every server that the cloud accepted still there, and every server that was deleted still gone?"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.intents import Asked, accounts, gap
from harness.checkers.registry import Checker

LOST_SERVER = Code("lost_server", "I1", "S1", "The cloud accepted the server, nobody deleted it, and it is not there.")
RESURRECTED_SERVER = Code(
    "resurrected_server", "I1", "S1", "The server was deleted and seen to be gone, and it is back."
)


def check(history: History) -> Evidence:
    evidence = Evidence()
    lost, back, silent = [], [], 0
    servers = history.after.servers
    for asked in accounts(history).asked.values():
        silent += asked.answer == "unrecorded"
        if asked.answer == "accepted":
            evidence.checked += asked.count
            lost += _lost(history, asked)
        for identity in sorted(asked.gone & servers.keys()):
            server = servers[identity]
            back.append(Affected("server", identity, server.name, detail=f"is {server.status}"))
    if lost and (reason := gap(history)):
        evidence.doubts.append(
            f"{len(lost)} accepted servers are not there; whether the run deleted them is lost: {reason}"
        )
    else:
        evidence.findings += finding(LOST_SERVER, lost, "accepted by the cloud, never deleted, not there")
    evidence.findings += finding(RESURRECTED_SERVER, back, "deleted and seen to be gone, there again")
    if silent:
        evidence.doubts.append(
            f"{silent} intents have no recorded outcome (their load worker was lost): what was accepted is not known"
        )
    return evidence


def _lost(history: History, asked: Asked) -> list[Affected]:
    """Servers that are missing: those once seen by their ids, the rest of a burst by the name it would have."""
    missing = sorted(asked.seen - asked.deleted - asked.found.keys())
    lost = [Affected("server", each, asked.name, _age(history, each), "was seen, is not there") for each in missing]
    accounted = len(asked.seen | asked.found.keys())
    if accounted < asked.count:
        nameless = asked.count - accounted
        lost.append(Affected("server", "", asked.name, None, f"{nameless} of {asked.count} never appeared in any list"))
    return lost


def _age(history: History, identity: str) -> float | None:
    accepted = history.accepted_ns.get(identity)
    return None if accepted is None else (history.after.taken_ns - accepted) / 1e9


CHECKER = Checker(
    name="servers_lost",
    question="Is every server that the cloud accepted there, and every deleted one gone?",
    invariants=("I1",),
    codes=(LOST_SERVER, RESURRECTED_SERVER),
    check=check,
)
