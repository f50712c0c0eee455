"""The processes that an engine starts for one run, each with a log of its own, and their end."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from harness.supervise import Guardian, PidFile, kill_families, record

_TERM_S = 10.0


class Children:
    """Starts processes, and ends them when left; a guardian ends them when the engine dies first.

    Args: logs: the directory for `NAME.log` and, while the run lasts, the pid file. removals: files that the engine
    removes itself unless it dies first.
    """

    def __init__(self, logs: Path, removals: Sequence[Path] = ()) -> None:
        self._logs = logs
        self._pids = PidFile(logs / "pids.json")
        self._removals = logs / "removals.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._removals.write_text(json.dumps([str(path.resolve()) for path in removals]))
        self._guardian = Guardian(self._pids.path, removals=self._removals)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, guarded: bool = True) -> None:
        """Starts a process with additional environment.

        Args: guarded: whether it must die with the engine at once. The nemesis must not: it heals first, by itself.
        """
        with open(self._logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the engine, which winds down in order
            )
        self._running[name] = process
        if guarded:
            self._pids.add(record(name, process.pid))

    def ended(self) -> dict[str, int]:
        """Exit codes of those that have ended, by name."""
        return {name: code for name, process in self._running.items() if (code := process.poll()) is not None}

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(_TERM_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        kill_families(self._pids.entries)
        self._pids.remove()
        self._guardian.release()
