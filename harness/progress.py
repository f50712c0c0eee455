"""What a person sees while a run lasts: one line, rewritten on a terminal, a new one every two seconds elsewhere."""

import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

_PLAIN_EVERY_S = 2.0


@dataclass(slots=True)
class Live:
    """The newest figures of a run; the engine fills them in."""

    phase: str = ""
    rate: float = 0.0  # arrivals that were due in the last second
    started: float = 0.0  # of them
    done: float = 0.0  # requests answered in the last second; an arrival makes one or many
    errors: int = 0  # since the start
    in_flight: int = 0
    p95_ms: float | None = None
    servers: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    client_limited: bool = False


class Progress:
    """Args: stream: where to print. Steps get a line of their own; the figures share one where that is possible."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._start = time.monotonic()
        self._last_plain = -_PLAIN_EVERY_S
        self._open = False

    def step(self, text: str) -> None:
        """Something began or happened."""
        self._end_line()
        print(f"{self._elapsed()}  {text}", file=self._stream, flush=True)

    def figures(self, live: Live) -> None:
        """The state of the run; call it about once a second."""
        line = f"{self._elapsed()}  {format_live(live)}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\x1b[2K" + line[:width], end="", file=self._stream, flush=True)
            self._open = True
        elif time.monotonic() - self._last_plain >= _PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            print(line, file=self._stream, flush=True)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._start)
        return f"{seconds // 60:2d}:{seconds % 60:02d}"

    def _end_line(self) -> None:
        if self._open:
            print(file=self._stream)
            self._open = False


def format_live(live: Live) -> str:
    """`baseline | 25 arrivals/s, 61 requests/s, 2 in flight | p95 48 ms | 0 errors | ACTIVE 9`, and faults in force."""
    p95 = "-" if live.p95_ms is None else f"{live.p95_ms:.0f} ms"
    parts = [
        live.phase,
        f"{live.rate:.0f} arrivals/s, {live.done:.0f} requests/s, {live.in_flight} in flight",
        f"p95 {p95}",
        f"{live.errors} errors",
        " ".join(f"{status} {count}" for status, count in sorted(live.servers.items())) or "no servers",
    ]
    if live.faults:
        parts.append("fault ON: " + ", ".join(f"{name}({target})" for name, target in live.faults))
    if live.client_limited:
        parts.append("CLIENT-LIMITED")
    return " | ".join(parts)
