"""oslo.db's `wrap_db_retry`, for the places where the real service has it, and only there."""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from harness.emulator.database.errors import DBConnectionError, DBDeadlock, DBDuplicateEntry, DBError

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


def retry_on_deadlock(
    max_retries: int = 5,
    *,
    first_s: float = 0.0,
    max_s: float = 10.0,
    on_duplicate: bool = False,
    on_disconnect: bool = False,
    rng: random.Random | None = None,
) -> Callable[[F], F]:
    """Run the whole coroutine function again when its transaction was the victim of a deadlock.

    Args:
        max_retries: runs after the first; the error of the last one is raised.
        first_s: pause before the second run, doubled at each, up to `max_s`, with jitter; 0: none. oslo.db's wrapper
            waits 1 s and more, nova's and neutron's own decorators start at 0 or 0.1 s.
        on_duplicate, on_disconnect: take up DBDuplicateEntry and DBConnectionError too, as neutron's API does.
    Source: oslo_db.api.wrap_db_retry (18.1), neutron_lib.db.api.retry_db_errors.
    """
    again: tuple[type[DBError], ...] = (DBDeadlock,)
    if on_duplicate:
        again += (DBDuplicateEntry,)
    if on_disconnect:
        again += (DBConnectionError,)
    dice = rng or random.Random()

    def decorate(function: F) -> F:
        @functools.wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            pause_s = first_s
            for _ in range(max_retries):
                try:
                    return await function(*args, **kwargs)
                except again:
                    if pause_s:
                        await asyncio.sleep(dice.uniform(pause_s / 2, pause_s))
                        pause_s = min(pause_s * 2, max_s)
            return await function(*args, **kwargs)

        return run  # type: ignore[return-value]

    return decorate
