"""Claims: a consumer's allocations set as a whole, never over capacity.

As placement: usage is read with the provider's generation, the allocations are written, and the generation is raised
only if it is still the one that was read; if not, everything is rolled back and tried again, up to ten times, inside
the server. Checked against placement 16.0.0 (`objects/allocation.py`) on 2026-11-22. Unlike it the reads precede the
transaction instead of opening it (the generation guards them either way), and a new consumer's row is written in the
same transaction as its allocations, so a claim of a new consumer is one commit, not two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, literal, select, union_all, update

from harness.emulator.database import DBDuplicateEntry, Statement, Transaction, in_list
from harness.emulator.placement import schema
from harness.emulator.placement.service import GenerationConflict, Placement, Row, bump

_ROWS_AT_ONCE = 8
CONFLICT_RETRIES = 10  # placement's allocation_conflict_retry_count

_providers = schema.resource_providers
_inventories = schema.inventories
_allocations = schema.allocations
_consumers = schema.consumers

CONSUMER = Statement(select(_consumers).where(_consumers.c.uuid == bindparam("uuid")))
_CAPACITY = Statement(
    select(
        _providers.c.id,
        _providers.c.uuid,
        _providers.c.generation,
        _inventories.c.resource_class_id,
        _inventories.c.total,
        _inventories.c.reserved,
        _inventories.c.allocation_ratio,
        _inventories.c.min_unit,
        _inventories.c.max_unit,
        _inventories.c.step_size,
        select(func.sum(_allocations.c.used))
        .where(
            _allocations.c.resource_provider_id == _inventories.c.resource_provider_id,
            _allocations.c.resource_class_id == _inventories.c.resource_class_id,
        )
        .scalar_subquery()
        .label("used"),
    )
    .select_from(_providers.outerjoin(_inventories, _inventories.c.resource_provider_id == _providers.c.id))
    .where(in_list(_providers.c.uuid, "uuids"))
    .order_by(_providers.c.id)
)
_HELD = Statement(
    select(_allocations.c.consumer_id, _allocations.c.resource_provider_id, _allocations.c.resource_class_id,
           _allocations.c.used, _providers.c.uuid)
    .select_from(_allocations.join(_providers, _allocations.c.resource_provider_id == _providers.c.id))
    .where(in_list(_allocations.c.consumer_id, "consumers"))
)  # fmt: skip
_ADD = Statement(insert(_allocations))
_ADD_CONSUMER = Statement(insert(_consumers))
_DROP = Statement(delete(_allocations).where(_allocations.c.consumer_id == bindparam("consumer")))
_DROP_CONSUMER = Statement(delete(_consumers).where(_consumers.c.uuid == bindparam("uuid")))
_DROPPED = (
    delete(_allocations)
    .where(_allocations.c.consumer_id == bindparam("consumer"))
    .returning(_allocations.c.resource_provider_id, _allocations.c.consumer_id)
    .cte("dropped")
)
_RELEASE = Statement(
    select(_DROPPED.c.resource_provider_id)
    .distinct()
    .add_cte(delete(_consumers).where(_consumers.c.uuid.in_(select(_DROPPED.c.consumer_id))).cte("consumer"))
)
_CHANGE_CONSUMER = Statement(
    update(_consumers)
    .where(_consumers.c.uuid == bindparam("the_uuid"), _consumers.c.generation == bindparam("seen"))
    .values(
        generation=_consumers.c.generation + 1,
        project_id=bindparam("project"),
        user_id=bindparam("user"),
        consumer_type_id=bindparam("kind"),
    )
)


class ClaimRefused(Exception):
    """The claim cannot be had: no such inventory, its units, or its capacity. The message is placement's."""


class ConsumerConflict(Exception):
    """A consumer's generation is not the expected one, or a consumer that was to be new is there already."""


class UnknownProvider(Exception):
    """A provider that does not exist; the message is its uuid."""


@dataclass(slots=True)
class Claim:
    """What one consumer is to hold from now on: amounts by provider uuid and class id; nothing means to let go of all.

    `consumer`: the row as it was read, None when there is none yet. `project`, `user`, `kind` are row numbers; a kind
    of None leaves the consumer's type as it is.
    """

    uuid: str
    consumer: Row | None
    project: int
    user: int
    kind: int | None
    amounts: Mapping[str, Mapping[int, int]]


async def set_claims(placement: Placement, claims: list[Claim]) -> None:
    """Replace the allocations of some consumers, all or none.

    Raises: ClaimRefused; ConsumerConflict; UnknownProvider; GenerationConflict when ten tries met other claims.
    """
    for _ in range(CONFLICT_RETRIES):
        try:
            await placement.database.retried(lambda: _set_once(placement, claims))
            return
        except GenerationConflict:
            continue
    raise GenerationConflict


