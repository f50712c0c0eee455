"""Processes by identity: a pid with its start time and boot, so that a recycled pid is never touched. Linux (/proc)."""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from pathlib import Path

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """One process: `start` is its start time in clock ticks since boot, `boot` the boot's id."""

    pid: int
    start: int
    boot: str

    def state(self) -> str:
        """The kernel's letter (R, S, D, T, Z...), or "" when this very process is gone."""
        stat = _stat(self.pid)
        if stat is None or stat[1] != self.start or self.boot != boot_id():
            return ""
        return stat[0]

    @property
    def is_alive(self) -> bool:
        """Running, sleeping or stopped; a zombie is dead."""
        return self.state() not in ("", "Z", "X")

    @property
    def is_stopped(self) -> bool:
        """Frozen by SIGSTOP."""
        return self.state() == "T"

    def age_s(self) -> float:
        """Since it began."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start / os.sysconf("SC_CLK_TCK")

    def send(self, number: signal.Signals) -> bool:
        """Signal exactly this process; False when it is gone.

        Raises:  PermissionError when it is not ours to signal.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Checked while the descriptor pins the process: the pid cannot be recycled between check and signal.
            if not self.is_alive:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def identify(pid: int) -> Identity | None:
    """The identity of a running process, None when there is none."""
    stat = _stat(pid)
    return None if stat is None or stat[0] in "ZX" else Identity(pid, stat[1], boot_id())


def descendants(*roots: Identity) -> list[Identity]:
    """All living descendants of `roots`, each once, parents first; one look at /proc, however many roots."""
    children: dict[int, list[Identity]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat is not None and stat[0] not in "ZX":
                children.setdefault(stat[2], []).append(Identity(int(entry), stat[1], boot_id()))
    found: list[Identity] = []
    waiting = [root.pid for root in roots]
    known = set(waiting)
    while waiting:
        for child in children.get(waiting.pop(0), []):
            if child.pid not in known:
                known.add(child.pid)
                found.append(child)
                waiting.append(child.pid)
    return found


def command_line(pid: int) -> str:
    """Its command line in one string; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@cache
def boot_id() -> str:
    """The id of this boot: start times count from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, start time, parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command may hold spaces and parentheses
    return fields[0], int(fields[19]), int(fields[1])
