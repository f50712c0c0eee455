"""A few steps of the same kind at once, where the real service takes them one by one.

Each step stays a request or commit of its own. A real control plane has a core for each of its services and waits on
the network between steps; here all share a machine, and the wait of one step is the work of another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 4


async def for_each(items: Iterable[T], step: Callable[[T], Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """Take a step for every item, in order, at most `at_once` under way.

    Raises: the first error, once the steps under way have ended; no step begins after it.
    """
    queue = iter(items)
    failed = False

    async def work() -> None:
        nonlocal failed
        for item in queue:
            try:
                await step(item)
            except BaseException:
                failed = True
                raise
            if failed:
                return

    results = await asyncio.gather(*(work() for _ in range(at_once)), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def rows_at_once(ids: Sequence[int | None]) -> int:
    """How many rows may be written at once so that ids, given by `Database.next_ids`, still show their order."""
    return 1 if None in ids else AT_ONCE
