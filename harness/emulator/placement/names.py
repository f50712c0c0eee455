"""Resource classes, traits and aggregates. Checked against placement 16.0.0 on 2026-11-22."""

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from harness.emulator.database import Statement
from harness.emulator.placement import faults, schema, standard_names, validation
from harness.emulator.placement.resource import Request, Resource, Response, query
from harness.emulator.placement.service import GENERATION_CHANGED, GenerationConflict, bump

_STANDARD_CLASSES = frozenset(standard_names.RESOURCE_CLASSES)
_STANDARD_TRAITS = frozenset(standard_names.TRAITS)
_CLASS_NAME = {"type": "string", "pattern": validation.CUSTOM_RC_PATTERN, "maxLength": 255}
_CLASS = {"type": "object", "properties": {"name": _CLASS_NAME}, "required": ["name"], "additionalProperties": False}
_TEXT = {"type": "string"}
_GENERATION = {"resource_provider_generation": {"type": "integer"}}
_TRAITS = {
    "type": "object",
    "properties": {
        "traits": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z0-9_]+$"}, "uniqueItems": True},
        **_GENERATION,
    },
    "required": ["traits", "resource_provider_generation"],
    "additionalProperties": False,
}
_UUIDS = {"type": "array", "items": {"type": "string", "format": "uuid"}, "uniqueItems": True}
_AGGREGATES = {
    "type": "object",
    "properties": {"aggregates": _UUIDS, **_GENERATION},
    "required": ["aggregates", "resource_provider_generation"],
    "additionalProperties": False,
}

_of_provider = schema.resource_provider_traits
_grouped = schema.resource_provider_aggregates
_PROVIDER_TRAITS = Statement(
    select(_of_provider.c.trait_id).where(_of_provider.c.resource_provider_id == bindparam("provider_id"))
)
_DROP_TRAITS = Statement(delete(_of_provider).where(_of_provider.c.resource_provider_id == bindparam("provider_id")))
_ADD_TRAIT = Statement(insert(_of_provider))
_TRAIT_USED = Statement(
    select(func.count()).select_from(_of_provider).where(_of_provider.c.trait_id == bindparam("trait_id"))
)
_PROVIDER_AGGREGATES = Statement(
    select(_grouped.c.aggregate_id)
    .where(_grouped.c.resource_provider_id == bindparam("provider_id"))
    .order_by(_grouped.c.aggregate_id)
)
_DROP_AGGREGATES = Statement(delete(_grouped).where(_grouped.c.resource_provider_id == bindparam("provider_id")))
_ADD_AGGREGATE = Statement(insert(_grouped))
_CLASS_USED = Statement(
    select(func.count())
    .select_from(schema.inventories)
    .where(schema.inventories.c.resource_class_id == bindparam("class_id"))
)


class ResourceClasses(Resource):
    """`/resource_classes` (1.2)."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.since(req, 2)
        self.allow(req, "resource_classes:list")
        names = await self.placement.classes.all()
        self.show(req, resp, {"resource_classes": [_class_view(name) for name in names]})

    async def on_post(self, req: Request, resp: Response) -> None:
        self.since(req, 2)
        self.allow(req, "resource_classes:create")
        name = (await self.document(req, _CLASS))["name"]
        if not await self.placement.classes.create(name):
            raise faults.conflict(f"Conflicting resource class already exists: {name}")
        resp.set_header("Location", f"{req.prefix}/resource_classes/{name}")
        self.nothing(resp, 201)


class ResourceClass(Resource):
    """`/resource_classes/{name}` (1.2)."""

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        self.since(req, 2)
        self.allow(req, "resource_classes:show")
        if await self.placement.classes.id_of(name) is None:
            raise faults.not_found(f"No such resource class {name}.")
        self.show(req, resp, _class_view(name))

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Makes a class (1.7); before, it renamed one by a body, which is no part of this."""
        if req.context.version < (1, 7):
            self.since(req, 2)
            await self.app.body(req)
        self.since(req, 7)
        self.allow(req, "resource_classes:update")
        validation.check({"name": name}, _CLASS)
        created = await self.placement.classes.create(name)
        resp.set_header("Location", f"{req.prefix}/resource_classes/{name}")
        self.nothing(resp, 201 if created else 204)

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        self.since(req, 2)
        self.allow(req, "resource_classes:delete")
        class_id = await self.placement.classes.id_of(name)
        if class_id is None:
            raise faults.not_found(f"No such resource class {name}.")
        if name in _STANDARD_CLASSES:
            raise faults.bad_request(f"Error in delete resource class: Cannot delete standard resource class {name}.")
        if await self.placement.database.fetch_value(_CLASS_USED, class_id=class_id):
            raise faults.conflict(
                f"Error in delete resource class: Cannot delete resource class {name}. Class is in use in inventory."
            )
        await self.placement.classes.delete(name)
        self.nothing(resp)


