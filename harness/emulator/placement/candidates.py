"""`GET /allocation_candidates`: providers from which a set of resources can be taken.

Checked against placement 16.0.0 on 2026-11-22. Every provider is looked at alone: resources of one request are never
spread over the members of a tree or over sharing providers, and so numbered groups are all to be met by one provider.
Candidates come in the order in which providers were registered, as the real service's do in effect with
`randomize_allocation_candidates` off; with it on they begin at one by lot and go round. Either way the query stops at
`limit`, so its cost follows the answer, not the cloud.
"""

import re
from collections.abc import Hashable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from sqlalchemy import String, bindparam, cast, func, literal_column, or_, select
from sqlalchemy.sql.elements import ColumnElement

from harness.emulator.database import Statement, in_list
from harness.emulator.placement import faults, filters, schema, validation
from harness.emulator.placement.resource import Request, Resource, Response
from harness.emulator.placement.service import Row

_providers = schema.resource_providers
_inventories = schema.inventories
_allocations = schema.allocations
_traits = schema.resource_provider_traits
_GROUP = re.compile(r"^(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{0,64})$")
_PLAIN = ("limit", "group_policy", "root_required", "same_subtree")
_LIMIT = {"type": "string", "pattern": "^[1-9][0-9]*$", "minLength": 1}
# What each microversion added to the query.
_ADDED = {"limit": 16, "required": 17, "member_of": 21, "group_policy": 25, "in_tree": 31, "root_required": 35}

_LAST_PROVIDER = Statement(select(func.max(_providers.c.id)))
_COMMA: Any = literal_column("','")
_SUMMARIES = Statement(
    select(
        _inventories.c.resource_provider_id,
        _inventories.c.resource_class_id,
        _inventories.c.total,
        _inventories.c.reserved,
        _inventories.c.allocation_ratio,
        select(func.coalesce(func.sum(_allocations.c.used), 0))
        .where(
            _allocations.c.resource_provider_id == _inventories.c.resource_provider_id,
            _allocations.c.resource_class_id == _inventories.c.resource_class_id,
        )
        .scalar_subquery()
        .label("used"),
    )
    .where(in_list(_inventories.c.resource_provider_id, "ids"))
    .order_by(_inventories.c.resource_provider_id, _inventories.c.resource_class_id)
)
_TRAITS = Statement(
    select(
        _traits.c.resource_provider_id,
        func.aggregate_strings(cast(_traits.c.trait_id, String(12)), _COMMA).label("trait_ids"),
    )
    .where(in_list(_traits.c.resource_provider_id, "ids"))
    .group_by(_traits.c.resource_provider_id)
)


