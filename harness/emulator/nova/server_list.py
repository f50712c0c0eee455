"""Which servers a list shows, in which order: build requests first, then both cells merged. Flat in their number.

Nova lists the build requests of the page first and fills up with instances of the cells; so does this.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select, tuple_

from harness.emulator.database import Database, Statement, in_list
from harness.emulator.http import ApiError
from harness.emulator.nova import states
from harness.emulator.nova.instances import Cells, from_build_request
from harness.emulator.nova.schema import build_requests, instance_info_caches, instances, tags
from harness.emulator.timestamps import iso, parse

_PLAIN = ("uuid", "host", "node", "user_id", "project_id", "reservation_id", "hostname", "image_ref", "vm_state")
_MORE = ("task_state", "key_name", "availability_zone", "power_state", "config_drive", "locked_by", "launch_index")
_EXACT = frozenset((*_PLAIN, *_MORE))
_BY_PATTERN = frozenset(("display_name", "display_description"))
_TABLE = instances.columns
_DEFAULT_SORT = (("created_at", "desc"), ("id", "desc"))


class Filters:
    """What a list is asked for. `exact`: column -> value or list of values; the rest by name."""

    def __init__(self) -> None:
        self.exact: dict[str, Any] = {}
        self.patterns: dict[str, str] = {}
        self.task_states: list[str] | None = None
        self.vm_states: list[str] | None = None
        self.deleted: bool | None = False
        self.changed_since: str | None = None
        self.changed_before: str | None = None
        self.tags: dict[str, list[str]] = {}  # "tags" | "tags-any" | "not-tags" | "not-tags-any"
        self.locked: bool | None = None
        self.ip: str | None = None
        self.flavor: str | None = None
        self.metadata: dict[str, str] = {}
        self.nothing = False  # a filter that no server can meet

    def set_times(self, since: str | None, before: str | None) -> None:
        """Take `changes-since` and `changes-before`, any ISO 8601 text."""
        self.changed_since = iso(parse(since)) if since else None
        self.changed_before = iso(parse(before)) if before else None

    @property
    def needs_python(self) -> bool:
        """Whether rows must be looked into, beyond what SQL can say."""
        return self.ip is not None or bool(self.metadata) or self.flavor is not None

    def shape(self) -> tuple[Any, ...]:
        """What the text of the statement depends on; no values."""
        return (
            tuple(sorted((name, isinstance(value, list)) for name, value in self.exact.items())),
            tuple(sorted(self.patterns)),
            self.task_states is not None,
            self.vm_states is not None,
            self.deleted,
            self.changed_since is not None,
            self.changed_before is not None,
            tuple(sorted((kind, len(names)) for kind, names in self.tags.items())),
            self.locked,
            self.needs_python,
        )

    def parameters(self) -> dict[str, Any]:
        """Values for `conditions`."""
        found: dict[str, Any] = {f"e_{name}": value for name, value in self.exact.items()}
        found.update({f"p_{name}": value for name, value in self.patterns.items()})
        if self.task_states is not None:
            found["task_states"] = self.task_states
        if self.vm_states is not None:
            found["vm_states"] = self.vm_states
        if self.changed_since is not None:
            found["since"] = self.changed_since
        if self.changed_before is not None:
            found["before"] = self.changed_before
        for kind, names in self.tags.items():
            if kind.endswith("any"):
                found[f"t_{kind}"] = names
            else:
                found.update({f"t_{kind}_{index}": name for index, name in enumerate(names)})
        return found

    def conditions(self) -> list[ColumnElement[bool]]:
        """The WHERE clause."""
        found: list[ColumnElement[bool]] = []
        for name, value in self.exact.items():
            column = _TABLE[name]
            found.append(in_list(column, f"e_{name}") if isinstance(value, list) else column == bindparam(f"e_{name}"))
        found.extend(_TABLE[name].regexp_match(bindparam(f"p_{name}")) for name in self.patterns)
        if self.task_states is not None:
            found.append(in_list(_TABLE.task_state, "task_states"))
        if self.vm_states is not None:
            found.append(in_list(_TABLE.vm_state, "vm_states"))
        if self.deleted is not None:
            found.append(_TABLE.deleted != 0 if self.deleted else _TABLE.deleted == 0)
        if self.changed_since is not None:
            found.append(_TABLE.updated_at >= bindparam("since"))
        if self.changed_before is not None:
            found.append(_TABLE.updated_at <= bindparam("before"))
        if self.locked is not None:
            found.append(_TABLE.locked_by.isnot(None) if self.locked else _TABLE.locked_by.is_(None))
        for kind, names in self.tags.items():
            found.extend(_tag_conditions(kind, len(names)))
        return found

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """The part that is decided row by row."""
        if self.flavor is not None and orjson.loads(row["flavor"])["flavorid"] != self.flavor:
            return False
        if self.metadata:
            have = orjson.loads(row["metadata"])
            if any(have.get(key) != value for key, value in self.metadata.items()):
                return False
        if self.ip is not None:
            network_info = orjson.loads(row["network_info"] or "[]")
            found = [fixed["ip_address"] for vif in network_info for fixed in vif["fixed_ips"]]
            return any(re.match(self.ip, address) or self.ip in address for address in found)
        return True

    def accepts_build_request(self, row: Mapping[str, Any]) -> bool:
        """All filters, for an instance that is in no cell yet."""
        if self.deleted or self.ip is not None or self.changed_before is not None:
            return False
        for name, value in self.exact.items():
            wanted = value if isinstance(value, list) else [value]
            if row[name] not in wanted:
                return False
        if any(not re.search(pattern, str(row[name] or "")) for name, pattern in self.patterns.items()):
            return False
        if self.task_states is not None and row["task_state"] not in self.task_states:
            return False
        if self.vm_states is not None and row["vm_state"] not in self.vm_states:
            return False
        if self.locked:
            return False
        have = set(orjson.loads(row["tags"]))
        for kind, names in self.tags.items():
            hit = have.intersection(names) if kind.endswith("any") else have.issuperset(names)
            if bool(hit) == kind.startswith("not"):
                return False
        return self.accepts(row)


def _tag_conditions(kind: str, count: int) -> list[ColumnElement[bool]]:
    def having(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return select(tags.c.resource_id).where(tags.c.resource_id == _TABLE.uuid, condition).exists()

    if kind.endswith("any"):
        found = having(in_list(tags.c.tag, f"t_{kind}"))
    else:
        found = and_(*(having(tags.c.tag == bindparam(f"t_{kind}_{index}")) for index in range(count)))
    return [~found if kind.startswith("not") else found]


class Page:
    """The servers of one page, in order: `uuid`, `row_version`, `cell_id` and, for build requests, the row."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, int | None, Mapping[str, Any] | None]] = []


