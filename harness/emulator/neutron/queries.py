"""The query of a list request: filters, order, page and fields, turned into one statement.

The statement depends on the shape of the query only (which filters, which order), so it is built once and its values
are parameters.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import falcon.asgi
from sqlalchemy import ColumnElement, Integer, and_, bindparam, exists, or_, select
from sqlalchemy.sql import Select

from harness.emulator.database import Database, Row, Statement, in_list
from harness.emulator.neutron import errors, schema
from harness.emulator.neutron.attributes import Attribute, Resource
from harness.emulator.neutron.validation import to_bool, to_int

_LIMIT_MAX = 0x7FFFFFFF  # above it the real neutron answers 500: its database takes no such number
_PAGING = frozenset(("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"))
_TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
_DIRECTIONS = ("asc", "desc")


@dataclass(slots=True)
class Condition:
    """One part of a WHERE clause. `shape` says everything the clause depends on; values are in `params`."""

    shape: str
    clause: Callable[[], ColumnElement[bool]]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ListQuery:
    """A parsed list request."""

    pairs: list[tuple[str, str]]
    filters: dict[str, list[str]]
    fields: frozenset[str]
    sorts: list[tuple[str, bool]]  # name, ascending
    limit: int  # 0: all
    marker: str
    reverse: bool

    def links(self, request: falcon.asgi.Request, ids: Sequence[str]) -> list[dict[str, str]]:
        """`next` and `previous` of a page, by neutron's rules; empty without a limit."""
        if not self.limit:
            return []
        base = f"{request.scheme}://{request.netloc}{request.path}"
        found = []
        if len(ids) >= self.limit or self.reverse:
            found.append({"rel": "next", "href": f"{base}?{self._link(ids[-1:], reverse=False)}"})
        if len(ids) >= self.limit or not self.reverse:
            found.append({"rel": "previous", "href": f"{base}?{self._link(ids[:1], reverse=True)}"})
        return found

    def _link(self, marker: Sequence[str], *, reverse: bool) -> str:
        dropped = ("marker", "page_reverse")
        pairs = [pair for pair in self.pairs if pair[0] not in dropped]
        pairs.extend(("marker", identity) for identity in marker)
        if reverse:
            pairs.append(("page_reverse", "True"))
        return urlencode(pairs)


def parse(resource: Resource, query_string: str, max_limit: int, extra_filters: Sequence[str] = ()) -> ListQuery:
    """Read a query string.

    Args: max_limit: pagination_max_limit; -1: none. extra_filters: names that are no attributes of the resource.
    Raises: ApiError 400 with neutron's words.
    """
    pairs = parse_qsl(query_string, keep_blank_values=True) if query_string else []
    filters: dict[str, list[str]] = {}
    paging: dict[str, list[str]] = {}
    unknown: list[str] = []
    for name, value in pairs:
        if name in _PAGING:
            paging.setdefault(name, []).append(value)
            continue
        attribute = resource.by_name.get(name)
        if (attribute is None or not attribute.filters) and name not in extra_filters and name not in _TAG_FILTERS:
            if name not in unknown:
                unknown.append(name)
            continue
        filters.setdefault(name, []).append(value)
    if unknown:
        raise errors.bad_request(f"{unknown} is invalid attribute for filtering")
    return ListQuery(
        pairs,
        filters,
        frozenset(name for name in paging.get("fields", ()) if name),
        _sorts(resource, paging),
        _limit(paging.get("limit", ["0"])[-1], max_limit),
        paging.get("marker", [""])[-1],
        paging.get("page_reverse", [""])[-1].lower() == "true",
    )


def fields_of(query_string: str) -> frozenset[str]:
    """What `fields=` of a show request asks for; empty: everything."""
    if "fields" not in query_string:
        return frozenset()
    return frozenset(value for name, value in parse_qsl(query_string) if name == "fields")


def trimmed(view: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name in fields} if fields else view


def column_of(resource: Resource, attribute: Attribute) -> ColumnElement[Any]:
    return resource.table.c[attribute.column or attribute.name]


def conditions(resource: Resource, query: ListQuery, special: Sequence[str] = ()) -> list[Condition]:
    """The conditions of plain filters and of tags. Args: special: filters that the caller turns into conditions."""
    found = []
    for name, values in query.filters.items():
        if name in special:
            continue
        if name in _TAG_FILTERS:
            found.append(_tagged(resource, name, values))
            continue
        attribute = resource.by_name[name]
        column = column_of(resource, attribute)
        found.append(_among(column, f"f_{column.key}", _converted(attribute, values)))
    return found


def _among(column: ColumnElement[Any], parameter: str, values: list[Any]) -> Condition:
    if len(values) == 1:
        return Condition(f"{parameter}=", lambda: column == bindparam(parameter), {parameter: values[0]})
    return Condition(f"{parameter}@", lambda: in_list(column, parameter), {parameter: values})