class AllocationCandidates(Resource):
    """`/allocation_candidates` (1.10)."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.since(req, 10)
        self.allow(req, "allocation_candidates:list")
        version = req.context.version
        groups, params = _read_query(req, version[1])
        found = filters.Filter()
        resources: dict[str, dict[int, int]] = {}
        for suffix in sorted(groups):
            group = await filters.parse(self.placement, groups[suffix], suffix)
            resources[suffix] = group.resources
            found.shape.append(suffix)
            if f"resources{suffix}" in groups[suffix] and group.shape:
                group.shape = group.shape[1:]  # room is asked for once, for the sum of all groups
                group.conditions = group.conditions[len(group.resources) :]
            found.shape += group.shape
            found.conditions += group.conditions
            found.values |= {name: value for name, value in group.values.items() if not _is_room(name)}
            if f"in_tree{suffix}" in groups[suffix]:
                await self._in_tree(groups[suffix][f"in_tree{suffix}"], found)
        if "root_required" in params:
            await self._root_required(params["root_required"], found)
        wanted: dict[int, int] = {}
        for group_resources in resources.values():
            for class_id, amount in group_resources.items():
                wanted[class_id] = wanted.get(class_id, 0) + amount
        for index, (class_id, amount) in enumerate(wanted.items()):
            found.conditions.append(partial(filters.has_room, f"_{index}"))
            found.values |= {f"class_{index}": class_id, f"amount_{index}": amount}
        limit = int(params["limit"]) if "limit" in params else None
        rows: list[Any] = []
        with_resources = [suffix for suffix, given in resources.items() if given]
        if params.get("group_policy") != "isolate" or len(with_resources) <= 1:
            rows = await self._providers(found, len(wanted), limit)
        resp.data = await self._render(version[1], rows, resources, wanted)
        resp.content_type = "application/json"
        self.uncached(req, resp)

    async def _providers(self, found: filters.Filter, classes: int, limit: int | None) -> list[Any]:
        if limit is None or not self.placement.settings.randomize_allocation_candidates:
            return await self._in_order(found, classes, limit, "all")
        last = await self.placement.database.fetch_value(_LAST_PROVIDER) or 0
        found.values["first"] = self.placement.runtime.rng.randint(0, last)
        rows = await self._in_order(found, classes, limit, "from")
        if len(rows) < limit:
            rows += await self._in_order(found, classes, limit - len(rows), "before")
        return rows

    async def _in_order(self, found: filters.Filter, classes: int, limit: int | None, part: str) -> list[Any]:
        """Providers by id: `all`, or those `from` or `before` the id `first`."""
        shape: tuple[Hashable, ...] = ("candidates", classes, limit is None, part, *found.shape)
        first = bindparam("first", type_=_providers.c.id.type)

        def build() -> Any:
            statement = (
                select(
                    _providers.c.id, _providers.c.uuid, _providers.c.root_provider_id, _providers.c.parent_provider_id
                )
                .where(*(condition() for condition in found.conditions))
                .order_by(_providers.c.id)
            )
            if part != "all":
                statement = statement.where(_providers.c.id >= first if part == "from" else _providers.c.id < first)
            return statement if limit is None else statement.limit(bindparam("limit"))

        values = found.values if limit is None else {**found.values, "limit": limit}
        rows: list[Any] = await self.placement.database.fetch(Statement.for_shape(shape, build), **values)
        return rows

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

    async def _render(
        self, minor: int, rows: list[Any], resources: dict[str, dict[int, int]], wanted: dict[int, int]
    ) -> bytes:
        """The answer, put together as text: a thousand candidates as objects would cost several times as much."""
        names = await self.placement.classes.names_of(wanted)
        amounts = orjson.dumps({names[class_id]: amount for class_id, amount in wanted.items()}).decode()
        suffixes = [suffix for suffix, given in resources.items() if given]
        requests: list[str] = []
        for row in rows:
            uuid = row["uuid"]
            if minor < 12:
                request = f'{{"allocations":[{{"resource_provider":{{"uuid":"{uuid}"}},"resources":{amounts}}}]}}'
            elif minor < 34:
                request = f'{{"allocations":{{"{uuid}":{{"resources":{amounts}}}}}}}'
            else:
                mappings = ",".join(f'"{suffix}":["{uuid}"]' for suffix in suffixes)
                request = f'{{"allocations":{{"{uuid}":{{"resources":{amounts}}}}},"mappings":{{{mappings}}}}}'
            requests.append(request)
        summaries = await self._summaries(minor, rows, wanted)
        return (
            f'{{"allocation_requests":[{",".join(requests)}],"provider_summaries":{{{",".join(summaries)}}}}}'
        ).encode()

    async def _summaries(self, minor: int, rows: list[Any], wanted: dict[int, int]) -> list[str]:
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        placement = self.placement
        stock: dict[int, list[str]] = {identity: [] for identity in ids}
        inventories = await placement.database.fetch(_SUMMARIES, ids=ids)
        names = await placement.classes.names_of({row["resource_class_id"] for row in inventories})
        for row in inventories:
            class_id = row["resource_class_id"]
            if minor < 27 and class_id not in wanted:
                continue
            capacity = int((row["total"] - row["reserved"]) * row["allocation_ratio"])
            stock[row["resource_provider_id"]].append(
                f'"{names[class_id]}":{{"capacity":{capacity},"used":{row["used"]}}}'
            )
        traits: dict[int, str] = {}
        if minor >= 17:
            known: dict[str, str] = {}
            for row in await placement.database.fetch(_TRAITS, ids=ids):
                text = row["trait_ids"]
                if text not in known:  # providers of one kind have the same traits
                    known[text] = await self._trait_list(text)
                traits[row["resource_provider_id"]] = known[text]
        relatives = await self._relatives(rows) if minor >= 29 else {}
        summaries: list[str] = []
        for row in rows:
            identity, uuid = row["id"], row["uuid"]
            parts = [f'"resources":{{{",".join(stock[identity])}}}']
            if minor >= 17:
                parts.append(f'"traits":[{traits.get(identity, "")}]')
            if minor >= 29:
                parts.append(_tree(row, relatives))
            summaries.append(f'"{uuid}":{{{",".join(parts)}}}')
        return summaries

    async def _trait_list(self, text: str) -> str:
        names = await self.placement.traits.names_of(int(part) for part in text.split(","))
        return ",".join(f'"{name}"' for name in sorted(names.values()))

    async def _relatives(self, rows: list[Any]) -> dict[int, str]:
        uuids = {row["id"]: row["uuid"] for row in rows}
        wanted = {row[column] for row in rows for column in ("root_provider_id", "parent_provider_id")}
        missing = [one for one in wanted if one is not None and one not in uuids]
        if missing:
            uuids |= {row["id"]: row["uuid"] for row in await self.placement.database.fetch(_UUIDS, ids=missing)}
        return uuids


_UUIDS = Statement(select(_providers.c.id, _providers.c.uuid).where(in_list(_providers.c.id, "ids")))


def _tree(row: Row, uuids: dict[int, str]) -> str:
    root = row["root_provider_id"] or row["id"]
    parent = row["parent_provider_id"]
    shown = "null" if parent is None else f'"{uuids.get(parent, "")}"'
    return f'"parent_provider_uuid":{shown},"root_provider_uuid":"{uuids.get(root, "")}"'


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


def _read_query(req: Request, minor: int) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Request groups by suffix, and the parameters that belong to none. Raises: ApiError 400."""
    groups: dict[str, dict[str, str]] = {}
    params: dict[str, str] = {}
    for name, value in parse_qsl(req.query_string, keep_blank_values=True):
        plain = name in _PLAIN
        match = None if plain else _GROUP.match(name)
        known = plain or match is not None
        kind = name if plain or match is None else match[1]
        if not known or minor < _ADDED.get(kind, 10) or (match is not None and match[2] and minor < 25):
            raise faults.bad_request(
                f"Invalid query string parameters: Additional properties are not allowed ({name!r} was unexpected)"
            )
        if match is None:
            params[name] = value
            continue
        group = groups.setdefault(match[2], {})
        group[name] = f"{group[name]}\n{value}" if name in group else value
    if "limit" in params:
        problem = validation.find_problem(params["limit"], _LIMIT)
        if problem:
            raise faults.bad_request(f"Invalid query string parameters: {problem}")
    if not any(name.startswith("resources") for group in groups.values() for name in group):
        if minor < 25:
            raise faults.bad_request("Invalid query string parameters: 'resources' is a required property")
        raise faults.bad_request(
            "There must be at least one resources or resources[$S] parameter.", faults.MISSING_VALUE
        )
    return groups, params
