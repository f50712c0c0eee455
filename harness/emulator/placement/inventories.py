"""Inventories of a provider: what it has, by resource class. Checked against placement 16.0.0 on 2026-11-22."""

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from harness.emulator.database import DBDuplicateEntry, Statement, Transaction, in_list
from harness.emulator.http import ApiError
from harness.emulator.placement import faults, schema, validation
from harness.emulator.placement.resource import Request, Resource, Response
from harness.emulator.placement.service import GenerationConflict, Row, bump

_MAX_INT = 2_147_483_647
_DEFAULTS = {
    "reserved": 0,
    "min_unit": 1,
    "max_unit": _MAX_INT,
    "step_size": 1,
    "allocation_ratio": 1.0,
}
_PROPERTIES: dict[str, Any] = {
    "resource_provider_generation": {"type": "integer"},
    "total": {"type": "integer", "maximum": _MAX_INT, "minimum": 1},
    "reserved": {"type": "integer", "maximum": _MAX_INT, "minimum": 0},
    "min_unit": {"type": "integer", "maximum": _MAX_INT, "minimum": 1},
    "max_unit": {"type": "integer", "maximum": _MAX_INT, "minimum": 1},
    "step_size": {"type": "integer", "maximum": _MAX_INT, "minimum": 1},
    "allocation_ratio": {"type": "number", "maximum": 3.40282e38, "minimum": 0},
}
_RECORD = {"type": "object", "properties": _PROPERTIES, "required": ["total"], "additionalProperties": False}
_PUT_ONE = {**_RECORD, "required": ["total", "resource_provider_generation"]}
_POST = {
    **_PUT_ONE,
    "properties": {**_PROPERTIES, "resource_class": {"type": "string", "pattern": validation.RC_PATTERN}},
    "required": ["total", "resource_class"],
}
_PUT_ALL = {
    "type": "object",
    "properties": {
        "resource_provider_generation": {"type": "integer"},
        "inventories": {
            "type": "object",
            "patternProperties": {validation.RC_PATTERN: _RECORD},
        },
    },
    "required": ["resource_provider_generation", "inventories"],
    "additionalProperties": False,
}

_inventories = schema.inventories
_allocations = schema.allocations
_OF_PROVIDER = Statement(
    select(_inventories)
    .where(_inventories.c.resource_provider_id == bindparam("provider_id"))
    .order_by(_inventories.c.resource_class_id)
)
_ONE = (_inventories.c.resource_provider_id == bindparam("provider_id"),
        _inventories.c.resource_class_id == bindparam("class_id"))  # fmt: skip
_ADD = Statement(insert(_inventories))
_CHANGE = Statement(update(_inventories).where(*_ONE))
_DROP = Statement(
    delete(_inventories).where(
        _inventories.c.resource_provider_id == bindparam("provider_id"),
        in_list(_inventories.c.resource_class_id, "class_ids"),
    )
)
_IN_USE = Statement(
    select(_allocations.c.resource_class_id)
    .where(
        _allocations.c.resource_provider_id == bindparam("provider_id"),
        in_list(_allocations.c.resource_class_id, "class_ids"),
    )
    .group_by(_allocations.c.resource_class_id)
    .order_by(func.min(_allocations.c.resource_class_id))
)


def view(row: Row) -> dict[str, Any]:
    """One inventory as placement shows it."""
    return {
        "total": row["total"],
        "reserved": row["reserved"],
        "min_unit": row["min_unit"],
        "max_unit": row["max_unit"],
        "step_size": row["step_size"],
        "allocation_ratio": row["allocation_ratio"],
    }


def _record(given: dict[str, Any]) -> dict[str, Any]:
    values = {name: given.get(name, default) for name, default in _DEFAULTS.items()}
    return {"total": given["total"], **values}


