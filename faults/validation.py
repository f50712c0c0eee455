"""Whether a plan's faults can be what they say, decided from data alone before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from faults.fault import Fault
from faults.parameters import parse_parameters
from faults.registry import registered
from faults.targets import Target, read_target
from harness.core.units import format_ns

SHORTEST_NS = 100_000_000


def problems_of(plan_faults: Sequence[Mapping[str, Any]], targets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """See `faults.validate`."""
    problems: list[str] = []
    read: dict[str, Target | None] = {}
    sound: list[tuple[Mapping[str, Any], type[Fault], Target]] = []
    ids = [str(planned["id"]) for planned in plan_faults]
    for planned in plan_faults:
        own = _problems_of_one(planned, targets, read)
        if ids.count(str(planned["id"])) > 1:
            own.append("another fault has the same id")
        problems += [f"{planned['id']}: {problem}" for problem in own]
        kind, target = registered().get(planned["fault"]), read.get(planned["target"])
        if kind is not None and not kind.unusable and target is not None:
            sound.append((planned, kind, target))
    for i, (planned, kind, target) in enumerate(sound):
        for other, other_kind, other_target in sound[:i]:
            shared = exclusive_claims(kind, target) & exclusive_claims(other_kind, other_target)
            if shared and _overlap(planned, other):
                problems.append(
                    f"{planned['id']}: overlaps {other['id']} on '{planned['target']}': both need its "
                    f"{', '.join(sorted(claim.split(':', 1)[0] for claim in shared))} for themselves; let one start at "
                    f"or after {format_ns(other['start_ns'] + other['duration_ns'])} of the run"
                )
            for late, (late_kind, late_target), early, (early_kind, early_target) in (
                (planned, (kind, target), other, (other_kind, other_target)),
                (other, (other_kind, other_target), planned, (kind, target)),
            ):
                if (
                    late_kind.stacks
                    and _silences(early_kind)
                    and _address(late_target) == _address(early_target)
                    and _begin(early) <= late["start_ns"]
                    and _begin(late) < early["start_ns"] + early["duration_ns"]
                ):
                    problems.append(
                        f"{late['id']}: begins while {early['id']} keeps '{late['target']}' from answering, so it "
                        f"could not be proved; let it start before that, or at or after "
                        f"{format_ns(early['start_ns'] + early['duration_ns'])} of the run"
                    )
    return problems


def exclusive_claims(kind: type[Fault], target: Target) -> set[str]:
    """What a fault must have for itself on this target: `means:data`, equal when two names mean the same thing.

    Two that do not add up never share a server, whatever they do to it: each would be taken for the other.
    """
    if kind.stacks:
        return set()
    claims = {f"server:{_address(target) or msgspec.json.encode(target).decode()}"}
    for means in kind.needs:
        part = getattr(target, means)
        if means in ("emulator", "process", "link") and part is not None:
            claims.add(f"{means}:{msgspec.json.encode(part).decode()}")
    return claims


def _problems_of_one(
    planned: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]], read: dict[str, Target | None]
) -> list[str]:
    problems: list[str] = []
    kind = registered().get(planned["fault"])
    if kind is None:
        problems.append(f"unknown fault '{planned['fault']}'; wanted one of {', '.join(sorted(registered()))}")
    elif kind.unusable:
        problems.append(f"fault '{planned['fault']}' {kind.unusable}")
    else:
        problems += parse_parameters(kind.parameters, planned.get("params", {}))[1]
    if planned["duration_ns"] < SHORTEST_NS:
        problems.append(
            f"wanted a fault of {format_ns(SHORTEST_NS)} or more, else nothing can be proved of it; got "
            f"{format_ns(planned['duration_ns'])}"
        )
    name = planned["target"]
    if name not in targets:
        problems.append(f"unknown target '{name}'; wanted one of {', '.join(sorted(targets)) or '(there are none)'}")
        return problems
    if name not in read:
        try:
            read[name] = read_target(targets[name])
        except ValueError as error:
            read[name] = None
            problems.append(f"target '{name}': {error}")
    target = read[name]
    if kind is not None and not kind.unusable and target is not None:
        missing = [means for means in kind.needs if getattr(target, means) is None]
        if missing:
            problems.append(f"target '{name}' has no {', '.join(missing)}; {kind.name} needs {', '.join(kind.needs)}")
        elif not problems:
            problems += kind(planned.get("params", {})).problems(target, planned["duration_ns"])
    return problems


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    one_end, other_end = one["start_ns"] + one["duration_ns"], other["start_ns"] + other["duration_ns"]
    return bool(_begin(one) < other_end and _begin(other) < one_end)


def _begin(planned: Mapping[str, Any]) -> int:
    """The earliest: a fault that follows on something has the latest as its start."""
    return int(planned.get("earliest_ns", planned["start_ns"]))


def _silences(kind: type[Fault]) -> bool:
    """Whether it may keep its server from answering: it has the process, or the whole link, to itself."""
    return not kind.stacks and bool({"process", "link"} & set(kind.needs))


def _address(target: Target) -> str | None:
    return None if target.probe is None else target.probe.address
