"""A whole emulated cloud: `up` and `down` for one that outlives us, `EmbeddedCloud` for the engine and for tests."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import supervise
from harness.emulator import backends
from harness.emulator import settings as settings_module
from harness.emulator.errors import CloudError, CloudRefused
from harness.emulator.launch import DOWN_WITHIN_S, launch
from harness.emulator.preparation import prepare
from harness.emulator.settings import Settings
from harness.emulator.status import CloudStatus, ask, status


class EmbeddedCloud:
    """A cloud that lives as long as this object's `with` block, and no longer than this process.

    Args:
        settings: what it is like; ports, passwords and tokens that are missing are filled in.
        state: its directory; made if missing. Logs, settings and clouds.yaml stay there, data does not.
        fixed_ports: keep the ports of the settings; default: free ones.
        logs: where its logs go instead; the whole state directory is then removed at the end, even when we are killed.
    """

    def __init__(self, settings: Settings, state: Path, *, fixed_ports: bool = False, logs: Path | None = None) -> None:
        self.settings = settings
        self.state = state
        self._fixed_ports = fixed_ports
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None
        self._parent_end = -1

    def __enter__(self) -> "EmbeddedCloud":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns when every process serves. Raises: CloudError; nothing is left running then."""
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
            self.state.mkdir(parents=True, exist_ok=True)
            (self.state / "logs").symlink_to(self._logs.resolve())
        prepare(self.settings, self.state, fixed_ports=self._fixed_ports)
        read_end, self._parent_end = os.pipe()
        try:
            self._process = launch(self.state, parent_fd=read_end)
        except BaseException:
            os.close(self._parent_end)
            raise
        finally:
            os.close(read_end)
        self.settings = settings_module.load(self.state)

    def close(self) -> None:
        """End everything and remove the data. Safe to repeat. Raises: CloudError when data on another server stays."""
        if self._process is None:
            return
        os.close(self._parent_end)
        try:
            self._process.wait(DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its guardian ends the rest
            self._process.wait()
        self._process = None
        backends.forget(self.settings)

    @property
    def clouds_yaml(self) -> Path:
        """For OS_CLIENT_CONFIG_FILE; clouds `admin` and `demo`."""
        return self.state / "clouds.yaml"

    def url(self, service: str) -> str:
        return self.settings.url(service)

    def status(self) -> CloudStatus:
        return status(self.state)

    def restart(self, name: str) -> dict[str, Any]:
        """End a process (SIGKILL) and start it again; returns when it is ready. Raises: CloudError."""
        return ask(self.state, {"do": "restart", "name": name})

    def kill(self, name: str, number: int = signal.SIGKILL) -> dict[str, Any]:
        """Send a signal to one process by name. Raises: CloudError."""
        return ask(self.state, {"do": "kill", "name": name, "signal": int(number)})

    def stop(self, name: str) -> dict[str, Any]:
        """End a process for good (until `restart`). Raises: CloudError."""
        return ask(self.state, {"do": "stop", "name": name})

    def pid(self, name: str) -> int:
        """The pid of a process by name. Raises: KeyError."""
        for process in supervise.PidFile.read(self.state / "pids.json"):
            if process.name == name:
                return process.pid
        raise KeyError(name)


def up(settings: Settings, state: Path) -> float:
    """Start a cloud that outlives us; returns when it is ready, with the seconds that took.

    Raises: CloudRefused before anything is started, CloudError when it cannot be, KeyboardInterrupt; nothing runs then.
    """
    running = status(state)
    if running.running:
        raise CloudRefused(
            f"a cloud is already running in {state}; end it first: squall cloud down --state {shlex.quote(str(state))}"
        )
    began = time.monotonic()
    is_new = not (state / "settings.json").exists()
    try:
        prepare(settings, state, fixed_ports=True)
        launch(state, parent_fd=None)
    except KeyboardInterrupt:
        if is_new:
            _wipe(state)
        raise
    return time.monotonic() - began


def down(state: Path, *, wipe: bool = False) -> bool:
    """End the cloud of a state directory, however it is. Returns whether there was anything to end.

    Args: wipe: remove the state directory too, with all data, and what it has on servers of others.
    Raises: CloudError when a process would not end, or such a server does not answer.
    """
    entries = supervise.PidFile.read(state / "pids.json")
    was_there = any(entry.alive for entry in entries)
    with contextlib.suppress(CloudError):
        ask(state, {"do": "down"})
    left = supervise.wait_gone(entries, 1.0)
    left = supervise.kill_families(left) if left else []
    if left:
        raise CloudError(f"still there: {', '.join(f'{process.name} (pid {process.pid})' for process in left)}")
    if wipe:
        with contextlib.suppress(OSError, ValueError):
            backends.forget(settings_module.load(state))
        _wipe(state)
    return was_there


def _wipe(state: Path) -> None:
    from harness.emulator import postgres

    with contextlib.suppress(postgres.PostgresUnavailable):
        postgres.kept_directory(state, remove=True)
    shutil.rmtree(state, ignore_errors=True)
