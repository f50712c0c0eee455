"""`cloud.truth`: the bundled cloud has a known bug of control planes, for a time."""

from __future__ import annotations

from typing import Any

import msgspec

from faults.errors import InjectionFailed, TargetUnfit, UndoFailed
from faults.fault import Fault, UndoRecord
from faults.means.control import ControlRefused, EmulatorControl
from faults.parameters import Parameter
from faults.targets import EmulatorMeans, Target

LEASE_S = 10.0  # after which a process turns its switch back, when nobody has renewed it
SWITCHES = (
    *("lost_cast", "leaked_allocation", "duplicate_fixed_address", "shared_port", "failed_batch", "created_500"),
    *("accepted_never_done", "quota_drift", "orphan_port", "stale_read", "resurrected_server"),
)


class Truth(Fault):
    """Turn one truth switch in every process of the cloud. Blast radius: what happens in the cloud meanwhile."""

    name = "cloud.truth"
    needs = ("emulator",)
    parameters = (
        Parameter("switch", "choice", "which bug, see docs/emulator.md", choices=SWITCHES),
        Parameter("probability", "ratio", "how often it strikes where it can, by the experiment's seed", "100 %"),
    )
    effect = "as the switch says; most of it is damage that nothing mends, and that the audit must find"
    undo_text = "the switch is turned off in each process; a process that is not told to keep it on does so after 10 s"
    twin = "a bug of the real services, named with its source in docs/emulator.md"
    source = "docs/emulator.md, the table of truth switches"
    destructive = True

    def __init__(self, params: dict[str, Any] | None = None, key: str = "") -> None:
        super().__init__(params, key)
        self._evidence = ""

    def prepare(self, target: Target) -> UndoRecord:
        assert target.emulator is not None
        switch, means = self.params["switch"], target.emulator
        for process, control in _controls(means).items():
            try:
                now = control.switches()
            except (OSError, ControlRefused) as error:
                raise TargetUnfit(f"process {process} at {control.address}: {error}") from error
            if switch not in now:
                raise TargetUnfit(f"process {process} has no switch {switch}: the cloud is of another version")
            if now[switch]:
                raise TargetUnfit(f"switch {switch} is on in {process} already, with {now[switch]:g}")
        lasting = msgspec.structs.replace(means, token=means.token.lasting())
        return UndoRecord(self.name, {"switch": switch, "emulator": msgspec.to_builtins(lasting)})

    def inject(self, target: Target) -> None:
        assert target.emulator is not None
        switch, probability = self.params["switch"], self.params["probability"]
        for process, control in _controls(target.emulator).items():
            try:
                control.turn(switch, probability, lease_s=LEASE_S)
            except (OSError, ControlRefused) as error:
                raise InjectionFailed(f"switch {switch} in {process} at {control.address}: {error}") from error

    def bites(self, target: Target) -> bool:
        """Every process says that the switch is on, as it was turned."""
        assert target.emulator is not None
        switch, probability = self.params["switch"], self.params["probability"]
        controls, off = _controls(target.emulator), []
        for process, control in controls.items():
            try:
                if control.switches().get(switch) != probability:
                    off.append(process)
            except ConnectionRefusedError:
                off.append(f"{process} (gone)")
        self._evidence = (
            f"{switch} is on with {probability:g} in {len(controls) - len(off)} of {len(controls)} processes"
        )
        if off:
            self._evidence += f", not in {', '.join(off)}"
        return not off

    def keep_alive(self, record: UndoRecord) -> None:
        for control in _controls(_means_of(record)).values():
            control.renew(LEASE_S)

    def problems(self, target: Target, duration_ns: int) -> list[str]:
        if self.params["probability"] == 0:
            return ["parameter 'probability': wanted more than zero, else the switch is off; got 0"]
        return []

    def undo(self, record: UndoRecord) -> None:
        switch, failed = record.data["switch"], []
        for process, control in _controls(_means_of(record)).items():
            try:
                control.turn(switch, 0)
            except ConnectionRefusedError:
                continue  # the process is gone, and its switch with it: one that is started again has its settings'
            except (OSError, ControlRefused, TargetUnfit) as error:
                failed.append(f"{process} at {control.address}: {error}")
        if failed:
            raise UndoFailed(
                f"switch {switch} in {'; '.join(failed)}; on until its lease of {LEASE_S:g} s ends; run: squall heal"
            )

    def is_gone(self, record: UndoRecord) -> bool:
        for control in _controls(_means_of(record)).values():
            try:
                if control.switches().get(record.data["switch"], 0):
                    return False
            except ConnectionRefusedError:
                continue
            except (OSError, ControlRefused, TargetUnfit):
                return False
        return True

    def evidence(self) -> str:
        return self._evidence


def _means_of(record: UndoRecord) -> EmulatorMeans:
    return msgspec.convert(record.data["emulator"], EmulatorMeans)


def _controls(means: EmulatorMeans) -> dict[str, EmulatorControl]:
    return {process: EmulatorControl(address, means.token) for process, address in means.controls.items()}
