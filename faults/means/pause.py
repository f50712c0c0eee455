"""Freezing one process with all its children (SIGSTOP): what `database.hang` and `broker.hang` share."""

from __future__ import annotations

import signal
import time
from typing import Any, ClassVar

import msgspec

from faults.errors import InjectionFailed, TargetUnfit, UndoFailed
from faults.fault import Fault, Means, UndoRecord
from faults.parameters import Parameter
from faults.probes import TCP_PROVES_NOTHING, Ending, probe
from faults.processes import Identity, descendants
from faults.targets import ProbeMeans, Target
from harness.core.units import format_ns

_HEALTHY_S = 5.0
_STOP_S = 5.0
_PROOF_SHARE = 0.8  # of a hang that its proof may take
MS = 1_000_000


class ProcessHang(Fault):
    """Stop a server without ending it: its kernel still accepts connections, nobody answers."""

    needs: ClassVar[tuple[Means, ...]] = ("process", "probe")
    parameters = (
        Parameter(
            "unanswered", "duration", "it bites when a new client hears nothing for so long", "1 s", at_least=100 * MS
        ),
    )
    undo_text = "SIGCONT to the same processes (pid, start time and boot must match) and all their children"

    def __init__(self, params: dict[str, Any] | None = None, key: str = "") -> None:
        super().__init__(params, key)
        self._stopped: list[Identity] = []
        self._evidence = ""

    def prepare(self, target: Target) -> UndoRecord:
        assert target.process is not None
        assert target.probe is not None
        root = target.process.identity()
        tree = [root, *descendants(root)]
        if any(process.is_stopped for process in tree):
            raise TargetUnfit(f"process {root.pid} or a child of it is stopped already; run: squall heal --list")
        result = probe(target.probe, _HEALTHY_S)
        if not result.is_healthy:
            raise TargetUnfit(f"{target.probe.address} is not healthy before the fault: {result.detail}")
        self._stopped = tree
        return UndoRecord(self.name, {"processes": _as_data(tree), "probe": probe_record(target.probe)})

    def inject(self, target: Target) -> None:
        root = self._stopped[0]
        deadline = time.monotonic() + _STOP_S
        try:
            if not root.send(signal.SIGSTOP):
                raise InjectionFailed(f"process {root.pid} ended before it could be stopped")
            # A stopped parent makes no more children, but the living ones may: until a look finds none that runs.
            # One that waits for its disk stops only afterwards.
            while running := [process for process in [root, *descendants(root)] if not process.is_stopped]:
                unknown = [process for process in running if process not in self._stopped]
                if unknown:
                    self._stopped += unknown
                    self.note({"processes": _as_data(self._stopped)})
                for process in running:
                    process.send(signal.SIGSTOP)
                if time.monotonic() > deadline or not root.is_alive:
                    raise InjectionFailed(f"process {root.pid}: not all of its tree stopped within {_STOP_S:g} s")
                time.sleep(0.002)
        except PermissionError as error:
            raise InjectionFailed(f"process {root.pid}: not allowed to signal it; run as its owner or root") from error

    def bites(self, target: Target) -> bool:
        """All are stopped, and a client hears nothing for `unanswered`."""
        assert target.probe is not None
        if not all(process.is_stopped or not process.is_alive for process in self._stopped):
            return False
        result = probe(target.probe, self.params["unanswered"] / 1e9)
        self._evidence = f"{len(self._stopped)} processes stopped; a client: {result.ending.value} {result.detail}"
        return result.ending is Ending.TIMEOUT

    def still_on(self, target: Target) -> bool:
        """The server is stopped, and so is every process of its tree that has not ended."""
        running = [process for process in self._stopped if process.is_alive and not process.is_stopped]
        root = self._stopped[0]
        self._evidence = f"{len(self._stopped)} processes stopped"
        if running:
            self._evidence = f"{len(running)} of {len(self._stopped)} processes run again (pid {running[0].pid})"
        if not root.is_alive:
            self._evidence = f"process {root.pid} has ended"
        return root.is_stopped and not running

    def problems(self, target: Target, duration_ns: int) -> list[str]:
        assert target.probe is not None
        found = []
        unanswered = self.params["unanswered"]
        if unanswered > _PROOF_SHARE * duration_ns:
            found.append(
                f"parameter 'unanswered': wanted at most {_PROOF_SHARE:.0%} of `for` ({format_ns(duration_ns)}), else "
                f"it cannot be proved in time; got {format_ns(unanswered)}; lower it or hold the fault longer"
            )
        if target.probe.protocol == "tcp":
            found.append(f"its target's probe: {TCP_PROVES_NOTHING}")
        return found

    def undo(self, record: UndoRecord) -> None:
        refused = []
        for process in _all_of(record):
            try:
                process.send(signal.SIGCONT)
            except PermissionError:
                refused.append(str(process.pid))
        if refused:
            pids = " ".join(refused)
            raise UndoFailed(f"still stopped and not ours to signal; as their owner: kill -CONT {pids}")

    def is_gone(self, record: UndoRecord) -> bool:
        if any(process.is_stopped for process in _all_of(record)):
            return False
        root = _recorded(record)[0]
        # A server that was ended meanwhile, by whoever, is not held by us any more.
        return not root.is_alive or probe(msgspec.convert(record.data["probe"], ProbeMeans), _HEALTHY_S).is_healthy

    def evidence(self) -> str:
        return self._evidence


def _as_data(processes: list[Identity]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(process) for process in processes]


def _recorded(record: UndoRecord) -> list[Identity]:
    return msgspec.convert(record.data["processes"], list[Identity])


def _all_of(record: UndoRecord) -> list[Identity]:
    """The recorded processes that live and whatever descends from them now, children first.

    Children first, so that the parent does not run while a child that it waits for is still stopped.
    """
    living = [process for process in _recorded(record) if process.is_alive]
    return list(reversed([*living, *descendants(*living)]))


def probe_record(means: ProbeMeans) -> dict[str, Any]:
    """A probe for the record: where, and by which protocol; the password stays in its file."""
    if means.password is not None:
        means = msgspec.structs.replace(means, password=means.password.lasting())
    data: dict[str, Any] = msgspec.to_builtins(means)
    return data
