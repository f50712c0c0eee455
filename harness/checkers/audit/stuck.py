"""I3: did every server and port of the run come to rest?

Nova gives up on no build of its own accord (`instance_build_timeout` is 0), so a server whose build was lost stays in
BUILD for ever, with no fault to show. The age from which that counts as stuck is the plan's.
"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Missing, Server

STUCK_BUILD = Code("stuck_build", "I3", "S3", "The server is in BUILD, and nothing has happened to it for too long.")
STUCK_TASK = Code(
    "stuck_task", "I3", "S3", "The server has been in the middle of a task for longer than a task can take."
)
STUCK_PORT = Code("stuck_port", "I3", "S3", "The server is ACTIVE and its port is still DOWN: it has no network.")


def check(history: History) -> Evidence:
    evidence = Evidence()
    limit_s = history.stuck_after_s
    builds, tasks, young, ageless, unreachable = [], [], 0, 0, 0
    servers = history.our_servers(history.after)
    for server in servers:
        evidence.checked += 1
        unreachable += server.status == "UNKNOWN"
        if not server.in_transition:
            continue
        if server.is_building:
            age_s, most_s = history.build_age_s(history.after, server), history.build_limit_s(server)
        else:
            age_s, most_s = history.age_s(history.after, server, since=server.updated), limit_s
        if age_s is None:
            ageless += 1
        elif age_s < most_s:
            young += 1
        elif server.is_building:
            where = f"on {server.host}" if server.host else "no host"
            builds.append(
                Affected("server", server.id, server.name, age_s, f"{server.task_state or 'no task'}, {where}")
            )
        else:
            detail = f"{server.status}, {server.task_state}"
            tasks.append(Affected("server", server.id, server.name, age_s, detail))
    evidence.findings += finding(STUCK_BUILD, builds, f"in BUILD without a step for longer than {limit_s:g} s")
    evidence.findings += finding(STUCK_TASK, tasks, f"in a task for longer than {limit_s:g} s")
    if young:
        evidence.doubts.append(f"{young} servers are still in transition, and not for too long yet: audited too early")
    if unreachable:
        evidence.doubts.append(f"{unreachable} servers are UNKNOWN: their cell did not answer")
    if ageless:
        evidence.doubts.append(f"{ageless} servers are in transition, for how long is not known")
    try:
        _ports(history, servers, limit_s, evidence)
    except Missing as reason:
        evidence.doubts.append(str(reason))
    return evidence


def _ports(history: History, servers: list[Server], limit_s: float, evidence: Evidence) -> None:
    """A port that is DOWN is stuck when its server lives; that of a server in BUILD is explained by the build."""
    live = {server.id: server for server in servers if server.status == "ACTIVE" and not server.task_state}
    down, young = [], 0
    for port in history.after.ports.values():
        server = live.get(port.device_id)
        if server is None or not port.is_servers:
            continue
        evidence.checked += 1
        if port.status == "ACTIVE":
            continue
        # Neutron stamps no state changes: the port is as old as the server's life.
        age_s = history.age_s(history.after, server, since=server.launched)
        if age_s is not None and age_s < limit_s:
            young += 1
        else:
            down.append(
                Affected("port", port.id, port.name, age_s, f"{port.status}, of server {server.name or server.id}")
            )
    evidence.findings += finding(STUCK_PORT, down, f"not ACTIVE {limit_s:g} s after their server is")
    if young:
        evidence.doubts.append(f"{young} ports of ACTIVE servers are not ACTIVE yet and younger than {limit_s:g} s")


CHECKER = Checker(
    name="stuck",
    question="Did every server and port come to rest?",
    invariants=("I3",),
    codes=(STUCK_BUILD, STUCK_TASK, STUCK_PORT),
    check=check,
)
