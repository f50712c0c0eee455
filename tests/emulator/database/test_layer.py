"""The thin layer on real servers: statements, transactions, errors."""

import asyncio
import itertools
import random
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, func, insert, select, update

from harness.emulator import schemas
from harness.emulator.database import (
    Database,
    DBConnectionError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    Statement,
    in_list,
    upsert,
    wrap_db_retry,
)
from harness.emulator.in_flight import for_each, rows_at_once
from harness.emulator.settings import DatabaseSettings
from tests.emulator.database.conftest import Run, servers

INSERT = Statement(insert(servers))
INSERT_RETURNING = Statement(insert(servers).returning(servers.c.id))
GET = Statement(select(servers).where(servers.c.uuid == bindparam("uuid")))
NAMED = Statement(select(servers.c.uuid).where(in_list(servers.c.name, "names")).order_by(servers.c.uuid))
NOT_NAMED = Statement(select(servers.c.uuid).where(~in_list(servers.c.name, "names")).order_by(servers.c.uuid))
COUNT = Statement(select(func.count()).select_from(servers))
SET_STATUS = Statement(update(servers).where(servers.c.uuid == bindparam("uuid")).values(status=bindparam("status")))
BUMP = Statement(update(servers).where(servers.c.uuid == bindparam("uuid")).values(count=servers.c.count + 1))
CHANGE = Statement(update(servers).where(servers.c.uuid == bindparam("key")))
DELETE = Statement(delete(servers).where(servers.c.uuid == bindparam("uuid")))


def test_a_row_comes_back_by_column_name_with_its_defaults(run: Run) -> None:
    async def body(database: Database) -> None:
        assert await database.execute(INSERT, uuid="a", name="one") == 1
        row = await database.fetch_one(GET, uuid="a")
        assert row is not None
        assert (row["name"], row["status"], row["count"], row["body"]) == ("one", "BUILD", 0, None)
        assert row.get("nothing", 7) == 7
        assert {**row}["uuid"] == "a"
        assert await database.fetch_one(GET, uuid="b") is None
        assert await database.fetch_value(COUNT) == 1

    run(body)


def test_columns_of_insert_and_update_follow_the_parameters(run: Run) -> None:
    async def body(database: Database) -> None:
        await database.execute(INSERT, uuid="a", name="one", status="ACTIVE", body="x" * 3000)
        assert await database.execute(CHANGE, key="a", name="two") == 1
        assert await database.execute(CHANGE, key="a", status="ERROR", count=5) == 1
        row = await database.fetch_one(GET, uuid="a")
        assert row is not None
        assert (row["name"], row["status"], row["count"], len(row["body"])) == ("two", "ERROR", 5, 3000)

    run(body)


def test_returning_gives_the_new_key(run: Run) -> None:
    async def body(database: Database) -> None:
        first = await database.fetch_value(INSERT_RETURNING, uuid="a", name="one")
        second = await database.fetch_value(INSERT_RETURNING, uuid="b", name="one")
        assert second > first

    run(body)


def test_rows_that_are_written_at_the_same_time_have_the_order_of_their_ids(run: Run) -> None:
    async def body(database: Database) -> None:
        ids = await database.next_ids("servers", 12)
        names = [f"{number:02d}" for number in range(12)]
        backwards = list(zip(ids, names, strict=True))[::-1]
        at_once = rows_at_once(ids)
        if at_once == 1:  # MariaDB numbers rows as they come
            backwards.reverse()

        async def write(one: tuple[int | None, str]) -> None:
            await database.execute(INSERT, id=one[0], uuid=one[1], name=one[1])

        await for_each(backwards, write, at_once=at_once)
        await database.execute(INSERT, uuid="last", name="last")
        rows = await database.fetch(Statement(select(servers.c.uuid).order_by(servers.c.id)))
        assert [row["uuid"] for row in rows] == [*names, "last"]

    run(body)


