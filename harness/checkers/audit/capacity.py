"""I6: is no provider given away beyond (total - reserved) x allocation ratio?"""

from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Provider, Snapshot

OVER_CAPACITY = Code("over_capacity", "I6", "S1", "More is allocated on a provider than it has to give.")


def check(history: History) -> Evidence:
    evidence = Evidence()
    earlier = _over(history.before) if history.before.has("providers") else {}
    over = []
    for (provider, resource), (used, capacity) in _over(history.after).items():
        # What was over before the run, and did not get worse, is not the run's doing.
        if used > earlier.get((provider, resource), (0.0, 0.0))[0]:
            name = next(each.name for each in history.after.providers if each.uuid == provider)
            over.append(Affected("provider", provider, name, detail=f"{resource}: {used:g} of {capacity:g} given away"))
    evidence.checked = len(history.after.providers)
    evidence.findings += finding(OVER_CAPACITY, over, "given away beyond their capacity")
    return evidence


def _over(snapshot: Snapshot) -> dict[tuple[str, str], tuple[float, float]]:
    """(provider, resource class) of which more is used than there is, with used and capacity."""
    found = {}
    for provider in snapshot.providers:
        for resource, inventory in provider.inventories.items():
            capacity = int(
                (inventory.get("total", 0) - inventory.get("reserved", 0)) * inventory.get("allocation_ratio", 1.0)
            )
            used = _used(provider, resource)
            if used > capacity:
                found[provider.uuid, resource] = (used, float(capacity))
    return found


def _used(provider: Provider, resource: str) -> float:
    """The larger of what the provider says is used and what its consumers hold together."""
    held = sum(resources.get(resource, 0) for resources in provider.allocations.values())
    return float(max(held, provider.usages.get(resource, 0)))


CHECKER = Checker(
    name="capacity",
    question="Is no provider given away beyond its capacity?",
    invariants=("I6",),
    codes=(OVER_CAPACITY,),
    check=check,
)
