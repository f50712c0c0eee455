"""I7: are the usages that quotas are checked against what is really there?

Nova counts the servers in its cells, Placement what consumers of the project hold; both must be the sum over the live
servers. Servers in transition may or may not be counted: a server that is only a build request is in the list and in no
cell, one that waits for its host may have its claim already. So each figure is checked against an interval, and leaves
to the other checkers what they report: a leaked allocation explains the surplus that it makes in Placement.
"""

from collections.abc import Iterable

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Missing, Server, Snapshot

USAGE_DRIFT = Code("usage_drift", "I7", "S2", "The usage that quotas are checked against is not what is really there.")

NOVA = {"totalInstancesUsed": "instances", "totalCoresUsed": "VCPU", "totalRAMUsed": "MEMORY_MB"}


def check(history: History) -> Evidence:
    evidence = Evidence()
    drifts = []
    for kind, used in _usages(history.after, evidence).items():
        for resource, value in used.items():
            evidence.checked += 1
            low, high = bounds(history.after, kind, resource)
            if low <= value <= high or _was_so_before(history, kind, resource, value - (low if value < low else high)):
                continue
            expected = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            detail = f"says {value:g}, the servers come to {expected}"
            drifts.append(Affected("usage", f"{kind}:{resource}", f"{kind} {resource}", detail=detail))
    evidence.findings += finding(USAGE_DRIFT, drifts, "differ from the sum over live servers")
    return evidence


def bounds(snapshot: Snapshot, kind: str, resource: str) -> tuple[float, float]:
    """The least and the most that a usage can rightly be, given the servers of the project.

    Args:   kind: "nova" or "placement". resource: "instances" or a resource class.
    Raises: Missing when servers, flavors or consumers were not read.
    """
    low = high = 0.0
    for server in project_servers(snapshot):
        size = _size(server, resource)
        high += size
        counted = not server.in_transition if kind == "nova" else server.is_settled
        low += size if counted else 0.0
    if kind == "placement":
        high += sum(_moving(snapshot, resource))
    return low, high


def project_servers(snapshot: Snapshot) -> list[Server]:
    """The servers of the project whose usages the snapshot holds."""
    project = snapshot.project_id
    return [each for each in snapshot.servers.values() if project is None or each.project_id in (None, project)]


def nova_usage(snapshot: Snapshot) -> dict[str, float]:
    """Nova's usage of the project, by resource.  Raises Missing when limits were not read."""
    limits = snapshot.rows("limits")
    return {name: float(limits[key]) for key, name in NOVA.items() if limits.get(key) is not None}


def placement_usage(snapshot: Snapshot) -> dict[str, float]:
    """Placement's usage of the project; a class of which nothing is used is left out by Placement, and is zero."""
    usages = snapshot.rows("project_usages")
    return {name: float(usages.get(name, 0)) for name in ("VCPU", "MEMORY_MB")}


def _usages(snapshot: Snapshot, evidence: Evidence) -> dict[str, dict[str, float]]:
    found = {}
    for kind, read in (("nova", nova_usage), ("placement", placement_usage)):
        try:
            found[kind] = read(snapshot)
        except Missing as reason:
            evidence.doubts.append(str(reason))
    return found


def _size(server: Server, resource: str) -> float:
    if resource == "instances":
        return 1.0
    size = server.resources.get(resource)
    if size is None:
        raise Missing(f"the snapshot does not say the {resource} of server {server.id}'s flavor")
    return float(size)


def _moving(snapshot: Snapshot, resource: str) -> Iterable[float]:
    """What consumers without a server hold; if they are leaks, I5 says so."""
    if snapshot.has("providers"):
        for consumer, held in snapshot.held.items():
            if consumer not in snapshot.servers:
                yield sum(resources.get(resource, 0) for _, resources in held)


def _was_so_before(history: History, kind: str, resource: str, difference: float) -> bool:
    """Whether the same difference was there before the run."""
    try:
        usage = (nova_usage if kind == "nova" else placement_usage)(history.before)
        low, high = bounds(history.before, kind, resource)
    except Missing:
        return False
    value = usage.get(resource, 0.0)
    return difference != 0 and value - (low if value < low else high) == difference


CHECKER = Checker(
    name="usage",
    question="Are the usages that quotas are checked against what is really there?",
    invariants=("I7",),
    codes=(USAGE_DRIFT,),
    check=check,
)
