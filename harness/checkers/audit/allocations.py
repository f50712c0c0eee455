"""I4, I5: does Placement hold exactly what each server's flavor asks for on its host, and nothing for nobody?

`kill -9` of the database in a burst shows the leak of I5: servers that stay in BUILD without a host keep the allocation
that the scheduler claimed for them, and nothing ever takes them up again.
"""

from harness.checkers.finding import FOREIGN_RESIDUE, Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Missing, Provider, Server

ALLOCATION_MISSING = Code(
    "allocation_missing", "I4", "S2", "A server runs on a host that Placement has not reserved for it."
)
ALLOCATION_MISMATCH = Code(
    "allocation_mismatch", "I4", "S2", "What Placement holds for the server is not its flavor on its host."
)
LEAKED_ALLOCATION = Code(
    "leaked_allocation", "I5", "S2", "Placement holds resources for a server that does not run anywhere."
)

Held = list[tuple[Provider, dict[str, float]]]


def check(history: History) -> Evidence:
    after, evidence = history.after, Evidence()
    held = after.held
    missing, mismatched, young = [], [], 0
    leaked = []
    for server in history.our_servers(after):
        evidence.checked += 1
        age_s = history.build_age_s(after, server) if server.is_building else history.age_s(after, server)
        mine = held.get(server.id, [])
        if server.is_settled and not mine:
            missing.append(Affected("server", server.id, server.name, age_s, f"runs on {server.host}"))
        elif server.is_settled:
            mismatched += [Affected("server", server.id, server.name, age_s, each) for each in _mismatch(server, mine)]
        elif server.never_lived and mine:
            if age_s is not None and age_s < history.stuck_after_s and server.is_building:
                young += 1
            else:
                detail = f"{server.status} without a host holds {_describe(mine)}"
                leaked.append(Affected("server", server.id, server.name, age_s, detail))
    orphans, foreign = _orphans(history, held)
    evidence.checked += len(held)
    evidence.findings += finding(ALLOCATION_MISSING, missing, "running without an allocation", invariant="I4")
    evidence.findings += finding(ALLOCATION_MISMATCH, mismatched, "allocated differently than they run", invariant="I4")
    evidence.findings += finding(LEAKED_ALLOCATION, leaked + orphans, "resources held for servers that run nowhere")
    evidence.findings += finding(FOREIGN_RESIDUE, foreign, "new allocations of consumers that no list of servers shows")
    if young:
        evidence.doubts.append(f"{young} servers in BUILD hold allocations and are too young to be called stuck")
    if hidden := sum(server.hides_its_host for server in history.our_servers(history.after)):
        evidence.doubts.append(f"the hosts of {hidden} servers are not shown: that takes an admin's account")
    return evidence


def _mismatch(server: Server, mine: Held) -> list[str]:
    if len(mine) > 1:
        return [f"holds resources of {len(mine)} providers: {', '.join(sorted(each.name for each, _ in mine))}"]
    provider, resources = mine[0]
    problems = []
    if server.host and provider.name and provider.name != server.host:
        problems.append(f"runs on {server.host}, allocated on {provider.name}")
    for resource, wanted in server.resources.items():
        got = resources.get(resource, 0)
        if wanted is not None and got != wanted:
            problems.append(f"{resource}: flavor {wanted}, allocated {got:g}")
    return problems


def _orphans(history: History, held: dict[str, Held]) -> tuple[list[Affected], list[Affected]]:
    """Consumers without a server: ours are leaks, new ones that nothing ties to this run are only mentioned.

    A consumer that was there before the run is not ours. Someone else's server may be deleted between two reads.
    """
    servers = history.after.servers
    try:
        earlier = history.before.held.keys() | history.before.servers.keys()
    except Missing:
        earlier = set()
    mine, foreign = [], []
    for consumer, what in held.items():
        if consumer in servers:
            continue
        affected = Affected("consumer", consumer, detail=f"holds {_describe(what)}, its server does not exist")
        if consumer in history.our_ids:
            mine.append(affected)
        elif consumer not in earlier and history.before.exists:
            foreign.append(affected)
    return mine, foreign


def _describe(what: Held) -> str:
    return ", ".join(
        " ".join(f"{name} {amount:g}" for name, amount in sorted(resources.items()))
        + f" on {provider.name or provider.uuid}"
        for provider, resources in what
    )


CHECKER = Checker(
    name="allocations",
    question="Does Placement hold what each server needs on its host, and nothing for nobody?",
    invariants=("I4", "I5"),
    codes=(ALLOCATION_MISSING, ALLOCATION_MISMATCH, LEAKED_ALLOCATION),
    check=check,
)
