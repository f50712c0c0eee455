"""Steps of one kind, a few at once."""

import asyncio

import pytest

from harness.emulator.in_flight import for_each


def test_steps_begin_in_order_and_only_so_many_are_under_way() -> None:
    begun: list[int] = []
    most = under_way = 0

    async def step(item: int) -> None:
        nonlocal most, under_way
        begun.append(item)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    asyncio.run(for_each(range(20), step, at_once=3))
    assert begun == list(range(20))
    assert most == 3


def test_an_error_ends_it_once_what_is_under_way_has_ended() -> None:
    ended: list[int] = []

    async def step(item: int) -> None:
        if item == 1:
            raise ValueError("no")
        await asyncio.sleep(0)
        ended.append(item)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(for_each(range(20), step, at_once=3))
    assert ended == [0, 2]
