"""The emulator's way to its SQL server: statements of SQLAlchemy Core, run straight on asyncpg or asyncmy."""

from harness.emulator.database.connections import Row
from harness.emulator.database.errors import (
    DBConnectionError,
    DBConstraintError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBReferenceError,
    DBTimeout,
)
from harness.emulator.database.layer import Database, Transaction
from harness.emulator.database.retry import wrap_db_retry
from harness.emulator.database.statement import Statement, in_list, upsert
from harness.emulator.database.together import Together

__all__ = [
    "DBConnectionError",
    "DBConstraintError",
    "DBDataError",
    "DBDeadlock",
    "DBDuplicateEntry",
    "DBError",
    "DBReferenceError",
    "DBTimeout",
    "Database",
    "Row",
    "Statement",
    "Together",
    "Transaction",
    "in_list",
    "upsert",
    "wrap_db_retry",
]
