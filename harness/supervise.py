"""Processes we started, and their certain end.

Every process is recorded by name, pid and start time, so that only what we started is ever signalled, never a stranger
that was given the same pid. A guardian, a process of its own with next to no imports, holds a pipe to the parent: when
the parent dies, however it dies, the guardian ends exactly what is recorded and removes what must not stay.

    python -m harness.supervise guardian --pids FILE [--removals FILE] [--grace S] --pipe FD [--pipe FD ...]

A parent-death signal would not do: it is lost when a process drops root, and a stopped child reads no pipe.
"""

import argparse
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

KILL_WAIT_S = 5.0
_POLL_S = 0.02
_HAS_PROC = Path("/proc/self/stat").exists()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One process of ours. `start` is what the kernel says about when it began (clock ticks since boot on Linux)."""

    name: str
    pid: int
    start: str

    @property
    def alive(self) -> bool:
        """Whether this very process is there and no zombie."""
        return start_time(self.pid) == self.start

    def signal(self, number: int) -> bool:
        """Send a signal to this process, and to no other. False: it is gone."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)
            return True
        return False


def start_time(pid: int) -> str | None:
    """When a process began, as text to compare; None when there is none or it is a zombie."""
    stat = _stat(pid)
    if stat is not None:
        return None if stat[0] == "Z" or stat[0] == "X" else stat[19]
    if _HAS_PROC:
        return None
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = shown.stdout.strip().partition(" ")
    return None if not began or state.startswith("Z") else " ".join(began.split())


def record(name: str, pid: int) -> Recorded:
    """Take down a process that we have just started. Raises: ProcessLookupError when it is gone already."""
    start = start_time(pid)
    if start is None:
        raise ProcessLookupError(f"{name}: process {pid} has ended")
    return Recorded(name, pid, start)


def family(ancestors: Iterable[Recorded]) -> list[Recorded]:
    """The given processes that live, and all their descendants, found by parent pid; parents before children."""
    found = [process for process in ancestors if process.alive]
    if not found or not _HAS_PROC:
        return found
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat is not None and stat[0] not in "ZX":
                children.setdefault(int(stat[1]), []).append((int(entry), stat[19]))
    known = {process.pid for process in found}
    for process in found:  # grows while we walk
        for pid, start in children.get(process.pid, ()):
            if pid not in known:
                known.add(pid)
                found.append(Recorded(f"{process.name}/{pid}", pid, start))
    return found


def kill_families(ancestors: Sequence[Recorded], *, within_s: float = KILL_WAIT_S) -> list[Recorded]:
    """SIGKILL processes and all their descendants, stopped ones too. Returns those that are still there.

    Ancestors are stopped first, so that none starts another child while we look.
    """
    for process in ancestors:
        process.signal(signal.SIGSTOP)
    doomed = family(ancestors)
    for process in doomed:
        process.signal(signal.SIGKILL)
    return wait_gone(doomed, within_s)


def wait_gone(processes: Sequence[Recorded], within_s: float) -> list[Recorded]:
    """Wait until processes have ended. Returns those that have not, at the deadline."""
    deadline = time.monotonic() + within_s
    left = [process for process in processes if process.alive]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [process for process in left if process.alive]
    return left