async def _set_once(placement: Placement, claims: list[Claim]) -> None:
    held: list[Any] = []
    existing = [claim.uuid for claim in claims if claim.consumer is not None]
    if existing:
        held = await placement.database.fetch(_HELD, consumers=existing)
    uuids = {uuid for claim in claims for uuid in claim.amounts}
    uuids |= {row["uuid"] for row in held}
    rows = await placement.database.fetch(_CAPACITY, uuids=sorted(uuids)) if uuids else []
    providers: dict[str, Any] = {row["uuid"]: row for row in rows}
    for claim in claims:
        for uuid in claim.amounts:
            if uuid not in providers:
                raise UnknownProvider(uuid)
    await _check_capacity(placement, claims, rows, held)
    try:
        await _write(placement, claims, providers)
    except BaseException as error:
        placement.stock.written(providers, error)
        raise
    placement.stock.written(providers)


async def _write(placement: Placement, claims: list[Claim], providers: Mapping[str, Any]) -> None:
    first = claims[0]
    if placement.database.dialect == "postgresql" and len(claims) == len(providers) == 1 and first.consumer is None:
        await _write_new(placement, first, next(iter(providers.values())))
        return
    async with placement.database.transaction() as transaction:
        for claim in claims:
            await _write_consumer(transaction, claim)
        added = [
            {
                "resource_provider_id": providers[uuid]["id"],
                "consumer_id": claim.uuid,
                "resource_class_id": class_id,
                "used": amount,
            }
            for claim in claims
            for uuid, amounts in claim.amounts.items()
            for class_id, amount in amounts.items()
        ]
        if 0 < len(added) <= _ROWS_AT_ONCE:
            values = {f"{name}_{index}": value for index, row in enumerate(added) for name, value in row.items()}
            await transaction.execute(_add_rows(len(added)), **values)
        elif added:
            await transaction.execute_many(_ADD, added)
        for row in sorted(providers.values(), key=_by_id):  # always in one order, so that claims do not deadlock
            await bump(transaction, row)


async def _write_new(placement: Placement, claim: Claim, provider: Row) -> None:
    """A new consumer's claim on one provider, in one round trip. Raises: GenerationConflict, ConsumerConflict."""
    (amounts,) = claim.amounts.values()
    values: dict[str, Any] = {}
    for index, (class_id, amount) in enumerate(amounts.items()):
        values[f"class_{index}"] = class_id
        values[f"used_{index}"] = amount
    try:
        written = await placement.database.execute(
            _new_claim(len(amounts)),
            provider_id=provider["id"],
            seen=provider["generation"],
            consumer=claim.uuid,
            project=claim.project,
            user=claim.user,
            kind=claim.kind,
            **values,
        )
    except DBDuplicateEntry:
        raise ConsumerConflict from None
    if not written:
        raise GenerationConflict


async def _write_consumer(transaction: Transaction, claim: Claim) -> None:
    consumer = claim.consumer
    if consumer is None:
        if not claim.amounts:
            return
        try:
            await transaction.execute(
                _ADD_CONSUMER,
                uuid=claim.uuid,
                project_id=claim.project,
                user_id=claim.user,
                generation=1,
                consumer_type_id=claim.kind,
            )
        except DBDuplicateEntry:
            raise ConsumerConflict from None
        return
    await transaction.execute(_DROP, consumer=claim.uuid)
    if not claim.amounts:
        await transaction.execute(_DROP_CONSUMER, uuid=claim.uuid)
        return
    kind = claim.kind if claim.kind is not None else consumer["consumer_type_id"]
    changed = await transaction.execute(
        _CHANGE_CONSUMER,
        the_uuid=claim.uuid,
        seen=consumer["generation"],
        project=claim.project,
        user=claim.user,
        kind=kind,
    )
    if not changed:
        raise ConsumerConflict


