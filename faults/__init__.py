"""The nemesis: faults that are injected for real, proved to bite, and always undone.

What the rest of Squall uses: `catalogue` (every fault there is), `validate` (a plan's faults against the targets there
are), `open_faults` and `heal` (what dead runs left). The nemesis itself is a process: `python -m faults.nemesis`.
Imports happen inside: the proxy and the watchdog start by this package too and must stay small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from faults.fault import Fault
    from faults.healing import HealReport


def catalogue() -> dict[str, type[Fault]]:
    """Every fault by name, ours and those of other packages (entry points `squall.faults`).

    One that cannot be loaded is there too, `unusable` says why, and an experiment that uses it is refused.
    """
    from faults.registry import registered

    return registered()


def validate(plan_faults: Sequence[Mapping[str, Any]], targets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with the faults of a plan, without touching anything; each problem starts with the fault's id.

    Args:    plan_faults: `{id, fault, target, start_ns, duration_ns, params}`, of one that follows also `earliest_ns`.
             targets: name -> plain data, see `faults.targets`.
    """
    from faults.validation import problems_of

    return problems_of(plan_faults, targets)


def heal(run_id: str | None = None, list_only: bool = False) -> HealReport:
    """Undo whatever the journals say is still open (of one run, or of all); with `list_only` say it only."""
    from faults.healing import heal_all

    return heal_all(run_id, list_only)


def open_faults() -> list[str]:
    """What is still open by the journals, in words; a new run must not start on it."""
    return heal(list_only=True).open


def embedded_targets(state: Path) -> dict[str, dict[str, Any]]:
    """The targets `database` and `broker` of the embedded cloud that runs in a state directory."""
    from faults.embedded import embedded_targets as read

    return read(state)
