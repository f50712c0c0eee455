"""Every request kept, at the price of a few array appends; once a second folded, written and shown.

The second's rows go to this process's own segments as they are; histograms go to the master with Locust's messages;
Locust's own table is fed in bulk, so that its page stays true without an event per request.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from locust.stats import RequestStats, StatsEntry

from harness.cloud.api import Exchange
from harness.core.clock import MS, Clock, S
from harness.core.histogram import Histogram
from harness.core.outcomes import EFFECTS, ENDINGS
from harness.core.samples import NO_OPERATION, Batch, SampleBuffer
from harness.rundir import SegmentWriter
from harness.swarm.arrivals import ArrivalBook
from harness.swarm.health import Health
from harness.swarm.operations import COLUMNS, Operation


class Recorder:
    """One process's record of a run.

    Args: place: cloud, region and project, the same for all rows. stats: Locust's table, if there is one to feed.
    wall_s: the wall-clock time of the run's epoch, which Locust's table wants.
    """

    def __init__(
        self,
        run_dir: Path,
        process: str,
        place: Mapping[str, str | None],
        stats: RequestStats | None = None,
        wall_s: float = 0.0,
    ) -> None:
        self._buffer = SampleBuffer()
        self._writers = {
            table: SegmentWriter(run_dir, table, process, place)
            for table in ("requests", "operations", "arrivals", "health")
        }
        self._stats, self._wall_s = stats, wall_s
        self.finished: list[Operation] = []
        self.arrivals: ArrivalBook | None = None  # of a process that starts any

    def observer(self, swarm: str, scenario: str) -> Callable[[Exchange], None]:
        """What an Api of this swarm tells its exchanges to."""
        append, keys = self._buffer.append, {}  # type: ignore[var-annotated]

        def observe(exchange: Exchange) -> None:
            named = (exchange.service, exchange.route)
            key = keys.get(named)
            if key is None:
                key = keys[named] = self._buffer.key(swarm, scenario, *named)
            outcome = exchange.outcome
            append(
                key, exchange.intended_ns, exchange.sent_ns, exchange.done_ns, exchange.status, outcome.effect,
                outcome.ending, exchange.operation_id, exchange.size, exchange.request_id,
            )  # fmt: skip

        return observe

    def flush(self, health: list[Health]) -> dict[str, Any]:
        """Write what came since the last call, and return the second's summary for the master.

        Returns: sent, errors, and the merged histogram of response times, as a message.
        """
        batch = self._buffer.take()
        if len(batch):
            self._writers["requests"].append(_request_columns(batch))
            if self._stats is not None:
                _feed(self._stats, batch, self._wall_s)
        self._write_operations()
        if self.arrivals is not None and (over := self.arrivals.take()):
            self._writers["arrivals"].append(over)
        if health:
            self._writers["health"].append(
                {field.name: [getattr(row, field.name) for row in health] for field in fields(Health)}
            )
        histogram = Histogram()
        histogram.record_many(batch.done_ns - batch.intended_ns)
        return {
            "sent": len(batch),
            "errors": int(batch.failed.sum()),
            "response": histogram.to_message(),
            "health": [asdict(row) | {"limited": row.is_limited} for row in health],
        }

    def close(self) -> None:
        """Write what is left and end the segments."""
        self.flush([])
        for writer in self._writers.values():
            writer.close()

    def _write_operations(self) -> None:
        rows, self.finished = self.finished, []
        if rows:
            columns = zip(*(operation.row() for operation in rows), strict=True)
            self._writers["operations"].append(
                {name: list(values) for name, values in zip(COLUMNS, columns, strict=True)}
            )


def write_clock(run_dir: Path, process: str, place: Mapping[str, str | None], clock: Clock) -> None:
    """Where this process's clock stands against the run's: the same one, as all of them are on the engine's host."""
    writer = SegmentWriter(run_dir, "clocks", process, place)
    row = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "offset_ns": 0,
        "error_ns": 0,
        "measured_ns": clock.now_ns(),
    }
    writer.append({name: [value] for name, value in row.items()})
    writer.close()


def _request_columns(batch: Batch) -> dict[str, Any]:
    def words(codes: Any, names: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))

    operation = batch.operation_id
    return {
        "swarm": words(batch.key, [key.swarm for key in batch.keys]),
        "scenario": words(batch.key, [key.scenario for key in batch.keys]),
        "service": words(batch.key, [key.service for key in batch.keys]),
        "route": words(batch.key, [key.route for key in batch.keys]),
        "intended_ns": batch.intended_ns,
        "sent_ns": batch.sent_ns,
        "done_ns": batch.done_ns,
        "status": batch.status,
        "effect": words(batch.effect, list(EFFECTS)),
        "ending": words(batch.ending, list(ENDINGS)),
        "request_id": batch.request_ids,
        "operation_id": pa.array(operation, pa.int64(), mask=operation == NO_OPERATION),
        "bytes": batch.bytes,
    }


def _feed(stats: RequestStats, batch: Batch, wall_s: float) -> None:
    """Add a second's rows to Locust's table: response times from the intended start, in ms."""
    response_ms = (batch.done_ns - batch.intended_ns) / MS
    done_s = (batch.done_ns // S).astype(np.int64) + round(wall_s)
    for code in np.unique(batch.key).tolist():
        rows = batch.key == code
        method, _, route = batch.keys[code].route.partition(" ")
        entry = stats.get(route, method)
        _extend(entry, stats.total, response_ms[rows], done_s[rows], batch.bytes[rows], batch.failed[rows])


def _extend(entry: StatsEntry, total: StatsEntry, times: Any, seconds: Any, sizes: Any, failed: Any) -> None:
    part = StatsEntry(None, entry.name, entry.method)
    part.num_requests, part.num_failures = len(times), int(failed.sum())
    part.total_response_time = float(times.sum())
    part.min_response_time, part.max_response_time = float(times.min()), float(times.max())
    part.total_content_length = int(sizes.sum())
    # Locust keeps whole milliseconds, fewer digits above 100 ms; its page computes percentiles from these.
    digits = np.where(times < 100, 1, np.where(times < 1000, 10, 100))
    rounded, counts = np.unique((np.round(times / digits) * digits).astype(np.int64), return_counts=True)
    part.response_times = dict(zip(rounded.tolist(), counts.tolist(), strict=True))
    each, counts = np.unique(seconds, return_counts=True)
    part.num_reqs_per_sec = dict(zip(each.tolist(), counts.tolist(), strict=True))
    each, counts = np.unique(seconds[failed], return_counts=True)
    part.num_fail_per_sec = dict(zip(each.tolist(), counts.tolist(), strict=True))
    part.last_request_timestamp = float(seconds.max())
    part.start_time = entry.start_time
    entry.extend(part)
    total.extend(part)
