"""I9: are the interfaces that Nova shows for a server the ports that Neutron has for it, bound to its host?

Two servers on one port show here, too: Neutron says that it belongs to one of them, and Nova shows it for both.
Only servers that came to life are asked: a build that never got a host has no interfaces to compare.
"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Port, Server

NIC_MISMATCH = Code("nic_mismatch", "I9", "S2", "The interfaces of a server are not the ports that belong to it.")


def check(history: History) -> Evidence:
    evidence = Evidence()
    by_server: dict[str, list[Port]] = {}
    by_mac: dict[str, Port] = {}
    for _, port in sorted(history.after.ports.items()):
        if port.device_id:
            by_server.setdefault(port.device_id, []).append(port)
            by_mac.setdefault(port.mac, port)
    wrong = []
    for server in history.our_servers(history.after):
        if not server.is_settled:
            continue
        evidence.checked += 1
        age_s = history.age_s(history.after, server)
        for problem in _problems(server, by_server.get(server.id, []), by_mac):
            wrong.append(Affected("server", server.id, server.name, age_s, problem))
    evidence.findings += finding(NIC_MISMATCH, wrong, "show other interfaces than their ports")
    if hidden := sum(server.hides_its_host for server in history.our_servers(history.after)):
        evidence.doubts.append(f"the hosts of {hidden} servers are not shown: that takes an admin's account")
    return evidence


def _problems(server: Server, ports: list[Port], by_mac: dict[str, Port]) -> list[str]:
    shown = {ip: mac for mac, ip in server.addresses}
    bound = {ip: port.mac for port in ports for ip in port.ips}
    problems = []
    if only_shown := sorted(shown.keys() - bound.keys()):
        others = [by_mac[shown[ip]] for ip in only_shown if shown[ip] and shown[ip] in by_mac]
        whose = "".join(f"; port {port.id} is that of server {port.device_id}" for port in others)
        problems.append(f"shows {', '.join(only_shown)}, which no port of it has{whose}")
    if only_bound := sorted(bound.keys() - shown.keys()):
        problems.append(f"does not show {', '.join(only_bound)} of its ports")
    for ip in sorted(shown.keys() & bound.keys()):
        if shown[ip] and bound[ip] and shown[ip] != bound[ip]:
            problems.append(f"{ip}: shows MAC {shown[ip]}, the port has {bound[ip]}")
    for port in ports:
        if port.host and server.host and port.host != server.host:
            problems.append(f"runs on {server.host}, port {port.id} is bound to {port.host}")
    return problems


CHECKER = Checker(
    name="nics",
    question="Are the interfaces of each server the ports that belong to it?",
    invariants=("I9",),
    codes=(NIC_MISMATCH,),
    check=check,
)
