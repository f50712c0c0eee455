"""Writes that commit together: one statement and one round trip on PostgreSQL, a short transaction on MariaDB."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Delete, Insert, Update

from harness.emulator.database.layer import Database
from harness.emulator.database.statement import Statement

Write = Insert | Update | Delete | Callable[[str], Any]  # a function of the dialect where the two need other words


class Together:
    """Several writes as one. Parameters are given by name, for all of them at once.

    On PostgreSQL the first writes are data-modifying CTEs of the last one: all of them see the same snapshot and
    commit, or fail, as one. Their order must therefore not matter.
    """

    __slots__ = ("_all", "_one")

    def __init__(self, *writes: Write) -> None:
        self._one = Statement(lambda dialect: _as_one(writes, dialect))
        self._all = [Statement(write) for write in writes]

    async def run(self, database: Database, **params: Any) -> int:
        """Commit all writes. Returns the rows that the last one matched."""
        if database.dialect == "postgresql" or len(self._all) == 1:
            return await database.execute(self._one, **params)
        async with database.transaction() as transaction:
            count = 0
            for statement in self._all:
                count = await transaction.execute(statement, **params)
            return count


def _as_one(writes: tuple[Write, ...], dialect: str) -> Any:
    *first, last = [write(dialect) if callable(write) else write for write in writes]
    return last.add_cte(*(write.cte(f"w{number}") for number, write in enumerate(first))) if first else last