class _Inventories(Resource):
    async def _show_all(self, req: Request, resp: Response, provider: Row, generation: int) -> None:
        rows = await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"])
        names = await self.placement.classes.names_of(row["resource_class_id"] for row in rows)
        shown = {names[row["resource_class_id"]]: view(row) for row in rows}
        self.show(req, resp, {"resource_provider_generation": generation, "inventories": shown})

    def _show_one(
        self, req: Request, resp: Response, record: dict[str, Any], generation: int, status: int = 200
    ) -> None:
        self.show(req, resp, {**record, "resource_provider_generation": generation}, status)

    def _same_generation(self, provider: Row, given: dict[str, Any]) -> None:
        if provider["generation"] != given["resource_provider_generation"]:
            raise faults.concurrent("resource provider generation conflict")

    def _check_record(self, req: Request, provider: Row, name: str, record: dict[str, Any]) -> None:
        """Reserved may equal the total from microversion 1.26 on, never exceed it."""
        spare = record["total"] - record["reserved"]
        if spare < 0 or (spare == 0 and req.context.version < (1, 26)):
            raise faults.bad_request(
                f"Unable to update inventory for resource provider {provider['uuid']}: Invalid inventory for "
                f"'{name}' on resource provider '{provider['uuid']}'. The reserved value is greater than "
                f"{'or equal to ' if req.context.version < (1, 26) else ''}total."
            )

    async def _refuse_in_use(self, transaction: Transaction, provider: Row, class_ids: list[int]) -> None:
        used = await transaction.fetch(_IN_USE, provider_id=provider["id"], class_ids=class_ids)
        if used:
            names = await self.placement.classes.names_of(row["resource_class_id"] for row in used)
            listed = ", ".join(names[row["resource_class_id"]] for row in used)
            raise _InUse(f"Inventory for '{listed}' on resource provider '{provider['uuid']}' in use.")

    async def _write(self, provider: Row, class_id: int, record: dict[str, Any], *, new: bool) -> None:
        """Raises: GenerationConflict, DBDuplicateEntry."""
        async with self.placement.database.transaction() as transaction:
            if new:
                await transaction.execute(
                    _ADD, resource_provider_id=provider["id"], resource_class_id=class_id, **record
                )
            else:
                await transaction.execute(_CHANGE, provider_id=provider["id"], class_id=class_id, **record)
            await bump(transaction, provider)


class _InUse(Exception):
    """Allocations hold what was to be removed; the message says which."""


