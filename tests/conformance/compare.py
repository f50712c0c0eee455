"""Where two recordings of one script differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MISSING = "<missing>"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in one answer. `where`: `status`, `headers.vary`, `body.server.flavor` ..."""

    script: str
    call: str
    where: str
    real: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.script} | {self.call}\n    {self.where}\n      real: {self.real!r}\n      ours: {self.ours!r}"


def differences(script: str, real: dict[str, Any], ours: dict[str, Any]) -> list[Difference]:
    """All of them, in the order of the calls. A different status hides what else is different in that answer."""
    found: list[Difference] = []
    for call in [*real, *(call for call in ours if call not in real)]:
        if call not in ours or call not in real:
            side = "ours" if call not in ours else "the recording"
            found.append(
                Difference(script, call, "call", *((MISSING, "made") if side != "ours" else ("made", MISSING)))
            )
            continue
        one, two = real[call], ours[call]
        if one["status"] != two["status"]:
            short = tuple({"status": answer["status"], "body": str(answer.get("body"))[:300]} for answer in (one, two))
            found.append(Difference(script, call, "status", *short))
            continue
        found += [Difference(script, call, where, *values) for where, *values in _walk("", one, two)]
    return found


def _walk(where: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    if type(one) is not type(two):
        yield where, one, two
    elif isinstance(one, dict):
        for key in {**one, **two}:
            inner = f"{where}.{key}" if where else key
            if key not in one or key not in two:
                yield inner, one.get(key, MISSING), two.get(key, MISSING)
            else:
                yield from _walk(inner, one[key], two[key])
    elif isinstance(one, list) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from _walk(f"{where}.{index}", left, right)
    elif one != two:
        yield where, one, two
