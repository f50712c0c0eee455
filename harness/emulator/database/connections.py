"""One connection to a SQL server: the same five calls over asyncpg and over asyncmy, errors mapped."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import asyncpg

from harness.emulator.database.errors import DBConnectionError, from_errno, from_sqlstate
from harness.emulator.database.statement import Compiled
from harness.emulator.settings import DatabaseSettings

Row = Mapping[str, Any]
"""One row, by column name: `row["uuid"]`, `row.get(...)`, `dict(row)`. Iterate over `row.keys()`, not over the row."""


# InternalClientError: the server said goodbye on its own while a statement was on its way.
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_POSTGRES_ERRORS = (asyncpg.PostgresError, *_LOST)


class Connection(Protocol):
    """What the pool and a transaction need of a driver. Not for two tasks at once."""

    idle_since: float

    @property
    def closed(self) -> bool: ...
    async def fetch(self, compiled: Compiled, params: Mapping[str, Any]) -> list[Row]: ...
    async def execute(self, compiled: Compiled, params: Mapping[str, Any]) -> int: ...
    async def execute_many(self, compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> None: ...  # in a transaction
    async def run(self, sql: str) -> None: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


class _Asyncpg(asyncpg.Connection):  # type: ignore[misc, name-defined, unused-ignore]
    """asyncpg asks each new connection for the types of array parameters, with a query that costs the server 20 to
    60 ms of CPU; built-in types are the same on every connection, so one answer serves the process."""

    _known: ClassVar[dict[int, Any]] = {}

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:
        missing = [oid for oid in typeoids if oid not in self._known]
        if missing:
            rows, statement = await super()._introspect_types(typeoids, timeout)
            if max(row["oid"] for row in rows) < _FIRST_OID_OF_USERS:
                self._known.update((row["oid"], row) for row in rows)
            return rows, statement
        return [self._known[oid] for oid in typeoids], _NOTHING_WAS_ASKED


_FIRST_OID_OF_USERS = 16384
_NOTHING_WAS_ASKED = SimpleNamespace(name="none")  # asyncpg prepares anew after an unnamed statement of its own


class PostgresConnection:
    """asyncpg, without its pool; statements stay prepared for the life of the connection."""

    __slots__ = ("_connection", "_execute", "_fetch", "idle_since")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._fetch = connection.fetch
        self._execute = connection.execute
        self.idle_since = 0.0

    @classmethod
    async def open(cls, settings: DatabaseSettings, database: str, timeout_s: float) -> "PostgresConnection":
        """Connect. Raises: DBError, mostly DBConnectionError."""
        try:
            connection = await asyncpg.connect(
                host=settings.socket or settings.host,
                port=settings.port,
                user=settings.user,
                password=settings.password,
                database=database,
                ssl=False,
                timeout=timeout_s,
                connection_class=_Asyncpg,
                statement_cache_size=512,
                max_cached_statement_lifetime=0,  # else each use of a statement moves a timer
                server_settings={"jit": "off", "application_name": "squall"},
            )
        except Exception as error:
            raise map_postgres(error) from error
        return cls(connection)

    @property
    def closed(self) -> bool:
        return bool(self._connection.is_closed())

    async def fetch(self, compiled: Compiled, params: Mapping[str, Any]) -> list[Row]:
        try:
            rows: list[Row] = await self._fetch(compiled.sql, *compiled.bind(params))
        except _POSTGRES_ERRORS as error:
            raise map_postgres(error) from error
        return rows

    async def execute(self, compiled: Compiled, params: Mapping[str, Any]) -> int:
        values = compiled.bind(params)
        try:
            # Without values asyncpg would take the simple protocol, which prepares nothing.
            if not values:
                await self._fetch(compiled.sql)
                return 0
            status = await self._execute(compiled.sql, *values)
        except _POSTGRES_ERRORS as error:
            raise map_postgres(error) from error
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(self, compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            await self._connection.executemany(compiled.sql, [compiled.bind(row) for row in rows])
        except _POSTGRES_ERRORS as error:
            raise map_postgres(error) from error

    async def run(self, sql: str) -> None:
        try:
            await self._execute(sql)
        except _POSTGRES_ERRORS as error:
            raise map_postgres(error) from error

    async def close(self) -> None:
        try:
            await self._connection.close(timeout=2)
        except (*_POSTGRES_ERRORS, TimeoutError):
            self._connection.terminate()

    def terminate(self) -> None:
        self._connection.terminate()


class MariadbConnection:
    """asyncmy in autocommit, parameters written into the text by the client, as PyMySQL does."""

    __slots__ = ("_closed", "_connection", "_cursor", "idle_since")

    def __init__(self, connection: Any, cursor: type) -> None:
        self._connection = connection
        self._cursor = cursor
        self._closed = False
        self.idle_since = 0.0

    @classmethod
    async def open(cls, settings: DatabaseSettings, database: str, timeout_s: float) -> "MariadbConnection":
        """Connect. Raises: DBError, mostly DBConnectionError."""
        import asyncmy
        from asyncmy.constants.CLIENT import FOUND_ROWS  # rowcount: rows matched, as SQLAlchemy asks for
        from asyncmy.cursors import DictCursor

        try:
            connection = await asyncmy.connect(
                host=settings.host,
                port=settings.port,
                user=settings.user,
                password=settings.password,
                database=database or None,
                charset="utf8mb4",
                autocommit=True,
                client_flag=FOUND_ROWS,
                connect_timeout=max(1, round(timeout_s)),
                init_command="SET SESSION sql_mode='TRADITIONAL'",  # oslo.db's default mysql_sql_mode
            )
        except Exception as error:
            raise map_mariadb(error) from error
        return cls(connection, DictCursor)

    @property
    def closed(self) -> bool:
        return self._closed or not self._connection.connected or _at_eof(self._connection)

    async def _run(self, sql: str, values: Sequence[Any] | None) -> tuple[list[Row], int]:
        try:
            cursor = self._connection.cursor(self._cursor)
            count = await cursor.execute(sql, values or None)
            rows = list(await cursor.fetchall()) if cursor.description else []
        except Exception as error:
            raise self._mapped(error) from error
        return rows, int(count or 0)

    def _mapped(self, error: Exception) -> Exception:
        mapped = map_mariadb(error)
        if isinstance(mapped, DBConnectionError):
            self._closed = True
        return mapped

    async def fetch(self, compiled: Compiled, params: Mapping[str, Any]) -> list[Row]:
        return (await self._run(*compiled.expand(params)))[0]

    async def execute(self, compiled: Compiled, params: Mapping[str, Any]) -> int:
        return (await self._run(*compiled.expand(params)))[1]

    async def execute_many(self, compiled: Compiled, rows: Sequence[Mapping[str, Any]]) -> None:
        try:
            cursor = self._connection.cursor(self._cursor)
            await cursor.executemany(compiled.sql, [compiled.bind(row) for row in rows])
        except Exception as error:
            raise self._mapped(error) from error

    async def run(self, sql: str) -> None:
        await self._run(sql, None)

    async def close(self) -> None:
        self._closed = True
        try:
            await asyncio.wait_for(self._connection.ensure_closed(), 2)
        except Exception:
            self._connection.close()

    def terminate(self) -> None:
        self._closed = True
        self._connection.close()


def _at_eof(connection: Any) -> bool:
    reader = getattr(connection, "_reader", None)
    return bool(reader is not None and reader.at_eof())


def map_postgres(error: Exception) -> Exception:
    """oslo.db's class for an error of asyncpg; a mistake in our own code stays what it is."""
    if isinstance(error, asyncpg.PostgresError):
        return from_sqlstate(error)
    wrong_value = isinstance(error, ValueError)  # asyncpg.DataError, an InterfaceError too: our mistake
    if isinstance(error, (*_LOST, TimeoutError)) and not wrong_value:
        return DBConnectionError(f"{type(error).__name__}: {error}")
    return error


def map_mariadb(error: Exception) -> Exception:
    """oslo.db's class for an error of asyncmy; a mistake in our own code stays what it is."""
    from asyncmy.errors import MySQLError

    if isinstance(error, MySQLError):
        return from_errno(error)
    if isinstance(error, OSError | TimeoutError | EOFError):
        return DBConnectionError(f"{type(error).__name__}: {error}")
    if isinstance(error, RuntimeError) and "closed" in str(error).lower():
        return DBConnectionError(f"{type(error).__name__}: {error}")
    return error