async def find_page(
    cells: Cells,
    filters: Filters,
    *,
    project_id: str | None,
    limit: int,
    marker: str | None,
    sort: list[tuple[str, str]],
) -> Page:
    """The page after `marker`.

    Args: project_id: None: all projects. sort: (column, "asc" | "desc"); empty: newest first.
    Raises: ApiError 400 when there is no such marker.
    """
    page = Page()
    if filters.nothing or limit == 0:
        return page
    seen: set[str] = set()
    waiting = await _build_requests(cells, filters, project_id, sort)
    if marker is not None:
        uuids = [row["uuid"] for row in waiting]
        if marker in uuids:
            waiting = waiting[uuids.index(marker) + 1 :]
            marker = None
        else:
            waiting = []
    for waiter in waiting[:limit]:
        page.entries.append((waiter["uuid"], -1, None, waiter))
        seen.add(waiter["uuid"])
    left = limit - len(page.entries)
    if left <= 0:
        if marker is not None:
            await _marker_row(cells, marker)
        return page
    after = None if marker is None else await _marker_row(cells, marker)
    order = tuple(sort) + tuple(pair for pair in _DEFAULT_SORT if pair[0] not in [key for key, _ in sort])
    by_cell: list[tuple[int, list[Mapping[str, Any]]]] = []
    for cell_id, database in cells.by_id.items():
        rows = await _cell_rows(database, filters, project_id, left, order, after)
        if rows:
            by_cell.append((cell_id, rows))
    found = [(cell_id, row) for cell_id, rows in by_cell for row in rows]
    if len(by_cell) > 1:  # each cell's are in order already
        for key, direction in reversed(order):
            found.sort(key=lambda pair: _sortable(pair[1][key]), reverse=direction == "desc")
    for cell_id, row in found:
        uuid = row["uuid"]
        if uuid not in seen and len(page.entries) < limit:
            page.entries.append((uuid, row["row_version"], cell_id, None))
    return page


