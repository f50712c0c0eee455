"""I1: did every deletion that the cloud accepted begin?

One that is under way for too long is `stuck_task`, a server that comes back after it is `resurrected_server`; here are
those that the cloud said yes to and forgot.
"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.core.clock import S

IGNORED_DELETE = Code(
    "ignored_delete", "I1", "S1", "The cloud accepted the deletion, and the server lives on as if nobody had asked."
)


def check(history: History) -> Evidence:
    evidence = Evidence()
    servers, taken_ns, limit_s = history.after.servers, history.after.taken_ns, history.stuck_after_s
    ignored, young = [], 0
    for identity, accepted_ns in _accepted(history, evidence).items():
        server = servers.get(identity)
        if server is None or server.in_transition or server.status == "ERROR":
            continue
        age_s = (taken_ns - accepted_ns) / S
        if age_s < limit_s:
            young += 1
        else:
            ignored.append(Affected("server", identity, server.name, age_s, f"is {server.status}, without a task"))
    evidence.findings += finding(IGNORED_DELETE, ignored, f"accepted {limit_s:g} s ago and more, not begun")
    if young:
        evidence.doubts.append(f"{young} deletions were accepted and have not begun yet: audited too early")
    return evidence


def _accepted(history: History, evidence: Evidence) -> dict[str, int]:
    """By server: when its first deletion was accepted, of those that nobody has seen to be gone."""
    rows = history.operations
    rows = rows[(rows["kind"] == "server.delete") & rows["resource_id"].notna() & rows["accepted_ns"].notna()]
    evidence.checked += len(rows)
    gone = set(rows["resource_id"][rows["gone_ns"].notna()])
    first = rows[~rows["resource_id"].isin(gone)].groupby("resource_id", observed=True)["accepted_ns"].min()
    return {str(identity): int(at_ns) for identity, at_ns in first.items()}


CHECKER = Checker(
    name="deletions",
    question="Did every deletion begin that the cloud accepted?",
    invariants=("I1",),
    codes=(IGNORED_DELETE,),
    check=check,
)
