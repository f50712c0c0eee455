"""What packages of other people add: entry points of three groups, each loaded by itself.

So one that is broken breaks nothing but itself, and a run can say whose faults, checkers and scenarios it had.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

FAULTS, CHECKERS, SCENARIOS = "squall.faults", "squall.checkers", "squall.scenarios"
GROUPS = (FAULTS, CHECKERS, SCENARIOS)


def installed(group: str) -> list[EntryPoint]:
    """The entry points of a group, each once, in an order that does not depend on the file system."""
    found = {(point.name, point.value): point for point in entry_points(group=group)}
    return [found[key] for key in sorted(found)]


def load(point: EntryPoint) -> tuple[Any, str]:
    """What an entry point names, and ""; or None, and why it cannot be had. Runs code of others, and outlives it."""
    try:
        return point.load(), ""
    except (Exception, SystemExit) as error:
        return None, why(error)


def why(error: BaseException) -> str:
    """An error of other people's code in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def in_words(point: EntryPoint) -> str:
    """Which entry point this is, for who has to mend it."""
    return f"{point.name} = {point.value!r}, {_owner(point)['distribution'] or 'of no distribution'}"


def described() -> list[dict[str, str | None]]:
    """All of them as plain data, for a run's fingerprint. Loads none."""
    return [
        {"group": group, "name": point.name, "value": point.value, **_owner(point)}
        for group in GROUPS
        for point in installed(group)
    ]


def _owner(point: EntryPoint) -> Mapping[str, str | None]:
    distribution = point.dist
    if distribution is None:
        return {"distribution": None, "version": None}
    return {"distribution": distribution.name, "version": distribution.version}
