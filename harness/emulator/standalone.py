"""A PostgreSQL of its own without a cloud around it, for tests and benches of single parts."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from harness import supervise
from harness.emulator import postgres
from harness.emulator.preparation import free_port
from harness.emulator.settings import DatabaseSettings

READY_WITHIN_S = 30.0


class StandalonePostgres:
    """`with StandalonePostgres(directory) as server:` - `server.settings` says how to connect; data goes at the end.

    A guardian ends it when this process dies. Raises: postgres.PostgresUnavailable.
    """

    def __init__(self, directory: Path, *, fsync: bool = False, max_connections: int = 200) -> None:
        self._directory = directory
        port = free_port(set())
        self.settings = DatabaseSettings(
            password=os.urandom(12).hex(),
            port=port,
            server_port=port,
            fsync=fsync,
            max_connections=max_connections,
            connect_attempts=1,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._place: postgres.Place | None = None
        self._guardian: supervise.Guardian | None = None
        self._pids = supervise.PidFile(directory / "postgres-pids.json")

    def __enter__(self) -> "StandalonePostgres":
        self._directory.mkdir(parents=True, exist_ok=True)
        self._place = postgres.prepare(self._directory, postgres.find_binaries(), ephemeral=True)
        removals = self._directory / "postgres-removals.json"
        removals.write_text(json.dumps([str(self._place.directory)]))
        self._guardian = supervise.Guardian(self._pids.path, removals=removals)
        try:
            postgres.initialise(self._place, self.settings, self.log)
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def log(self) -> Path:
        return self._directory / "postgres.log"

    @property
    def process(self) -> supervise.Recorded:
        """The running server. Raises: LookupError."""
        found = self._pids.get("database")
        if found is None:
            raise LookupError("the server does not run")
        return found

    def start(self) -> None:
        """Start the server (again) and wait until it takes connections."""
        assert self._place is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            self._process = postgres.start(self._place, self.settings, self.log)
            self._pids.add(supervise.record("database", self._process.pid))
            while self._process.poll() is None:
                if postgres.is_ready(self._place, self._process.pid):
                    return
                if time.monotonic() > deadline:
                    raise postgres.PostgresUnavailable(f"not ready within {READY_WITHIN_S:.0f} s: {self.log}")
                time.sleep(0.01)
            if time.monotonic() > deadline:
                raise postgres.PostgresUnavailable(postgres.log_tail(self.log))
            time.sleep(0.1)  # a killed server's backends still hold its shared memory

    def kill(self) -> None:
        """SIGKILL to the server alone, as a crash; its backends notice and end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(supervise.KILL_WAIT_S)
            except subprocess.TimeoutExpired:
                supervise.kill_families(self._pids.entries)
                self._process.wait()
            self._process = None
        if self._place is not None:
            self._place.remove()
        self._pids.remove()
        if self._guardian is not None:
            self._guardian.release()
            self._guardian = None
