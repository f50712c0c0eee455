"""What a failed statement becomes: the classes that oslo.db gives the services, by name and by meaning."""

from typing import Any


class DBError(Exception):
    """The database refused a statement, or could not be asked.

    Attributes: code: SQLSTATE (PostgreSQL) or error number as text (MariaDB), "" when the server gave none.
    Unless a subclass says otherwise the statement did nothing and nobody retries it: read-only server, too many
    connections, cancelled query, statement timeout.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class DBConnectionError(DBError):
    """The connection is gone or was never had. A statement or a commit under way has an unknown effect."""


class DBDeadlock(DBError):
    """The server chose this transaction as a victim and rolled it back; `retry_on_deadlock` takes it up again."""


class DBTimeout(DBError):
    """No connection came free in the pool within `pool_timeout_s`; nothing was sent (SQLAlchemy's TimeoutError)."""


class DBDuplicateEntry(DBError):
    """A unique constraint refused the row. `constraint` names it."""

    def __init__(self, message: str, code: str = "", constraint: str = "") -> None:
        super().__init__(message, code)
        self.constraint = constraint


class DBReferenceError(DBError):
    """A foreign key refused the row."""


class DBConstraintError(DBError):
    """A check or not-null constraint refused the row."""


class DBDataError(DBError):
    """A value does not fit its column."""


_POSTGRES: dict[str, type[DBError]] = {
    "40P01": DBDeadlock,
    "40001": DBDeadlock,
    "55P03": DBDeadlock,  # lock timeout; MariaDB's 1205, which oslo.db counts as a deadlock
    "23505": DBDuplicateEntry,
    "23503": DBReferenceError,
    "23514": DBConstraintError,
    "23502": DBConstraintError,
    "57P01": DBConnectionError,  # the administrator ended the session
    "57P02": DBConnectionError,  # crash of another backend
    "57P03": DBConnectionError,  # starting up or shutting down
    "57P05": DBConnectionError,
}
_MARIADB: dict[int, type[DBError]] = {
    1213: DBDeadlock,
    1205: DBDeadlock,
    1062: DBDuplicateEntry,
    1451: DBReferenceError,
    1452: DBReferenceError,
    1048: DBConstraintError,
    4025: DBConstraintError,
    1264: DBDataError,
    1406: DBDataError,
    **dict.fromkeys((2002, 2003, 2006, 2013, 2014, 2055, 1047, 1053, 1927, 1152, 1184), DBConnectionError),
}


def from_sqlstate(error: Any) -> DBError:
    """Map an `asyncpg.PostgresError` by its SQLSTATE."""
    code: str = getattr(error, "sqlstate", None) or ""
    message = f"{type(error).__name__} ({code}): {error}"
    kind = _POSTGRES.get(code)
    if kind is DBDuplicateEntry:
        return DBDuplicateEntry(message, code, getattr(error, "constraint_name", None) or "")
    if kind is not None:
        return kind(message, code)
    if code.startswith("08"):
        return DBConnectionError(message, code)
    if code.startswith("22"):
        return DBDataError(message, code)
    return DBError(message, code)


def from_errno(error: BaseException) -> DBError:
    """Map an `asyncmy.errors.MySQLError`, whose first argument is the server's or client's error number."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    message = f"{type(error).__name__} ({number}): {text}"
    kind = _MARIADB.get(number, DBError)
    if kind is DBDuplicateEntry:
        return DBDuplicateEntry(message, str(number), text.rpartition("for key ")[2].strip("'\""))
    return kind(message, str(number) if number else "")
