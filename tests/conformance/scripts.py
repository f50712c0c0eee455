"""Which scripts there are, what the real services answered to them, and playing one."""

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conformance.play import SERVICES, Play, Recording

RECORDED = Path(__file__).parent / "recorded"
Script = Callable[[Play], None]


def every() -> dict[str, Script]:
    """`nova.keypairs` -> the function; in the order of the files, or of the packages' `SCRIPTS`."""
    found: dict[str, Script] = {}
    for service in SERVICES:
        module = importlib.import_module(f"tests.conformance.{service}")
        own = [value for value in vars(module).values() if inspect.isfunction(value)]
        for script in getattr(module, "SCRIPTS", own):
            if not script.__name__.startswith("_"):
                found[f"{service}.{script.__name__}"] = script
    return found


def run(play: Play, script: Script) -> Recording:
    """Play one script and record its answers."""
    with play.record() as recording:
        script(play)
    return recording


def save(name: str, recording: Recording) -> None:
    """One call to a line, so that a change of the real services reads well as a difference."""
    lines = [f"{json.dumps(call)}: {json.dumps(answer)}" for call, answer in recording.answers.items()]
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def load(name: str) -> dict[str, Any]:
    """Raises: FileNotFoundError when nobody has recorded this script yet."""
    answers: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return answers