async def _build_requests(
    cells: Cells, filters: Filters, project_id: str | None, sort: list[tuple[str, str]]
) -> list[Mapping[str, Any]]:
    shape = project_id is None
    statement = Statement.for_shape(("build_requests", shape), lambda: _select_build_requests(shape))
    parameters = {} if project_id is None else {"project_id": project_id}
    texts = await cells.api.fetch(statement, **parameters)
    rows = [
        row
        for row in (from_build_request(record["instance"]) for record in texts)
        if filters.accepts_build_request(row)
    ]
    for key, direction in reversed(sort or [("created_at", "desc")]):
        rows.sort(key=lambda row: _sortable(row[key]), reverse=direction == "desc")
    return rows


def _select_build_requests(all_projects: bool) -> Select[Any]:
    query = select(build_requests.c.instance).order_by(build_requests.c.id.desc())
    return query if all_projects else query.where(build_requests.c.project_id == bindparam("project_id"))


async def _marker_row(cells: Cells, marker: str) -> Mapping[str, Any]:
    """Any server there is will do, as in Nova: only what follows it is looked for in the project."""
    _, row = await cells.find(marker)
    if row is None:
        raise ApiError(400, f"marker [{marker}] not found")
    return row


async def _cell_rows(
    database: Database,
    filters: Filters,
    project_id: str | None,
    limit: int,
    order: tuple[tuple[str, str], ...],
    after: Mapping[str, Any] | None,
) -> list[Mapping[str, Any]]:
    nulls = () if after is None else tuple(key for key, _ in order if after[key] is None)
    key = ("instances", filters.shape(), project_id is None, order, after is None, nulls)
    statement = Statement.for_shape(key, lambda: _select(filters, project_id, order, after))
    parameters = filters.parameters()
    if project_id is not None:
        parameters["project_id"] = project_id
    if after is not None:
        parameters.update({f"m_{name}": after[name] for name, _ in order if name not in nulls})
    if not filters.needs_python:
        return list(await database.fetch(statement, limit=limit, **parameters))
    rows = await database.fetch(statement, limit=1_000_000, **parameters)
    return [row for row in rows if filters.accepts(row)][:limit]


def _select(
    filters: Filters, project_id: str | None, order: tuple[tuple[str, str], ...], after: Mapping[str, Any] | None
) -> Select[Any]:
    names = dict.fromkeys(["uuid", "row_version", *(name for name, _ in order)])
    columns: list[Any] = [_TABLE[name] for name in names]
    source: Any = instances
    if filters.needs_python:
        columns += [_TABLE.flavor, _TABLE.metadata, instance_info_caches.c.network_info]
        source = instances.outerjoin(instance_info_caches, instance_info_caches.c.instance_uuid == _TABLE.uuid)
    query = select(*columns).select_from(source).where(*filters.conditions())
    if project_id is not None:
        query = query.where(_TABLE.project_id == bindparam("project_id"))
    if after is not None:
        query = query.where(_beyond(order, after))
    ordering = [getattr(_TABLE[name], direction)() for name, direction in order]
    return query.order_by(*ordering).limit(bindparam("limit"))


def _beyond(order: tuple[tuple[str, str], ...], after: Mapping[str, Any]) -> ColumnElement[bool]:
    """Rows that come after the marker. One direction and no NULL: a row comparison, which an index answers."""
    if len({direction for _, direction in order}) == 1 and all(after[name] is not None for name, _ in order):
        left = tuple_(*(_TABLE[name] for name, _ in order))
        right = tuple_(*(bindparam(f"m_{name}", type_=_TABLE[name].type) for name, _ in order))
        return left < right if order[0][1] == "desc" else left > right
    branches: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for name, direction in order:
        column = _TABLE[name]
        if after[name] is None:  # no row is beyond NULL in an order that has it last
            equal.append(column.is_(None))
            continue
        value = bindparam(f"m_{name}", type_=column.type)
        branches.append(and_(*equal, column < value if direction == "desc" else column > value))
        equal.append(column == value)
    return or_(*branches)


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def status_filter(filters: Filters, statuses: list[str]) -> None:
    """Take `status=`; an unknown one matches nothing, as in Nova."""
    vm_states, task_states = states.states_of(statuses)
    if not vm_states:
        filters.nothing = True
        return
    filters.vm_states = sorted(vm_states)
    filters.task_states = None if task_states is None else sorted(task_states)
