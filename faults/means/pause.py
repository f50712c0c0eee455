"""Freezing one process with all its children (SIGSTOP): what `database.hang` and `broker.hang` share."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

import msgspec

from faults.errors import InjectionFailed, TargetUnfit, UndoFailed
from faults.fault import Fault, Means, UndoRecord
from faults.parameters import Parameter
from faults.probes import Ending, probe
from faults.processes import Identity, descendants
from faults.targets import ProbeMeans, Target

_HEALTHY_S = 5.0
_ROUNDS = 20


class ProcessHang(Fault):
    """Stop a server without ending it: its kernel still accepts connections, nobody answers."""

    needs: ClassVar[tuple[Means, ...]] = ("process", "probe")
    parameters = (
        Parameter("unanswered", "duration", "the fault bites when a new client hears nothing for so long", "1 s"),
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
        try:
            if not root.send(signal.SIGSTOP):
                raise InjectionFailed(f"process {root.pid} ended before it could be stopped")
            # The stopped parent makes no more children, but the living ones may: until a look finds none left to stop.
            for _ in range(_ROUNDS):
                running = [child for child in descendants(root) if not child.is_stopped]
                if not running:
                    return
                unknown = [child for child in running if child not in self._stopped]
                if unknown:
                    self._stopped += unknown
                    self.note({"processes": _as_data(self._stopped)})
                for child in running:
                    child.send(signal.SIGSTOP)
        except PermissionError as error:
            raise InjectionFailed(f"process {root.pid}: not allowed to signal it; run as its owner or root") from error
        raise InjectionFailed(f"process {root.pid}: children appear faster than they can be stopped")

    def bites(self, target: Target) -> bool:
        """All are stopped, and a client hears nothing for `unanswered`."""
        assert target.probe is not None
        if not all(process.is_stopped or not process.is_alive for process in self._stopped):
            return False
        result = probe(target.probe, self.params["unanswered"] / 1e9)
        self._evidence = f"{len(self._stopped)} processes stopped; a client: {result.ending.value} {result.detail}"
        return result.ending is Ending.TIMEOUT

    def undo(self, record: UndoRecord) -> None:
        for process in _all_of(record):
            try:
                process.send(signal.SIGCONT)
            except PermissionError as error:
                raise UndoFailed(
                    f"process {process.pid} is still stopped and not ours to signal; run as its owner: "
                    f"kill -CONT {process.pid}"
                ) from error

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
