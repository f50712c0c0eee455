"""I21: after the run's own resources were deleted, is the cloud what it was before?

What others do on the cloud meanwhile is not held against the run: objects are ours by mark or by an id that we were
given, and usages are compared after other people's servers have been taken out of them.
"""

from typing import Any

from harness.checkers.audit.usage import bounds, nova_usage, placement_usage
from harness.checkers.finding import Affected, Code, Evidence, finding
from harness.checkers.history import History
from harness.checkers.registry import Checker
from harness.checkers.snapshot import Missing

NOT_CONSERVED = Code("not_conserved", "I21", "S2", "After the clean-up the cloud is not what it was before the run.")

_PARTS = {
    **{"servers": "server", "ports": "port", "networks": "network", "subnets": "subnet"},
    **{"security_groups": "security group", "keypairs": "keypair", "images": "image"},
}


def check(history: History) -> Evidence:
    if not history.before.exists:
        raise Missing("snapshot 'before' was not taken: there is nothing to compare with")
    evidence = Evidence()
    left: list[Affected] = []
    for part, singular in _PARTS.items():
        try:
            left += _left_over(history, part, singular, evidence)
        except Missing as reason:
            evidence.doubts.append(str(reason))
    for step in (_consumers, _usages):
        try:
            left += step(history, evidence)
        except Missing as reason:
            evidence.doubts.append(str(reason))
    evidence.findings += finding(NOT_CONSERVED, left, "left over after the clean-up")
    return evidence


def _left_over(history: History, part: str, singular: str, evidence: Evidence) -> list[Affected]:
    rows: list[dict[str, Any]] = history.cleaned.rows(part)
    evidence.checked += len(rows)
    ours = history.our_ids
    earlier = {_identity(row) for row in history.before.rows(part)} if history.before.has(part) else set()
    return [
        Affected(singular, _identity(row), row.get("name") or "", None, "is still there")
        for row in rows
        if _identity(row) not in earlier
        and (
            history.is_marked(row)
            or row.get("id") in ours
            or row.get("device_id") in ours
            or row.get("network_id") in ours
        )
    ]


def _identity(row: dict[str, Any]) -> str:
    return str(row.get("id") or row.get("name"))


def _consumers(history: History, evidence: Evidence) -> list[Affected]:
    held = history.cleaned.held
    evidence.checked += len(held)
    ours = history.our_ids
    return [
        Affected("consumer", consumer, detail="still holds resources of " + ", ".join(each.name for each, _ in what))
        for consumer, what in held.items()
        if consumer in ours
    ]


def _usages(history: History, evidence: Evidence) -> list[Affected]:
    """Usages that moved by more than other people's servers explain."""
    changed = []
    for kind, read in (("nova", nova_usage), ("placement", placement_usage)):
        before, cleaned = read(history.before), read(history.cleaned)
        for resource in sorted(before.keys() & cleaned.keys()):
            evidence.checked += 1
            low_before, high_before = bounds(history.before, kind, resource)
            low_after, high_after = bounds(history.cleaned, kind, resource)
            moved = cleaned[resource] - before[resource]
            if not low_after - high_before <= moved <= high_after - low_before:
                expected = low_after - low_before
                detail = (
                    f"was {before[resource]:g}, is {cleaned[resource]:g}; other people's servers explain {expected:+g}"
                )
                changed.append(Affected("usage", f"{kind}:{resource}", f"{kind} {resource}", None, detail))
    return changed


CHECKER = Checker(
    name="conservation",
    question="Is the cloud, once the run's resources are deleted, what it was before?",
    invariants=("I21",),
    codes=(NOT_CONSERVED,),
    check=check,
)
