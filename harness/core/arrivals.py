"""When arrivals leave: pure, seeded schedules, fixed before the first request is sent.

An open-loop swarm takes its intended start times from here and from nowhere else, so a slow cloud cannot thin its own
load. Every worker walks the whole schedule and keeps its share by index: the sum over workers is the plan, exactly.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SECOND = 1_000_000_000
LATE_NS = 10_000_000  # an arrival that starts later than this after its time is late


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop: no schedule, `users` journeys at a time, each starting `pause_s` after its last ended."""

    users: int
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        if self.users < 1 or self.pause_s < 0:
            raise ValueError(f"closed loop needs users >= 1 and pause >= 0, got {self.users} users, {self.pause_s} s")

    def users_of(self, worker: int, workers: int) -> int:
        """How many of the users live on this worker; the sum over all workers is `users`."""
        return self.users // workers + (1 if worker < self.users % workers else 0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One place in the schedule: `index` counts from 0 over the whole swarm, `offset_ns` from the swarm's start."""

    index: int
    offset_ns: int


def constant_arrivals(rate_per_s: float) -> Iterator[float]:
    """Offsets in seconds of endless arrivals with equal gaps, the first at 0.

    Raises: ValueError at the call when the rate is not positive.
    """
    _positive("rate", rate_per_s)
    return (index / rate_per_s for index in _naturals())


def poisson_arrivals(rate_per_s: float, rng: random.Random) -> Iterator[float]:
    """Offsets in seconds of an endless Poisson arrival process.

    Args:    rate_per_s: mean arrival rate, above zero. rng: same seed, same offsets.
    Raises:  ValueError at the call, not at the first offset, when the rate is not positive.
    Source:  independent exponential gaps; Harchol-Balter, Performance Modeling and Design of Computer Systems.
    """
    _positive("rate", rate_per_s)
    return _poisson(rate_per_s, rng)


def burst_arrivals(count: int, over_s: float = 0.0) -> Iterator[float]:
    """Offsets in seconds of `count` arrivals spread evenly over `over_s`; all at 0 when that is 0.

    Raises: ValueError when count < 1 or over_s < 0.
    """
    if count < 1 or over_s < 0:
        raise ValueError(f"burst needs count >= 1 and over >= 0, got {count} over {over_s} s")
    return (index * over_s / count for index in range(count))


def ramp_arrivals(from_per_s: float, to_per_s: float, duration_s: float) -> Iterator[float]:
    """Offsets in seconds of arrivals whose rate changes in a straight line over `duration_s`; ends there.

    The n-th arrival stands where the integral of the rate reaches n.
    Raises: ValueError when a rate is negative, both are 0, or the duration is not positive.
    """
    if from_per_s < 0 or to_per_s < 0 or from_per_s + to_per_s <= 0:
        raise ValueError(f"ramp needs rates >= 0, one above 0, got {from_per_s} to {to_per_s} per s")
    _positive("duration", duration_s)
    return _ramp(from_per_s, to_per_s, duration_s)


def schedule(
    arrivals: Mapping[str, Any], *, seed: int, name: str, duration_ns: int, worker: int = 0, workers: int = 1
) -> Iterator[Arrival]:
    """The open-loop arrivals of one swarm that fall to one worker, in order, inside [0, duration).

    A burst brings its own end: it is sent whole, whatever the duration.

    Args:    arrivals: as in plan.json: {"kind": "poisson", "rate": 25.0}, kinds constant, poisson, burst (count, over),
             ramp (from, to); times in seconds, rates per second. seed, name: of the run and of the swarm; together they
             fix the schedule. worker, workers: every workers-th arrival, starting with this worker's number.
    Raises:  ValueError at the call for an unknown kind (a closed loop has no schedule), a missing or bad figure.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} of {workers}")
    offsets = _offsets(arrivals, random.Random(f"{seed}:{name}"), duration_ns / SECOND)
    return _shared(offsets, None if arrivals.get("kind") == "burst" else duration_ns, worker, workers)


def closed_loop(arrivals: Mapping[str, Any]) -> Closed | None:
    """The closed loop that `arrivals` asks for, or None when it is an open-loop schedule."""
    if arrivals.get("kind") != "closed":
        return None
    return Closed(users=int(arrivals["users"]), pause_s=float(arrivals.get("pause") or 0.0))


def expected_count(arrivals: Mapping[str, Any], duration_s: float) -> float | None:
    """How many arrivals to expect in `duration_s`; None for a closed loop. For preflight and quota checks."""
    match arrivals.get("kind"):
        case "constant" | "poisson":
            return float(arrivals["rate"]) * duration_s
        case "burst":
            return float(arrivals["count"])
        case "ramp":
            return (float(arrivals["from"]) + float(arrivals["to"])) / 2 * duration_s
        case _:
            return None


def _offsets(arrivals: Mapping[str, Any], rng: random.Random, duration_s: float) -> Iterator[float]:
    kind = arrivals.get("kind")
    try:
        match kind:
            case "constant":
                return constant_arrivals(float(arrivals["rate"]))
            case "poisson":
                return poisson_arrivals(float(arrivals["rate"]), rng)
            case "burst":
                return burst_arrivals(int(arrivals["count"]), float(arrivals.get("over") or 0.0))
            case "ramp":
                return ramp_arrivals(float(arrivals["from"]), float(arrivals["to"]), duration_s)
    except KeyError as missing:
        raise ValueError(f"arrivals of kind {kind} need {missing.args[0]!r}, got {dict(arrivals)}") from None
    raise ValueError(f"arrivals: wanted kind constant, poisson, burst or ramp, got {kind!r}")


def _shared(offsets: Iterator[float], duration_ns: int | None, worker: int, workers: int) -> Iterator[Arrival]:
    for index, offset_s in enumerate(offsets):
        offset_ns = round(offset_s * SECOND)
        if duration_ns is not None and offset_ns >= duration_ns:
            return
        if index % workers == worker:
            yield Arrival(index, offset_ns)


def _naturals() -> Iterator[int]:
    index = 0
    while True:
        yield index
        index += 1


def _poisson(rate_per_s: float, rng: random.Random) -> Iterator[float]:
    now = 0.0
    while True:
        now += rng.expovariate(rate_per_s)
        yield now


def _ramp(start: float, end: float, duration_s: float) -> Iterator[float]:
    slope = (end - start) / duration_s
    total = (start + end) / 2 * duration_s
    index = 0
    while index < total:
        # start*t + slope*t^2/2 = index, in the form that stays exact when the slope is near 0.
        root = math.sqrt(max(0.0, start * start + 2 * slope * index))
        yield 0.0 if index == 0 else 2 * index / (start + root)
        index += 1


def _positive(what: str, value: float) -> None:
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{what} must be above 0, got {value}")
