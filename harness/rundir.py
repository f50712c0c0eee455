"""The run directory: the only thing that passes from a run to judgement.

While a run lasts it is append-only: each process writes Arrow IPC streams of its own under `segments/` and is done with
a batch as soon as it is written, so that `kill -9` costs at most the batch in the making. Readers take segments and
compacted Parquet alike; a torn last batch is dropped and counted.
"""

import contextlib
import gzip
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

SCHEMA_VERSION = 1

_WORD = pa.dictionary(pa.int32(), pa.string())
_PLACE = [("process", _WORD), ("cloud", _WORD), ("region", _WORD), ("cell", _WORD), ("az", _WORD), ("project", _WORD)]
_FIELDS: dict[str, list[tuple[str, pa.DataType]]] = {
    # One row per API request, in no promised order.
    "requests": [
        ("swarm", _WORD),
        ("scenario", _WORD),
        ("service", _WORD),
        ("route", _WORD),
        ("intended_ns", pa.int64()),
        ("sent_ns", pa.int64()),
        ("done_ns", pa.int64()),
        ("status", pa.int16()),
        ("effect", _WORD),
        ("ending", _WORD),
        ("request_id", pa.string()),
        ("operation_id", pa.int64()),
        ("bytes", pa.int64()),
    ],
    # One row per user operation: one per server of a burst. A null time is "never".
    "operations": [
        ("operation_id", pa.int64()),
        ("swarm", _WORD),
        ("scenario", _WORD),
        ("kind", _WORD),
        ("name", pa.string()),
        ("resource_id", pa.string()),
        ("batch", pa.int64()),
        ("intended_ns", pa.int64()),
        ("sent_ns", pa.int64()),
        ("accepted_ns", pa.int64()),
        ("ready_ns", pa.int64()),
        ("gone_ns", pa.int64()),
        ("ready_level", _WORD),
        ("resolution_ns", pa.int64()),
        ("status", _WORD),
        ("effect", _WORD),
        ("ending", _WORD),
        ("error", pa.string()),
        ("request_id", pa.string()),
    ],
    # One row per arrival that was due: what became of it. What a lost worker never wrote is missing, and shows so.
    "arrivals": [
        ("swarm", _WORD),
        ("number", pa.int64()),
        ("intended_ns", pa.int64()),
        ("started_ns", pa.int64()),
        ("ended_ns", pa.int64()),
        ("fate", _WORD),
    ],
    "gauges": [
        ("at_ns", pa.int64()),
        ("source", _WORD),
        ("name", _WORD),
        ("value", pa.float64()),
        ("capacity", pa.float64()),
        ("labels", _WORD),
    ],
    # One row per load worker and second.
    "health": [
        ("second", pa.int32()),
        ("intended", pa.int32()),
        ("started", pa.int32()),
        ("late", pa.int32()),
        ("dropped", pa.int32()),
        ("in_flight", pa.int32()),
        ("start_error_p50_ns", pa.int64()),
        ("start_error_p99_ns", pa.int64()),
        ("loop_lag_p99_ns", pa.int64()),
        ("run_queue_ns", pa.int64()),
        ("cpu_share", pa.float32()),
    ],
    "clocks": [
        ("host", _WORD),
        ("pid", pa.int64()),
        ("offset_ns", pa.int64()),
        ("error_ns", pa.int64()),
        ("measured_ns", pa.int64()),
    ],
}
TABLES: dict[str, pa.Schema] = {
    name: pa.schema(_PLACE + fields, metadata={"schema_version": str(SCHEMA_VERSION), "table": name})
    for name, fields in _FIELDS.items()
}


class RunDirectoryError(Exception):
    """A run directory is missing, exists already or cannot be read; nothing was changed in it."""


class SegmentWriter:
    """Appends batches of one table to this process's segment; safe to call from several threads.

    Args: run_dir, table: a key of TABLES. process: the name of this process, unique in the run. place: values for the
    columns `cloud, region, cell, az, project`, the same for every row that this writer gets.
    """

    def __init__(self, run_dir: Path, table: str, process: str, place: Mapping[str, str | None] | None = None) -> None:
        self.schema = TABLES[table]
        self._place = {"process": process, **(place or {})}
        self._lock = threading.Lock()
        self.path = run_dir / "segments" / f"{table}-{process}.arrows"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "xb")  # noqa: SIM115 - lives as long as the writer
        # Replacing dictionaries keeps a stream valid whatever words later batches bring.
        self._stream = pyarrow.ipc.new_stream(self._file, self.schema)

    def append(self, columns: Mapping[str, Sequence[Any] | Any]) -> None:
        """Writes one batch, flushed to the operating system.

        Args: columns: name to equally long sequences (lists, arrays, numpy); columns that are left out become null.
        """
        length = len(next(iter(columns.values())))
        if not length:
            return
        arrays = []
        for field in self.schema:
            given = columns.get(field.name)
            if given is None:
                value = self._place.get(field.name)
                given = [value] * length if value is not None else pa.nulls(length, _plain(field.type))
            array = given if isinstance(given, (pa.Array, pa.ChunkedArray)) else pa.array(given, _plain(field.type))
            if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(array.type):
                array = array.dictionary_encode()
            arrays.append(array.cast(field.type))
        with self._lock:
            self._stream.write_batch(pa.record_batch(arrays, schema=self.schema))
            self._file.flush()

    def close(self) -> None:
        with self._lock:
            if not self._file.closed:
                self._stream.close()
                self._file.close()


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


