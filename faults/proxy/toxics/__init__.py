"""Toxics: what can be done to the bytes of one link. One small class per file, found by its `kind`.

A toxic is the setting (name, direction, share of connections, attributes); a stage is its working half in one
direction of one connection. A stage is fed in order, must keep order and lose nothing unless losing is its purpose,
accounts for what it holds (`pipe.hold` / `pipe.release`), and lets go of everything on `flush`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from faults.proxy.pipe import Pipe

Stream = Literal["upstream", "downstream"]
STREAMS: tuple[Stream, Stream] = ("upstream", "downstream")


class ToxicInvalid(ValueError):
    """The attributes of a toxic do not fit; nothing was changed."""


class Toxic:
    """One toxic on one link and direction. Subclasses set `kind`, `Attributes` and `make_stage`."""

    kind: ClassVar[str]
    Attributes: ClassVar[type[msgspec.Struct]]

    def __init__(self, name: str, stream: Stream, toxicity: float, attributes: dict[str, Any]) -> None:
        self.name = name
        self.stream: Stream = stream
        self.toxicity = toxicity
        self.attributes: Any = self.read_attributes(attributes)

    @classmethod
    def read_attributes(cls, attributes: dict[str, Any]) -> msgspec.Struct:
        """Checked attributes.

        Raises:  ToxicInvalid naming the attribute.
        """
        try:
            return msgspec.convert(attributes, cls.Attributes)
        except msgspec.ValidationError as error:
            raise ToxicInvalid(str(error)) from error

    def update(self, toxicity: float | None, attributes: dict[str, Any]) -> None:
        """Change attributes in place; stages read them for each chunk, so the change acts at once.

        Raises:  ToxicInvalid; then nothing has changed.
        """
        self.attributes = self.read_attributes({**msgspec.to_builtins(self.attributes), **attributes})
        if toxicity is not None:
            self.toxicity = toxicity

    def stage(self, pipe: Pipe) -> Stage:
        """The working half for one direction of one connection."""
        raise NotImplementedError

    def pass_through(self, pipe: Pipe) -> Stage:
        """The stage for a connection that this toxic spares (toxicity below 1)."""
        return Stage(self, pipe)

    def as_dict(self) -> dict[str, Any]:
        """Toxiproxy's JSON."""
        return {
            "attributes": msgspec.to_builtins(self.attributes),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


class Stage:
    """Passes everything on at once: the base, and what spared connections get."""

    __slots__ = ("out", "out_end", "pipe", "toxic")

    def __init__(self, toxic: Toxic, pipe: Pipe) -> None:
        self.toxic = toxic
        self.pipe = pipe
        self.out: Callable[[bytes], None] = _not_connected
        self.out_end: Callable[[], None] = _not_connected_end

    def connect(self, out: Callable[[bytes], None], out_end: Callable[[], None]) -> None:
        """Where bytes and the end go next."""
        self.out = out
        self.out_end = out_end

    def start(self) -> None:
        """Called once when the stage stands in its chain, also on connections that are open already."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the stage before."""
        self.out(data)

    def end(self) -> None:
        """No bytes follow."""
        self.out_end()

    def flush(self) -> None:
        """The toxic was removed: let go of everything held, in order, including the end."""

    def close(self) -> None:
        """Stop timers; what is still held is lost with the connection."""


def _not_connected(data: bytes) -> None:
    raise AssertionError("a stage was fed before it was connected")


def _not_connected_end() -> None:
    raise AssertionError("a stage was ended before it was connected")


def toxic_types() -> dict[str, type[Toxic]]:
    """Every toxic class of this folder, by `kind` (Toxiproxy: `type`)."""
    if not _types:
        for module_info in pkgutil.iter_modules(__path__):
            module = importlib.import_module(f"{__name__}.{module_info.name}")
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Toxic) and value is not Toxic:
                    _types[value.kind] = value
    return _types


_types: dict[str, type[Toxic]] = {}
