"""Tags of a resource: `/v2.0/<collection>/{id}/tags`. They carry a run's mark, by which its janitor finds things."""

from collections.abc import Sequence
from typing import Any

import orjson
from falcon.asgi import Request, Response
from sqlalchemy import Table, bindparam, delete, insert, update

from harness.emulator import timestamps
from harness.emulator.database import Row, Statement, in_list
from harness.emulator.http import ApiError, Caller, ServiceApp
from harness.emulator.neutron import errors, policy, schema
from harness.emulator.neutron.resource_api import Kind
from harness.emulator.neutron.retry import StaleDataError
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.validation import repeated

TAG_MAX = 255

_ADD = Statement(insert(schema.tags))
_DROP = Statement(
    delete(schema.tags).where(schema.tags.c.resource_id == bindparam("which"), in_list(schema.tags.c.tag, "dropped"))
)


class Tags:
    """All tags of one resource."""

    def __init__(self, app: ServiceApp, neutron: Neutron, kind: Kind) -> None:
        self._app = app
        self._neutron = neutron
        self._kind = kind

    async def on_get(self, req: Request, resp: Response, identity: str) -> None:
        row = await _get(self._neutron, self._kind, req.context.caller, identity)
        self._app.json(resp, {"tags": orjson.Fragment(row["tags"])})

    async def on_put(self, req: Request, resp: Response, identity: str) -> None:
        wanted = _tags_of(await self._app.body(req, required=False))
        await self._change(req, identity, lambda _: wanted)
        self._app.json(resp, {"tags": wanted})

    async def on_post(self, req: Request, resp: Response, identity: str) -> None:
        """Adds tags; answers those of the request, as neutron does."""
        wanted = _tags_of(await self._app.body(req, required=False))
        await self._change(req, identity, lambda had: [*had, *wanted])
        self._app.json(resp, {"tags": wanted})

    async def on_delete(self, req: Request, resp: Response, identity: str) -> None:
        await self._change(req, identity, lambda _: [])
        resp.status = 204

    async def _change(self, req: Request, identity: str, to: Any) -> None:
        await change(self._neutron, self._kind, req.context.caller, identity, to)


class Tag:
    """One tag of one resource."""

    def __init__(self, app: ServiceApp, neutron: Neutron, kind: Kind) -> None:
        self._app = app
        self._neutron = neutron
        self._kind = kind

    async def on_get(self, req: Request, resp: Response, identity: str, tag: str) -> None:
        row = await _get(self._neutron, self._kind, req.context.caller, identity)
        if tag not in orjson.loads(row["tags"]):
            raise errors.not_found("tag", tag)
        resp.status = 204

    async def on_put(self, req: Request, resp: Response, identity: str, tag: str) -> None:
        _check(tag)
        await change(self._neutron, self._kind, req.context.caller, identity, lambda had: [*had, tag])
        resp.status = 201

    async def on_delete(self, req: Request, resp: Response, identity: str, tag: str) -> None:
        def without(had: Sequence[str]) -> list[str]:
            if tag not in had:
                raise errors.not_found("tag", tag)
            return [other for other in had if other != tag]

        await change(self._neutron, self._kind, req.context.caller, identity, without)
        resp.status = 204


async def change(neutron: Neutron, kind: Kind, caller: Caller, identity: str, to: Any) -> None:
    """Set the tags to what `to` makes of the present ones. Raises: ApiError."""

    async def once() -> None:
        row = await _get(neutron, kind, caller, identity)
        policy.require_member(caller, row["project_id"], f"update_{kind.resource.singular}:tags")
        await _write(neutron, kind.resource.table, row, sorted(set(to(orjson.loads(row["tags"])))))

    await neutron.retrying(once)


async def _get(neutron: Neutron, kind: Kind, caller: Caller, identity: str) -> Row:
    """Neutron 29 answers 500, not 404, to tags of what is not there."""
    try:
        return await kind.get(neutron, caller, identity)
    except ApiError as error:
        if error.status == 404:
            raise ApiError(500) from None
        raise


async def _write(neutron: Neutron, table: Table, row: Row, wanted: list[str]) -> None:
    had = orjson.loads(row["tags"])
    if had == wanted:
        return
    statement = Statement.for_shape(
        ("tags", table.name),
        lambda: update(table).where(table.c.id == bindparam("which"), table.c.revision_number == bindparam("was")),
    )
    async with neutron.database.transaction() as transaction:
        changed = await transaction.execute(
            statement,
            which=row["id"],
            was=row["revision_number"],
            tags=orjson.dumps(wanted).decode(),
            revision_number=row["revision_number"] + 1,
            updated_at=timestamps.utcnow_iso(),
        )
        if not changed:
            raise StaleDataError(row["id"])
        dropped = [tag for tag in had if tag not in wanted]
        if dropped:
            await transaction.execute(_DROP, which=row["id"], dropped=dropped)
        added = [{"resource_id": row["id"], "tag": tag} for tag in wanted if tag not in had]
        await transaction.execute_many(_ADD, added)


def _tags_of(body: Any) -> list[str]:
    if not isinstance(body, dict) or "tags" not in body:
        raise errors.invalid_input("Invalid tags body")
    wanted = body["tags"]
    if not isinstance(wanted, list):
        raise errors.invalid_input(f"'{wanted}' is not a list")
    for tag in wanted:
        _check(tag)
    if len(set(wanted)) != len(wanted):
        raise errors.invalid_input(f"Duplicate items in the list: '{', '.join(repeated(wanted))}'")
    return wanted


def _check(tag: Any) -> None:
    if not isinstance(tag, str):
        raise errors.invalid_input(f"'{tag}' is not a valid string")
    if len(tag) > TAG_MAX:
        raise errors.invalid_input(f"'{tag}' exceeds maximum length of {TAG_MAX}")
