"""Usages: of one provider, and of a project and its users. Checked against placement 16.0.0 on 2026-11-22."""

from typing import Any

from sqlalchemy import bindparam, func, select

from harness.emulator.database import Statement
from harness.emulator.placement import faults, schema
from harness.emulator.placement.resource import Request, Resource, Response, query

_allocations = schema.allocations
_consumers = schema.consumers
_inventories = schema.inventories
_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
_OF_PROVIDER = Statement(
    select(
        _inventories.c.resource_class_id,
        select(func.coalesce(func.sum(_allocations.c.used), 0))
        .where(
            _allocations.c.resource_provider_id == _inventories.c.resource_provider_id,
            _allocations.c.resource_class_id == _inventories.c.resource_class_id,
        )
        .scalar_subquery()
        .label("used"),
    )
    .where(_inventories.c.resource_provider_id == bindparam("provider_id"))
    .order_by(_inventories.c.resource_class_id)
)


class ProviderUsages(Resource):
    """`GET /resource_providers/{uuid}/usages`."""

    async def on_get(self, req: Request, resp: Response, uuid: str) -> None:
        self.allow(req, "resource_providers:usages")
        provider = await self.placement.provider(
            uuid, "No resource provider with uuid {uuid} found: No resource provider with uuid {uuid} found"
        )
        usages = {
            await self.placement.classes.name_of(row["resource_class_id"]): int(row["used"])
            for row in await self.placement.database.fetch(_OF_PROVIDER, provider_id=provider["id"])
        }
        self.show(req, resp, {"resource_provider_generation": provider["generation"], "usages": usages})


class Usages(Resource):
    """`GET /usages?project_id=...` (1.9); by consumer type from 1.38 on. Readers may ask about their own project."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.since(req, 9)
        by_type = req.context.version >= (1, 38)
        allowed = {"project_id": _TEXT, "user_id": _TEXT}
        if by_type:
            allowed["consumer_type"] = _TEXT
        params = query(req, allowed, required="project_id")
        caller = req.context.caller
        own = "reader" in caller.roles and caller.project_id == params["project_id"]
        if not (caller.is_admin or caller.is_service or own):
            raise faults.forbidden("placement:usages")
        project = await self.placement.projects.id_of(params["project_id"])
        user = await self.placement.users.id_of(params["user_id"]) if "user_id" in params else None
        if project is None or ("user_id" in params and user is None):
            self.show(req, resp, {"usages": {}})
            return
        rows = await self._rows(project, user)
        if not by_type:
            flat: dict[str, int] = {}
            for row in rows:
                name = await self.placement.classes.name_of(row["resource_class_id"])
                flat[name] = flat.get(name, 0) + int(row["used"])
            self.show(req, resp, {"usages": flat})
            return
        self.show(req, resp, {"usages": await self._by_type(rows, project, user, params.get("consumer_type"))})

    async def _by_type(
        self, rows: list[Any], project: int, user: int | None, wanted: str | None
    ) -> dict[str, dict[str, int]]:
        shown: dict[str, dict[str, int]] = {}
        for row in rows:
            kind = await self._type(row, wanted)
            name = await self.placement.classes.name_of(row["resource_class_id"])
            entry = shown.setdefault(kind, {})
            entry[name] = entry.get(name, 0) + int(row["used"])
        for row in await self._counts(project, user):
            kind = await self._type(row, wanted)
            if kind in shown:
                shown[kind]["consumer_count"] = shown[kind].get("consumer_count", 0) + row["consumers"]
        if wanted not in (None, "all"):
            return {kind: entry for kind, entry in shown.items() if kind == wanted}
        return shown

    async def _type(self, row: Any, wanted: str | None) -> str:
        if wanted == "all":
            return "all"
        kind = row["consumer_type_id"]
        return "unknown" if kind is None else await self.placement.consumer_types.name_of(kind)

    async def _rows(self, project: int, user: int | None) -> list[Any]:
        joined = _consumers.join(_allocations, _allocations.c.consumer_id == _consumers.c.uuid)

        def build() -> Any:
            return (
                select(
                    _consumers.c.consumer_type_id,
                    _allocations.c.resource_class_id,
                    func.sum(_allocations.c.used).label("used"),
                )
                .select_from(joined)
                .where(*_who(user))
                .group_by(_consumers.c.consumer_type_id, _allocations.c.resource_class_id)
                .order_by(_allocations.c.resource_class_id)
            )

        return await self._run("usages", build, project, user)

    async def _counts(self, project: int, user: int | None) -> list[Any]:
        joined = _consumers.join(_allocations, _allocations.c.consumer_id == _consumers.c.uuid)

        def build() -> Any:
            return (
                select(_consumers.c.consumer_type_id, func.count(_consumers.c.uuid.distinct()).label("consumers"))
                .select_from(joined)
                .where(*_who(user))
                .group_by(_consumers.c.consumer_type_id)
            )

        return await self._run("usage counts", build, project, user)

    async def _run(self, kind: str, build: Any, project: int, user: int | None) -> list[Any]:
        values = {"project": project} if user is None else {"project": project, "user": user}
        statement = Statement.for_shape((kind, user is None), build)
        return list(await self.placement.database.fetch(statement, **values))


def _who(user: int | None) -> list[Any]:
    conditions = [_consumers.c.project_id == bindparam("project")]
    if user is not None:
        conditions.append(_consumers.c.user_id == bindparam("user"))
    return conditions
