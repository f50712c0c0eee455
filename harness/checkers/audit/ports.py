"""I10: does every port that says it belongs to a server belong to one that exists?"""

from harness.checkers.finding import FOREIGN_RESIDUE, Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Port

ORPHAN_PORT = Code("orphan_port", "I10", "S2", "A port belongs to a server that does not exist.")


def check(history: History) -> Evidence:
    evidence = Evidence()
    after = history.after
    earlier = history.before.ports if history.before.has("ports") else {}
    project_scope = after.project_id
    orphans, foreign = [], []
    for port in after.ports.values():
        if not port.is_servers:
            continue
        evidence.checked += 1
        if port.device_id in after.servers or port.id in earlier:
            continue
        affected = Affected("port", port.id, port.name, None, f"server {port.device_id or '(none)'} does not exist")
        if is_ours(history, port):
            orphans.append(affected)
        elif project_scope is None or port.project_id == project_scope:
            foreign.append(affected)
    evidence.findings += finding(ORPHAN_PORT, orphans, "of servers that do not exist")
    evidence.findings += finding(FOREIGN_RESIDUE, foreign, "new ports of servers that no list shows")
    return evidence


def is_ours(history: History, port: Port) -> bool:
    """Nova names no ports: a port is the run's by its own mark, by its server or by its network."""
    ours = history.our_ids
    return port.id in ours or port.device_id in ours or port.network_id in ours


CHECKER = Checker(
    name="ports",
    question="Does every port of a server belong to one that exists?",
    invariants=("I10",),
    codes=(ORPHAN_PORT,),
    check=check,
)
