"""The open loop: starts each arrival at its time, whatever became of those before.

libev's own timers round to a millisecond and more; a kernel timer descriptor that the gevent hub watches does not.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gevent

from harness.core.arrivals import Arrival
from harness.core.clock import RunClock, S

_TFD_NONBLOCK = 0o4000
_TFD_CLOEXEC = 0o2000000
_TFD_TIMER_ABSTIME = 1
_CLOCK_MONOTONIC = 1
_READ = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class KernelTimer:
    """Waits for moments of CLOCK_MONOTONIC by a timerfd.  Raises OSError at creation where there is none."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("timerfd exists on Linux only")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._hub: Any = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._fd, _READ)

    def wait_until(self, monotonic_ns: int) -> None:
        """Returns at that moment, at once when it has passed."""
        # A value of zero would disarm the timer; a moment that has passed fires at once.
        value = _Timespec(max(0, monotonic_ns) // S, max(1, monotonic_ns) % S or 1)
        setting = _Itimerspec(_Timespec(0, 0), value)
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(setting), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._hub.wait(self._watcher)
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)

    def close(self) -> None:
        self._watcher.close()
        os.close(self._fd)


class SleepTimer:
    """The fallback: gevent's own timer. Its error is measured like everything else's, as start error."""

    def wait_until(self, monotonic_ns: int) -> None:
        gevent.sleep(max(0.0, (monotonic_ns - RunClock(0).now_ns()) / S))

    def close(self) -> None:
        """Nothing to close."""


Timer = KernelTimer | SleepTimer


def best_timer() -> Timer:
    try:
        return KernelTimer()
    except OSError:
        return SleepTimer()


class Pacer:
    """Starts the arrivals of one swarm on one worker.

    Args: arrivals: offsets from start_ns, in order. start: called with (number, intended_ns); must not block. has_room:
    asked before each start; without room the arrival is dropped and counted, not queued: it would only pile up.
    """

    def __init__(
        self,
        clock: RunClock,
        arrivals: Iterator[Arrival],
        start_ns: int,
        start: Callable[[int, int], None],
        has_room: Callable[[], bool],
        note: Callable[[int, int, int | None], None],
        timer: Timer | None = None,
    ) -> None:
        self._clock, self._arrivals, self._start_ns = clock, arrivals, start_ns
        self._start, self._has_room, self._note = start, has_room, note
        self._timer = timer
        self._stopped_ns: int | None = None

    def stop(self) -> None:
        """Start nothing more."""
        self._stopped_ns = self._clock.now_ns()

    def run(self) -> None:
        """Until the schedule ends or it is stopped; `note(number, intended_ns, started_ns)` for each arrival.

        One that is due without room, or was when it was stopped, is never started, and its started_ns is None.
        """
        timer = self._timer or best_timer()
        try:
            for arrival in self._arrivals:
                intended_ns = self._start_ns + arrival.offset_ns
                if self._clock.now_ns() < intended_ns:
                    timer.wait_until(self._clock.epoch_ns + intended_ns)
                if self._stopped_ns is not None and intended_ns >= self._stopped_ns:
                    return
                if self._stopped_ns is not None or not self._has_room():
                    self._note(arrival.index, intended_ns, None)
                    continue
                self._note(arrival.index, intended_ns, max(intended_ns, self._clock.now_ns()))
                self._start(arrival.index, intended_ns)
        finally:
            timer.close()
