"""`/resource_providers`. Checked against placement 16.0.0 on 2026-11-22.

Trees are kept (`parent_provider_uuid`, `root_provider_uuid`, `in_tree`), but see `candidates` for what uses them.
"""

from typing import Any
from uuid import uuid4

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from harness.emulator.database import DBDuplicateEntry, Statement, in_list
from harness.emulator.placement import faults, filters, schema, validation
from harness.emulator.placement.resource import Request, Resource, Response, query
from harness.emulator.placement.service import Row

_providers = schema.resource_providers
_UUID = {"type": "string", "format": "uuid"}
_TEXT = {"type": "string"}
_POST = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 200},
        "uuid": _UUID,
        "parent_provider_uuid": {"type": ["string", "null"], "format": "uuid"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
_PUT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 200},
        "parent_provider_uuid": {"type": ["string", "null"], "format": "uuid"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
# With the microversion that brought each.
_FILTERS: dict[str, tuple[int, validation.Schema]] = {
    "name": (0, _TEXT),
    "uuid": (0, _UUID),
    "member_of": (3, _TEXT),
    "resources": (4, _TEXT),
    "in_tree": (14, _UUID),
    "required": (18, _TEXT),
}
_ADD = Statement(insert(_providers))
_CHANGE = Statement(update(_providers).where(_providers.c.id == bindparam("the_id")))
_DELETE = Statement(delete(_providers).where(_providers.c.id == bindparam("id")))
_CHILDREN = Statement(select(_providers.c.uuid).where(_providers.c.parent_provider_id == bindparam("id")))
_UUIDS = Statement(select(_providers.c.id, _providers.c.uuid).where(in_list(_providers.c.id, "ids")))
_HAS_ALLOCATIONS = Statement(
    select(func.count())
    .select_from(schema.allocations)
    .where(schema.allocations.c.resource_provider_id == bindparam("id"))
)
_BELONGINGS = [
    Statement(delete(table).where(table.c.resource_provider_id == bindparam("id")))
    for table in (schema.inventories, schema.resource_provider_traits, schema.resource_provider_aggregates)
]


class ResourceProviders(Resource):
    """`/resource_providers`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.allow(req, "resource_providers:list")
        minor = req.context.version[1]
        params = query(req, {name: kind for name, (since, kind) in _FILTERS.items() if minor >= since})
        conditions: list[Any] = []
        values: dict[str, Any] = {}
        shape: list[Any] = ["providers"]
        for name in ("name", "uuid"):
            if name in params:
                conditions.append(_providers.c[name] == bindparam(name))
                values[name] = params[name]
                shape.append(name)
        if "in_tree" in params:
            member = await self.placement.find_provider(params["in_tree"])
            if member is None:
                self.show(req, resp, {"resource_providers": []})
                return
            values["root"] = member["root_provider_id"] or member["id"]
            conditions.append(
                or_(_providers.c.id == bindparam("root"), _providers.c.root_provider_id == bindparam("root"))
            )
            shape.append("in_tree")
        chosen = await filters.parse(self.placement, params)
        values |= chosen.values
        shape += chosen.shape
        statement = Statement.for_shape(
            tuple(shape),
            lambda: (
                select(_providers)
                .where(*conditions, *(condition() for condition in chosen.conditions))
                .order_by(_providers.c.id)
            ),
        )
        rows = await self.placement.database.fetch(statement, **values)
        uuids = await self._relatives(rows) if req.context.version >= (1, 14) else {}
        self.show(req, resp, {"resource_providers": [_view(req, row, uuids) for row in rows]})

    async def on_post(self, req: Request, resp: Response) -> None:
        self.allow(req, "resource_providers:create")
        body = await self.document(req, _POST)
        if req.context.version < (1, 14) and "parent_provider_uuid" in body:
            raise faults.bad_request(
                "JSON does not validate: Additional properties are not allowed ('parent_provider_uuid' was unexpected)"
            )
        name, uuid = body["name"], body.get("uuid") or str(uuid4())
        if not name:
            raise faults.bad_request(
                f'Unable to create resource provider "", {uuid}: Object action create failed because: name is required'
            )
        parent = root = None
        if body.get("parent_provider_uuid"):
            parent = await self.placement.find_provider(body["parent_provider_uuid"])
            if parent is None:
                raise faults.bad_request(
                    f'Unable to create resource provider "{name}", {uuid}: Object action create failed because: '
                    "parent provider UUID does not exist."
                )
            root = parent["root_provider_id"] or parent["id"]
        try:
            await self.placement.database.execute(
                _ADD,
                uuid=uuid,
                name=name,
                generation=0,
                root_provider_id=root,
                parent_provider_id=parent["id"] if parent else None,
            )
        except DBDuplicateEntry as error:
            column = "uuid" if "uuid" in error.constraint else "name"
            raise faults.conflict(
                f"Conflicting resource provider {column}: {uuid if column == 'uuid' else name} already exists.",
                faults.DUPLICATE_NAME,
            ) from None
        except BaseException as error:
            self.placement.stock.written([uuid], error)
            raise
        self.placement.stock.written([uuid])
        resp.set_header("Location", f"{req.prefix}/resource_providers/{uuid}")
        if req.context.version < (1, 20):
            self.nothing(resp, 201)
            return
        row = await self.placement.provider(uuid)
        self.show(req, resp, _view(req, row, await self._relatives([row])))

    async def _relatives(self, rows: list[Any]) -> dict[int, str]:
        """Row number -> uuid of parents and roots."""
        uuids = {row["id"]: row["uuid"] for row in rows}
        wanted = {row[column] for row in rows for column in ("root_provider_id", "parent_provider_id")}
        missing = [one for one in wanted if one is not None and one not in uuids]
        if missing:
            uuids |= {row["id"]: row["uuid"] for row in await self.placement.database.fetch(_UUIDS, ids=missing)}
        return uuids


class ResourceProvider(ResourceProviders):
    """`/resource_providers/{uuid}`."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:  # type: ignore[override]
        self.allow(req, "resource_providers:show")
        row = await self.placement.provider(uuid)
        self.show(req, resp, _view(req, row, await self._relatives([row])))

    async def on_put(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:update")
        row = await self.placement.provider(uuid)
        body = await self.document(req, _PUT)
        values: dict[str, Any] = {"name": body["name"]}
        if body.get("parent_provider_uuid"):
            parent = await self.placement.find_provider(body["parent_provider_uuid"])
            if parent is None:
                raise faults.bad_request(
                    f"Unable to save resource provider {uuid}: Object action create failed because: parent provider "
                    "UUID does not exist."
                )
            if row["id"] in (parent["id"], parent["parent_provider_id"], parent["root_provider_id"]):
                raise faults.bad_request(
                    f"Unable to save resource provider {uuid}: Object action update failed because: creating loop in "
                    "the provider tree is not allowed."
                )
            values["parent_provider_id"] = parent["id"]
            values["root_provider_id"] = parent["root_provider_id"] or parent["id"]
        try:
            await self.placement.database.execute(_CHANGE, the_id=row["id"], **values)
        except DBDuplicateEntry:
            raise faults.conflict(
                f"Conflicting resource provider {body['name']} already exists.", faults.DUPLICATE_NAME
            ) from None
        row = await self.placement.provider(uuid)
        self.show(req, resp, _view(req, row, await self._relatives([row])))

    async def on_delete(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:delete")
        row = await self.placement.provider(uuid, "No resource provider with uuid {uuid} found for delete")
        database = self.placement.database
        if await database.fetch_one(_CHILDREN, id=row["id"]):
            raise faults.conflict(
                f"Unable to delete parent resource provider {uuid}: It has child resource providers.",
                faults.PROVIDER_CANNOT_DELETE_PARENT,
            )
        if await database.fetch_value(_HAS_ALLOCATIONS, id=row["id"]):
            raise faults.conflict(
                f"Unable to delete resource provider {uuid}: Resource provider has allocations.",
                faults.PROVIDER_IN_USE,
            )
        async with database.transaction() as transaction:
            for statement in _BELONGINGS:
                await transaction.execute(statement, id=row["id"])
            await transaction.execute(_DELETE, id=row["id"])
        self.nothing(resp)

    on_post = None  # type: ignore[assignment]


def _view(req: Request, row: Row, uuids: dict[int, str]) -> dict[str, Any]:
    version = req.context.version
    path = f"/resource_providers/{row['uuid']}"
    kinds = ["inventories", "usages"]
    for minor, kind in ((1, "aggregates"), (6, "traits"), (11, "allocations")):
        if version >= (1, minor):
            kinds.append(kind)
    view = {"uuid": row["uuid"], "name": row["name"], "generation": row["generation"]}
    view["links"] = [
        {"rel": "self", "href": path},
        *({"rel": kind, "href": f"{path}/{kind}"} for kind in kinds),
    ]
    if version >= (1, 14):
        parent = row["parent_provider_id"]
        view["parent_provider_uuid"] = uuids.get(parent) if parent is not None else None
        view["root_provider_uuid"] = uuids.get(row["root_provider_id"] or row["id"])
    return view
