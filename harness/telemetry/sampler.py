"""Asks every source in turn, writes what it says into the run directory, and keeps the newest for Prometheus."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.core.clock import Clock
from harness.telemetry.gauge import Gauge, Source

_READ_DEADLINE_S = 2.0
_STOP_DEADLINE_S = 5.0


class Sampler:
    """Reads sources in a thread of its own, from `start` to `stop`.

    Args: append: takes the columns of table `gauges`. Every source also yields gauge `up` of its own name: 1 when it
    answered in time, else 0.
    """

    def __init__(
        self, sources: Iterable[Source], clock: Clock, append: Callable[[Mapping[str, list[Any]]], None]
    ) -> None:
        self._sources, self._clock, self._append = list(sources), clock, append
        self._latest: dict[str, list[Gauge]] = {}
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.wait(_STOP_DEADLINE_S)

    def stop(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_DEADLINE_S)

    def latest(self) -> list[Gauge]:
        """The newest reading of each source."""
        return [gauge for gauges in list(self._latest.values()) for gauge in gauges]

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(self._follow(source))

    async def _follow(self, source: Source) -> None:
        while not self._stop.is_set():
            at_ns = self._clock.now_ns()
            try:
                async with asyncio.timeout(_READ_DEADLINE_S):
                    gauges = [*await source.read(), Gauge(source.name, "up", 1.0)]
            except Exception:
                # Whatever keeps a part from answering is what the gauge is for; the source starts afresh.
                gauges = [Gauge(source.name, "up", 0.0)]
                await source.close()
            self._latest[source.name] = gauges
            self._append(
                {
                    "at_ns": [at_ns] * len(gauges),
                    "source": [gauge.source for gauge in gauges],
                    "name": [gauge.name for gauge in gauges],
                    "value": [gauge.value for gauge in gauges],
                    "capacity": [gauge.capacity for gauge in gauges],
                    "labels": [gauge.labels for gauge in gauges],
                }
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(source.period_s):
                    await self._stop.wait()
        await source.close()
