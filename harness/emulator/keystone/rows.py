"""Plain access to the tables by id, and lists with keystone's filters and paging."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from sqlalchemy import Table, bindparam, delete, insert, select, update

from harness.emulator.database import Database, Statement
from harness.emulator.http import ApiError

Row = Mapping[str, Any]

_COMPARATORS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda have, want: want in have,
    "startswith": lambda have, want: have.startswith(want),
    "endswith": lambda have, want: have.endswith(want),
    "icontains": lambda have, want: want.lower() in have.lower(),
    "istartswith": lambda have, want: have.lower().startswith(want.lower()),
    "iendswith": lambda have, want: have.lower().endswith(want.lower()),
}


class Rows:
    """One table whose key is `id`."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._get = Statement(select(table).where(table.c.id == bindparam("id")))
        self._insert = Statement(insert(table))
        self._update = Statement(update(table).where(table.c.id == bindparam("the_id")))
        self._delete = Statement(delete(table).where(table.c.id == bindparam("id")))

    async def get(self, identity: str) -> Row | None:
        row: Row | None = await self._database.fetch_one(self._get, id=identity)
        return row

    async def find(self, **equal: Any) -> list[Row]:
        """Rows whose columns have these values, sorted by id."""
        table, names = self._table, tuple(sorted(equal))
        statement = Statement.for_shape(
            ("keystone", table.name, names),
            lambda: select(table).where(*(table.c[name] == bindparam(name) for name in names)).order_by(table.c.id),
        )
        return list(await self._database.fetch(statement, **equal))

    async def add(self, **values: Any) -> None:
        """Raises: DBDuplicateEntry."""
        await self._database.execute(self._insert, **values)

    async def change(self, identity: str, **values: Any) -> None:
        """Raises: DBDuplicateEntry."""
        if values:
            await self._database.execute(self._update, the_id=identity, **values)

    async def remove(self, identity: str) -> int:
        """How many rows went: 0 or 1."""
        return int(await self._database.execute(self._delete, id=identity))


def listing(
    kind: str,
    views: Sequence[Mapping[str, Any]],
    params: Mapping[str, str],
    url: str,
    query: str,
    filters: Iterable[str] = (),
    max_limit: int | None = None,
) -> dict[str, Any]:
    """A list as keystone answers it: filtered, cut to `limit` after `marker`, with its links.

    Args: views: sorted by id. url, query: of the request, as sent.
        filters: attributes that may be filtered by, exactly or by `name__contains` and such.
    """
    chosen = [view for view in views if all(_passes(view, name, want, filters) for name, want in params.items())]
    links: dict[str, Any] = {"next": None, "self": url + (f"?{query}" if query else ""), "previous": None}
    answer: dict[str, Any] = {kind: chosen, "links": links}
    marker = params.get("marker")
    if marker is not None:
        if not any(view.get("id") == marker for view in chosen):
            raise ApiError(400, f"Marker could not be found: {marker}.")
        chosen = [view for view in chosen if str(view.get("id")) > marker]
        answer[kind] = chosen
    limit = _limit(params.get("limit"), max_limit)
    if limit is not None and len(chosen) > limit:
        answer[kind] = chosen = chosen[:limit]
        answer["truncated"] = True
        following = {**params, "limit": str(limit), "marker": str(chosen[-1]["id"])}
        links["next"] = f"{url}?{urlencode(list(following.items()))}"
    return answer


def flag(text: str) -> bool:
    """A boolean in a query, as keystone reads it: anything but 0, false and the like is true."""
    return text.strip().lower() not in ("0", "false", "f", "no", "n", "off")


def _passes(view: Mapping[str, Any], name: str, want: str, filters: Iterable[str]) -> bool:
    attribute, _, comparator = name.partition("__")
    if attribute not in filters:
        return True
    have = view.get(attribute)
    if comparator:
        compare = _COMPARATORS.get(comparator)
        return compare is None or (isinstance(have, str) and compare(have, want))
    if isinstance(have, bool):
        return have is flag(want)
    return have == want or (have is None and want == "")


def _limit(text: str | None, max_limit: int | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return max_limit
    limit = int(text[:18])  # int() takes no more than some thousands of digits
    return max_limit if limit == 0 else limit if max_limit is None else min(limit, max_limit)


def loads(text: str | None) -> Any:
    """The JSON of a text column; an empty object when there is none."""
    return orjson.loads(text) if text else {}


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
