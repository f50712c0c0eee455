"""Databases and tables of all services: which metadata makes which logical database, and their creation."""

import importlib
from typing import Any

from sqlalchemy import MetaData
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

    A database whose tables exist is left as it is. Raises: DBError.
    """
    tables = metadata()
    server = Database(_MAINTENANCE[settings.dialect], _without_prefix(settings))
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
    server = Database(_MAINTENANCE[settings.dialect], _without_prefix(settings))
    try:
        for name in names:
            quoted = _quote(settings, settings.prefix + name)
            force = " WITH (FORCE)" if settings.dialect == "postgresql" else ""
            await server.run(f"DROP DATABASE IF EXISTS {quoted}{force}")
    finally:
        await server.close()


async def _create_tables(settings: DatabaseSettings, name: str, tables: MetaData) -> None:
    database = Database(name, settings)
    try:
        if await _has_table(database, settings, name, tables):
            return
        statements = definitions(tables, settings.dialect)
        if settings.dialect == "postgresql":
            # One simple query is one transaction: a crash leaves all tables or none.
            await database.run(";\n".join(statements))
            return
        for statement in statements:
            await database.run(statement.replace("%%", "%"))
    finally:
        await database.close()


async def _has_table(database: Database, settings: DatabaseSettings, name: str, tables: MetaData) -> bool:
    from sqlalchemy import String, bindparam, column, select, table

    names = [item.name for item in tables.sorted_tables]
    if not names:
        return True
    catalog = table("tables", column("table_name", String), column("table_schema", String), schema="information_schema")
    schema = "public" if settings.dialect == "postgresql" else settings.prefix + name
    query = select(catalog.c.table_name).where(
        catalog.c.table_schema == bindparam("schema", type_=String), catalog.c.table_name == bindparam("table_name")
    )
    # The last one is created last, so it stands for all of them where DDL is not transactional.
    return await database.fetch_one(Statement(query), schema=schema, table_name=names[-1]) is not None


async def _present(server: Database, settings: DatabaseSettings) -> set[str]:
    from sqlalchemy import column, select, table

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


def _without_prefix(settings: DatabaseSettings) -> DatabaseSettings:
    import msgspec

    return msgspec.structs.replace(settings, prefix="", connect_attempts=1)


__all__ = ["DBError", "create", "definitions", "drop", "metadata"]
