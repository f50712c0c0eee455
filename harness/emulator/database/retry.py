"""oslo.db's `wrap_db_retry`, for the places where the real service has it, and only there."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
INTERVAL_S = 1.0  # oslo.db's retry_interval
INTERVAL_MAX_S = 10.0  # its max_retry_interval


async def wrap_db_retry(
    call: Callable[[], Awaitable[T]],
    *,
    again: tuple[type[Exception], ...],
    max_retries: int,
    interval_s: float = INTERVAL_S,
    scale: float = 1.0,
    dice: random.Random,
) -> T:
    """Run the whole call again when it ended with one of these errors.

    Args:
        again: errors that are taken up; the real services name deadlocks, and neutron also lost connections.
        max_retries: runs after the first; the error of the last one is raised.
        interval_s: pause before the second run, in real seconds; those that follow are drawn from twice the range each.
    Source: oslo_db.api.wrap_db_retry (18.1) with inc_retry_interval, and with jitter as after a deadlock.
    """
    pause_s = interval_s
    for _ in range(max_retries):
        try:
            return await call()
        except again:
            await asyncio.sleep(pause_s * scale)
            interval_s *= 2
            pause_s = min(dice.uniform(0, interval_s), INTERVAL_MAX_S)
    return await call()
