"""Reading and writing instances: which cell holds one, its row, its faults. Shared by API and conductor."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Table, bindparam, delete, insert, select, update

from harness.emulator.database import Database, Row, Statement, Together, in_list
from harness.emulator.database.statement import upsert_construct
from harness.emulator.nova import states
from harness.emulator.nova.schema import (
    CELL0_ID,
    CELL1_ID,
    build_requests,
    instance_actions,
    instance_actions_events,
    instance_faults,
    instance_info_caches,
    instance_mappings,
    instances,
    request_specs,
    tags,
)
from harness.emulator.timestamps import utcnow_iso

COLUMNS = tuple(column.name for column in instances.columns)
_WITH_NETWORK = [*instances.columns, instance_info_caches.c.network_info]
# Beside a uuid: not `= 0`, for which PostgreSQL may read all of some index that has `deleted` in it. A new cloud's
# tables have no statistics, and the plan that looked as cheap is kept while the table grows.
_IS_LIVE = instances.c.deleted.is_not_distinct_from(0)
_JOINED = instances.outerjoin(instance_info_caches, instance_info_caches.c.instance_uuid == instances.c.uuid)

GET_MAPPING = Statement(
    select(instance_mappings.c.cell_id, instance_mappings.c.project_id).where(
        instance_mappings.c.instance_uuid == bindparam("uuid")
    )
)
GET_MAPPINGS = Statement(
    select(instance_mappings.c.instance_uuid, instance_mappings.c.cell_id).where(
        in_list(instance_mappings.c.instance_uuid, "uuids")
    )
)
MAP_TO_CELL = Statement(
    update(instance_mappings)
    .where(instance_mappings.c.instance_uuid == bindparam("uuid"))
    .values(cell_id=bindparam("cell_id"))
)
QUEUE_FOR_DELETE = Statement(
    update(instance_mappings).where(instance_mappings.c.instance_uuid == bindparam("uuid")).values(queued_for_delete=1)
)
DELETE_MAPPING = Statement(delete(instance_mappings).where(instance_mappings.c.instance_uuid == bindparam("uuid")))

GET_BUILD_REQUEST = Statement(
    select(build_requests.c.instance).where(build_requests.c.instance_uuid == bindparam("uuid"))
)
GET_BUILD_REQUESTS = Statement(
    select(build_requests.c.instance_uuid).where(in_list(build_requests.c.instance_uuid, "uuids"))
)
UPDATE_BUILD_REQUEST = Statement(
    update(build_requests)
    .where(build_requests.c.instance_uuid == bindparam("uuid"))
    .values(instance=bindparam("new_instance"))
)
# From here on the instance is found in its cell. Counts the build request: 0 when its user deleted it meanwhile.
HAND_OVER = Together(
    update(instance_mappings)
    .where(instance_mappings.c.instance_uuid == bindparam("uuid"))
    .values(cell_id=bindparam("cell_id")),
    delete(build_requests).where(build_requests.c.instance_uuid == bindparam("uuid")),
)
DELETE_BUILD_REQUEST = Statement(delete(build_requests).where(build_requests.c.instance_uuid == bindparam("uuid")))
# Nova writes these three one after the other; nobody sees one without the others, so they share a commit here.
RECORD_REQUEST = Together(
    insert(request_specs).values(instance_uuid=bindparam("uuid"), spec=bindparam("spec")),
    insert(build_requests).values(
        id=bindparam("id"),
        instance_uuid=bindparam("uuid"),
        project_id=bindparam("project_id"),
        created_at=bindparam("created_at"),
        instance=bindparam("instance"),
    ),
    insert(instance_mappings).values(
        instance_uuid=bindparam("uuid"),
        cell_id=None,
        project_id=bindparam("project_id"),
        user_id=bindparam("user_id"),
        queued_for_delete=0,
    ),
)
DELETE_REQUEST_SPEC = Statement(delete(request_specs).where(request_specs.c.instance_uuid == bindparam("uuid")))

GET_INSTANCE = Statement(select(*_WITH_NETWORK).select_from(_JOINED).where(instances.c.uuid == bindparam("uuid")))
GET_HEAD = Statement(
    select(
        instances.c.project_id,
        instances.c.deleted,
        instances.c.row_version,
        instances.c.updated_at,
        instances.c.host,
        instances.c.system_metadata,
    ).where(instances.c.uuid == bindparam("uuid"))
)
GET_INSTANCES = Statement(select(*_WITH_NETWORK).select_from(_JOINED).where(in_list(instances.c.uuid, "uuids")))
INSERT_INSTANCE = Statement(insert(instances))
DESTROY_INSTANCE = Statement(
    update(instances)
    .where(instances.c.uuid == bindparam("uuid"), _IS_LIVE)
    .values(deleted=instances.c.id, deleted_at=bindparam("now"), row_version=instances.c.row_version + 1)
)
# For the truth switch `resurrected_server` only: Nova never brings an instance back.
RESTORE_INSTANCE = Statement(
    update(instances)
    .where(instances.c.uuid == bindparam("b_uuid"))
    .values(
        deleted=0,
        deleted_at=None,
        vm_state=bindparam("b_vm_state"),
        task_state=bindparam("b_task_state"),
        terminated_at=bindparam("b_terminated_at"),
        updated_at=bindparam("b_now"),
        row_version=instances.c.row_version + 1,
    )
)
# Nova destroys a host-less instance only where it still has no host, else it was scheduled meanwhile.
DESTROY_HOSTLESS = Statement(
    update(instances)
    .where(instances.c.uuid == bindparam("uuid"), _IS_LIVE, instances.c.host.is_(None))
    .values(deleted=instances.c.id, deleted_at=bindparam("now"), row_version=instances.c.row_version + 1)
)
LATEST_FAULTS = Statement(
    select(instance_faults)
    .where(in_list(instance_faults.c.instance_uuid, "uuids"))
    .order_by(instance_faults.c.instance_uuid, instance_faults.c.created_at, instance_faults.c.id)
)
INSERT_FAULT = Statement(insert(instance_faults))
INSERT_ACTION = Statement(insert(instance_actions))
DELETE_TAGS = Statement(delete(tags).where(tags.c.resource_id == bindparam("uuid")))
INSERT_TAG = Statement(insert(tags))
NO_TASK_CHECK = "any"
_EVENT_COLUMNS = ("event", "instance_uuid", "request_id", "start_time", "finish_time", "result", "traceback", "host")
# Tables with a row that is written along with a save: column -> parameter.
_ALONG: dict[Table, dict[str, str]] = {
    instance_info_caches: {"instance_uuid": "b_uuid", "network_info": "b_network_info", "updated_at": "b_now"},
    instance_actions_events: {name: f"e_{name}" for name in _EVENT_COLUMNS},
}


class Cells:
    """The databases of one control plane: the API database and the two cells, by the id of their mapping."""

    def __init__(self, api: Database, cell0: Database, cell1: Database) -> None:
        self.api = api
        self.by_id = {CELL0_ID: cell0, CELL1_ID: cell1}

    async def find(self, uuid: str, statement: Statement = GET_INSTANCE) -> tuple[int | None, Mapping[str, Any] | None]:
        """The instance wherever it is: (cell id, row), (None, build request's instance) or (None, None).

        A deleted instance is found too; look at `deleted`. Args: statement: what to read of a row in a cell.
        """
        mapping = await self.api.fetch_one(GET_MAPPING, uuid=uuid)
        if mapping is None:
            return None, None
        cell_id = mapping["cell_id"]
        if cell_id is None:
            text = await self.api.fetch_value(GET_BUILD_REQUEST, uuid=uuid)
            if text is not None:
                return None, from_build_request(text)
            # Mapped, and its request deleted, between the two reads.
            cell_id = await self.api.fetch_value(GET_MAPPING, uuid=uuid)
            if cell_id is None:
                return None, None
        return cell_id, await self.by_id[cell_id].fetch_one(statement, uuid=uuid)

    async def faults(self, cell_id: int | None, uuids: Sequence[str]) -> dict[str, Row]:
        """The latest fault of each of these instances."""
        if cell_id is None or not uuids:
            return {}
        rows = await self.by_id[cell_id].fetch(LATEST_FAULTS, uuids=list(uuids))
        return {row["instance_uuid"]: row for row in rows}


@lru_cache(maxsize=4096)
def from_build_request(text: str) -> Mapping[str, Any]:
    """The instance of a build request, as if it were a row; it has no id and no addresses."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(orjson.loads(text))
    row.update(deleted=0, row_version=-1, network_info=None)
    return row


async def save(
    database: Database,
    uuid: str,
    changes: Mapping[str, Any],
    expected_task_state: object = NO_TASK_CHECK,
    network_info: str | None = None,
    event: Mapping[str, Any] | None = None,
) -> int:
    """Update one live instance; a compare-and-swap when a task state (or a list of them) is expected.

    Args: network_info: written to its info cache in the same commit, if the instance matched. event: likewise a row
          of `instance_actions_events`. Not both.
    Returns: how many rows matched: 0 or 1.
    """
    assert network_info is None or event is None
    names = tuple(sorted(changes))
    parameters = dict(changes)
    parameters["b_uuid"] = uuid
    parameters["b_now"] = utcnow_iso()
    shape: str = NO_TASK_CHECK
    if expected_task_state is None or isinstance(expected_task_state, str):
        shape = "none" if expected_task_state is None else "one"
        if expected_task_state == NO_TASK_CHECK:
            shape = NO_TASK_CHECK
        elif expected_task_state is not None:
            parameters["b_expected"] = expected_task_state
    else:
        wanted = list(expected_task_state)  # type: ignore[call-overload]
        shape = "list+none" if None in wanted else "list"
        parameters["b_expected"] = [state for state in wanted if state is not None]
    table: Table | None = None
    if network_info is not None:
        parameters["b_network_info"], table = network_info, instance_info_caches
    elif event is not None:
        parameters.update({f"e_{name}": event[name] for name in _EVENT_COLUMNS})
        table = instance_actions_events
    if table is None:
        statement = Statement.for_shape(("instance_save", names, shape), lambda: _save(names, shape))
        return await database.execute_retried(statement, **parameters)
    along = table
    return await database.retried(lambda: _save_along(database, names, shape, along, parameters))


def save_info_cache(dialect: str) -> Any:
    """Overwrite the info cache of instance `b_uuid`, or make it."""
    named = _ALONG[instance_info_caches]
    return _writing(instance_info_caches, dialect).values({column: bindparam(name) for column, name in named.items()})


async def _save_along(
    database: Database, names: tuple[str, ...], shape: str, table: Table, parameters: Mapping[str, Any]
) -> int:
    """With a row of `table`, which is written only when the instance matched: a statement, or a transaction."""
    if database.dialect == "postgresql":
        key = ("instance_save", names, shape, table.name)
        return await database.execute(Statement.for_shape(key, lambda: _as_one(names, shape, table)), **parameters)
    async with database.transaction() as transaction:
        statement = Statement.for_shape(("instance_save", names, shape), lambda: _save(names, shape))
        matched = await transaction.execute(statement, **parameters)
        if matched:
            values: dict[str, Any] = {column: bindparam(name) for column, name in _ALONG[table].items()}
            write = Statement.for_shape(("along", table.name), lambda: _writing(table, database.dialect).values(values))
            await transaction.execute(write, **parameters)
        return matched


def _as_one(names: tuple[str, ...], shape: str, table: Table) -> Any:
    saved = _save(names, shape).returning(instances.c.id).cte("saved")
    named = _ALONG[table]
    row = [bindparam(name, type_=table.c[column].type) for column, name in named.items()]
    return _writing(table, "postgresql").from_select(list(named), select(*row).select_from(saved))


def _writing(table: Table, dialect: str) -> Any:
    if table is instance_info_caches:
        return upsert_construct(dialect, table, ["instance_uuid"], ["network_info", "updated_at"])
    return insert(table)


def _save(names: tuple[str, ...], shape: str) -> Any:
    values: dict[Any, Any] = {name: bindparam(name) for name in names}
    if "updated_at" not in values:
        values["updated_at"] = bindparam("b_now")
    values["row_version"] = instances.c.row_version + 1
    statement = update(instances).where(instances.c.uuid == bindparam("b_uuid"), _IS_LIVE)
    task_state = instances.c.task_state
    if shape == "none":
        statement = statement.where(task_state.is_(None))
    elif shape == "one":
        statement = statement.where(task_state == bindparam("b_expected"))
    elif shape == "list":
        statement = statement.where(in_list(task_state, "b_expected"))
    elif shape == "list+none":
        statement = statement.where(in_list(task_state, "b_expected") | task_state.is_(None))
    return statement.values(values)


def is_building_unscheduled(row: Mapping[str, Any]) -> bool:
    """Whether an instance has neither a host nor anything that only a host can have given it."""
    return not row["host"] and row["vm_state"] not in (states.ERROR, "shelved_offloaded")