class Traits(Resource):
    """`GET /traits` (1.6), by `name=startswith:X` or `name=in:A,B`, and `associated=true`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.since(req, 6)
        self.allow(req, "traits:list")
        params = query(req, {"name": _TEXT, "associated": _TEXT})
        names = sorted(await self.placement.traits.all())
        operator, colon, value = params.get("name", "").partition(":")
        if "name" in params:
            if not colon or operator not in ("in", "startswith"):
                raise faults.bad_request(
                    "Badly formatted name parameter. Expected name query string parameter in form: "
                    f'?name=[in|startswith]:[name1,name2|prefix]. Got: "{params["name"]}"'
                )
            listed = value.split(",")
            names = [name for name in names if (name in listed if operator == "in" else name.startswith(value))]
        if "associated" in params:
            if params["associated"].lower() not in ("true", "false"):
                raise faults.bad_request('The query parameter "associated" only accepts "true" or "false"')
            wanted = params["associated"].lower() == "true"
            names = [name for name in names if bool(await self._used(name)) is wanted]
        self.show(req, resp, {"traits": names})

    async def _used(self, name: str) -> int:
        trait_id = await self.placement.traits.id_of(name)
        return int(await self.placement.database.fetch_value(_TRAIT_USED, trait_id=trait_id))


class Trait(Traits):
    """`/traits/{name}` (1.6)."""

    async def on_get(self, req: Request, resp: Response, name: str) -> None:  # type: ignore[override]
        self.since(req, 6)
        self.allow(req, "traits:show")
        if await self.placement.traits.id_of(name) is None:
            raise _no_trait(name)
        self.uncached(req, resp)
        self.nothing(resp)

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        self.since(req, 6)
        self.allow(req, "traits:update")
        if validation.find_problem(name, _CLASS_NAME):
            raise faults.bad_request(
                "The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "
                '"CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"'
            )
        created = await self.placement.traits.create(name)
        resp.set_header("Location", f"{req.prefix}/traits/{name}")
        self.uncached(req, resp)
        self.nothing(resp, 201 if created else 204)

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        self.since(req, 6)
        self.allow(req, "traits:delete")
        if await self.placement.traits.id_of(name) is None:
            raise _no_trait(name)
        if name in _STANDARD_TRAITS:
            raise faults.bad_request(f"Cannot delete standard trait {name}.")
        if await self._used(name):
            raise faults.conflict(f"The trait {name} is in use by a resource provider.")
        await self.placement.traits.delete(name)
        self.nothing(resp)


class ProviderTraits(Resource):
    """`/resource_providers/{uuid}/traits` (1.6)."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:
        self.since(req, 6)
        self.allow(req, "resource_providers:traits:list")
        provider = await self.placement.provider(
            uuid, "No resource provider with uuid {uuid} found: No resource provider with uuid {uuid} found"
        )
        rows = await self.placement.database.fetch(_PROVIDER_TRAITS, provider_id=provider["id"])
        names = await self.placement.traits.names_of(row["trait_id"] for row in rows)
        self.show(req, resp, {"traits": sorted(names.values()), "resource_provider_generation": provider["generation"]})

    async def on_put(self, req: Request, resp: Response, uuid: str) -> None:
        self.since(req, 6)
        self.allow(req, "resource_providers:traits:update")
        body = await self.document(req, _TRAITS)
        provider = await self.placement.provider(uuid)
        if provider["generation"] != body["resource_provider_generation"]:
            raise faults.concurrent(GENERATION_CHANGED)
        ids: list[int] = []
        for name in body["traits"]:
            trait_id = await self.placement.traits.id_of(name)
            if trait_id is None:
                raise faults.bad_request(f"No such trait {name}")
            ids.append(trait_id)
        present = await self.placement.database.fetch(_PROVIDER_TRAITS, provider_id=provider["id"])
        generation = provider["generation"]
        if {row["trait_id"] for row in present} != set(ids):
            await self._replace(provider, ids)
            generation += 1
        self.show(req, resp, {"traits": sorted(body["traits"]), "resource_provider_generation": generation})

    async def on_delete(self, req: Request, resp: Response, uuid: str) -> None:
        self.since(req, 6)
        self.allow(req, "resource_providers:traits:delete")
        await self._replace(await self.placement.provider(uuid), [])
        self.nothing(resp)

    async def _replace(self, provider: Any, trait_ids: list[int]) -> None:
        try:
            async with self.placement.database.transaction() as transaction:
                await transaction.execute(_DROP_TRAITS, provider_id=provider["id"])
                if trait_ids:
                    await transaction.execute_many(
                        _ADD_TRAIT,
                        [{"resource_provider_id": provider["id"], "trait_id": trait_id} for trait_id in trait_ids],
                    )
                await bump(transaction, provider)
        except GenerationConflict:
            raise faults.concurrent(GENERATION_CHANGED) from None


