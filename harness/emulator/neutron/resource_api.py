"""The HTTP side that networks, subnets, ports, security groups and rules have in common: a collection and an item."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request, Response
from sqlalchemy import Select

from harness.emulator.database import Row
from harness.emulator.http import Caller, ServiceApp
from harness.emulator.neutron import errors, queries
from harness.emulator.neutron.attributes import Resource, Values
from harness.emulator.neutron.queries import Condition, ListQuery
from harness.emulator.neutron.service import Neutron

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of resource is read and changed.

    `special`: filters that `where` turns into conditions itself. `change`: None where neutron has no update.
    """

    resource: Resource
    rows: Callable[[], Select[Any]]
    where: Callable[[Caller, ListQuery], list[Condition]]
    render: Callable[[Neutron, Caller, Sequence[Row]], Awaitable[list[View]]]
    get: Callable[[Neutron, Caller, str], Awaitable[Row]]
    create: Callable[[Neutron, Caller, Values], Awaitable[View]]
    change: Callable[[Neutron, Caller, str, Values], Awaitable[View]]
    remove: Callable[[Neutron, Caller, str], Awaitable[None]]
    special: tuple[str, ...] = ()
    before_list: Callable[[Neutron, Caller, ListQuery], Awaitable[None]] | None = None


class Collection:
    """`/v2.0/<collection>`: list and create, one or many."""

    def __init__(self, app: ServiceApp, neutron: Neutron, kind: Kind) -> None:
        self._app = app
        self._neutron = neutron
        self._kind = kind

    async def on_get(self, req: Request, resp: Response) -> None:
        kind, neutron, caller = self._kind, self._neutron, req.context.caller
        resource = kind.resource
        query = queries.parse(resource, req.query_string, neutron.settings.neutron.pagination_max_limit)
        if kind.before_list is not None:
            await kind.before_list(neutron, caller, query)
        where = [*kind.where(caller, query), *queries.conditions(resource, query, kind.special)]
        rows = await queries.fetch(neutron.database, kind.rows, resource, query, where)
        views = await kind.render(neutron, caller, rows)
        if query.fields:
            views = [queries.trimmed(view, query.fields) for view in views]
        document: dict[str, Any] = {resource.collection: views}
        links = query.links(req, [row["id"] for row in rows])
        if links:
            document[f"{resource.collection}_links"] = links
        self._app.json(resp, document)

    async def on_post(self, req: Request, resp: Response) -> None:
        kind, neutron, caller = self._kind, self._neutron, req.context.caller
        wanted, bulk = kind.resource.created(await self._app.body(req, required=False), caller)
        made: list[tuple[str, View]] = []
        try:
            for values in wanted:
                view = await neutron.retrying(lambda values=values: kind.create(neutron, caller, values.copy()))  # type: ignore[misc]
                made.append((view["id"], view))
        except Exception:
            # A bulk request is all or nothing.
            for identity, _view in made:
                await kind.remove(neutron, caller, identity)
            raise
        neutron.after_create()
        views = [view for _, view in made]
        name = kind.resource.collection if bulk else kind.resource.singular
        self._app.json(resp, {name: views if bulk else views[0]}, 201)

    async def on_put(self, req: Request, resp: Response) -> None:
        """Neutron takes it for one without an id."""
        raise errors.not_found(self._kind.resource.singular, "None")

    on_delete = on_put


class Item:
    """`/v2.0/<collection>/{id}`: show, change and delete."""

    def __init__(self, app: ServiceApp, neutron: Neutron, kind: Kind) -> None:
        self._app = app
        self._neutron = neutron
        self._kind = kind

    async def on_get(self, req: Request, resp: Response, identity: str) -> None:
        kind, caller = self._kind, req.context.caller
        fields = queries.fields_of(req.query_string)
        row = await kind.get(self._neutron, caller, identity)
        (view,) = await kind.render(self._neutron, caller, [row])
        self._app.json(resp, {kind.resource.singular: queries.trimmed(view, fields)})

    async def on_put(self, req: Request, resp: Response, identity: str) -> None:
        kind, neutron, caller = self._kind, self._neutron, req.context.caller
        values = kind.resource.updated(await self._app.body(req, required=False), caller)
        view = await neutron.retrying(lambda: kind.change(neutron, caller, identity, values.copy()))
        self._app.json(resp, {kind.resource.singular: view})

    async def on_delete(self, req: Request, resp: Response, identity: str) -> None:
        kind, neutron, caller = self._kind, self._neutron, req.context.caller
        await neutron.retrying(lambda: kind.remove(neutron, caller, identity))
        resp.status = 204
