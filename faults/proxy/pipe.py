"""One direction of one connection: from a source socket through the toxics' stages to a destination.

Without a stage the bytes go straight to the destination's `write`. Stages may hold bytes back; what they hold is
bounded: above the bound the source is not read, so TCP's own window slows the sender down.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from faults.proxy.config import KIB

if TYPE_CHECKING:
    from faults.proxy.toxics import Stage, Toxic

FLOOR_BYTES = 64 * KIB


class Budget:
    """Bytes held back by all connections of the process, so that 2,000 throttled ones cannot fill the memory."""

    __slots__ = ("held", "limit", "per_pipe")

    def __init__(self, limit: int, per_pipe: int) -> None:
        self.held = 0
        self.limit = limit
        self.per_pipe = per_pipe

    def bound(self) -> int:
        """How much one pipe may hold right now, in bytes."""
        return self.per_pipe if self.held < self.limit else FLOOR_BYTES


class Counter:
    """Bytes that went in one direction of a link since it was made."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Pipe:
    """Source to destination, in order, without loss; half-close travels behind the last byte."""

    __slots__ = (
        "_budget",
        "_counter",
        "_destination",
        "_destination_is_full",
        "_ended",
        "_full",
        "_head",
        "_held",
        "_is_paused",
        "_on_end",
        "_pending",
        "_source",
        "_stages",
        "delivered_end",
        "reset",
    )

    def __init__(self, counter: Counter, budget: Budget, on_end: Callable[[], None], reset: Callable[[], None]) -> None:
        self._counter = counter
        self._budget = budget
        self._on_end = on_end
        self.reset = reset  # for stages: cut the whole connection with RST
        self._source: asyncio.Transport | None = None
        self._destination: asyncio.Transport | None = None
        self._stages: list[Stage] = []
        self._pending: list[bytes] = []  # written before the upstream dial ended
        self._held = 0
        self._full = False
        self._destination_is_full = False
        self._is_paused = False
        self._ended = False  # the source will send nothing more
        self.delivered_end = False  # and the destination was told
        self._head: Callable[[bytes], None] = self._sink

    # -- the sockets -------------------------------------------------------------------------------------------

    def set_source(self, transport: asyncio.Transport) -> None:
        """Where bytes come from."""
        self._source = transport
        self._steer_source()

    def set_destination(self, transport: asyncio.Transport) -> None:
        """Where bytes go; whatever waited for it is written now."""
        self._destination = transport
        pending, self._pending = self._pending, []
        for data in pending:
            self.release(len(data))
            transport.write(data)
        if self.delivered_end:
            transport.write_eof()
        self._set_head()

    def feed(self, data: bytes) -> None:
        """The source sent `data`."""
        self._counter.bytes += len(data)
        self._head(data)

    def end(self) -> None:
        """The source closed its side; what is held back still goes first."""
        if self._ended:
            return
        self._ended = True
        if self._stages:
            self._stages[0].end()
        else:
            self._sink_end()

    def destination_full(self, is_full: bool) -> None:
        """The destination's send buffer passed its high or low mark."""
        self._destination_is_full = is_full
        self._steer_source()

    def close(self) -> None:
        """The connection is gone: drop what is held and stop all timers."""
        for stage in self._stages:
            stage.close()
        self._stages = []
        self._pending = []
        self._budget.held -= self._held
        self._held = 0
        self._head = _drop

    # -- toxics ------------------------------------------------------------------------------------------------

    def set_toxics(self, toxics: Sequence[Toxic], applies: Callable[[Toxic], bool]) -> None:
        """Make the stages match `toxics`, keeping the stages that stay; a removed stage lets go of all it holds.

        Args:    applies: asked once per new toxic, whether it acts on this connection (toxicity).
        """
        kept = {id(stage.toxic): stage for stage in self._stages}
        chain: list[Stage] = []
        fresh: list[Stage] = []
        for toxic in toxics:
            stage = kept.pop(id(toxic), None)
            if stage is None:
                stage = toxic.stage(self) if applies(toxic) else toxic.pass_through(self)
                fresh.append(stage)
            chain.append(stage)
        # Flush from the source onwards while the old chain still stands: what a removed stage lets go of passes through
        # the ones behind it, and if those go too, they are flushed after it. Bytes stay in order.
        for stage in self._stages:
            if id(stage.toxic) in kept:
                stage.flush()
                stage.close()
        self._stages = chain
        for here, after in itertools.pairwise(chain):
            here.connect(after.feed, after.end)
        if chain:
            chain[-1].connect(self._sink, self._sink_end)
        self._set_head()
        for stage in fresh:
            stage.start()

    def hold(self, count: int) -> None:
        """A stage keeps `count` bytes back."""
        self._held += count
        self._budget.held += count
        if not self._full and self._held > self._budget.bound():
            self._full = True
            self._steer_source()

    def release(self, count: int) -> None:
        """A stage let go of `count` bytes."""
        self._held -= count
        self._budget.held -= count
        if self._full and self._held <= self._budget.bound() // 2:
            self._full = False
            self._steer_source()

    # -- ends --------------------------------------------------------------------------------------------------

    def _set_head(self) -> None:
        if self._stages:
            self._head = self._stages[0].feed
        elif self._destination is not None:
            self._head = self._destination.write
        else:
            self._head = self._sink

    def _sink(self, data: bytes) -> None:
        if self._destination is None:
            self._pending.append(data)
            self.hold(len(data))
        else:
            self._destination.write(data)

    def _sink_end(self) -> None:
        if self.delivered_end:
            return
        self.delivered_end = True
        if self._destination is not None and not self._destination.is_closing():
            self._destination.write_eof()
        self._on_end()

    def _steer_source(self) -> None:
        source = self._source
        if source is None or source.is_closing() or self._ended:
            return
        should_pause = self._full or self._destination_is_full
        if should_pause == self._is_paused:
            return
        self._is_paused = should_pause
        if should_pause:
            source.pause_reading()
        else:
            source.resume_reading()


def _drop(data: bytes) -> None:
    """What a closed pipe does with late bytes."""
