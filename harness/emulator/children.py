"""The processes of a cloud as its supervisor sees them: which there are, which are ready, what the end of one means.

A service that ends unasked is started again after a second, as systemd and kolla do, and so is the proxy, without the
toxics it had; database and broker are not: those come back when asked for, by the fault that ended them or by the
operator.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import supervise
from harness.emulator import postgres
from harness.emulator.control_port import Peer
from harness.emulator.settings import Settings
from harness.emulator.spawn import fork_role, spawn_broker, spawn_proxy

BACKING = ("database", "broker", "proxy")
FAULTY = ("database", "broker")  # a fault may end them, so only a fault, or a person, starts them again
READY_WITHIN_S = 60.0
TERM_WITHIN_S = 3.0
POLL_S = 0.02
RESTART_RETRY_S = 0.3


@dataclass(slots=True)
class Child:
    """States: starting, ready, dead. `wanted`: whether it ought to run."""

    name: str
    role: str = ""
    index: int = 0
    state: str = "dead"
    pid: int = 0
    exit_code: int | None = None
    popen: "subprocess.Popen[bytes] | None" = None
    recorded: supervise.Recorded | None = None
    ready_fd: int | None = None
    started_at: float = 0.0
    deadline: float = 0.0
    ready_after_s: float = 0.0
    restarts: int = 0
    restart_at: float | None = None
    give_up_at: float = 0.0
    restarting: bool = False
    wanted: bool = True
    waiting: list[Peer] = field(default_factory=list)  # who asked for a restart and waits for it

    def reap(self) -> int | None:
        """The exit code when it has ended (negative: the signal), else None."""
        if self.popen is not None:
            return self.popen.poll()
        if not self.pid:
            return None
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None

    def shown(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "name": self.name,
            "pid": self.pid,
            "state": self.state if self.wanted or self.state != "dead" else "stopped",
            "exit_code": self.exit_code if self.state == "dead" else None,
            "restarts": self.restarts,
            "up_s": round(time.monotonic() - self.started_at, 1) if self.state == "ready" else 0.0,
            "ready_after_s": round(self.ready_after_s, 3),
        }


class Children:
    """All processes of one cloud, by name.

    Args: selector: the supervisor's; gets the pipes on which processes say that they are ready.
    """

    def __init__(self, settings: Settings, state: Path, selector: selectors.BaseSelector) -> None:
        self.pids = supervise.PidFile(state / "pids.json")
        self.place: postgres.Place | None = None  # the database's, once it is prepared
        self.ending = False  # no end is news any more, and nothing is started again
        self._settings, self._state, self._selector = settings, state, selector
        self._by_name: dict[str, Child] = {}

    def all(self) -> list[Child]:
        """In the order they were first started."""
        return list(self._by_name.values())

    def get(self, name: str) -> Child | None:
        return self._by_name.get(name)

    def forget(self, child: Child) -> None:
        """Take out one whose work is done."""
        del self._by_name[child.name]

    def log(self, name: str) -> Path:
        return self._state / "logs" / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The end of its log, for people."""
        return postgres.log_tail(self.log(name)) or f"see {self.log(name)}"

    def begin(self, child: Child) -> Child:
        """Start a process; it is not ready yet."""
        self._by_name[child.name] = child
        child.state = "starting"
        child.started_at = time.monotonic()
        child.deadline = child.started_at + READY_WITHIN_S
        log = self.log(child.name)
        match child.name:
            case "database":
                assert self.place is not None
                child.popen = postgres.start(self.place, self._settings.database, log)
            case "broker":
                child.popen, child.ready_fd = spawn_broker(self._settings, self._state, log)
            case "proxy":
                socket = self.place.socket(self._settings.database) if self.place is not None else ""
                child.popen, child.ready_fd = spawn_proxy(self._settings, self._state, log, database_socket=socket)
            case _:
                child.pid, child.ready_fd = fork_role(self._settings, child.name, child.role, child.index, log)
        if child.popen is not None:
            child.pid = child.popen.pid
        with contextlib.suppress(ProcessLookupError):
            child.recorded = supervise.record(child.name, child.pid)
            self.pids.add(child.recorded)
        if child.ready_fd is not None:
            self._selector.register(child.ready_fd, selectors.EVENT_READ, lambda: self._on_ready_fd(child))
        return child

    def end(self, children: list[Child], number: int) -> None:
        """End processes with a signal, after three seconds with SIGKILL, and their descendants."""
        living = [child for child in children if child.state in ("starting", "ready") and child.recorded is not None]
        for child in living:
            assert child.recorded is not None
            child.recorded.signal(number)
            child.recorded.signal(signal.SIGCONT)  # a stopped one would not hear it
        deadline = time.monotonic() + TERM_WITHIN_S
        while living and time.monotonic() < deadline:
            living = [child for child in living if (code := child.reap()) is None or self._has_stopped(child, code)]
            if living:
                time.sleep(POLL_S)
        supervise.kill_families([child.recorded for child in living if child.recorded is not None])
        for child in living:
            self._has_stopped(child, child.reap() or -signal.SIGKILL)

    def look(self) -> None:
        """After a wait: who has ended, who is ready, who is to be started again."""
        self._reap()
        self._poll_database()
        self._restart_due()

    def next_look_s(self) -> float | None:
        """In how many seconds to look again at the latest; None: when a signal or a pipe says so."""
        now = time.monotonic()
        dues = [max(0.0, child.restart_at - now) for child in self._by_name.values() if child.restart_at is not None]
        if any(child.state == "starting" and child.ready_fd is None for child in self._by_name.values()):
            dues.append(POLL_S)
        return min(dues) if dues else None

    def _on_ready_fd(self, child: Child) -> None:
        assert child.ready_fd is not None
        data = os.read(child.ready_fd, 4096)
        if not data:
            self._drop_ready_fd(child)  # it ended, or closed its output: reaping tells which
        elif child.state == "starting":
            self._is_ready(child)
            if child.popen is None:
                self._drop_ready_fd(child)

    def _drop_ready_fd(self, child: Child) -> None:
        if child.ready_fd is not None:
            self._selector.unregister(child.ready_fd)
            os.close(child.ready_fd)
            child.ready_fd = None

    def _is_ready(self, child: Child) -> None:
        child.state = "ready"
        child.ready_after_s = time.monotonic() - child.started_at
        for peer in child.waiting:
            peer.answer({"ok": True, "pid": child.pid, "ready_after_s": round(child.ready_after_s, 3)})
        child.waiting.clear()

    def _poll_database(self) -> None:
        child = self._by_name.get("database")
        if child is None or child.state != "starting" or self.place is None:
            return
        if postgres.is_ready(self.place, child.pid):
            self._is_ready(child)

    def _reap(self) -> None:
        for child in list(self._by_name.values()):
            if child.state in ("starting", "ready") and (code := child.reap()) is not None:
                self._has_ended(child, code)

    def _has_ended(self, child: Child, code: int) -> None:
        was_starting = child.state == "starting"
        child.state, child.exit_code = "dead", code
        self._drop_ready_fd(child)
        self.pids.drop(child.name)
        if child.role == "bootstrap" or self.ending:
            return
        now = time.monotonic()
        print(f"{child.name} (pid {child.pid}) ended: {_how(code)}", file=sys.stderr, flush=True)
        if child.waiting and was_starting:
            if child.name == "database" and now < child.give_up_at:
                child.restart_at = now + RESTART_RETRY_S  # its former backends still hold the shared memory
                return
            for peer in child.waiting:
                peer.answer({"ok": False, "error": f"{child.name} ended: {self.last_words(child.name)}"})
            child.waiting.clear()
        elif child.restarting:
            child.restarting = False
            child.restart_at = now
        elif child.wanted and child.name not in FAULTY and self._settings.supervision.restart_services:
            child.restart_at = now + self._settings.scaled(self._settings.supervision.restart_delay_s)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in list(self._by_name.values()):
            if child.restart_at is not None and child.restart_at <= now and not self.ending:
                child.restart_at = None
                child.restarts += 1
                try:
                    self.begin(child)
                except OSError as error:
                    child.state = "dead"
                    for peer in child.waiting:
                        peer.answer({"ok": False, "error": str(error)})
                    child.waiting.clear()

    def _has_stopped(self, child: Child, code: int) -> bool:
        child.state, child.exit_code = "dead", code
        self._drop_ready_fd(child)
        self.pids.drop(child.name)
        return False


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
