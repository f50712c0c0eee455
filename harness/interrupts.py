"""Ctrl-C, SIGTERM and a closing terminal, as a run takes them: told to who listens, or breaking what is under way."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


class Interrupts:
    """Signals while it is entered, in the main thread. Those that break nothing go to `tell`.

    Args: tell: called in the signal handler, so between any two steps of the main thread.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._patience: int | None = None  # how many more are only told; None: all
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "Interrupts":
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            numbers.remove(signal.SIGHUP)  # nohup
        self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def breaking(self, *, after: int = 0) -> Iterator[None]:
        """Within the block the first signal but `after` raises KeyboardInterrupt, at once; those around it are told.

        For where nobody listens, and what is under way may end half done.
        """
        self._patience = after
        try:
            yield
        finally:
            self._patience = None

    def _handle(self, *_: object) -> None:
        if self._patience == 0:
            self._patience = None  # once: what is half there is being ended now
            raise KeyboardInterrupt
        if self._patience is not None:
            self._patience -= 1
        self._tell()
