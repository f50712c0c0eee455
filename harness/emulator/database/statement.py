"""Statements of SQLAlchemy Core, compiled once for each dialect, bound in microseconds.

A `Statement` stands at module level and is shared by all. The SQLAlchemy engine is not in the path: only its compiler,
at first use. Portable columns only (integers, strings, text), so a value needs no conversion on its way.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Insert, Table, Update, bindparam
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

Construct = Any  # an executable construct of SQLAlchemy Core
_SHAPES_MAX = 2048
_DIALECTS: dict[str, Any] = {}


def dialect(name: str) -> Any:
    """The SQLAlchemy dialect that statements are compiled with: "postgresql" or "mysql" (MariaDB's flavour)."""
    found = _DIALECTS.get(name)
    if found is None:
        if name == "postgresql":
            found = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
        elif name == "mysql":
            found = mysql.dialect(paramstyle="format", is_mariadb=True)
            found.insert_returning = found.delete_returning = True
        else:
            raise ValueError(f"database dialect: wanted postgresql or mysql, got {name!r}")
        _DIALECTS[name] = found
    return found


class Compiled:
    """One statement in one dialect: text, order of its parameters, and the constants written in it."""

    __slots__ = ("constants", "lists", "names", "returns_rows", "sql")

    def __init__(
        self, sql: str, names: tuple[str, ...], constants: dict[str, Any], lists: tuple[str, ...], *, returns_rows: bool
    ) -> None:
        self.sql = sql
        self.names = names
        self.constants = constants
        self.lists = lists  # MariaDB only: parameters that are written out as `(%s, %s)` at each call
        self.returns_rows = returns_rows

    def bind(self, params: Mapping[str, Any]) -> list[Any]:
        """Values in the order that the text wants them.

        Raises: KeyError naming a parameter that was not given.
        """
        if self.constants:
            params = {**self.constants, **params}
        return [params[name] for name in self.names]

    def expand(self, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Text and values with the lists written out (MariaDB has no array parameter)."""
        if not self.lists:
            return self.sql, self.bind(params)
        if self.constants:
            params = {**self.constants, **params}
        sql = self.sql
        values: list[Any] = []
        for name in self.names:
            if name in self.lists:
                items = list(params[name])
                values.extend(items)
                # NOT IN () must be true and IN () false: an empty subquery is both.
                text = ", ".join(["%s"] * len(items)) if items else "SELECT 1 FROM DUAL WHERE 1 = 0"
                sql = sql.replace(f"__[POSTCOMPILE_{name}]", text, 1)
            else:
                values.append(params[name])
        return sql, values


class Statement:
    """A statement, written once in SQLAlchemy Core; `Database` runs it with its parameters by name.

    `insert(table)` and `update(table)` without `.values()` take the columns from the parameters that are given, as
    SQLAlchemy does. Inserts return no generated key unless they say `.returning()`.
    """

    __slots__ = ("_build", "_by_names", "_compiled", "_open")
    _shapes: dict[Hashable, "Statement"] = {}  # noqa: RUF012

    def __init__(self, construct: Construct | Callable[[str], Construct]) -> None:
        self._build: Callable[[str], Construct] = construct if callable(construct) else lambda _dialect: construct
        self._compiled: dict[str, Compiled] = {}
        self._by_names: dict[tuple[str, frozenset[str]], Compiled] = {}
        self._open: bool | None = None  # True: the columns depend on the parameters given

    @classmethod
    def for_shape(cls, key: Hashable, builder: Callable[[], Construct]) -> "Statement":
        """The statement for one shape of a query built at run time (which filters, which order); built once.

        Args: key: says everything that `builder` depends on; values belong in parameters, not in the key.
        """
        found = cls._shapes.get(key)
        if found is None:
            if len(cls._shapes) >= _SHAPES_MAX:
                cls._shapes.clear()  # a bound, not a cache policy: shapes are few unless somebody puts values in keys
            found = cls._shapes[key] = cls(builder())
        return found

    def compiled(self, dialect_name: str, params: Mapping[str, Any]) -> Compiled:
        """Text for one dialect; compiled at the first call (0.5 to 2 ms)."""
        if not self._open:
            found = self._compiled.get(dialect_name)
            if found is not None:
                return found
        else:
            key = (dialect_name, frozenset(params))
            found = self._by_names.get(key)
            if found is not None:
                return found
        construct = self._build(dialect_name)
        self._open = _takes_columns_from_params(construct)
        if not self._open:
            found = self._compiled[dialect_name] = _compile(construct, dialect_name, None)
        else:
            found = _compile(construct, dialect_name, list(params))
            self._by_names[(dialect_name, frozenset(params))] = found
        return found

    def __str__(self) -> str:
        return str(self._build("postgresql"))


def in_list(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column IN (values)`, with the values as one parameter `name`: a list, possibly empty. Negate with `~`."""
    return _InList(column, name)


def upsert(table: Table, keys: Sequence[str], update: Sequence[str] | None = None) -> Statement:
    """Insert a row; when `keys` (a unique index) are taken, overwrite the columns in `update` instead.

    Args: update: columns to overwrite; None: every given column that is no key; (): leave the present row as it is.
    """
    return _Upsert(table, tuple(keys), None if update is None else tuple(update))


class _Upsert(Statement):
    __slots__ = ("_keys", "_table", "_update")

    def __init__(self, table: Table, keys: tuple[str, ...], update: tuple[str, ...] | None) -> None:
        super().__init__(lambda _dialect: table.insert())
        self._table = table
        self._keys = keys
        self._update = update
        self._open = True

    def compiled(self, dialect_name: str, params: Mapping[str, Any]) -> Compiled:
        key = (dialect_name, frozenset(params))
        found = self._by_names.get(key)
        if found is None:
            columns = [column.name for column in self._table.columns if column.name in params]
            overwrite = [c for c in columns if c not in self._keys] if self._update is None else list(self._update)
            construct = upsert_construct(dialect_name, self._table, self._keys, overwrite)
            found = self._by_names[key] = _compile(construct, dialect_name, columns)
        return found


def upsert_construct(dialect_name: str, table: Table, keys: Sequence[str], overwrite: Sequence[str]) -> Construct:
    """What `upsert` runs in one dialect, as an Insert that still takes `.values()`."""
    if dialect_name == "mysql":
        row = mysql.insert(table)
        # Setting a key to itself is MariaDB's "do nothing" that still lets other errors through.
        return row.on_duplicate_key_update({name: row.inserted[name] for name in overwrite or [keys[0]]})
    new = postgresql_dialect.insert(table)
    if not overwrite:
        return new.on_conflict_do_nothing(index_elements=list(keys))
    return new.on_conflict_do_update(index_elements=list(keys), set_={name: new.excluded[name] for name in overwrite})


class _InList(ColumnElement[bool]):
    inherit_cache = False

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.name = name

    @property
    def _from_objects(self) -> Any:
        return self.column._from_objects


@compiles(_InList)
def _in_list_by_array(element: _InList, compiler: SQLCompiler, **kw: Any) -> str:
    values: Any = bindparam(element.name, type_=ARRAY(element.column.type))
    return f"({compiler.process(element.column, **kw)} = ANY ({compiler.process(values, **kw)}))"


@compiles(_InList, "mysql")
@compiles(_InList, "mariadb")
def _in_list_written_out(element: _InList, compiler: SQLCompiler, **kw: Any) -> str:
    values: Any = bindparam(element.name, type_=element.column.type, expanding=True)
    return f"({compiler.process(element.column, **kw)} IN {compiler.process(values, **kw)})"


def _takes_columns_from_params(construct: Construct) -> bool:
    if not isinstance(construct, Insert | Update):
        return False
    return not (construct._values or construct._multi_values or getattr(construct, "select", None) is not None)


def _compile(construct: Construct, dialect_name: str, columns: list[str] | None) -> Compiled:
    if isinstance(construct, Insert) and not construct._returning:
        construct = construct.inline()  # else the primary key would be returned, and a result read, for nothing
    # A literal `column.in_([...])` is written out here; MariaDB's lists are written out at each call instead.
    options = {"render_postcompile": True} if dialect_name == "postgresql" else {}
    compiled: Any = construct.compile(dialect=dialect(dialect_name), column_keys=columns, compile_kwargs=options)
    names = tuple(compiled.positiontup or ())
    binds = compiled.binds
    constants = {name: binds[name].effective_value for name in names if name in binds and not binds[name].required}
    if compiled._post_compile_expanded_state is not None:
        written_out = compiled._post_compile_expanded_state.parameters
        constants.update({name: written_out[name] for name in names if name not in binds})
    for column in (*(compiled.insert_prefetch or ()), *(compiled.update_prefetch or ())):
        if column.default is None or not column.default.is_scalar:
            raise TypeError(f"{column}: only scalar column defaults are supported, got {column.default}")
        constants[column.key] = column.default.arg
    lists = tuple(name for name, bind in compiled.binds.items() if bind.expanding)
    return Compiled(
        str(compiled),
        names,
        constants,
        lists,
        returns_rows=bool(compiled.statement.is_select or compiled.effective_returning),
    )
