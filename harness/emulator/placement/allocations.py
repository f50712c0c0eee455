"""`/allocations` and `/resource_providers/{uuid}/allocations`: claims as the API has them.

Checked against placement 16.0.0 on 2026-11-22, microversions 1.0 to 1.39: formats, conflicts, refusals.
"""

from typing import Any

from sqlalchemy import bindparam, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError
from harness.emulator.placement import claims, faults, schema, validation
from harness.emulator.placement.claims import Claim
from harness.emulator.placement.resource import Request, Resource, Response
from harness.emulator.placement.service import GenerationConflict

_CONCURRENT = "Another thread concurrently updated the data. Please retry your update"
_INCOMPLETE = "00000000-0000-0000-0000-000000000000"  # project and user of a consumer made before 1.8
_GROUP = r"^[a-zA-Z0-9_-]{0,64}$"
_RESOURCES = {
    "type": "object",
    "minProperties": 1,
    "patternProperties": {validation.RC_PATTERN: {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
_WHO: dict[str, Any] = {
    "project_id": {"type": "string", "minLength": 1, "maxLength": 255},
    "user_id": {"type": "string", "minLength": 1, "maxLength": 255},
}


def _list_schema(minor: int) -> dict[str, Any]:
    """Bodies below 1.12: allocations are a list."""
    required = ["allocations"]
    properties: dict[str, Any] = {
        "allocations": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "resource_provider": {
                        "type": "object",
                        "properties": {"uuid": {"type": "string", "format": "uuid"}},
                        "additionalProperties": False,
                        "required": ["uuid"],
                    },
                    "resources": _RESOURCES,
                },
                "required": ["resource_provider", "resources"],
                "additionalProperties": False,
            },
        }
    }
    if minor >= 8:
        properties |= _WHO
        required += ["project_id", "user_id"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _dict_schema(minor: int, *, may_be_empty: bool) -> dict[str, Any]:
    """Bodies from 1.12 on: allocations by provider."""
    properties: dict[str, Any] = {
        "allocations": {
            "type": "object",
            "minProperties": 0 if may_be_empty or minor >= 28 else 1,
            "patternProperties": {
                validation.UUID_PATTERN: {
                    "type": "object",
                    "properties": {"generation": {"type": "integer"}, "resources": _RESOURCES},
                    "required": ["resources"],
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
        **_WHO,
    }
    required = ["allocations", "project_id", "user_id"]
    if minor >= 28:
        properties["consumer_generation"] = {"type": ["integer", "null"]}
        required.append("consumer_generation")
    if minor >= 34:
        properties["mappings"] = {"type": "object", "minProperties": 1, "patternProperties": {_GROUP: {}}}
    if minor >= 38:
        properties["consumer_type"] = {
            "type": "string",
            "pattern": r"^[A-Z0-9_]+$",
            "minLength": 1,
            "maxLength": 255,
        }
        required.append("consumer_type")
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _step(minor: int) -> int:
    return max(one for one in (0, 8, 12, 28, 34, 38) if one <= minor)


_PUT = {minor: _list_schema(minor) if minor < 12 else _dict_schema(minor, may_be_empty=False)
        for minor in (0, 8, 12, 28, 34, 38)}  # fmt: skip
_POST = {
    minor: {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "patternProperties": {validation.UUID_PATTERN: _dict_schema(minor, may_be_empty=True)},
    }
    for minor in (12, 28, 34, 38)
}

_allocations = schema.allocations
_providers = schema.resource_providers
_consumers = schema.consumers
_OF_CONSUMER = Statement(
    select(
        _allocations.c.used,
        _allocations.c.resource_class_id,
        _providers.c.uuid,
        _providers.c.generation,
        _consumers.c.generation.label("consumer_generation"),
        _consumers.c.consumer_type_id,
        _consumers.c.project_id,
        _consumers.c.user_id,
    )
    .select_from(
        _allocations.join(_providers, _allocations.c.resource_provider_id == _providers.c.id).join(
            _consumers, _allocations.c.consumer_id == _consumers.c.uuid
        )
    )
    .where(_allocations.c.consumer_id == bindparam("consumer"))
    .order_by(_allocations.c.id)
)
_OF_PROVIDER = Statement(
    select(
        _allocations.c.used,
        _allocations.c.resource_class_id,
        _allocations.c.consumer_id,
        _consumers.c.generation.label("consumer_generation"),
    )
    .select_from(_allocations.join(_consumers, _allocations.c.consumer_id == _consumers.c.uuid))
    .where(_allocations.c.resource_provider_id == bindparam("provider_id"))
    .order_by(_allocations.c.id)
)


class _Writer(Resource):
    async def _claim(self, req: Request, uuid: str, given: dict[str, Any]) -> Claim:
        """One consumer's part of a request. Raises: ApiError 409 for a wrong consumer generation, 400."""
        placement = self.placement
        version = req.context.version
        project = await placement.projects.ensure(given.get("project_id", _INCOMPLETE))
        user = await placement.users.ensure(given.get("user_id", _INCOMPLETE))
        consumer = None
        # A consumer that is said to be new is not looked for: writing its row tells, and costs one query less.
        if version < (1, 28) or given["consumer_generation"] is not None:
            consumer = await placement.database.fetch_one(claims.CONSUMER, uuid=uuid)
        if version >= (1, 28):
            wanted = given["consumer_generation"]
            if consumer is None and wanted is not None:
                raise faults.concurrent(f"consumer generation conflict - expected null but got {wanted}")
            if consumer is not None and consumer["generation"] != wanted:
                raise _conflict(consumer["generation"], wanted)
        kind = None
        if version >= (1, 38):
            kind = await placement.consumer_types.ensure(given["consumer_type"])
        amounts: dict[str, dict[int, int]] = {}
        for provider, resources in _by_provider(given["allocations"]).items():
            amounts[provider] = {}
            for name, amount in resources.items():
                class_id = await placement.classes.id_of(name)
                if class_id is None:
                    await self._refuse_known([Claim(uuid, consumer, project, user, kind, {})])
                    raise faults.bad_request(
                        f"Unable to allocate inventory for consumer {uuid}: No such resource class {name}."
                    )
                amounts[provider][class_id] = amount
        return Claim(uuid, consumer, project, user, kind, amounts)

    async def _set(self, asked: list[Claim]) -> None:
        try:
            await claims.set_claims(self.placement, asked)
        except claims.ClaimRefused as refusal:
            await self._refuse_known(asked)
            raise faults.conflict(f"Unable to allocate inventory: {refusal}") from None
        except claims.UnknownProvider as unknown:
            await self._refuse_known(asked)
            for claim in asked:
                await claims.leave_consumer(self.placement, claim)
            raise faults.bad_request(f"Allocation for resource provider '{unknown}' that does not exist.") from None
        except claims.ConsumerConflict:
            await self._refuse_known(asked)
            raise _changed() from None
        except GenerationConflict:
            raise _changed() from None

    async def _refuse_known(self, asked: list[Claim]) -> None:
        """Raises: ApiError 409 when a consumer that was said to be new is there already."""
        for claim in asked:
            if claim.consumer is None:
                row = await self.placement.database.fetch_one(claims.CONSUMER, uuid=claim.uuid)
                if row is not None:
                    raise _conflict(row["generation"], None)


class Allocations(_Writer):
    """`POST /allocations`: several consumers, all or none (1.13)."""

    async def on_post(self, req: Request, resp: Response) -> None:
        self.since(req, 13)
        self.allow(req, "allocations:manage")
        body = await self.document(req, _POST[_step(req.context.version[1])])
        await self._set([await self._claim(req, uuid, given) for uuid, given in body.items()])
        self.nothing(resp)


class ConsumerAllocations(_Writer):
    """`/allocations/{consumer_uuid}`."""

    async def on_get(self, req: Request, resp: Response, consumer_uuid: str) -> None:
        self.allow(req, "allocations:list")
        placement = self.placement
        version = req.context.version
        rows = await placement.database.fetch(_OF_CONSUMER, consumer=consumer_uuid)
        shown: dict[str, dict[str, Any]] = {}
        for row in rows:
            entry = shown.setdefault(row["uuid"], {"resources": {}, "generation": row["generation"]})
            entry["resources"][await placement.classes.name_of(row["resource_class_id"])] = row["used"]
        answer: dict[str, Any] = {"allocations": shown}
        if rows and version >= (1, 12):
            answer["project_id"] = await placement.projects.name_of(rows[0]["project_id"])
            answer["user_id"] = await placement.users.name_of(rows[0]["user_id"])
            if version >= (1, 28):
                answer["consumer_generation"] = rows[0]["consumer_generation"]
            if version >= (1, 38):
                kind = rows[0]["consumer_type_id"]
                answer["consumer_type"] = "unknown" if kind is None else await placement.consumer_types.name_of(kind)
        self.show(req, resp, answer)

    async def on_put(self, req: Request, resp: Response, consumer_uuid: str) -> None:
        self.allow(req, "allocations:update")
        if not validation.UUID.match(consumer_uuid):
            raise faults.bad_request(f"Malformed consumer_uuid: {consumer_uuid}")
        body = await self.document(req, _PUT[_step(req.context.version[1])])
        await self._set([await self._claim(req, consumer_uuid, body)])
        self.nothing(resp)

    async def on_delete(self, req: Request, resp: Response, consumer_uuid: str) -> None:
        self.allow(req, "allocations:delete")
        if not await claims.release(self.placement, consumer_uuid):
            raise faults.not_found(f"No allocations for consumer '{consumer_uuid}'")
        self.nothing(resp)


class ProviderAllocations(Resource):
    """`GET /resource_providers/{uuid}/allocations`: who holds what of one provider."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:allocations:list")
        provider = await self.placement.provider(
            uuid, "Resource provider '{uuid}' not found: No resource provider with uuid {uuid} found"
        )
        with_generation = req.context.version >= (1, 28)
        shown: dict[str, dict[str, Any]] = {}
        for row in await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"]):
            entry = shown.setdefault(row["consumer_id"], {"resources": {}})
            entry["resources"][await self.placement.classes.name_of(row["resource_class_id"])] = row["used"]
            if with_generation:
                entry["consumer_generation"] = row["consumer_generation"]
        self.show(req, resp, {"allocations": shown, "resource_provider_generation": provider["generation"]})


def _by_provider(allocations: Any) -> dict[str, dict[str, int]]:
    if isinstance(allocations, list):
        return {one["resource_provider"]["uuid"]: one["resources"] for one in allocations}
    return {uuid: one["resources"] for uuid, one in allocations.items()}


def _conflict(expected: Any, got: Any) -> ApiError:
    return faults.concurrent(f"consumer generation conflict - expected {expected} but got {got}")


def _changed() -> ApiError:
    return faults.concurrent(f"Inventory and/or allocations changed while attempting to allocate: {_CONCURRENT}")