async def _check_capacity(placement: Placement, claims: list[Claim], rows: list[Any], held: list[Any]) -> None:
    """Raises: ClaimRefused."""
    stock = {(row["uuid"], row["resource_class_id"]): row for row in rows if row["resource_class_id"] is not None}
    given_back: dict[tuple[str, int], int] = {}
    for row in held:
        key = (row["uuid"], row["resource_class_id"])
        given_back[key] = given_back.get(key, 0) + row["used"]
    taken: dict[tuple[str, int], int] = {}
    with_inventory = {uuid for uuid, _class_id in stock}
    for claim in claims:
        for uuid, amounts in claim.amounts.items():
            for class_id, amount in amounts.items():
                key = (uuid, class_id)
                inventory = stock.get(key)
                if inventory is None:
                    listed = amounts if uuid not in with_inventory else (class_id,)
                    names = await placement.classes.names_of(listed)
                    listed_names = ", ".join(names[one] for one in listed)
                    raise ClaimRefused(f"Inventory for '{listed_names}' on resource provider '{uuid}' invalid.")
                name = await placement.classes.name_of(class_id)
                if amount < inventory["min_unit"] or amount > inventory["max_unit"] or amount % inventory["step_size"]:
                    raise ClaimRefused(
                        f"Unable to create allocation for '{name}' on resource provider '{uuid}'. "
                        "The requested amount would violate inventory constraints."
                    )
                before = int(inventory["used"] or 0)
                used = before - given_back.get(key, 0)
                taken[key] = taken.get(key, 0) + amount
                capacity = (inventory["total"] - inventory["reserved"]) * inventory["allocation_ratio"]
                # A provider that is over capacity already may be claimed from as long as that gets no worse.
                if used + taken[key] > capacity and (key not in given_back or used + taken[key] > before):
                    raise ClaimRefused(
                        f"Unable to create allocation for '{name}' on resource provider '{uuid}'. "
                        "The requested amount would exceed the capacity."
                    )


def _new_claim(count: int) -> Statement:
    """The generation is raised if it is still the one that was read; the other rows are written if it was raised."""

    def build() -> Any:
        raised = (
            update(_providers)
            .where(_providers.c.id == bindparam("provider_id"), _providers.c.generation == bindparam("seen"))
            .values(generation=_providers.c.generation + 1)
            .returning(_providers.c.id)
            .cte("raised")
        )
        uuid = bindparam("consumer", type_=_consumers.c.uuid.type)
        of_consumer = {
            _consumers.c.uuid: uuid,
            _consumers.c.project_id: bindparam("project", type_=_consumers.c.project_id.type),
            _consumers.c.user_id: bindparam("user", type_=_consumers.c.user_id.type),
            _consumers.c.generation: literal(1),
            _consumers.c.consumer_type_id: bindparam("kind", type_=_consumers.c.consumer_type_id.type),
        }
        consumer = insert(_consumers).from_select([*of_consumer], select(*of_consumer.values()).select_from(raised))
        of_class = [
            select(
                raised.c.id,
                uuid,
                bindparam(f"class_{index}", type_=_allocations.c.resource_class_id.type),
                bindparam(f"used_{index}", type_=_allocations.c.used.type),
            )
            for index in range(count)
        ]
        columns = ["resource_provider_id", "consumer_id", "resource_class_id", "used"]
        return insert(_allocations).from_select(columns, union_all(*of_class)).add_cte(consumer.cte("added"))

    return Statement.for_shape(("placement new claim", count), build)


def _add_rows(count: int) -> Statement:
    """One INSERT of some allocations: a server spends less on it than on as many of one row."""
    columns = ("resource_provider_id", "consumer_id", "resource_class_id", "used")
    return Statement.for_shape(
        ("placement claim", count),
        lambda: insert(_allocations).values(
            [{name: bindparam(f"{name}_{index}") for name in columns} for index in range(count)]
        ),
    )


def _by_id(row: Row) -> int:
    identity: int = row["id"]
    return identity


async def leave_consumer(placement: Placement, claim: Claim) -> None:
    """Write only the consumer's row: what placement leaves behind when a claim names a provider that is not there."""
    if claim.consumer is None:
        try:
            await placement.database.execute(
                _ADD_CONSUMER,
                uuid=claim.uuid,
                project_id=claim.project,
                user_id=claim.user,
                generation=0,
                consumer_type_id=claim.kind,
            )
        except DBDuplicateEntry:
            return


async def release(placement: Placement, consumer: str) -> bool:
    """Let go of all that a consumer holds. Returns whether it held anything. Generations of providers stay."""
    database = placement.database
    held: list[Any] = []
    try:
        if database.dialect == "postgresql":
            held = await database.fetch(_RELEASE, consumer=consumer)
        else:
            async with database.transaction() as transaction:
                held = await transaction.fetch(_HELD, consumers=[consumer])
                if held:
                    await transaction.execute(_DROP, consumer=consumer)
                    await transaction.execute(_DROP_CONSUMER, uuid=consumer)
    except BaseException as error:
        placement.stock.lose_track(error)
        raise
    placement.stock.written_ids(row["resource_provider_id"] for row in held)
    return bool(held)
