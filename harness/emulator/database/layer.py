"""`Database`: what the services call. One pool, one statement, one round trip."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Integer, bindparam, func, literal_column, select

from harness.emulator.database.connections import Connection, MariadbConnection, PostgresConnection, Row
from harness.emulator.database.errors import DBDeadlock, DBError
from harness.emulator.database.pool import Pool
from harness.emulator.database.retry import wrap_db_retry
from harness.emulator.database.statement import Compiled, Statement
from harness.emulator.settings import DatabaseSettings

T = TypeVar("T")
CONNECT_TIMEOUT_S = 10.0  # PyMySQL's default


class Database:
    """One logical database as one process sees it. There is no read timeout: a hung server hangs the caller.

    Errors: the classes of `harness.emulator.database.errors`. After a DBConnectionError a write may have happened.
    """

    def __init__(self, name: str, settings: DatabaseSettings, *, scale: float = 1.0) -> None:
        self.name = name
        self.dialect = settings.dialect
        self.pool = Pool(settings, self._connect, scale=scale)
        self._settings = settings
        self._scale = scale
        self._dice = random.Random()  # of pauses between retries only, which must differ between processes
        self._connect_timeout_s = max(1.0, CONNECT_TIMEOUT_S * scale)

    async def fetch(self, stmt: Statement, /, **params: Any) -> list[Row]:
        """All rows of a query."""
        connection = self.pool.take_now() or await self.pool.take()
        try:
            rows = await connection.fetch(stmt.compiled(self.dialect, params), params)
        except Exception:
            self.pool.give(connection)
            raise
        except BaseException:  # cancelled: an answer is still on its way, nobody may read it
            self.pool.drop(connection)
            raise
        self.pool.give(connection)
        return rows

    async def fetch_one(self, stmt: Statement, /, **params: Any) -> Row | None:
        """The first row of a query, None without one."""
        rows = await self.fetch(stmt, **params)
        return rows[0] if rows else None

    async def fetch_value(self, stmt: Statement, /, **params: Any) -> Any:
        """The first column of the first row, None without one."""
        rows = await self.fetch(stmt, **params)
        return next(iter(rows[0].values())) if rows else None

    async def execute(self, stmt: Statement, /, **params: Any) -> int:
        """Run one statement and commit it, in one round trip. Returns the number of rows matched."""
        return await self._write(stmt.compiled(self.dialect, params), params)

    async def execute_retried(self, stmt: Statement, /, **params: Any) -> int:
        """As `execute`, by a function that nova or placement decorate: see `retried`."""
        return await self.retried(lambda: self.execute(stmt, **params))

    async def retried(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run the call again, five times at most, when it was the victim of a deadlock.

        Source: `wrap_db_retry(max_retries=5, retry_on_deadlock=True)` in nova.db.main.api and placement.objects.
        """
        return await wrap_db_retry(call, again=(DBDeadlock,), max_retries=5, scale=self._scale, dice=self._dice)

    async def execute_many(self, stmt: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement for many rows, in one transaction. All rows must have the same keys."""
        if not rows:
            return
        async with self.transaction() as transaction:
            await transaction.execute_many(stmt, rows)

    async def next_ids(self, table: str, count: int) -> Sequence[int | None]:
        """Ids for `count` rows to come, ascending: rows that are written at the same time still have an order.

        MariaDB tells no id in advance: there all are None, which is what its tables number by themselves.
        """
        if self.dialect != "postgresql":
            return [None] * count
        rows = await self.fetch(Statement.for_shape(("next_ids", table), lambda: _next_ids(table)), count=count)
        return sorted(row["id"] for row in rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """BEGIN ... COMMIT; ROLLBACK when the body raises.

        A DBConnectionError of the COMMIT leaves its effect unknown.
        """
        async with self._held() as connection:
            await connection.run("BEGIN")
            try:
                yield Transaction(connection, self.dialect)
            except Exception:
                with suppress(DBError):  # what ended the body counts; a lost connection is rolled back by the server
                    await connection.run("ROLLBACK")
                raise
            await connection.run("COMMIT")

    async def run(self, sql: str) -> None:
        """One statement as text, without parameters (schema work)."""
        async with self._held() as connection:
            await connection.run(sql)

    async def close(self) -> None:
        """Close the idle connections; no call may follow."""
        await self.pool.close()

    async def _write(self, compiled: Compiled, params: Mapping[str, Any]) -> int:
        connection = self.pool.take_now() or await self.pool.take()
        try:
            count = await connection.execute(compiled, params)
        except Exception:
            self.pool.give(connection)
            raise
        except BaseException:
            self.pool.drop(connection)
            raise
        self.pool.give(connection)
        return count

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Connection]:
        connection = self.pool.take_now() or await self.pool.take()
        try:
            yield connection
        except Exception:
            self.pool.give(connection)
            raise
        except BaseException:
            self.pool.drop(connection)
            raise
        self.pool.give(connection)

    async def _connect(self) -> Connection:
        name = self._settings.prefix + self.name
        if self.dialect == "mysql":
            return await MariadbConnection.open(self._settings, name, self._connect_timeout_s)
        return await PostgresConnection.open(self._settings, name, self._connect_timeout_s)


class Transaction:
    """The calls of `Database` on one connection, between BEGIN and COMMIT. Not for two tasks at once."""

    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: Connection, dialect: str) -> None:
        self._connection = connection
        self._dialect = dialect

    async def fetch(self, stmt: Statement, /, **params: Any) -> list[Row]:
        return await self._connection.fetch(stmt.compiled(self._dialect, params), params)

    async def fetch_one(self, stmt: Statement, /, **params: Any) -> Row | None:
        rows = await self.fetch(stmt, **params)
        return rows[0] if rows else None

    async def fetch_value(self, stmt: Statement, /, **params: Any) -> Any:
        rows = await self.fetch(stmt, **params)
        return next(iter(rows[0].values())) if rows else None

    async def execute(self, stmt: Statement, /, **params: Any) -> int:
        return await self._connection.execute(stmt.compiled(self._dialect, params), params)

    async def execute_many(self, stmt: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            await self._connection.execute_many(stmt.compiled(self._dialect, rows[0]), rows)


def _next_ids(table: str) -> Any:
    number = func.nextval(literal_column(f"'{table}_id_seq'"))
    return select(number.label("id")).select_from(func.generate_series(1, bindparam("count", type_=Integer)))
