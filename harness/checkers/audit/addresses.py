"""I11: is every address, and every MAC, given out once per network?"""

from harness.checkers.audit.ports import is_ours
from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Port

DUPLICATE_ADDRESS = Code("duplicate_address", "I11", "S1", "One address on one network is given to more than one port.")
DUPLICATE_MAC = Code("duplicate_mac", "I11", "S1", "One MAC address on one network is given to more than one port.")


def check(history: History) -> Evidence:
    evidence = Evidence()
    by_address: dict[tuple[str, str], list[Port]] = {}
    by_mac: dict[tuple[str, str], list[Port]] = {}
    for port in history.after.ports.values():
        evidence.checked += 1
        for ip in sorted(set(port.ips)):
            by_address.setdefault((port.network_id, ip), []).append(port)
        if port.mac:
            by_mac.setdefault((port.network_id, port.mac), []).append(port)
    evidence.findings += finding(DUPLICATE_ADDRESS, _shared(history, by_address), "share an address on one network")
    evidence.findings += finding(DUPLICATE_MAC, _shared(history, by_mac), "share a MAC on one network")
    return evidence


def _shared(history: History, groups: dict[tuple[str, str], list[Port]]) -> list[Affected]:
    """Ports of groups of two and more, when at least one of them is the run's."""
    return [
        Affected("port", port.id, port.name, None, f"{what} on network {network}, of {port.device_id or 'no device'}")
        for (network, what), ports in groups.items()
        if len(ports) > 1 and any(is_ours(history, port) for port in ports)
        for port in ports
    ]


CHECKER = Checker(
    name="addresses",
    question="Is every address and every MAC given out once per network?",
    invariants=("I11",),
    codes=(DUPLICATE_ADDRESS, DUPLICATE_MAC),
    check=check,
)