def _converted(attribute: Attribute, values: list[str]) -> list[Any]:
    if attribute.kind == "bool":
        return [int(to_bool(value)) for value in values]
    if attribute.kind == "int":
        return [to_int(value) for value in values]
    if attribute.name == "cidr":
        for value in values:
            _require_range(value)
    return values


def _require_range(value: str) -> None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise errors.invalid_input(f"{value} is not in a CIDR format") from None


def _tagged(resource: Resource, name: str, values: list[str]) -> Condition:
    wanted = [tag for value in values for tag in value.split(",")]
    table = schema.tags
    identity = resource.table.c.id
    parameter = "f_" + name.replace("-", "_")
    if name in ("tags", "not-tags"):
        names = [f"{parameter}{n}" for n in range(len(wanted))]

        def every() -> ColumnElement[bool]:
            clauses = [
                exists(select(1).where(table.c.resource_id == identity, table.c.tag == bindparam(key))) for key in names
            ]
            return and_(*clauses) if name == "tags" else ~and_(*clauses)

        return Condition(f"{parameter}{len(wanted)}", every, dict(zip(names, wanted, strict=True)))

    def some() -> ColumnElement[bool]:
        clause = exists(select(1).where(table.c.resource_id == identity, in_list(table.c.tag, parameter)))
        return clause if name == "tags-any" else ~clause

    return Condition(parameter, some, {parameter: wanted})


def statement(
    base: Callable[[], Select[Any]], resource: Resource, query: ListQuery, where: Sequence[Condition], after: bool
) -> Statement:
    """The statement of a page. Args: after: start behind the marker, whose values are the parameters `m_<name>`."""
    sorts = query.sorts if query.sorts and query.sorts[-1][0] == "id" else [*query.sorts, ("id", True)]
    key = (
        resource.collection,
        tuple(condition.shape for condition in where),
        tuple(sorts),
        bool(query.limit),
        query.reverse,
        after,
    )

    def build() -> Select[Any]:
        select_ = base().where(*(condition.clause() for condition in where))
        columns = [
            (column_of(resource, resource.by_name[name]), ascending != query.reverse, f"m_{name}")
            for name, ascending in sorts
        ]
        if after:
            # (a, b, id) behind (A, B, ID): a > A, or a = A and b > B, or ... with < where it goes downwards.
            steps = []
            for depth, (column, upwards, name) in enumerate(columns):
                same = [before == bindparam(other) for before, _, other in columns[:depth]]
                step = column > bindparam(name) if upwards else column < bindparam(name)
                steps.append(and_(*same, step))
            select_ = select_.where(or_(*steps))
        select_ = select_.order_by(*(column.asc() if upwards else column.desc() for column, upwards, _ in columns))
        return select_.limit(bindparam("page_limit", type_=Integer)) if query.limit else select_

    return Statement.for_shape(key, build)


async def fetch(
    database: Database,
    base: Callable[[], Select[Any]],
    resource: Resource,
    query: ListQuery,
    where: Sequence[Condition],
) -> list[Row]:
    """The rows of a page, in the order of the answer.

    Raises: ApiError 404 when the marker is gone.
    """
    params: dict[str, Any] = {}
    for condition in where:
        params.update(condition.params)
    after = bool(query.limit and query.marker)
    if after:
        table = resource.table
        find = Statement.for_shape(
            ("marker", resource.collection), lambda: select(table).where(table.c.id == bindparam("id"))
        )
        marker = await database.fetch_one(find, id=query.marker)
        if marker is None:
            raise errors.not_found(resource.singular, query.marker)
        for name in ("id", *(name for name, _ in query.sorts)):
            params[f"m_{name}"] = marker[resource.by_name[name].column or name]
    if query.limit:
        params["page_limit"] = query.limit
    rows = await database.fetch(statement(base, resource, query, where, after), **params)
    if query.reverse:
        rows.reverse()
    return rows


def _sorts(resource: Resource, paging: dict[str, list[str]]) -> list[tuple[str, bool]]:
    keys = [key for key in paging.get("sort_key", ()) if key]
    directions = [direction for direction in paging.get("sort_dir", ()) if direction]
    if len(keys) != len(directions):
        raise errors.bad_request("The number of sort_keys and sort_dirs must be same")
    absent = [key for key in keys if key not in resource.by_name or not resource.by_name[key].sorts]
    if absent:
        raise errors.bad_request(f"{absent} is invalid attribute for sort_keys")
    wrong = [direction for direction in directions if direction not in _DIRECTIONS]
    if wrong:
        raise errors.bad_request(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    found = list(zip(keys, (direction == "asc" for direction in directions), strict=True))
    ends = next((number for number, (key, _) in enumerate(found) if key == "id"), len(found))
    return found[: ends + 1]  # an id orders completely


def _limit(text: str, max_limit: int) -> int:
    try:
        limit = int(text)
    except ValueError:
        raise errors.bad_limit(text) from None
    if limit < 0:
        raise errors.bad_limit(text)
    limit = min(limit, _LIMIT_MAX)
    if max_limit > 0:
        return min(limit, max_limit) or max_limit
    return limit
