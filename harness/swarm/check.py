"""Are a plan's scenarios there, have they such options, and how many servers do they ask for?

python -m harness.swarm check < PLAN      one JSON object for each swarm: {"problem": TEXT or null, "servers_each": N}

Asked in a process of its own, for scenarios import Locust, which changes the process that imports it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from harness.swarm.scenario import ScenarioError, find


def answer(swarm: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a swarm's scenario or options, and how many servers one of its journeys may have."""
    try:
        return {"problem": None, "servers_each": find(swarm["scenario"])(swarm.get("options") or {}).servers_each()}
    except ScenarioError as error:
        problem = str(error)
    except Exception as error:  # a scenario of somebody else's that does not even load
        problem = f"scenario {swarm['scenario']!r}: {type(error).__name__}: {error}"
    return {"problem": problem, "servers_each": 0}


def run(plan: TextIO, out: TextIO) -> int:
    json.dump([answer(swarm) for swarm in json.load(plan)["swarms"]], out)
    return 0
