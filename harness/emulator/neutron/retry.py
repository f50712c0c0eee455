"""neutron_lib's `retry_db_errors`: the whole call again when the database gave way under it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from harness.emulator.database import DBConnectionError, DBDeadlock, DBDuplicateEntry
from harness.emulator.settings import Settings

T = TypeVar("T")
_INTERVAL_MAX_S = 10.0  # oslo.db's max_retry_interval


class StaleDataError(Exception):
    """A row changed or went between reading and writing it; nothing was written."""


_RETRIABLE = (DBDeadlock, DBConnectionError, DBDuplicateEntry, StaleDataError)


async def retry_db_errors(call: Callable[[], Awaitable[T]], settings: Settings, rng: random.Random) -> T:
    """Run `call` until it ends without a deadlock, a lost connection, a duplicate entry or stale data.

    A connection lost at the commit may leave the first run's work behind, as in the real service: then there are two.

    Raises: the last error, when all retries are used.
    Source: neutron_lib.db.api (4.0), oslo_db.api.wrap_db_retry with inc_retry_interval and jitter.
    """
    interval_s = pause_s = settings.neutron.retry_first_s
    for _ in range(settings.neutron.retry_attempts):
        try:
            return await call()
        except _RETRIABLE:
            await asyncio.sleep(settings.scaled(pause_s))
            interval_s *= 2
            pause_s = min(rng.uniform(0, interval_s), _INTERVAL_MAX_S)
    return await call()
