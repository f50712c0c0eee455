"""Databases and tables of all services: which metadata makes which logical database, and their creation."""

import importlib
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import MetaData, func, select
from sqlalchemy.schema import CreateIndex, CreateTable

from harness.emulator.database import DBError, Statement
from harness.emulator.database.layer import Database
from harness.emulator.database.statement import dialect
from harness.emulator.settings import DATABASES, DatabaseSettings

_WHERE = {
    "keystone": ("keystone", "metadata"),
    "glance": ("glance", "metadata"),
    "placement": ("placement", "metadata"),
    "neutron": ("neutron", "metadata"),
    "nova_api": ("nova", "api_metadata"),
    "nova_cell0": ("nova", "cell_metadata"),
    "nova_cell1": ("nova", "cell_metadata"),
}
MARK = "squall_cloud"  # a table that says who made a database on a server that is not the cloud's own
_MAINTENANCE = {"postgresql": "postgres", "mysql": ""}


def metadata() -> dict[str, MetaData]:
    """Logical database -> its tables."""
    found: dict[str, MetaData] = {}
    for name, (service, attribute) in _WHERE.items():
        found[name] = getattr(importlib.import_module(f"harness.emulator.{service}.schema"), attribute)
    return found


def definitions(tables: MetaData, dialect_name: str) -> list[str]:
    """CREATE statements of tables and indexes, in order of dependency."""
    compiler = dialect(dialect_name)
    statements: list[str] = []
    for table in tables.sorted_tables:
        text = str(CreateTable(table).compile(dialect=compiler)).strip()
        statements.append(f"{text} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4" if dialect_name == "mysql" else text)
        statements += [str(CreateIndex(index).compile(dialect=compiler)).strip() for index in _sorted(table.indexes)]
    return statements


async def create(settings: DatabaseSettings, names: tuple[str, ...] = DATABASES) -> None:
    """Create the databases and tables that are not there yet. Run by one process at a time.

    A database whose tables exist is left as it is; those of a cloud that is no more go first where `settings.is_fresh`.
    On a server that others use, too, each gets a mark. Raises: DBError.
    """
    if settings.is_fresh and not settings.embedded:
        await drop_marked(settings, names)
    tables = metadata()
    server = _server(settings)
    try:
        present = await _present(server, settings)
        for name in names:
            if settings.prefix + name not in present:
                await server.run(_create_database(settings, name))
    finally:
        await server.close()
    for name in names:
        await _create_tables(settings, name, tables[name])


async def drop(settings: DatabaseSettings, names: tuple[str, ...] = DATABASES) -> None:
    """Drop the databases, with everything in them."""
    server = _server(settings)
    try:
        for name in names:
            quoted = _quote(settings, settings.prefix + name)
            force = " WITH (FORCE)" if settings.dialect == "postgresql" else ""
            await server.run(f"DROP DATABASE IF EXISTS {quoted}{force}")
    finally:
        await server.close()


async def drop_marked(settings: DatabaseSettings, names: tuple[str, ...] = DATABASES) -> None:
    """Drop those databases that a bundled cloud made. Raises: DBError."""
    owners = await owned(settings, names)
    await drop(settings, tuple(name for name, is_ours in owners.items() if is_ours))


async def owned(settings: DatabaseSettings, names: tuple[str, ...] = DATABASES) -> dict[str, bool]:
    """Databases of these names that hold tables -> whether a bundled cloud made them. Raises: DBError."""
    server = _server(settings)
    try:
        present = await _present(server, settings)
    finally:
        await server.close()
    found: dict[str, bool] = {}
    for name in names:
        if settings.prefix + name not in present:
            continue
        database = Database(name, _once(settings))
        try:
            tables = await _tables(database, settings, name)
        finally:
            await database.close()
        if tables:
            found[name] = MARK in tables
    return found


async def sessions(settings: DatabaseSettings, names: Iterable[str]) -> set[str]:
    """Which of these databases somebody is connected to, as far as the server tells us. Raises: DBError."""
    from sqlalchemy import column, table

    in_use: Any = (
        select(column("db").label("name")).select_from(table("processlist", schema="information_schema"))
        if settings.dialect == "mysql"
        else select(column("datname").label("name")).select_from(table("pg_stat_activity", schema="pg_catalog"))
    )
    server = _server(settings)
    try:
        used = {row["name"] for row in await server.fetch(Statement(in_use))}
    finally:
        await server.close()
    return {name for name in names if settings.prefix + name in used}


async def server_version(settings: DatabaseSettings) -> str:
    """What the server says of itself, such as `10.11.19-MariaDB` or `PostgreSQL 16.4 on x86_64`. Raises: DBError."""
    server = _server(settings)
    try:
        return str(await server.fetch_value(Statement(select(func.version().label("version")))))
    finally:
        await server.close()


async def _create_tables(settings: DatabaseSettings, name: str, tables: MetaData) -> None:
    database = Database(name, settings)
    try:
        there = await _tables(database, settings, name)
        names = [item.name for item in tables.sorted_tables]
        # The last one is created last, so it stands for all of them where DDL is not transactional.
        if not names or names[-1] in there:
            return
        statements = definitions(tables, settings.dialect)
        if not settings.embedded:
            statements.insert(0, f"CREATE TABLE {MARK} (id INTEGER)")
        if settings.dialect == "postgresql":
            # One simple query is one transaction: a crash leaves all tables or none.
            await database.run(";\n".join(statements))
            return
        for statement in statements:
            await database.run(statement.replace("%%", "%"))
    finally:
        await database.close()


async def _tables(database: Database, settings: DatabaseSettings, name: str) -> set[str]:
    from sqlalchemy import String, bindparam, column, table

    catalog = table("tables", column("table_name", String), column("table_schema", String), schema="information_schema")
    schema = "public" if settings.dialect == "postgresql" else settings.prefix + name
    query = select(catalog.c.table_name.label("name")).where(
        catalog.c.table_schema == bindparam("schema", type_=String)
    )
    return {str(row["name"]) for row in await database.fetch(Statement(query), schema=schema)}


async def _present(server: Database, settings: DatabaseSettings) -> set[str]:
    from sqlalchemy import column, table

    names: Any
    if settings.dialect == "mysql":
        names = select(column("schema_name").label("name")).select_from(table("schemata", schema="information_schema"))
    else:
        names = select(column("datname").label("name")).select_from(table("pg_database", schema="pg_catalog"))
    rows = await server.fetch(Statement(names))
    return {str(row["name"]) for row in rows}


def _create_database(settings: DatabaseSettings, name: str) -> str:
    quoted = _quote(settings, settings.prefix + name)
    if settings.dialect == "mysql":
        return f"CREATE DATABASE {quoted} CHARACTER SET utf8mb4"
    return f"CREATE DATABASE {quoted} STRATEGY wal_log"


def _quote(settings: DatabaseSettings, name: str) -> str:
    mark = "`" if settings.dialect == "mysql" else '"'
    return f"{mark}{name}{mark}"


def _sorted(indexes: Any) -> list[Any]:
    return sorted(indexes, key=lambda index: str(index.name))


def _server(settings: DatabaseSettings) -> Database:
    return Database(_MAINTENANCE[settings.dialect], msgspec.structs.replace(_once(settings), prefix=""))


def _once(settings: DatabaseSettings) -> DatabaseSettings:
    return msgspec.structs.replace(settings, connect_attempts=1)


__all__ = [
    "DBError",
    "create",
    "definitions",
    "drop",
    "drop_marked",
    "metadata",
    "owned",
    "server_version",
    "sessions",
]