class ProviderAggregates(Resource):
    """`/resource_providers/{uuid}/aggregates` (1.1); with the provider's generation from 1.19 on."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:
        self.since(req, 1)
        self.allow(req, "resource_providers:aggregates:list")
        provider = await self.placement.provider(uuid)
        rows = await self.placement.database.fetch(_PROVIDER_AGGREGATES, provider_id=provider["id"])
        uuids = [await self.placement.aggregates.name_of(row["aggregate_id"]) for row in rows]
        self._answer(req, resp, uuids, provider["generation"])

    async def on_put(self, req: Request, resp: Response, uuid: str) -> None:
        self.since(req, 1)
        self.allow(req, "resource_providers:aggregates:update")
        with_generation = req.context.version >= (1, 19)
        provider = await self.placement.provider(uuid)
        body = await self.document(req, _AGGREGATES if with_generation else _UUIDS)
        uuids = body["aggregates"] if with_generation else body
        if with_generation and provider["generation"] != body["resource_provider_generation"]:
            raise faults.concurrent(GENERATION_CHANGED)
        ids = [await self.placement.aggregates.ensure(one) for one in uuids]
        try:
            async with self.placement.database.transaction() as transaction:
                await transaction.execute(_DROP_AGGREGATES, provider_id=provider["id"])
                if ids:
                    await transaction.execute_many(
                        _ADD_AGGREGATE,
                        [{"resource_provider_id": provider["id"], "aggregate_id": one} for one in ids],
                    )
                if with_generation:
                    await bump(transaction, provider)
        except GenerationConflict:
            raise faults.concurrent(GENERATION_CHANGED) from None
        self._answer(req, resp, uuids, provider["generation"] + 1)

    def _answer(self, req: Request, resp: Response, uuids: list[str], generation: int) -> None:
        body: dict[str, Any] = {"aggregates": uuids}
        if req.context.version >= (1, 19):
            body["resource_provider_generation"] = generation
        self.show(req, resp, body)


def _class_view(name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"/resource_classes/{name}"}]}


def _no_trait(name: str) -> Exception:
    return faults.not_found(f"No such trait(s): {name}.")
