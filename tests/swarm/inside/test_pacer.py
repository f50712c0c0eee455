"""The pacer starts what is due, when it is due, whatever happened before; drops what there is no room for."""

import time

from harness.core.arrivals import Arrival
from harness.core.clock import MS, FakeClock, RunClock, S
from harness.swarm.pacer import KernelTimer, Pacer, SleepTimer, best_timer


class Epoch(FakeClock):
    epoch_ns = 0


class Jump:
    """A timer that turns the clock to the moment that is waited for."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waits: list[int] = []

    def wait_until(self, monotonic_ns: int) -> None:
        self.waits.append(monotonic_ns)
        self.clock.advance(monotonic_ns - self.clock.now_ns())

    def close(self) -> None:
        self.waits.append(-1)


def pace(
    offsets_ms: list[int], *, stall_ms: int = 0, room: int = 10**6, stop_at: int | None = None
) -> tuple[list[tuple[int, int]], list[tuple[int, int | None]], Jump]:
    clock = Epoch()
    timer = Jump(clock)
    started: list[tuple[int, int]] = []
    noted: list[tuple[int, int | None]] = []

    def start(number: int, intended_ns: int) -> None:
        started.append((number, clock.now_ns() // MS))
        if number == 0:
            clock.advance(stall_ms * MS)
        if number == stop_at:
            pacer.stop()

    arrivals = (Arrival(number, offset * MS) for number, offset in enumerate(offsets_ms))
    pacer = Pacer(
        clock,  # type: ignore[arg-type]
        arrivals,
        100 * MS,
        start,
        lambda: len(started) < room,
        lambda _, intended, at: noted.append((intended // MS, None if at is None else at // MS)),
        timer,  # type: ignore[arg-type]
    )
    pacer.run()
    return started, noted, timer


def test_each_arrival_starts_at_its_time() -> None:
    started, noted, timer = pace([0, 10, 10, 25])
    assert started == [(0, 100), (1, 110), (2, 110), (3, 125)]
    assert noted == [(100, 100), (110, 110), (110, 110), (125, 125)]
    assert timer.waits == [100 * MS, 110 * MS, 125 * MS, -1]


def test_a_stall_delays_starts_and_changes_neither_their_number_nor_their_intention() -> None:
    started, noted, _ = pace([0, 10, 20, 50], stall_ms=30)
    assert started == [(0, 100), (1, 130), (2, 130), (3, 150)]
    assert noted == [(100, 100), (110, 130), (120, 130), (150, 150)]


def test_without_room_an_arrival_is_dropped_and_noted() -> None:
    started, noted, _ = pace([0, 10, 20], room=1)
    assert started == [(0, 100)]
    assert noted == [(100, 100), (110, None), (120, None)]


def test_a_stopped_pacer_starts_nothing_more() -> None:
    started, _, timer = pace([0, 10, 20], stop_at=1)
    assert [number for number, _ in started] == [0, 1]
    assert timer.waits[-1] == -1


def test_the_kernel_timer_never_fires_early_and_at_once_for_the_past() -> None:
    timer = best_timer()
    assert isinstance(timer, KernelTimer)
    clock = RunClock(0)
    for ahead_ns in (3 * MS, MS, 200_000, 0, -S):
        moment = time.monotonic_ns() + ahead_ns
        timer.wait_until(moment)
        assert clock.now_ns() >= moment
    timer.close()


def test_the_fallback_waits_too() -> None:
    moment = time.monotonic_ns() + 2 * MS
    SleepTimer().wait_until(moment)
    assert time.monotonic_ns() >= moment - MS