def test_row_counts_are_rows_matched(run: Run) -> None:
    async def body(database: Database) -> None:
        await database.execute(INSERT, uuid="a", name="one", status="ACTIVE")
        assert await database.execute(SET_STATUS, uuid="a", status="ACTIVE") == 1  # matched, not changed
        assert await database.execute(SET_STATUS, uuid="b", status="ACTIVE") == 0
        assert await database.execute(DELETE, uuid="a") == 1
        assert await database.execute(DELETE, uuid="a") == 0

    run(body)


@pytest.mark.parametrize(
    ("names", "inside", "outside"),
    [(["one", "two"], ["a", "b"], ["c"]), (["three"], ["c"], ["a", "b"]), ([], [], ["a", "b", "c"])],
)
def test_a_list_parameter_may_have_any_length(
    run: Run, names: list[str], inside: list[str], outside: list[str]
) -> None:
    async def body(database: Database) -> None:
        await database.execute_many(
            INSERT, [{"uuid": u, "name": n} for u, n in (("a", "one"), ("b", "two"), ("c", "three"))]
        )
        assert [row["uuid"] for row in await database.fetch(NAMED, names=names)] == inside
        assert [row["uuid"] for row in await database.fetch(NOT_NAMED, names=names)] == outside

    run(body)


def test_literal_lists_and_constants_may_stand_in_a_statement(run: Run) -> None:
    literal = Statement(select(servers.c.uuid).where(servers.c.name.in_(["one", "two"]), servers.c.count == 0).limit(5))

    async def body(database: Database) -> None:
        await database.execute(INSERT, uuid="a", name="one")
        await database.execute(INSERT, uuid="b", name="three")
        assert [row["uuid"] for row in await database.fetch(literal)] == ["a"]

    run(body)


def test_percent_signs_and_quotes_survive(run: Run) -> None:
    like = Statement(select(servers.c.name).where(servers.c.name.like(bindparam("pattern"))))

    async def body(database: Database) -> None:
        await database.execute(INSERT, uuid="a", name="100 % 'it\\\"s'")
        assert [row["name"] for row in await database.fetch(like, pattern="100 %")] == ["100 % 'it\\\"s'"]

    run(body)


def test_upsert_overwrites_or_keeps(run: Run) -> None:
    overwrite = upsert(servers, ["uuid"], ["name"])
    keep = upsert(servers, ["uuid"], ())

    async def body(database: Database) -> None:
        await database.execute(overwrite, uuid="a", name="one", status="ACTIVE")
        await database.execute(overwrite, uuid="a", name="two", status="ERROR")
        await database.execute(keep, uuid="a", name="three")
        row = await database.fetch_one(GET, uuid="a")
        assert row is not None
        assert (row["name"], row["status"]) == ("two", "ACTIVE")

    run(body)


def test_a_transaction_is_all_or_nothing(run: Run) -> None:
    async def body(database: Database) -> None:
        async def broken() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(INSERT, uuid="a", name="one")
                assert await transaction.fetch_value(COUNT) == 1
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            await broken()
        assert await database.fetch_value(COUNT) == 0
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, uuid="a", name="one")
            await transaction.execute_many(INSERT, [{"uuid": "b", "name": "x"}, {"uuid": "c", "name": "x"}])
        assert await database.fetch_value(COUNT) == 3

    run(body)


def test_many_rows_are_one_transaction(run: Run) -> None:
    async def body(database: Database) -> None:
        with pytest.raises(DBDuplicateEntry):
            await database.execute_many(INSERT, [{"uuid": "a", "name": "x"}, {"uuid": "a", "name": "y"}])
        assert await database.fetch_value(COUNT) == 0
        assert database.pool.used == 0

    run(body)


def test_refusals_have_their_class_and_leave_the_connection_usable(run: Run) -> None:
    async def body(database: Database) -> None:
        await database.execute(INSERT, uuid="a", name="one")
        with pytest.raises(DBDuplicateEntry) as caught:
            await database.execute(INSERT, uuid="a", name="one")
        assert "uniq_servers_uuid" in caught.value.constraint
        with pytest.raises(DBDataError):
            await database.execute(INSERT, uuid="b", name="n" * 21)
        with pytest.raises(DBError):
            await database.run("SELECT nothing FROM nowhere")
        with pytest.raises(KeyError):
            await database.fetch(GET)
        assert await database.fetch_value(COUNT) == 1
        assert (database.pool.size, database.pool.used) == (1, 0)

    run(body)