class Inventories(_Inventories):
    """`/resource_providers/{uuid}/inventories`."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:inventories:list")
        provider = await self.placement.provider(uuid, "No resource provider with uuid {uuid} found : "
                                                 "No resource provider with uuid {uuid} found")  # fmt: skip
        await self._show_all(req, resp, provider, provider["generation"])

    async def on_put(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:inventories:update")
        body = await self.document(req, _PUT_ALL)
        provider = await self.placement.provider(uuid)
        self._same_generation(provider, body)
        records: dict[int, dict[str, Any]] = {}
        for name, given in body["inventories"].items():
            class_id = await self.placement.classes.id_of(name)
            if class_id is None:
                raise faults.bad_request(
                    f"Unknown resource class in inventory for resource provider {uuid}: No such resource class {name}."
                )
            records[class_id] = record = _record(given)
            self._check_record(req, provider, name, record)
        present = await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"])
        before = {row["resource_class_id"]: row for row in present}
        gone = [class_id for class_id in before if class_id not in records]
        added = [
            {"resource_provider_id": provider["id"], "resource_class_id": class_id, **record}
            for class_id, record in records.items()
            if class_id not in before
        ]
        try:
            async with self.placement.database.transaction() as transaction:
                if gone:
                    await self._refuse_in_use(transaction, provider, gone)
                    await transaction.execute(_DROP, provider_id=provider["id"], class_ids=gone)
                if added:
                    await transaction.execute_many(_ADD, added)
                for class_id, record in records.items():
                    if class_id in before and view(before[class_id]) != record:
                        await transaction.execute(_CHANGE, provider_id=provider["id"], class_id=class_id, **record)
                await bump(transaction, provider)
        except (GenerationConflict, DBDuplicateEntry):
            raise faults.concurrent("resource provider generation conflict") from None
        except _InUse as error:
            raise faults.conflict(f"update conflict: {error}", faults.INVENTORY_INUSE) from None
        names = await self.placement.classes.names_of(records)
        shown = {names[class_id]: record for class_id, record in records.items()}
        self.show(req, resp, {"resource_provider_generation": provider["generation"] + 1, "inventories": shown})

    async def on_post(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:inventories:create")
        provider = await self.placement.provider(uuid)
        body = await self.document(req, _POST)  # placement looks at no generation here
        name = body["resource_class"]
        class_id = await self.placement.classes.id_of(name)
        if class_id is None:
            raise faults.bad_request(
                f"Unable to create inventory for resource provider {uuid}: No such resource class {name}."
            )
        record = _record(body)
        self._check_record(req, provider, name, record)
        try:
            await self._write(provider, class_id, record, new=True)
        except (GenerationConflict, DBDuplicateEntry) as error:
            raise faults.concurrent(f"Update conflict: {error or faults.CONCURRENT_UPDATE}") from None
        resp.set_header("Location", f"{req.prefix}/resource_providers/{uuid}/inventories/{name}")
        self._show_one(req, resp, record, provider["generation"] + 1, 201)

    async def on_delete(self, req: Request, resp: Response, uuid: str) -> None:
        if req.context.version < (1, 5):
            raise ApiError(405, "The method DELETE is not allowed for this resource. \n\n ", code="")
        self.allow(req, "resource_providers:inventories:delete")
        provider = await self.placement.provider(uuid)
        present = await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"])
        class_ids = [row["resource_class_id"] for row in present]
        try:
            async with self.placement.database.transaction() as transaction:
                await self._refuse_in_use(transaction, provider, class_ids)
                await transaction.execute(_DROP, provider_id=provider["id"], class_ids=class_ids)
                await bump(transaction, provider)
        except GenerationConflict:
            raise faults.concurrent("Unable to delete inventory for resource provider: generation conflict") from None
        except _InUse as error:
            raise faults.conflict(str(error), faults.INVENTORY_INUSE) from None
        self.nothing(resp)


class Inventory(_Inventories):
    """`/resource_providers/{uuid}/inventories/{resource_class}`."""

    async def on_get(self, req: Request, resp: Response, uuid: str, resource_class: str) -> None:
        self.allow(req, "resource_providers:inventories:show")
        provider = await self.placement.provider(uuid)
        row = await self._row(provider, resource_class)
        if row is None:
            raise faults.not_found(f"No inventory of class {resource_class} for {uuid}")
        self._show_one(req, resp, view(row), provider["generation"])

    async def on_put(self, req: Request, resp: Response, uuid: str, resource_class: str) -> None:
        self.allow(req, "resource_providers:inventories:update")
        provider = await self.placement.provider(uuid)
        body = await self.document(req, _PUT_ONE)
        self._same_generation(provider, body)
        record = _record(body)
        self._check_record(req, provider, resource_class, record)
        row = await self._row(provider, resource_class)
        if row is None:
            raise faults.bad_request(f"No inventory record with resource class for resource provider {uuid}: "
                                     f"No inventory of class {resource_class} found.")  # fmt: skip
        try:
            await self._write(provider, row["resource_class_id"], record, new=False)
        except GenerationConflict:
            raise faults.concurrent("update conflict: Another thread concurrently updated the data. "
                                    "Please retry your update") from None  # fmt: skip
        self._show_one(req, resp, record, provider["generation"] + 1)

    async def on_delete(self, req: Request, resp: Response, uuid: str, resource_class: str) -> None:
        self.allow(req, "resource_providers:inventories:delete")
        provider = await self.placement.provider(uuid)
        row = await self._row(provider, resource_class)
        if row is None:
            missing = f"No inventory of class {resource_class} found for delete"
            known = await self.placement.classes.id_of(resource_class) is not None
            raise faults.not_found(f"{missing}: {missing if known else f'No such resource class {resource_class}.'}")
        class_ids = [row["resource_class_id"]]
        try:
            async with self.placement.database.transaction() as transaction:
                await self._refuse_in_use(transaction, provider, class_ids)
                await transaction.execute(_DROP, provider_id=provider["id"], class_ids=class_ids)
                await bump(transaction, provider)
        except (GenerationConflict, _InUse) as error:
            raise _undeletable(resource_class, error) from None
        self.nothing(resp)

    async def _row(self, provider: Row, resource_class: str) -> Row | None:
        class_id = await self.placement.classes.id_of(resource_class)
        for row in await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"]):
            if row["resource_class_id"] == class_id:
                found: Row = row
                return found
        return None


def _undeletable(resource_class: str, error: Exception) -> ApiError:
    return faults.concurrent(f"Unable to delete inventory of class {resource_class}: {error}")
