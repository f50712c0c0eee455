"""The process that starts a cloud's processes, watches them and ends them: `python -m harness.emulator.supervisor`.

Order: database and broker, then the fault proxy, then schema and first rows, then the roles, all at once. Roles are
forked from here after their modules are imported, so that they start at once and share memory; therefore this process
has one thread and no event loop. `orders.py` says what it may be told, `children.py` what it does when one ends.
"""

import argparse
import contextlib
import fcntl
import gc
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness import supervise
from harness.emulator import postgres
from harness.emulator import settings as settings_module
from harness.emulator.children import BACKING, POLL_S, READY_WITHIN_S, TERM_WITHIN_S, Child, Children
from harness.emulator.control_port import ControlPort
from harness.emulator.orders import Orders
from harness.emulator.settings import Settings

RUNTIME_FILES = ("control.json", "proxy.json", "proxy-ready.json", "broker-password")
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EPHEMERAL_FILES = ("settings.json", "clouds.yaml", "images", "lock")  # secrets and data


class StartFailed(Exception):
    """The cloud cannot start; everything that was started has been ended again."""


class Supervisor:
    """One cloud's processes. `run` is the whole life of this process."""

    def __init__(self, state: Path, *, parent_fd: int | None, ephemeral: bool) -> None:
        self.state = state
        self.settings: Settings = settings_module.load(state)
        self.ephemeral = ephemeral
        self.logs = state / "logs"
        self._removals = state / "removals.json"
        self._parent_fd = parent_fd
        self._selector = selectors.DefaultSelector()
        self.children = Children(self.settings, state, self._selector)
        self._orders = Orders(self.children)
        self._started_at = time.monotonic()
        self.control = ControlPort(self._selector, self.settings.control_token, self._orders.take)
        self._guardian = supervise.Guardian(
            self.children.pids.path,
            removals=self._removals,
            grace_s=3 * TERM_WITHIN_S,
            also=[] if parent_fd is None else [parent_fd],
        )
        self._signals = _signal_pipe()
        self._selector.register(self._signals, selectors.EVENT_READ, self._on_signal)
        if parent_fd is not None:
            self._selector.register(parent_fd, selectors.EVENT_READ, self._on_parent)

    def start(self) -> None:
        """Bring everything up. Raises: StartFailed, with what failed and its log's last words; all is ended then."""
        try:
            self.children.pids.add(supervise.record("supervisor", os.getpid()))
            self._write_control_file()
            self._write_removals()
            wanted = []
            if self.settings.broker.embedded:
                wanted.append(self.children.begin(Child("broker")))
            if self.settings.database.embedded:
                with _ending_at_once():
                    self._prepare_database()
                wanted.append(self.children.begin(Child("database")))
            with _ending_at_once():
                from harness.emulator import process

                process.preload(self.settings)  # while database and broker start
            gc.collect()
            gc.freeze()  # a collection in a forked process would copy every page it looks at
            self._await_ready(wanted)
            if self.settings.proxy.enabled:
                self._await_ready([self.children.begin(Child("proxy"))])
            self._bootstrap()
            roles = [Child(name, role=role, index=index) for name, role, index in self.settings.processes()]
            # Computes register through conductor and placement at once; their calls would time out before.
            self._await_ready([self.children.begin(child) for child in roles if child.role != "compute"])
            self._await_ready([self.children.begin(child) for child in roles if child.role == "compute"])
        except (StartFailed, postgres.PostgresUnavailable, OSError, ValueError, ImportError) as error:
            self.end()
            raise StartFailed(str(error)) from error

    def watch(self) -> None:
        """Watch and obey until told to end, or until the parent is gone."""
        while not self.children.ending:
            self._turn(None)

    def end(self) -> None:
        """End every process, remove what must not stay, let the guardian go."""
        self.children.ending = True
        if not self.ephemeral:  # else nothing is kept, so nothing needs an orderly end
            self.children.end([c for c in self.children.all() if c.name not in BACKING], signal.SIGTERM)
            self.children.end([c for c in self.children.all() if c.name in ("proxy", "broker")], signal.SIGTERM)
            self.children.end([c for c in self.children.all() if c.name == "database"], signal.SIGINT)
        left = [child.recorded for child in self.children.all() if child.recorded is not None]
        supervise.kill_families(left)
        for child in self.children.all():
            child.reap()
        if self.children.place is not None and self.ephemeral:
            self.children.place.remove()
        elif self.children.place is not None:
            for path in self.children.place.left_by_kill(self.settings.database):
                supervise.remove(path)
        for path in self._runtime_files():
            supervise.remove(path)
        for name in EPHEMERAL_FILES if self.ephemeral else ():
            supervise.remove(self.state / name)
        self._orders.all_has_ended()
        self.children.pids.remove()
        self._removals.unlink(missing_ok=True)
        if self.ephemeral and self.logs.is_symlink():
            supervise.remove(self.state)  # the logs are kept elsewhere, and our parent may be dead
        self.control.close()
        self._guardian.release()

    def _bootstrap(self) -> None:
        child = self.children.begin(Child("bootstrap", role="bootstrap"))
        while child.state == "starting":
            self._turn(POLL_S)
            if time.monotonic() > child.deadline:
                raise StartFailed(f"schema and first rows were not done within {READY_WITHIN_S:.0f} s")
            self._stop_if_ending()
        if child.exit_code != 0:
            raise StartFailed(f"schema and first rows: {self.children.last_words('bootstrap')}")
        self.children.forget(child)

    def _prepare_database(self) -> None:
        binaries = postgres.find_binaries()
        self.children.place = postgres.prepare(self.state, binaries, ephemeral=self.ephemeral)
        self._write_removals()
        postgres.initialise(self.children.place, self.settings.database, self.children.log("database"))

    def _runtime_files(self) -> list[Path]:
        sockets = (self.settings.database.socket, self.settings.broker.socket, self.settings.broker.server_socket)
        return [*(self.state / name for name in RUNTIME_FILES), *(Path(socket) for socket in sockets if socket)]

    def _write_removals(self) -> None:
        """What must not stay when we are gone: secrets and data of a cloud that does not outlive its parent."""
        paths = self._runtime_files()
        if self.children.place is not None:
            paths += self.children.place.left_by_kill(self.settings.database)
        if self.ephemeral:
            paths += [self.state / name for name in EPHEMERAL_FILES]
            if self.children.place is not None:
                paths.append(self.children.place.directory)
            if self.logs.is_symlink():  # kept elsewhere: nothing of this directory need stay
                paths.append(self.state)
        self._removals.write_text(json.dumps([str(path) for path in paths]))

    def _await_ready(self, wanted: list[Child]) -> None:
        while any(child.state == "starting" for child in wanted):
            self._turn(POLL_S)
            self._stop_if_ending()
            for child in wanted:
                if child.state == "starting" and time.monotonic() > child.deadline:
                    raise StartFailed(f"{child.name} was not ready within {READY_WITHIN_S:.0f} s; see {self.logs}")
        for child in wanted:
            if child.state != "ready":
                raise StartFailed(f"{child.name} ended at once: {self.children.last_words(child.name)}")

    def _stop_if_ending(self) -> None:
        if self.children.ending:
            raise StartFailed("told to end while starting")

    # One turn of the loop, and what may come in.

    def _turn(self, timeout_s: float | None) -> None:
        due = self.children.next_look_s()
        if due is not None:
            timeout_s = min(timeout_s, due) if timeout_s is not None else due
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self.children.look()
        if not self._guardian.alive and not self.children.ending:
            self._guardian.renew()

    def _on_signal(self) -> None:
        for number in os.read(self._signals, 256):
            if number in ENDING:
                self.children.ending = True

    def _on_parent(self) -> None:
        assert self._parent_fd is not None
        if not os.read(self._parent_fd, 64):
            self._selector.unregister(self._parent_fd)
            self.children.ending = True

    def _write_control_file(self) -> None:
        document = {"address": self.control.address, "pid": os.getpid()}
        settings_module.write_private(self.state / "control.json", json.dumps(document).encode())


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """For work that looks at no selector, and starts no process that would have to be recorded: a signal breaks it."""

    def told(*_: object) -> None:
        raise StartFailed("told to end while starting")

    before = {number: signal.signal(number, told) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_pipe() -> int:
    """Signals become bytes on a pipe, so that one selector waits for everything."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return read_end


def main(arguments: list[str] | None = None) -> int:
    """Entry. Writes one JSON line to `--report-fd`: {"ready": true} or {"error": ...}."""
    parser = argparse.ArgumentParser(prog="python -m harness.emulator.supervisor")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--report-fd", type=int, default=1)
    parser.add_argument("--parent-fd", type=int)
    parser.add_argument("--ephemeral", action="store_true")
    options = parser.parse_args(arguments)
    report = os.fdopen(options.report_fd, "w")
    with (options.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _tell(report, {"error": f"a cloud is already running in {options.state}"})
            return 1
        try:
            supervisor = Supervisor(options.state, parent_fd=options.parent_fd, ephemeral=options.ephemeral)
            supervisor.start()
        except (StartFailed, OSError, ValueError) as error:
            _tell(report, {"error": str(error)})
            return 1
        try:
            # Whoever wanted this cloud and was killed meanwhile does not want it any more.
            if _tell(report, {"ready": True, "after_s": round(time.monotonic() - supervisor._started_at, 3)}):
                supervisor.watch()
        finally:
            supervisor.end()
    return 0


def _tell(report: TextIO, message: dict[str, object]) -> bool:
    """Whether anybody is there to hear it."""
    try:
        report.write(json.dumps(message) + "\n")
        report.close()
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
