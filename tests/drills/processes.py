"""The processes of one run, found by what only they have: our own word in their environment, or the run's path.

A guardian has a clean environment, so it is known by its arguments.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.supervise import Recorded, family, record

WORD = "SQUALL_DRILL"  # environment variable that a run's processes inherit

_ROLES = {  # role -> what its command line contains
    "engine": ("harness.cli", "run"),
    "master": ("harness.swarm", "master"),
    "worker": ("harness.swarm", "worker"),
    "nemesis": ("faults.nemesis",),
    "watchdog": ("faults.watchdog",),
    "guardian": ("harness.supervise", "guardian"),
}


def of_run(word: str, run_dir: Path) -> dict[str, list[Recorded]]:
    """Role -> its living processes; what has no role of ours is under "other"."""
    found: dict[str, list[Recorded]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ProcessLookupError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            if f"{WORD}={word}" in environment or any(str(run_dir) in argument for argument in command):
                role = next((name for name, words in _ROLES.items() if set(words) <= set(command)), "other")
                found.setdefault(role, []).append(record(f"{role}: {' '.join(command)[:160]}", int(entry.name)))
    return found


def all_of_run(word: str, run_dir: Path) -> list[Recorded]:
    return [process for processes in of_run(word, run_dir).values() for process in processes]


def stopped(ancestors: list[Recorded]) -> list[str]:
    """Those of these processes and their descendants that SIGSTOP holds."""
    found = []
    for process in family(ancestors):
        with contextlib.suppress(OSError, IndexError):
            if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                found.append(f"{process.name} (pid {process.pid})")
    return found
