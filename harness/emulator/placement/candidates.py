"""`GET /allocation_candidates`: providers from which a set of resources can be taken.

Checked against placement 16.0.0 on 2026-11-22. Every provider is looked at alone: resources of one request are never
spread over the members of a tree or over sharing providers, and so numbered groups are all to be met by one provider.
Candidates come in the order in which providers were registered, as the real service's do in effect with
`randomize_allocation_candidates` off; with it on they begin at one by lot and go round. Either way the query stops at
`limit`, so its cost follows the answer, not the cloud. A question about resources alone, which is what nova asks for
each server, is answered from `Stock`, which has asked the database what changed.
"""

from collections.abc import Hashable
from functools import partial
from typing import Any

import orjson
from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from harness.emulator.database import Statement
from harness.emulator.placement import candidate_query, faults, filters, schema
from harness.emulator.placement.resource import Request, Resource, Response
from harness.emulator.placement.stock import View

_providers = schema.resource_providers
_traits = schema.resource_provider_traits

_LAST_PROVIDER = Statement(select(func.max(_providers.c.id)))


class AllocationCandidates(Resource):
    """`/allocation_candidates` (1.10)."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.since(req, 10)
        self.allow(req, "allocation_candidates:list")
        version = req.context.version
        groups, params = candidate_query.read(req)
        found = filters.Filter()
        resources: dict[str, dict[int, int]] = {}
        for suffix in sorted(groups):
            group = await filters.parse(self.placement, groups[suffix], suffix, no_trait="")
            resources[suffix] = group.resources
            found.shape.append(suffix)
            if f"resources{suffix}" in groups[suffix] and group.shape:
                group.shape = group.shape[1:]  # room is asked for once, for the sum of all groups
                group.conditions = group.conditions[len(group.resources) :]
            found.shape += group.shape
            found.conditions += group.conditions
            found.values |= {name: value for name, value in group.values.items() if not _is_room(name)}
            if f"in_tree{suffix}" in groups[suffix]:
                await self._in_tree(groups[suffix][f"in_tree{suffix}"].strip(), found)
        if "root_required" in params:
            await self._root_required(params["root_required"], found)
        wanted: dict[int, int] = {}
        for group_resources in resources.values():
            for class_id, amount in group_resources.items():
                wanted[class_id] = wanted.get(class_id, 0) + amount
        for index, (class_id, amount) in enumerate(wanted.items()):
            found.conditions.append(partial(filters.has_room, f"_{index}"))
            found.values |= {f"class_{index}": class_id, f"amount_{index}": amount}
        limit = min(int(params["limit"][:18]), 0x7FFFFFFF) if "limit" in params else None
        suffixes = [suffix for suffix, given in resources.items() if given]
        view = await self._view(version[1], wanted, suffixes)
        ids: list[int] = []
        if params.get("group_policy") != "isolate" or len(suffixes) <= 1:
            if len(found.conditions) == len(wanted):
                ids = self._from(view.all(), limit)
            else:
                ids = await self._providers(found, len(wanted), limit)
        resp.data = view.render(ids)
        resp.content_type = "application/json"
        self.uncached(req, resp)

    async def _view(self, minor: int, wanted: dict[int, int], suffixes: list[str]) -> View:
        """What was committed until now, as this question's answers show it."""
        stock = self.placement.stock
        await stock.refresh()
        names = await self.placement.classes.names_of(wanted)
        amounts = orjson.dumps({names[class_id]: amount for class_id, amount in wanted.items()}).decode()
        key = (minor, tuple(wanted.items()), tuple(suffixes))
        return stock.view(key, View(stock, minor, wanted, amounts, suffixes))

    def _from(self, ids: list[int], limit: int | None) -> list[int]:
        """The first of these, or from one by lot on."""
        if limit is None or not self.placement.settings.randomize_allocation_candidates or not ids:
            return ids[:limit]
        first = self.placement.runtime.rng.randrange(len(ids))
        return (ids[first:] + ids[:first])[:limit]

    async def _providers(self, found: filters.Filter, classes: int, limit: int | None) -> list[int]:
        if limit is None or not self.placement.settings.randomize_allocation_candidates:
            return await self._in_order(found, classes, limit, "all")
        last = await self.placement.database.fetch_value(_LAST_PROVIDER) or 0
        found.values["first"] = self.placement.runtime.rng.randint(0, last)
        ids = await self._in_order(found, classes, limit, "from")
        if len(ids) < limit:
            ids += await self._in_order(found, classes, limit - len(ids), "before")
        return ids

    async def _in_order(self, found: filters.Filter, classes: int, limit: int | None, part: str) -> list[int]:
        """Providers by id: `all`, or those `from` or `before` the id `first`."""
        shape: tuple[Hashable, ...] = ("candidates", classes, limit is None, part, *found.shape)
        first = bindparam("first", type_=_providers.c.id.type)

        def build() -> Any:
            conditions = [condition() for condition in found.conditions]
            statement = select(_providers.c.id).where(*conditions).order_by(_providers.c.id)
            if part != "all":
                statement = statement.where(_providers.c.id >= first if part == "from" else _providers.c.id < first)
            return statement if limit is None else statement.limit(bindparam("limit"))

        values = found.values if limit is None else {**found.values, "limit": limit}
        rows = await self.placement.database.fetch(Statement.for_shape(shape, build), **values)
        known = self.placement.stock.providers  # one that was made since the refresh is left to the next question
        return [row["id"] for row in rows if row["id"] in known]

    async def _in_tree(self, uuid: str, found: filters.Filter) -> None:
        member = await self.placement.find_provider(uuid)
        parameter = f"root_{len(found.shape)}"
        found.values[parameter] = (member["root_provider_id"] or member["id"]) if member else 0
        found.shape.append(("in_tree", parameter))
        found.conditions.append(partial(_of_root, parameter))

    async def _root_required(self, text: str, found: filters.Filter) -> None:
        """Traits that the root of the provider's tree must or must not have."""
        for name in text.split(","):
            trait_id = await self.placement.traits.id_of(name.removeprefix("!"))
            if trait_id is None:
                raise faults.bad_request(f"No such trait(s): {name.removeprefix('!')}.")
            parameter = f"root_trait_{len(found.shape)}"
            found.values[parameter] = trait_id
            found.conditions.append(partial(_root_has, parameter, name.startswith("!")))
            found.shape.append(("root_required", parameter, name.startswith("!")))


def _of_root(name: str) -> ColumnElement[bool]:
    return or_(_providers.c.id == bindparam(name), _providers.c.root_provider_id == bindparam(name))


def _root_has(name: str, forbidden: bool) -> ColumnElement[bool]:
    has: ColumnElement[bool] = (
        select(_traits.c.trait_id)
        .where(
            _traits.c.trait_id == bindparam(name),
            _traits.c.resource_provider_id == func.coalesce(_providers.c.root_provider_id, _providers.c.id),
        )
        .correlate(_providers)
        .exists()
    )
    return ~has if forbidden else has


def _is_room(name: str) -> bool:
    return name.startswith(("class", "amount"))