class PidFile:
    """`pids.json`: what runs for us, rewritten whole at each change; readable at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, Recorded] = {}

    @classmethod
    def read(cls, path: Path) -> list[Recorded]:
        """The entries of a file; empty when there is none or it is not readable as one."""
        try:
            entries = json.loads(path.read_bytes())
            return [Recorded(str(e["name"]), int(e["pid"]), str(e["start"])) for e in entries]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def add(self, process: Recorded) -> None:
        """Take a process in; a former one of that name is forgotten."""
        self._entries[process.name] = process
        self._write()

    def drop(self, name: str) -> None:
        """Forget a process that has ended."""
        if self._entries.pop(name, None) is not None:
            self._write()

    @property
    def entries(self) -> list[Recorded]:
        """In the order they were taken in."""
        return list(self._entries.values())

    def get(self, name: str) -> Recorded | None:
        return self._entries.get(name)

    def remove(self) -> None:
        """Delete the file."""
        self._entries.clear()
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        rows = [{"name": p.name, "pid": p.pid, "start": p.start} for p in self._entries.values()]
        part.write_text(json.dumps(rows, indent=1))
        part.replace(self.path)


class Guardian:
    """Our end of the pipe, and the process at the other end.

    Args:
        pids: the pid file to act upon.
        removals: a JSON list of files and directories that go when we are gone; read at that moment, may be missing.
        also: further pipes (read ends) whose closing means the same: those of a grandparent.
        grace_s: how long we, the parent, may take to end things in order when one of `also` closes.
    """

    def __init__(
        self, pids: Path, *, removals: Path | None = None, grace_s: float = 0.0, also: Sequence[int] = ()
    ) -> None:
        self._pids, self._removals, self._grace_s, self._also = pids, removals, grace_s, list(also)
        self.process, self._write_end = self._start()

    def _start(self) -> tuple["subprocess.Popen[bytes]", int]:
        read_end, write_end = os.pipe()
        pipes = [read_end, *self._also]
        command = [sys.executable, "-S", "-m", "harness.supervise", "guardian", "--pids", str(self._pids)]
        command += ["--grace", str(self._grace_s)]
        if self._removals is not None:
            command += ["--removals", str(self._removals)]
        for pipe in pipes:
            command += ["--pipe", str(pipe)]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            process = subprocess.Popen(
                command,
                pass_fds=pipes,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is not for it
                cwd="/",
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        return process, write_end

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def renew(self) -> None:
        """Start another one after somebody ended this one."""
        self.process.wait()
        os.close(self._write_end)
        self.process, self._write_end = self._start()

    def release(self, within_s: float = 10.0) -> None:
        """Close the pipe and wait for the guardian to finish its work (nothing, when nothing is recorded)."""
        os.close(self._write_end)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def guard(pids: Path, pipes: Sequence[int], removals: Path | None, grace_s: float) -> None:
    """Wait until one of the pipes ends, then end what the file records and remove the directories.

    The first pipe is the parent's. When another one ends first, the parent gets `grace_s` to end things in order.
    """
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        ended: set[int] = set()
        deadline: float | None = None
        while pipes[0] not in ended and (deadline is None or time.monotonic() < deadline):
            for key, _ in waiting.select(None if deadline is None else max(0.0, deadline - time.monotonic())):
                if not os.read(key.fd, 64):
                    ended.add(key.fd)
                    waiting.unregister(key.fd)
                    deadline = deadline or time.monotonic() + grace_s
    for _ in range(3):  # a supervisor in its last moments may have started one more
        entries = PidFile.read(pids)
        if not any(entry.alive for entry in entries):
            break
        kill_families(entries)
    if removals is not None:
        _remove_listed(removals)
    if not any(entry.alive for entry in PidFile.read(pids)):
        pids.unlink(missing_ok=True)


def _remove_listed(removals: Path) -> None:
    try:
        directories = json.loads(removals.read_bytes())
    except (OSError, ValueError):
        return
    for path in directories:
        remove(Path(path))
    removals.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file or a whole directory; what is not there, or not ours, stays as it is.

    A database's lock file takes the memory with it that the killed server left in the kernel.
    """
    for lock in (path, path / "postmaster.pid", path / "data" / "postmaster.pid"):
        if lock.name == "postmaster.pid" and lock.is_file():
            from harness import shared_memory  # ctypes: only for who has need of it

            shared_memory.release(lock)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on: state, parent, ...; [19] is the start time."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The second field, the name in brackets, may itself contain spaces and brackets.
    return text[text.rindex(b")") + 2 :].decode("ascii", "replace").split()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the guardian process."""
    parser = argparse.ArgumentParser(prog="python -m harness.supervise")
    parser.add_argument("what", choices=["guardian"])
    parser.add_argument("--pids", type=Path, required=True)
    parser.add_argument("--pipe", type=int, action="append", required=True)
    parser.add_argument("--removals", type=Path)
    parser.add_argument("--grace", type=float, default=0.0)
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guard(options.pids, options.pipe, options.removals, options.grace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
