"""`latency`: bytes arrive later, as on a longer line."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import Annotated, ClassVar

import msgspec

from faults.proxy.pipe import Pipe
from faults.proxy.toxics import Stage, Stream, Toxic

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
SLACK_S = 0.0005  # libuv's timers count whole milliseconds: do not go round again for less


class LatencyAttributes(msgspec.Struct, forbid_unknown_fields=True):
    """`latency` +/- `jitter`, both in ms; jitter is uniform and never reorders bytes."""

    latency: Milliseconds = 0
    jitter: Milliseconds = 0


class Latency(Toxic):
    """Every chunk is delivered `latency` +/- `jitter` ms after it *arrived*: pipelined data is delayed once."""

    kind: ClassVar[str] = "latency"
    Attributes = LatencyAttributes

    def __init__(self, name: str, stream: Stream, toxicity: float, attributes: dict[str, object]) -> None:
        super().__init__(name, stream, toxicity, attributes)
        self.rng = random.Random(f"{name}/{stream}")

    def stage(self, pipe: Pipe) -> Stage:
        return LatencyStage(self, pipe)

    def delay_s(self) -> float:
        """One draw, in seconds."""
        latency, jitter = self.attributes.latency, self.attributes.jitter
        if jitter:
            latency = max(0.0, latency + self.rng.uniform(-jitter, jitter))
        return float(latency) / 1000


class LatencyStage(Stage):
    """A queue of (due, bytes) with one timer for its head; None is the end."""

    __slots__ = ("_last_due", "_queue", "_timer")
    toxic: Latency

    def __init__(self, toxic: Latency, pipe: Pipe) -> None:
        super().__init__(toxic, pipe)
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        self.pipe.hold(len(data))
        self._put(data)

    def end(self) -> None:
        self._put(None)

    def flush(self) -> None:
        while self._queue:
            self._let_go(self._queue.popleft()[1])

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()

    def _put(self, data: bytes | None) -> None:
        now = time.monotonic()
        self._last_due = max(self._last_due, now + self.toxic.delay_s())
        self._queue.append((self._last_due, data))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._last_due - now, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now + SLACK_S:
            self._let_go(self._queue.popleft()[1])
        if self._queue and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._queue[0][0] - now, self._fire)

    def _let_go(self, data: bytes | None) -> None:
        if data is None:
            self.out_end()
        else:
            self.pipe.release(len(data))
            self.out(data)
