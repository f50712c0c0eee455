"""A small schema on PostgreSQL and, marked `servers`, on MariaDB."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

from harness.emulator import schemas
from harness.emulator.database import Database
from harness.emulator.settings import DatabaseSettings
from tests.servers import mariadb

T = TypeVar("T")
metadata = MetaData()
servers = Table(
    "servers",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False),
    Column("name", String(20), nullable=False),
    Column("status", String(20), nullable=False, default="BUILD"),
    Column("count", Integer, nullable=False, default=0),
    Column("body", Text),
    Index("uniq_servers_uuid", "uuid", unique=True),
)
Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]


@pytest.fixture(scope="session", params=["postgresql", pytest.param("mysql", marks=pytest.mark.servers("MariaDB"))])
def server(request: pytest.FixtureRequest) -> DatabaseSettings:
    if request.param == "mysql":
        return mariadb.settings(connect_attempts=1)
    settings: DatabaseSettings = request.getfixturevalue("postgres")
    return settings


@pytest.fixture
def run(server: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs an async test body with a fresh database; it is dropped afterwards."""
    monkeypatch.setattr(schemas, "metadata", lambda: {"squall_test": metadata})
    asyncio.run(schemas.drop(server, ("squall_test",)))
    asyncio.run(schemas.create(server, ("squall_test",)))

    def call(body: Callable[[Database], Awaitable[T]]) -> T:
        async def scenario() -> T:
            database = Database("squall_test", server)
            try:
                async with asyncio.timeout(30):
                    return await body(database)
            finally:
                await database.close()

        return asyncio.run(scenario())

    yield call
    asyncio.run(schemas.drop(server, ("squall_test",)))
