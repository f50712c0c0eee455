"""Every table and every statement that the services keep, on MariaDB: created, and prepared by the server itself."""

import asyncio
import gc
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import BindParameter, Table, Update
from sqlalchemy.sql import visitors

import harness.emulator
from harness.emulator import schemas
from harness.emulator.database import Database, DBError, Statement
from harness.emulator.settings import DATABASES, DatabaseSettings
from tests.servers import mariadb

pytestmark = pytest.mark.servers("MariaDB")


@pytest.fixture(scope="module")
def settings() -> Iterator[DatabaseSettings]:
    """A server with all databases and tables of a cloud."""
    with mariadb.databases() as made:
        asyncio.run(schemas.create(made))
        yield made


def kept_statements() -> list[Statement]:
    """What the emulator's modules have made of statements when they are imported."""
    for module in pkgutil.walk_packages(harness.emulator.__path__, "harness.emulator."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [thing for thing in gc.get_objects() if isinstance(thing, Statement)]


def has_another_way(construct: Any) -> bool:
    """Whether MariaDB has no words for it: writes within a write, UPDATE ... RETURNING. Callers ask the dialect."""
    within = bool(getattr(construct, "_independent_ctes", ()))
    return within or (isinstance(construct, Update) and bool(construct._returning))


def tables_of(construct: Any) -> set[Table]:
    found = {element for element in visitors.iterate(construct) if isinstance(element, Table)}
    return found | ({construct.table} if isinstance(getattr(construct, "table", None), Table) else set())


def text_of(statement: Statement, construct: Any) -> str:
    """The statement as MariaDB prepares it; one that takes its columns from the parameters gets them all."""
    columns = [column.name for column in construct.table.columns] if hasattr(construct, "table") else []
    binds = [element.key for element in visitors.iterate(construct) if isinstance(element, BindParameter)]
    compiled = statement.compiled("mysql", dict.fromkeys([*columns, *binds]))
    sql, _ = compiled.expand({name: [1, 2] if name in compiled.lists else 1 for name in compiled.names})
    return sql.replace("%s", "?").replace("%%", "%")


def test_every_table_has_its_indexes(settings: DatabaseSettings) -> None:
    async def indexes(name: str) -> dict[str, set[str]]:
        database = Database(name, settings)
        try:
            connection = await database.pool.take()
            cursor = connection._connection.cursor()  # type: ignore[attr-defined]
            await cursor.execute(
                "SELECT table_name, index_name FROM information_schema.statistics WHERE table_schema = %s",
                [settings.prefix + name],
            )
            found: dict[str, set[str]] = {}
            for table, index in await cursor.fetchall():
                found.setdefault(table, set()).add(index)
            database.pool.give(connection)
            return found
        finally:
            await database.close()

    for name, metadata in schemas.metadata().items():
        there = asyncio.run(indexes(name))
        for table in metadata.sorted_tables:
            wanted = {str(index.name) for index in table.indexes}
            assert wanted <= there[table.name], f"{name}.{table.name}"
            assert "PRIMARY" in there[table.name], f"{name}.{table.name}"


def test_the_server_accepts_every_statement(settings: DatabaseSettings) -> None:
    home = {table: name for name, metadata in schemas.metadata().items() for table in metadata.tables.values()}
    by_database: dict[str, set[str]] = {name: set() for name in DATABASES}
    for statement in kept_statements():
        construct = statement._build("mysql")
        if has_another_way(construct):
            continue
        databases = {home[table] for table in tables_of(construct) if table in home}
        if databases:
            (name,) = databases  # a statement never crosses the border between two services
            by_database[name].add(text_of(statement, construct))

    async def refused(name: str) -> list[str]:
        database = Database(name, settings)
        answers = []
        try:
            for sql in sorted(by_database[name]):
                quoted = sql.replace("\\", "\\\\").replace("'", "\\'")
                try:
                    await database.run(f"PREPARE statement FROM '{quoted}'")
                except DBError as error:
                    answers.append(f"{name}: {error}: {sql}")
        finally:
            await database.close()
        return answers

    answers = [answer for name in DATABASES for answer in asyncio.run(refused(name))]
    assert not answers, "\n".join(answers)
    counts = {name: len(texts) for name, texts in by_database.items()}
    assert sum(counts.values()) > 200, counts
    assert all(counts[name] for name in DATABASES if name != "nova_cell0"), counts
