"""The process that starts a cloud's processes, watches them and ends them: `python -m harness.emulator.supervisor`.

Order: database and broker, then the fault proxy, then schema and first rows, then the roles, all at once. Roles are
forked from here after their modules are imported, so that they start at once and share memory; therefore this process
has one thread and no event loop. It is told what to do through a socket (JSON lines, `control.py`'s protocol):

    {"token": ...}                                    first line
    {"do": "status"} | {"do": "kill", "name": "api", "signal": 9} | {"do": "stop", "name": "api"}
    {"do": "restart", "name": "database"}             answered when it is ready again, or cannot be
    {"do": "down"}                                    answered when everything has ended

A service that ends unasked is started again after a second, as systemd and kolla do, and so is the proxy, without the
toxics it had; database and broker are not: those come back by `restart`, from the fault that ended them or from the
operator.
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
from collections.abc import Callable
from pathlib import Path

from harness import supervise
from harness.emulator import postgres
from harness.emulator import settings as settings_module
from harness.emulator.children import BACKING, FAULTY, Child, spawn_broker, spawn_proxy
from harness.emulator.control_port import ControlPort, Peer
from harness.emulator.settings import Settings

READY_WITHIN_S = 60.0
TERM_WITHIN_S = 3.0
POLL_S = 0.02
RESTART_RETRY_S = 0.3
RESTART_GIVE_UP_S = 30.0
RUNTIME_FILES = ("control.json", "proxy.json", "proxy-ready.json", "broker-password")
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
        self.children: dict[str, Child] = {}
        self.pids = supervise.PidFile(state / "pids.json")
        self._removals = state / "removals.json"
        self._place: postgres.Place | None = None
        self._parent_fd = parent_fd
        self._selector = selectors.DefaultSelector()
        self._ending = False
        self._down_peers: list[Peer] = []
        self._started_at = time.monotonic()
        self.control = ControlPort(self._selector, self.settings.control_token, self._on_request)
        self._guardian = supervise.Guardian(
            self.pids.path,
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
            self.pids.add(supervise.record("supervisor", os.getpid()))
            self._write_control_file()
            self._write_removals()
            wanted = []
            if self.settings.broker.embedded:
                wanted.append(self._begin(Child("broker")))
            if self.settings.database.embedded:
                self._prepare_database()
                wanted.append(self._begin(Child("database")))
            from harness.emulator import process

            process.preload(self.settings)  # while database and broker start
            gc.collect()
            gc.freeze()  # a collection in a forked process would copy every page it looks at
            self._await_ready(wanted)
            if self.settings.proxy.enabled:
                self._await_ready([self._begin(Child("proxy"))])
            self._bootstrap()
            roles = [Child(name, role=role, index=index) for name, role, index in self.settings.processes()]
            # Computes register through conductor and placement at once; their calls would time out before.
            self._await_ready([self._begin(child) for child in roles if child.role != "compute"])
            self._await_ready([self._begin(child) for child in roles if child.role == "compute"])
        except (StartFailed, postgres.PostgresUnavailable, OSError, ValueError, ImportError) as error:
            self.end()
            raise StartFailed(str(error)) from error

    def watch(self) -> None:
        """Watch and obey until told to end, or until the parent is gone."""
        while not self._ending:
            self._turn(None)

    def end(self) -> None:
        """End every process, remove what must not stay, let the guardian go."""
        self._ending = True
        if not self.ephemeral:  # else nothing is kept, so nothing needs an orderly end
            self._end_children([c for c in self.children.values() if c.name not in BACKING], signal.SIGTERM)
            self._end_children([c for c in self.children.values() if c.name in ("proxy", "broker")], signal.SIGTERM)
            self._end_children([c for c in self.children.values() if c.name == "database"], signal.SIGINT)
        left = [child.recorded for child in self.children.values() if child.recorded is not None]
        supervise.kill_families(left)
        for child in self.children.values():
            child.reap()
        if self._place is not None and self.ephemeral:
            self._place.remove()
        for name in RUNTIME_FILES + (EPHEMERAL_FILES if self.ephemeral else ()):
            supervise.remove(self.state / name)
        for peer in self._down_peers:
            peer.answer({"ok": True})
        self.pids.remove()
        self._removals.unlink(missing_ok=True)
        if self.ephemeral and self.logs.is_symlink():
            supervise.remove(self.state)  # the logs are kept elsewhere, and our parent may be dead
        self.control.close()
        self._guardian.release()

    # Starting one process.

    def _begin(self, child: Child) -> Child:
        """Start a process; it is not ready yet."""
        self.children[child.name] = child
        child.state = "starting"
        child.started_at = time.monotonic()
        child.deadline = child.started_at + READY_WITHIN_S
        match child.name:
            case "database":
                assert self._place is not None
                child.popen = postgres.start(self._place, self.settings.database, self._log("database"))
                child.pid = child.popen.pid
            case "broker":
                spawn_broker(child, self.settings, self.state, self._log("broker"))
            case "proxy":
                spawn_proxy(child, self.settings, self.state, self._log("proxy"))
            case _:
                self._fork(child)
        with contextlib.suppress(ProcessLookupError):
            child.recorded = supervise.record(child.name, child.pid)
            self.pids.add(child.recorded)
        if child.ready_fd is not None:
            self._selector.register(child.ready_fd, selectors.EVENT_READ, lambda: self._on_ready_fd(child))
        return child

    def _fork(self, child: Child) -> None:
        ready_read, ready_write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child.pid = os.fork()
        if child.pid == 0:
            self._be(child, ready_write)
        os.close(ready_write)
        child.ready_fd = ready_read

    def _be(self, child: Child, ready_fd: int) -> None:
        """In the forked process: let go of everything of the supervisor's and play the role."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            log = os.open(self._log(child.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.dup2(ready_fd, 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            from harness.emulator import process

            code = process.run(self.settings, child.name, child.role, child.index, ready_fd=3)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _bootstrap(self) -> None:
        child = self._begin(Child("bootstrap", role="bootstrap"))
        while child.state == "starting":
            self._turn(POLL_S)
            if time.monotonic() > child.deadline:
                raise StartFailed(f"schema and first rows were not done within {READY_WITHIN_S:.0f} s")
            self._stop_if_ending()
        if child.exit_code != 0:
            raise StartFailed(f"schema and first rows: {self._last_words('bootstrap')}")
        self._forget(child)

    def _prepare_database(self) -> None:
        binaries = postgres.find_binaries()
        self._place = postgres.prepare(self.state, binaries, ephemeral=self.ephemeral)
        self._write_removals()
        postgres.initialise(self._place, self.settings.database, self._log("database"))

    def _write_removals(self) -> None:
        """What must not stay when we are gone: secrets and data of a cloud that does not outlive its parent."""
        paths = [self.state / name for name in RUNTIME_FILES]
        if self.ephemeral:
            paths += [self.state / name for name in EPHEMERAL_FILES]
            if self._place is not None:
                paths.append(self._place.directory)
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
                raise StartFailed(f"{child.name} ended at once: {self._last_words(child.name)}")

    def _stop_if_ending(self) -> None:
        if self._ending:
            raise StartFailed("told to end while starting")

    # One turn of the loop, and what may come in.

    def _turn(self, timeout_s: float | None) -> None:
        due = self._next_due()
        if due is not None:
            timeout_s = min(timeout_s, due) if timeout_s is not None else due
        for key, _ in self._selector.select(timeout_s):
            key.data()
        self._reap()
        self._poll_database()
        self._restart_due()
        if not self._guardian.alive and not self._ending:
            self._guardian.renew()

    def _next_due(self) -> float | None:
        now = time.monotonic()
        dues = [max(0.0, child.restart_at - now) for child in self.children.values() if child.restart_at is not None]
        if any(child.state == "starting" and child.ready_fd is None for child in self.children.values()):
            dues.append(POLL_S)
        return min(dues) if dues else None

    def _on_signal(self) -> None:
        for number in os.read(self._signals, 256):
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._ending = True

    def _on_parent(self) -> None:
        assert self._parent_fd is not None
        if not os.read(self._parent_fd, 64):
            self._selector.unregister(self._parent_fd)
            self._ending = True

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

    def _poll_database(self) -> None:
        child = self.children.get("database")
        if child is None or child.state != "starting" or self._place is None:
            return
        if postgres.is_ready(self._place, child.pid):
            self._is_ready(child)

    def _is_ready(self, child: Child) -> None:
        child.state = "ready"
        child.ready_after_s = time.monotonic() - child.started_at
        for peer in child.waiting:
            peer.answer({"ok": True, "pid": child.pid, "ready_after_s": round(child.ready_after_s, 3)})
        child.waiting.clear()

    def _reap(self) -> None:
        for child in list(self.children.values()):
            if child.state in ("starting", "ready") and (code := child.reap()) is not None:
                self._has_ended(child, code)

    def _has_ended(self, child: Child, code: int) -> None:
        was_starting = child.state == "starting"
        child.state, child.exit_code = "dead", code
        self._drop_ready_fd(child)
        self.pids.drop(child.name)
        if child.role == "bootstrap" or self._ending:
            return
        now = time.monotonic()
        print(f"{child.name} (pid {child.pid}) ended: {_how(code)}", file=sys.stderr, flush=True)
        if child.waiting and was_starting:
            if child.name == "database" and now < child.give_up_at:
                child.restart_at = now + RESTART_RETRY_S  # its former backends still hold the shared memory
                return
            for peer in child.waiting:
                peer.answer({"ok": False, "error": f"{child.name} ended: {self._last_words(child.name)}"})
            child.waiting.clear()
        elif child.restarting:
            child.restarting = False
            child.restart_at = now
        elif child.wanted and child.name not in FAULTY and self.settings.supervision.restart_services:
            child.restart_at = now + self.settings.scaled(self.settings.supervision.restart_delay_s)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in list(self.children.values()):
            if child.restart_at is not None and child.restart_at <= now and not self._ending:
                child.restart_at = None
                child.restarts += 1
                try:
                    self._begin(child)
                except OSError as error:
                    child.state = "dead"
                    for peer in child.waiting:
                        peer.answer({"ok": False, "error": str(error)})
                    child.waiting.clear()

    # Requests.

    def _on_request(self, peer: Peer, request: dict[str, object]) -> None:
        what = request.get("do")
        if what == "status":
            peer.answer({"ok": True, **self.status()})
            return
        if what == "down":
            self._down_peers.append(peer)
            self._ending = True
            return
        actions: dict[object, Callable[[Child, Peer, dict[str, object]], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "restart": self._restart,
        }
        action = actions.get(what)
        child = self.children.get(str(request.get("name")))
        if action is None:
            peer.answer({"ok": False, "error": f"wanted status, kill, stop, restart or down, got {what!r}"})
        elif child is None:
            names = ", ".join(self.children)
            peer.answer({"ok": False, "error": f"no process {request.get('name')!r}; there are {names}"})
        else:
            action(child, peer, request)

    def _kill(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        number = request.get("signal", int(signal.SIGKILL))
        if not isinstance(number, int) or not 0 < number < signal.NSIG:
            peer.answer({"ok": False, "error": f"signal: wanted a number, got {number!r}"})
            return
        sent = child.recorded is not None and child.recorded.signal(number)
        peer.answer({"ok": True, "sent": sent, "pid": child.pid})

    def _stop(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        child.wanted, child.restart_at = False, None
        self._end_children([child], signal.SIGINT if child.name == "database" else signal.SIGTERM)
        peer.answer({"ok": True, "pid": child.pid})

    def _restart(self, child: Child, peer: Peer, request: dict[str, object]) -> None:
        child.wanted = True
        child.waiting.append(peer)
        child.give_up_at = time.monotonic() + RESTART_GIVE_UP_S
        if child.state in ("starting", "ready"):
            child.restarting = True
            child.state = "ready"  # so that its end is taken as the end of the former one
            if child.recorded is not None:
                supervise.kill_families([child.recorded])
        else:
            child.restart_at = time.monotonic()

    def status(self) -> dict[str, object]:
        """What runs, for `status`."""
        return {
            "since_s": round(time.monotonic() - self._started_at, 3),
            "processes": [child.shown() for child in self.children.values() if child.role != "bootstrap"],
        }

    # Ending.

    def _end_children(self, children: list[Child], number: int) -> None:
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

    def _has_stopped(self, child: Child, code: int) -> bool:
        child.state, child.exit_code = "dead", code
        self._drop_ready_fd(child)
        self.pids.drop(child.name)
        return False

    def _forget(self, child: Child) -> None:
        del self.children[child.name]

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _last_words(self, name: str) -> str:
        return postgres.log_tail(self._log(name)) or f"see {self._log(name)}"

    def _write_control_file(self) -> None:
        document = {"address": self.control.address, "pid": os.getpid()}
        settings_module.write_private(self.state / "control.json", json.dumps(document).encode())


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _signal_pipe() -> int:
    """Signals become bytes on a pipe, so that one selector waits for everything."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
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
            return _tell(report, {"error": f"a cloud is already running in {options.state}"}, 1)
        try:
            supervisor = Supervisor(options.state, parent_fd=options.parent_fd, ephemeral=options.ephemeral)
            supervisor.start()
        except (StartFailed, OSError, ValueError) as error:
            return _tell(report, {"error": str(error)}, 1)
        _tell(report, {"ready": True, "after_s": round(time.monotonic() - supervisor._started_at, 3)}, 0)
        try:
            supervisor.watch()
        finally:
            supervisor.end()
    return 0


def _tell(report: "os.PathLike[str] | object", message: dict[str, object], code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        report.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
        report.close()  # type: ignore[union-attr]
    return code


if __name__ == "__main__":
    sys.exit(main())