class RunDirectory:
    """One run on disk. Reading never changes it, except `compact`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Makes a new, empty run directory.  Raises RunDirectoryError when it exists or cannot be made."""
        try:
            path.mkdir(parents=True)
            for name in ("segments", "ledger", "snapshots", "logs"):
                (path / name).mkdir()
        except FileExistsError:
            raise RunDirectoryError(
                f"run directory {path} exists already; a run never writes into another's: give --run-dir a new path"
            ) from None
        except OSError as error:
            raise RunDirectoryError(
                f"cannot make run directory {path}: {error.strerror}; give --run-dir a writable path"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An existing run.  Raises RunDirectoryError when it is none."""
        if not (path / "run.json").is_file():
            raise RunDirectoryError(
                f"{path} is not a run directory: it has no run.json; pass the path that `squall run` printed"
            )
        return cls(path)

    def discard(self) -> None:
        """Removes a run directory that never became a run."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_json(self, name: str, value: Any) -> None:
        """Replaces a JSON document as one step, so that a reader never sees half of it; `.gz` is compressed."""
        data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        self.write_bytes(name, gzip.compress(data, 5) if name.endswith(".gz") else data)

    def write_bytes(self, name: str, data: bytes) -> None:
        target = self.path / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise RunDirectoryError(f"cannot write {target}: {error.strerror}") from error

    def read_json(self, name: str) -> Any:
        """The document, or None when it is missing.  Raises RunDirectoryError when it cannot be parsed."""
        target = self.path / name
        try:
            data = target.read_bytes()
            return orjson.loads(gzip.decompress(data) if name.endswith(".gz") else data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            raise RunDirectoryError(f"{target} cannot be read: {error}") from error

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """The objects of a JSON Lines file, oldest first; a torn last line is dropped; [] when the file is missing."""
        try:
            raw = (self.path / name).read_bytes()
        except FileNotFoundError:
            return []
        lines = []
        for line in raw.splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def ledger_lines(self) -> Iterator[dict[str, Any]]:
        """Every intent of the run, process by process."""
        for path in sorted((self.path / "ledger").glob("*.jsonl")):
            yield from self.read_lines(f"ledger/{path.name}")

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a table, from Parquet if compacted, else from the segments.

        Returns: a table with TABLES[table]'s columns (or those asked for), dictionaries unified; maybe empty.
        """
        compacted = self.path / "tables" / f"{table}.parquet"
        if compacted.is_file():
            return pq.read_table(compacted, columns=list(columns) if columns else None)
        merged = self._merge(table)[0]
        return merged.select(columns) if columns else merged

    def torn(self) -> dict[str, int]:
        """Segments whose end was lost, by file name, with the number of whole batches that were kept."""
        document = self.read_json("run.json")
        recorded = document.get("torn_segments") if isinstance(document, dict) else None
        if isinstance(recorded, dict):
            return recorded
        found: dict[str, int] = {}
        for table in TABLES:
            found.update(self._merge(table)[1])
        return found

    def compact(self) -> dict[str, int]:
        """Turns segments into `tables/*.parquet` (zstd) and removes them.  Returns the torn ones, as `torn` does."""
        torn: dict[str, int] = {}
        (self.path / "tables").mkdir(exist_ok=True)
        for table in TABLES:
            target = self.path / "tables" / f"{table}.parquet"
            if target.exists():
                continue
            merged, broken = self._merge(table)
            torn.update(broken)
            temporary = target.with_suffix(".part")
            integers = [field.name for field in merged.schema if pa.types.is_integer(field.type)]
            others = [field.name for field in merged.schema if not pa.types.is_integer(field.type)]
            pq.write_table(
                merged,
                temporary,
                compression="zstd",
                use_dictionary=others,
                column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
            )
            temporary.replace(target)
        for path in (self.path / "segments").glob("*.arrows"):
            path.unlink()
        return torn

    def _merge(self, table: str) -> tuple[pa.Table, dict[str, int]]:
        batches: list[pa.RecordBatch] = []
        torn: dict[str, int] = {}
        for path in sorted((self.path / "segments").glob(f"{table}-*.arrows")):
            kept = 0
            try:
                with pa.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
                    for batch in stream:
                        batches.append(batch)
                        kept += 1
                if not _is_closed(path):
                    torn[path.name] = kept
            except (pa.ArrowInvalid, OSError):
                torn[path.name] = kept
        merged = pa.Table.from_batches(batches, TABLES[table]) if batches else TABLES[table].empty_table()
        return merged.unify_dictionaries().combine_chunks(), torn


def _is_closed(path: Path) -> bool:
    """An Arrow stream that was ended on purpose closes with the end-of-stream marker."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 8:
            return False
        file.seek(-8, os.SEEK_END)
        return file.read(8) == b"\xff\xff\xff\xff\x00\x00\x00\x00"
