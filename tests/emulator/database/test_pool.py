"""The pool: its bounds, its order, and what a lost server does to it."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import literal, select

from harness.emulator.database import Database, DBConnectionError, DBError, DBTimeout, Statement
from harness.emulator.settings import DatabaseSettings
from harness.emulator.standalone import StandalonePostgres
from tests.emulator.waiting import until

ONE = Statement(select(literal(1).label("one")))
SLEEP = "SELECT pg_sleep(0.2)"


@pytest.fixture(scope="module")
def own_server() -> Iterator[StandalonePostgres]:
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    state.chmod(0o711)
    try:
        with StandalonePostgres(state, max_connections=10) as server:
            yield server
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _database(settings: DatabaseSettings, **changes: object) -> Database:
    return Database("postgres", msgspec.structs.replace(settings, **changes))


def test_connections_are_made_up_to_the_bound_and_then_waited_for(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        database = _database(postgres, max_pool_size=1, max_overflow=2, pool_timeout_s=5.0)
        work = [asyncio.create_task(database.run(SLEEP)) for _ in range(5)]
        await until(lambda: database.pool.queued == 2)
        assert (database.pool.size, database.pool.used) == (3, 3)
        await asyncio.gather(*work)
        assert (database.pool.used, database.pool.queued) == (0, 0)
        await database.close()

    asyncio.run(scenario())


def test_the_overflow_is_opened_only_when_connections_in_use_are_not_given_back_soon(
    postgres: DatabaseSettings,
) -> None:
    async def scenario() -> None:
        patient = _database(postgres, max_pool_size=2, max_overflow=20, overflow_after_s=30.0)
        await asyncio.gather(*(patient.fetch(ONE) for _ in range(100)))
        assert patient.pool.size == 2
        await patient.close()
        hasty = _database(postgres, max_pool_size=2, max_overflow=20, overflow_after_s=0.001)
        work = [asyncio.create_task(hasty.run(SLEEP)) for _ in range(6)]
        await until(lambda: hasty.pool.size == 6)
        await asyncio.gather(*work)
        await hasty.close()

    asyncio.run(scenario())


def test_no_connection_is_lost_to_a_caller_cancelled_as_it_is_served(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        database = _database(postgres, max_pool_size=1, max_overflow=0)
        held = await database.pool.take()
        waiter = asyncio.create_task(database.fetch(ONE))
        await until(lambda: database.pool.queued == 1)
        database.pool.give(held)  # the waiter has it, and has not run yet
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert await database.fetch_value(ONE) == 1
        assert (database.pool.size, database.pool.used) == (1, 0)
        await database.close()

    asyncio.run(scenario())


def test_waiting_too_long_is_a_timeout_that_sent_nothing(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        database = _database(postgres, max_pool_size=1, max_overflow=0, pool_timeout_s=0.05)
        busy = asyncio.create_task(database.run(SLEEP))
        await until(lambda: database.pool.used == 1)
        with pytest.raises(DBTimeout, match="all 1 of this process"):
            await database.fetch(ONE)
        await busy
        assert await database.fetch_value(ONE) == 1
        assert database.pool.size == 1
        await database.close()

    asyncio.run(scenario())


def test_a_cancelled_waiter_loses_no_connection(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        database = _database(postgres, max_pool_size=1, max_overflow=0)
        busy = asyncio.create_task(database.run(SLEEP))
        await until(lambda: database.pool.used == 1)
        waiter = asyncio.create_task(database.fetch(ONE))
        await until(lambda: database.pool.queued == 1)
        waiter.cancel()
        await busy
        assert await database.fetch_value(ONE) == 1
        assert (database.pool.size, database.pool.used, database.pool.queued) == (1, 0, 0)
        await database.close()

    asyncio.run(scenario())


def test_too_many_connections_is_a_plain_error_at_once(own_server: StandalonePostgres) -> None:
    async def scenario() -> None:
        database = _database(own_server.settings, max_pool_size=30, connect_attempts=1)
        results = await asyncio.gather(*(database.run(SLEEP) for _ in range(20)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, DBError)]
        assert refused
        assert all(result.code == "53300" and not isinstance(result, DBConnectionError) for result in refused)
        assert database.pool.used == 0
        await database.close()

    asyncio.run(scenario())


def test_a_crash_fails_what_is_under_way_and_nothing_later(own_server: StandalonePostgres) -> None:
    async def scenario() -> None:
        database = _database(own_server.settings, connect_attempts=1)
        for _ in range(3):
            await database.fetch(ONE)
        under_way = [asyncio.create_task(database.run("SELECT pg_sleep(30)")) for _ in range(2)]
        await until(lambda: database.pool.used == 2)
        await asyncio.to_thread(own_server.kill)
        results = await asyncio.gather(*under_way, return_exceptions=True)
        assert [type(result) for result in results] == [DBConnectionError, DBConnectionError]
        with pytest.raises(DBConnectionError):
            await database.fetch(ONE)
        await asyncio.to_thread(own_server.start)
        assert await database.fetch_value(ONE) == 1
        assert database.pool.used == 0
        await database.close()

    asyncio.run(scenario())


def test_an_idle_connection_that_was_ended_is_replaced_unseen(own_server: StandalonePostgres) -> None:
    async def scenario() -> None:
        database = _database(own_server.settings, pre_ping_after_idle_s=0.0)
        admin = _database(own_server.settings)
        assert await database.fetch_value(ONE) == 1
        await admin.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        assert await database.fetch_value(ONE) == 1
        await database.close()
        await admin.close()

    asyncio.run(scenario())
