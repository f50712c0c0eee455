"""Names that placement keeps as numbers: resource classes, traits, consumer types, projects, users, aggregates.

Rows of these tables never change their number, so what was read once is kept for good; a class or trait that another
process deleted is noticed when it is looked up by name and gone.
"""

from collections.abc import Iterable

from sqlalchemy import Table, bindparam, delete, insert, select

from harness.emulator.database import Database, DBDuplicateEntry, Statement


class Lookup:
    """One table of (id, name). Args: column: what the name's column is called."""

    def __init__(self, database: Database, table: Table, column: str = "name") -> None:
        self._database = database
        self._column = column
        name = table.c[column]
        self._all = Statement(select(table.c.id, name.label("name")).order_by(table.c.id))
        self._one = Statement(select(table.c.id).where(name == bindparam("name")))
        self._named = Statement(select(name.label("name")).where(table.c.id == bindparam("id")))
        self._add = Statement(insert(table))
        self._delete = Statement(delete(table).where(name == bindparam("name")))
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}

    async def id_of(self, name: str) -> int | None:
        """The number of a name, None when there is no such row."""
        found = self._ids.get(name)
        if found is None:
            found = await self._database.fetch_value(self._one, name=name)
            if found is not None:
                self._keep(found, name)
        return found

    async def name_of(self, identity: int) -> str:
        """The name of a number; "" when the row is gone."""
        found = self._names.get(identity)
        if found is None:
            found = await self._database.fetch_value(self._named, id=identity)
            if found is None:
                return ""
            self._keep(identity, found)
        return found

    async def names_of(self, identities: Iterable[int]) -> dict[int, str]:
        """Names of many numbers; reads the table once when one is not known yet."""
        wanted = set(identities)
        if not wanted <= self._names.keys():
            await self.all()
        return {identity: self._names.get(identity, "") for identity in wanted}

    async def ensure(self, name: str) -> int:
        """The number of a name; the row is made when it is not there (in a commit of its own, as placement does)."""
        found = await self.id_of(name)
        if found is None:
            try:
                await self._database.execute(self._add, **{self._column: name})
            except DBDuplicateEntry:
                pass  # another request made it meanwhile
            found = await self.id_of(name)
            assert found is not None, name
        return found

    async def create(self, name: str) -> bool:
        """Make a row. Returns whether it was not there before."""
        try:
            await self._database.execute(self._add, **{self._column: name})
        except DBDuplicateEntry:
            return False
        return True

    async def delete(self, name: str) -> bool:
        """Remove a row. Returns whether it was there."""
        identity = self._ids.pop(name, None)
        if identity is not None:
            self._names.pop(identity, None)
        return bool(await self._database.execute(self._delete, name=name))

    async def all(self) -> dict[str, int]:
        """Every name with its number, in order of number."""
        rows = await self._database.fetch(self._all)
        found = {row["name"]: row["id"] for row in rows}
        self._ids = dict(found)
        self._names = {identity: name for name, identity in found.items()}
        return found

    def _keep(self, identity: int, name: str) -> None:
        if len(self._ids) > 200_000:  # a bound: projects and users of a very large cloud
            self._ids.clear()
            self._names.clear()
        self._ids[name] = identity
        self._names[identity] = name
