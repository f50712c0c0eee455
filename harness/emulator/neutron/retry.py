"""neutron_lib's `retry_db_errors`: the whole call again when the database gave way under it."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from harness.emulator.database import DBConnectionError, DBDeadlock, DBDuplicateEntry, wrap_db_retry
from harness.emulator.settings import Settings

T = TypeVar("T")


class StaleDataError(Exception):
    """A row changed or went between reading and writing it; nothing was written."""


_RETRIABLE = (DBDeadlock, DBConnectionError, DBDuplicateEntry, StaleDataError)


async def retry_db_errors(call: Callable[[], Awaitable[T]], settings: Settings, rng: random.Random) -> T:
    """Run `call` until it ends without a deadlock, a lost connection, a duplicate entry or stale data.

    A connection lost at the commit may leave the first run's work behind, as in the real service: then there are two.

    Raises: the last error, when all retries are used.
    Source: neutron_lib.db.api (4.0).
    """
    neutron = settings.neutron
    return await wrap_db_retry(
        call,
        again=_RETRIABLE,
        max_retries=neutron.retry_attempts,
        interval_s=neutron.retry_first_s,
        scale=settings.time_scale,
        dice=rng,
    )
