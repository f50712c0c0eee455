"""Killing one process with all its children (SIGKILL) and starting it again: `database.crash` and `broker.crash`."""

from __future__ import annotations

import signal
import time
from typing import Any, ClassVar

import msgspec

from faults.errors import InjectionFailed, TargetUnfit, UndoFailed
from faults.fault import Fault, Means, UndoRecord
from faults.means.pause import probe_record
from faults.means.restart import CloudGone, is_cloud_gone, restart
from faults.parameters import Parameter
from faults.probes import Ending, probe
from faults.processes import Identity, descendants
from faults.targets import ProbeMeans, RestartMeans, Target
from harness.core.units import format_ns

_HEALTHY_S = 5.0
_DIE_S = 5.0
_STOP_S = 1.0
MS = 1_000_000


class ProcessCrash(Fault):
    """Kill a server as a power cut or the OOM killer does; start it again at the end."""

    needs: ClassVar[tuple[Means, ...]] = ("process", "restart", "probe")
    parameters = (
        Parameter(
            "down", "duration", "start it again after so long, sooner than the fault's end", None, at_least=100 * MS
        ),
    )
    undo_text = "what is left of the killed tree is killed, then the target's restart is run unless the server answers"
    destructive = True
    undo_within_s = 90.0
    gone_within_s = 60.0

    def __init__(self, params: dict[str, Any] | None = None, key: str = "") -> None:
        super().__init__(params, key)
        self._tree: list[Identity] = []
        self._evidence = ""

    def prepare(self, target: Target) -> UndoRecord:
        assert target.process is not None
        assert target.probe is not None
        assert target.restart is not None
        root = target.process.identity()
        result = probe(target.probe, _HEALTHY_S)
        if not result.is_healthy:
            raise TargetUnfit(f"{target.probe.address} is not healthy before the fault: {result.detail}")
        means = target.restart
        if means.token is not None:
            means = msgspec.structs.replace(means, token=means.token.lasting())
        self._tree = [root, *descendants(root)]
        return UndoRecord(
            self.name,
            {
                "processes": [msgspec.to_builtins(process) for process in self._tree],
                "restart": msgspec.to_builtins(means),
                "probe": probe_record(target.probe),
            },
        )

    def inject(self, target: Target) -> None:
        root = self._tree[0]
        try:
            # Frozen first, so that no child is born unseen while the tree is read.
            if not root.send(signal.SIGSTOP):
                raise InjectionFailed(f"process {root.pid} ended before it could be killed")
            deadline = time.monotonic() + _STOP_S
            while root.is_alive and not root.is_stopped and time.monotonic() < deadline:
                time.sleep(0.001)
            born = [child for child in descendants(root) if child not in self._tree]
            if born:
                self._tree += born
                self.note({"processes": [msgspec.to_builtins(process) for process in self._tree]})
            for process in self._tree:
                process.send(signal.SIGKILL)
        except PermissionError as error:
            raise InjectionFailed(f"process {root.pid}: not allowed to signal it; run as its owner or root") from error

    def bites(self, target: Target) -> bool:
        """The tree is dead and a new client is refused."""
        assert target.probe is not None
        result = probe(target.probe, 1.0)
        self._evidence = f"{len(self._tree)} processes killed; a client: {result.ending.value} {result.detail}"
        return result.ending is Ending.REFUSED and not any(process.is_alive for process in self._tree)

    def problems(self, target: Target, duration_ns: int) -> list[str]:
        down = self.params["down"]
        if down is not None and down > duration_ns:
            return [f"parameter 'down': wanted at most `for` ({format_ns(duration_ns)}); got {format_ns(down)}"]
        return []

    def hold_ns(self, duration_ns: int) -> int:
        down_ns: int | None = self.params["down"]
        return duration_ns if down_ns is None else min(duration_ns, down_ns)

    def undo(self, record: UndoRecord) -> None:
        processes = msgspec.convert(record.data["processes"], list[Identity])
        root = processes[0]
        means = msgspec.convert(record.data["probe"], ProbeMeans)
        if root.is_stopped:
            # We died between freezing and killing: nothing is lost yet, so let it live.
            for process in processes:
                process.send(signal.SIGCONT)
        # A large one takes a while to die, and is not to be taken for one that was spared.
        deadline = time.monotonic() + _DIE_S
        while not (is_healthy := probe(means, 1.0).is_healthy) and root.is_alive and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_healthy or root.is_alive:
            return  # spared, or started again already, by us or by its own supervisor
        # Orphans of a half-done kill hold ports and shared memory, and would keep the new server from starting.
        deadline = time.monotonic() + _DIE_S
        while [process for process in processes if process.send(signal.SIGKILL)]:
            if time.monotonic() > deadline:
                raise UndoFailed(f"children of the killed process {root.pid} do not die; not started again")
            time.sleep(0.02)
        try:
            restart(
                msgspec.convert(record.data["restart"], RestartMeans),
                lambda: probe(means, 1.0).is_healthy,
                msgspec.convert(record.data.get("restarter"), Identity | None),
                lambda restarter: self.note({"restarter": msgspec.to_builtins(restarter)}),
            )
        except CloudGone:
            return  # there is nothing left to start
        deadline = time.monotonic() + _HEALTHY_S
        while not probe(means, 1.0).is_healthy:
            if time.monotonic() > deadline:
                return  # slow, perhaps in recovery; is_gone goes on asking
            time.sleep(0.1)

    def is_gone(self, record: UndoRecord) -> bool:
        root = msgspec.convert(record.data["processes"], list[Identity])[0]
        if root.is_stopped:
            return False
        if probe(msgspec.convert(record.data["probe"], ProbeMeans), _HEALTHY_S).is_healthy:
            return True
        return not root.is_alive and is_cloud_gone(msgspec.convert(record.data["restart"], RestartMeans))

    def evidence(self) -> str:
        return self._evidence