def test_a_cancelled_call_gives_its_connection_up(run: Run, server: DatabaseSettings) -> None:
    sleep = "SELECT pg_sleep(20)" if server.dialect == "postgresql" else "SELECT SLEEP(20)"

    async def body(database: Database) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await database.run(sleep)
        assert database.pool.size == 0
        assert await database.fetch_value(COUNT) == 0

    run(body)


def test_the_victim_of_a_deadlock_is_run_again(run: Run) -> None:
    async def body(database: Database) -> None:
        await database.execute_many(INSERT, [{"uuid": "a", "name": "x"}, {"uuid": "b", "name": "x"}])
        meet = asyncio.Barrier(2)
        runs: list[str] = []

        async def both(first: str, second: str) -> None:
            runs.append(first)
            async with database.transaction() as transaction:
                await transaction.execute(BUMP, uuid=first)
                if len(runs) <= 2:
                    await meet.wait()
                await transaction.execute(BUMP, uuid=second)

        await asyncio.gather(database.retried(lambda: both("a", "b")), database.retried(lambda: both("b", "a")))
        assert len(runs) == 3
        rows = [await database.fetch_one(GET, uuid=uuid) for uuid in "ab"]
        assert [row["count"] for row in rows if row is not None] == [2, 2]

    run(body)


def test_retries_are_bounded_and_their_pauses_grow_as_those_of_oslo_db() -> None:
    began: list[float] = []

    async def scenario() -> None:
        async def never() -> None:
            began.append(asyncio.get_running_loop().time())
            raise DBDeadlock("again and again")

        dice = random.Random(1)
        with pytest.raises(DBDeadlock):
            await wrap_db_retry(never, again=(DBDeadlock,), max_retries=3, scale=0.01, dice=dice)

    asyncio.run(scenario())
    pauses = [after - before for before, after in itertools.pairwise(began)]
    expected = random.Random(1)
    wanted = [1.0, expected.uniform(0, 2), expected.uniform(0, 4)]
    assert [pause >= want * 0.01 for pause, want in zip(pauses, wanted, strict=True)] == [True] * 3
    assert sum(pauses) < sum(wanted) * 0.01 + 1.0


@pytest.mark.parametrize("error", [DBConnectionError, DBDuplicateEntry, DBError])
def test_what_is_no_deadlock_is_not_taken_up(error: type[DBError]) -> None:
    calls: list[int] = []

    async def once() -> None:
        calls.append(1)
        raise error("no")

    async def scenario() -> None:
        with pytest.raises(error):
            await wrap_db_retry(once, again=(DBDeadlock,), max_retries=3, dice=random.Random(1))

    asyncio.run(scenario())
    assert calls == [1]


def test_nobody_there_is_a_connection_error(server: DatabaseSettings) -> None:
    import msgspec

    nowhere = msgspec.structs.replace(server, port=1, connect_attempts=2, connect_interval_s=0.01)

    async def scenario() -> None:
        database = Database("squall_test", nowhere)
        with pytest.raises(DBConnectionError):
            await database.fetch_value(COUNT)
        assert database.pool.size == 0

    asyncio.run(scenario())


def test_creating_a_schema_twice_changes_nothing(run: Run, server: DatabaseSettings) -> None:
    async def body(database: Database) -> Any:
        await database.execute(INSERT, uuid="a", name="one")
        await schemas.create(server, ("squall_test",))
        return await database.fetch_value(COUNT)

    assert run(body) == 1


def test_one_shape_is_built_once() -> None:
    built: list[str] = []

    def build() -> Any:
        built.append("x")
        return select(servers.c.uuid)

    assert Statement.for_shape(("servers", "by", 1), build) is Statement.for_shape(("servers", "by", 1), build)
    assert built == ["x"]
