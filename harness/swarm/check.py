"""Are a plan's scenarios there, and have they such options? Asked in a process of its own, for scenarios import Locust.

python -m harness.swarm check < PLAN      prints the problems as JSON: [[number of the swarm, what is wrong], ...]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from harness.swarm.scenario import ScenarioError, find


def problems_of(swarms: Iterable[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """What is wrong with each swarm's scenario or options."""
    problems = []
    for number, swarm in enumerate(swarms):
        try:
            find(swarm["scenario"])(swarm.get("options") or {})
        except ScenarioError as error:
            problems.append((number, str(error)))
        except Exception as error:  # a scenario of somebody else's that does not even load
            problems.append((number, f"scenario {swarm['scenario']!r}: {type(error).__name__}: {error}"))
    return problems


def run(plan: TextIO, out: TextIO) -> int:
    json.dump(problems_of(json.load(plan)["swarms"]), out)
    return 0
