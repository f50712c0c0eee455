"""Marker pagination and long lists: links to the next page, rows rendered once, pages that let others have a turn."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import falcon.asgi
import orjson

from harness.emulator.http.errors import ApiError

T = TypeVar("T")
YIELD_EVERY = 100  # rows rendered before other requests get a turn


def limit_of(
    req: falcon.asgi.Request, *, default: int, maximum: int, invalid: Callable[[str], ApiError] | None = None
) -> int:
    """The page length asked for: `limit`, at most `maximum`; `default` without one.

    Raises: ApiError 400 for what is no whole number from 0.
    """
    text = req.get_param("limit")
    if text is None:
        return default
    try:
        limit = int(text)
    except ValueError:
        limit = -1
    if limit < 0:
        if invalid is not None:
            raise invalid(text)
        raise ApiError(400, f"Invalid input for query parameter limit. Value: {text}.")
    return min(limit, maximum)


def paginate(
    req: falcon.asgi.Request, rows: Sequence[T], limit: int, marker: Callable[[T], str], *, base: str = ""
) -> tuple[Sequence[T], str | None]:
    """Cut a page out of rows and say where the next one is.

    Args:
        rows: up to `limit + 1` of them, in order, from after the marker; the surplus row says that there is more.
        marker: the marker of a row (its id).
        base: scheme, host and path of the link; default: those of the request.
    Returns: the page, and the link to the next one with the request's own filters kept; None at the end.
    """
    if limit <= 0 or len(rows) <= limit:
        return (rows if limit > 0 else rows[:0]), None
    page = rows[:limit]
    query = [(name, value) for name, value in _query(req) if name != "marker"]
    if not any(name == "limit" for name, _ in query):
        query.append(("limit", str(limit)))
    query.append(("marker", marker(page[-1])))
    return page, f"{base or req.prefix + req.path}?{urlencode(query)}"


def _query(req: falcon.asgi.Request) -> Iterable[tuple[str, str]]:
    for name, value in req.params.items():
        if isinstance(value, list):
            yield from ((name, item) for item in value)
        else:
            yield name, value


class FragmentCache:
    """Rendered rows by (id, row version, view): a page of a thousand is joined, not built.

    Bounded: when full, the half that was put in first goes.
    """

    def __init__(self, size_max: int = 4096) -> None:
        self._size_max = size_max
        self._rows: dict[Hashable, orjson.Fragment] = {}

    def get(self, key: Hashable, build: Callable[[], Any]) -> orjson.Fragment:
        """The row under this key, rendered by `build` at first use. The key must change whenever the row does."""
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) >= self._size_max:
                for old in list(self._rows)[: self._size_max // 2]:
                    del self._rows[old]
            found = self._rows[key] = orjson.Fragment(orjson.dumps(build()))
        return found


async def render_rows(rows: Sequence[T], render: Callable[[T], Any]) -> list[Any]:
    """Every row through `render`; other requests get a turn after each hundred."""
    if len(rows) <= YIELD_EVERY:
        return [render(row) for row in rows]
    done: list[Any] = []
    for start in range(0, len(rows), YIELD_EVERY):
        # Dumped here, in pieces: the final dumps() of the page then only copies.
        done.extend(orjson.Fragment(orjson.dumps(render(row))) for row in rows[start : start + YIELD_EVERY])
        await asyncio.sleep(0)
    return done
