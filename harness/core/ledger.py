"""The ledger: what we meant to create, written before the request leaves.

One JSON object a line, flushed to the kernel and not synced: it survives a killed process, not a killed machine. The
janitor finds everything by mark alone; the ledger tells the audit what should exist, and the janitor where to look.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import orjson

SCHEMA_VERSION = 1


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One intent: `count` resources of `kind` ("server", "network", ...) under `name`, each carrying `mark`."""

    at_ns: int
    kind: str
    name: str
    mark: str
    cloud: str
    region: str | None = None
    project: str | None = None
    operation_id: int | None = None
    count: int = 1
    schema_version: int = SCHEMA_VERSION


class Ledger:
    """Appends intents to `ledger/<process>.jsonl` of a run directory.

    Raises: OSError when the line cannot be written (full or read-only disk): then nothing must be sent.
    """

    def __init__(self, run_dir: Path, process: str) -> None:
        self.path = run_dir / "ledger" / f"{process}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: each line is one write(2), so no line of ours can be torn by another of ours.
        self._file: IO[bytes] = open(self.path, "ab", buffering=0)  # noqa: SIM115

    def intend(self, intent: Intent) -> None:
        """Write one intent; when this returns, the kernel has it."""
        self._file.write(orjson.dumps(msgspec.to_builtins(intent)) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_ledger(path: Path) -> Iterator[Intent]:
    """The intents of one ledger file, in order; a torn last line is left out.

    Raises: FileNotFoundError; ValueError with file and line for a broken line that is not the last.
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        intent: Any = None
        with contextlib.suppress(orjson.JSONDecodeError, msgspec.ValidationError):
            intent = msgspec.convert(orjson.loads(line), Intent)
        if intent is not None:
            yield intent
        elif number < len(lines):
            raise ValueError(f"{path}:{number}: not a ledger line: {line[:120]!r}")


def read_ledgers(run_dir: Path) -> list[Intent]:
    """Every intent of a run, by time."""
    found = [intent for path in sorted((run_dir / "ledger").glob("*.jsonl")) for intent in read_ledger(path)]
    return sorted(found, key=lambda intent: intent.at_ns)
