"""What a fault is: seven functions around one record, and the words that describe it.

    prepare(target) -> UndoRecord    looks, touches nothing; the record is journalled before anything is sent
    inject(target)                   does it
    bites(target) -> bool            a probe that proves the effect; asked again until `bites_within_s`
    still_on(target) -> bool         looks again, every second until it is undone; `bites` itself, unless told otherwise
    evidence() -> str                what the last look saw, for readers
    undo(record)                     needs the record only, so a new process can run it; twice = once
    is_gone(record) -> bool          a probe that proves the target healthy again; asked until `gone_within_s`

A new fault is a new file with one subclass in a folder beside this one (docs/faults.md); nothing else changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from faults.parameters import Parameter, parse_parameters

if TYPE_CHECKING:
    from faults.targets import Target

Means = Literal["emulator", "link", "process", "probe", "restart"]


class UndoRecord(msgspec.Struct):
    """All that undoing takes: plain data, no secrets (it may name a file, mode 0600, that holds one)."""

    fault: str
    data: dict[str, Any]


class Fault(ABC):
    """One fault, with its parameters parsed (durations in ns). Everything below the dash is for readers and checks."""

    name: ClassVar[str]  # "database.hang": folder and file
    needs: ClassVar[tuple[Means, ...]]  # what a target must have for it
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    # ---
    effect: ClassVar[str]  # what the target's users see
    undo_text: ClassVar[str]  # how it is undone
    twin: ClassVar[str]  # what it stands for in real clouds
    source: ClassVar[str]  # where that is known from
    unusable: ClassVar[str] = ""  # why it cannot be loaded: then only this, `name` and `effect` say something
    destructive: ClassVar[bool] = False  # needs `allow:` in the experiment
    # True: several at once on one target add up. False: a second one is refused while the first is on.
    stacks: ClassVar[bool] = False
    bites_within_s: ClassVar[float] = 5.0
    undo_within_s: ClassVar[float] = 30.0
    gone_within_s: ClassVar[float] = 30.0

    def __init__(self, params: Mapping[str, Any] | None = None, key: str = "") -> None:
        """
        Args:    params: as in an experiment, `{"latency": "40 ms"}`; left out by those who only undo.
                 key: names this injection among others, for what it leaves on the target (a toxic's name).
        Raises:  ValueError when a parameter is wrong.
        """
        self.key = key
        self.params: dict[str, Any] = {}
        if params is not None:
            self.params, problems = parse_parameters(self.parameters, params)
            if problems:
                raise ValueError(f"{self.name}: {'; '.join(problems)}")
        # Adds to the journalled record; `inject` calls it before each further thing that undo must know of, `undo`
        # for what an undo after its own death must know of.
        self.note: Callable[[dict[str, Any]], None] = lambda more: None

    @abstractmethod
    def prepare(self, target: Target) -> UndoRecord:
        """Check that the target is there and healthy, and say how to undo.  Raises TargetUnfit."""

    @abstractmethod
    def inject(self, target: Target) -> None:
        """Do it.  Raises InjectionFailed; the caller then runs undo."""

    @abstractmethod
    def bites(self, target: Target) -> bool:
        """Whether the effect can be measured now."""

    @abstractmethod
    def evidence(self) -> str:
        """What the last `bites` or `still_on` saw, in a few words, whatever it answered."""

    @abstractmethod
    def undo(self, record: UndoRecord) -> None:
        """Take it back; nothing happens when it is not on.  Raises UndoFailed (the caller tries again)."""

    @abstractmethod
    def is_gone(self, record: UndoRecord) -> bool:
        """Whether the target is healthy again."""

    def still_on(self, target: Target) -> bool:
        """Whether it is on as it was when it was proved. Once it is not, it counts as cut short and is undone.

        So it must not be wrong by noise. Where `bites` measures a time, or disturbs, look at the cause instead.
        """
        return self.bites(target)

    def keep_alive(self, record: UndoRecord) -> None:  # noqa: B027 - most means need none
        """Called every second while the fault is on, for means that end by themselves without it; returns soon."""

    def problems(self, target: Target, duration_ns: int) -> list[str]:
        """Why, by the data alone, it could not be proved on this target, or could not end in time: what is refused."""
        return []

    def hold_ns(self, duration_ns: int) -> int:
        """How long to hold it, given the experiment's `for`."""
        return duration_ns

    @classmethod
    def describe(cls) -> str:
        """What `squall faults show` prints."""
        if cls.unusable:
            return f"{cls.name}\n  {cls.unusable}"
        lines = [
            f"{cls.name}{'  (destructive: needs allow)' if cls.destructive else ''}",
            f"  effect: {cls.effect}",
            f"  undo:   {cls.undo_text}",
            f"  twin:   {cls.twin}",
            f"  source: {cls.source}",
            f"  needs:  {', '.join(cls.needs)}",
            f"  again:  {'adds up' if cls.stacks else 'refused while it is on'}",
        ]
        for parameter in cls.parameters:
            default = "required" if parameter.default == "required" else f"default {parameter.default}"
            choices = f", one of {', '.join(parameter.choices)}" if parameter.choices else ""
            lines.append(f"  {parameter.name}: {parameter.kind}, {default}{choices}: {parameter.text}")
        return "\n".join(lines)
