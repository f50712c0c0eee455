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
    """A kind of damage; a checker declares its own.

    Severity: S1 must never happen, S2 must not outlast the fault, S3 is a matter of time.
    """

    name: str
    invariant: str
    severity: Literal["S1", "S2", "S3", "note"]
    meaning: str


FOREIGN_RESIDUE: Final = Code(
    "foreign_residue", "-", "note", "Residue that does not carry the mark of this run; it is not held against it."
)


class Affected(Struct, frozen=True, order=True):
    """One damaged object. `age_s`: seconds that it has been so, as far as known."""

    type: str
    id: str
    name: str = ""
    age_s: float | None = None
    detail: str = ""


class Finding(Struct, frozen=True):
    """Damage of one code. `age_s` is the age of the oldest object; `meaning` says it for readers."""

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


def finding(
    code: Code, objects: Iterable[Affected], detail: str = "", *, invariant: str | None = None
) -> list[Finding]:
    """One finding over all its objects, sorted so that the order of rows does not matter; none without objects."""
    ordered = tuple(sorted(set(objects), key=lambda each: (each.type, each.name, each.id, each.detail)))
    if not ordered:
        return []
    ages = [each.age_s for each in ordered if each.age_s is not None]
    count = f"{len(ordered)} {ordered[0].type}{'s' if len(ordered) > 1 else ''}"
    return [
        Finding(
            code=code.name,
            invariant=invariant or code.invariant,
            severity=code.severity,
            objects=ordered,
            age_s=max(ages) if ages else None,
            detail=f"{count}: {detail}" if detail else count,
            meaning=code.meaning,
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
