"""I1: does every server that was built, and that the run did nothing to, still live?

A multi-create that fails for one server must not take the others with it: where Nova's clean-up of a failed batch is
given the list of all, it sets servers to ERROR that their users have logged in to.
"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.intents import gap
from harness.checkers.registry import Checker

BUILT_SERVER_FAILED = Code(
    "built_server_failed", "I1", "S1", "The server was built and usable, the run did nothing to it, and it is in ERROR."
)


def check(history: History) -> Evidence:
    evidence = Evidence()
    rows = history.operations
    rows = rows[rows["resource_id"].notna()]
    touched = set(rows["resource_id"][~rows["kind"].isin(["server.create", "server.read"])])
    was_ready = set(rows["resource_id"][(rows["kind"] == "server.create") & rows["ready_ns"].notna()])
    failed = []
    for server in history.our_servers(history.after):
        if server.id in touched:
            continue  # what fails in the middle of an action ends in ERROR, and says so
        evidence.checked += 1
        # Without a host it is a build that failed at the very end, when its host had no answer to its last step.
        was_built = server.id in was_ready or (server.launched and server.host)
        if server.status == "ERROR" and was_built:
            age_s = history.age_s(history.after, server, since=server.updated)
            seen = "was seen usable" if server.id in was_ready else f"was launched at {server.launched}"
            failed.append(Affected("server", server.id, server.name, age_s, f"{seen}, is in ERROR"))
    if failed and (reason := gap(history)):
        evidence.doubts.append(
            f"{len(failed)} built servers are in ERROR; whether the run did something to them is lost: {reason}"
        )
    else:
        evidence.findings += finding(BUILT_SERVER_FAILED, failed, "built, left alone, and in ERROR")
    return evidence


CHECKER = Checker(
    name="servers_failed",
    question="Does every server live on that was built and then left alone?",
    invariants=("I1",),
    codes=(BUILT_SERVER_FAILED,),
    check=check,
)
