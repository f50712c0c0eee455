"""A small schema on every server that is there: PostgreSQL always, MariaDB where SQUALL_TEST_MARIADB names one."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

from harness.emulator import schemas
from harness.emulator.database import Database
from harness.emulator.settings import DatabaseSettings

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


def mariadb_settings() -> DatabaseSettings:
    """From SQUALL_TEST_MARIADB=mysql://user:password@host:port."""
    parts = urlsplit(os.environ["SQUALL_TEST_MARIADB"])
    return DatabaseSettings(
        dialect="mysql",
        embedded=False,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=parts.username or "root",
        password=parts.password or "",
        connect_attempts=1,
    )


@pytest.fixture(scope="session", params=["postgresql", pytest.param("mysql", marks=pytest.mark.servers)])
def server(request: pytest.FixtureRequest) -> DatabaseSettings:
    if request.param == "mysql":
        if "SQUALL_TEST_MARIADB" not in os.environ:
            pytest.skip("SQUALL_TEST_MARIADB names no server")
        return mariadb_settings()
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
