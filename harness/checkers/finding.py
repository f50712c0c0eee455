"""What a checker says: findings with the ids of what is damaged, and one of pass, fail or unknown."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

Judgement = Literal["pass", "fail", "unknown"]
_RANK: Final[dict[str, int]] = {"pass": 0, "unknown": 1, "fail": 2}


def worst(judgements: Iterable[Judgement]) -> Judgement:
    """Fail outranks unknown, unknown outranks pass.  Nothing judged is unknown, never a pass."""
    found = list(judgements)
    return max(found, key=_RANK.__getitem__) if found else "unknown"


class Code(Struct, frozen=True):
    """A kind of damage. Severity: S1 must never happen, S2 must not outlast the fault, S3 is a matter of time."""

    invariant: str
    severity: Literal["S1", "S2", "S3", "note"]
    meaning: str


CODES: Final[dict[str, Code]] = {
    "lost_server": Code("I1", "S1", "The cloud accepted the server, nobody deleted it, and it is not there."),
    "resurrected_server": Code("I1", "S1", "The server was deleted and seen to be gone, and it is back."),
    "duplicate_server": Code("I2", "S2", "One intent left more servers than it asked for."),
    "unexpected_server": Code("I2", "S2", "A request that the cloud answered with an error left a server behind."),
    "stuck_build": Code("I3", "S3", "The server has been in BUILD for longer than a build can take."),
    "stuck_task": Code("I3", "S3", "The server has been in the middle of a task for longer than a task can take."),
    "stuck_port": Code("I3", "S3", "The server is ACTIVE and its port is still DOWN: it has no network."),
    "allocation_missing": Code("I4", "S2", "A server runs on a host that Placement has not reserved for it."),
    "allocation_mismatch": Code("I4", "S2", "What Placement holds for the server is not its flavor on its host."),
    "leaked_allocation": Code("I5", "S2", "Placement holds resources for a server that does not run anywhere."),
    "over_capacity": Code("I6", "S1", "More is allocated on a provider than it has to give."),
    "usage_drift": Code("I7", "S2", "The usage that quotas are checked against is not what is really there."),
    "nic_mismatch": Code("I9", "S2", "The interfaces of a server are not the ports that belong to it."),
    "orphan_port": Code("I10", "S2", "A port belongs to a server that does not exist."),
    "duplicate_address": Code("I11", "S1", "One address on one network is given to more than one port."),
    "duplicate_mac": Code("I11", "S1", "One MAC address on one network is given to more than one port."),
    "not_conserved": Code("I21", "S2", "After the clean-up the cloud is not what it was before the run."),
    "foreign_residue": Code(
        "-", "note", "Residue that does not carry the mark of this run; it is not held against it."
    ),
}


class Affected(Struct, frozen=True, order=True):
    """One damaged object. `age_s`: seconds that it has been so, as far as known."""

    type: str
    id: str
    name: str = ""
    age_s: float | None = None
    detail: str = ""


class Finding(Struct, frozen=True):
    """Damage of one kind. `age_s` is the age of the oldest object; `meaning` says it for readers."""

    code: str
    invariant: str
    severity: str
    objects: tuple[Affected, ...]
    age_s: float | None
    detail: str
    meaning: str

    @property
    def is_damage(self) -> bool:
        return self.severity != "note"


def finding(code: str, objects: Iterable[Affected], detail: str = "", *, invariant: str | None = None) -> list[Finding]:
    """One finding over all its objects, sorted so that the order of rows does not matter; none without objects."""
    ordered = tuple(sorted(set(objects), key=lambda each: (each.type, each.name, each.id, each.detail)))
    if not ordered:
        return []
    kind = CODES[code]
    ages = [each.age_s for each in ordered if each.age_s is not None]
    count = f"{len(ordered)} {ordered[0].type}{'s' if len(ordered) > 1 else ''}"
    return [
        Finding(
            code=code,
            invariant=invariant or kind.invariant,
            severity=kind.severity,
            objects=ordered,
            age_s=max(ages) if ages else None,
            detail=f"{count}: {detail}" if detail else count,
            meaning=kind.meaning,
        )
    ]


class Evidence(Struct):
    """What one check came to. `checked`: objects looked at. `doubts`: why the absence of findings proves nothing."""

    findings: list[Finding] = []
    checked: int = 0
    doubts: list[str] = []


class Answer(Struct, frozen=True):
    """One checker's answer to its question."""

    checker: str
    question: str
    invariants: tuple[str, ...]
    verdict: Judgement
    checked: int
    reason: str
    findings: tuple[Finding, ...] = ()


def answer(checker: str, question: str, invariants: Sequence[str], evidence: Evidence) -> Answer:
    """Damage is a fail whatever else is in doubt; doubts without damage are unknown."""
    damage = [each for each in evidence.findings if each.is_damage]
    doubts = list(dict.fromkeys(evidence.doubts))  # two steps that miss the same part say so once
    if damage:
        verdict: Judgement = "fail"
        reason = "; ".join(f"{each.code}: {each.detail}" for each in damage)
        if doubts:
            reason += "; also in doubt: " + "; ".join(doubts)
    elif doubts:
        verdict, reason = "unknown", "; ".join(doubts)
    else:
        verdict, reason = "pass", f"{evidence.checked} checked" if evidence.checked else "nothing of this run to check"
    return Answer(checker, question, tuple(invariants), verdict, evidence.checked, reason, tuple(evidence.findings))
