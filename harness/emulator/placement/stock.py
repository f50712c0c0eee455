"""What every provider has and how much of it is used, kept in memory for allocation candidates.

The database is asked before every answer, but only about providers that were written since the last one: each write
names them when it ends, whatever its end was. That suffices where one process serves placement, so that no other writes
its tables; where several do, all providers are read each time. To read and render a thousand of them anew for each
server costs a hundred times as much.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, cast, func, literal_column, select

from harness.emulator.database import Database, DBError, Statement, in_list
from harness.emulator.placement import schema
from harness.emulator.placement.lookups import Lookup

DOUBTED_S = 60.0  # a write whose end is unknown may still be done by the server: for so long it is read again and again
VIEWS_MAX = 16  # questions whose answers are kept rendered; one for each flavor in use, more or less

_providers = schema.resource_providers
_inventories = schema.inventories
_allocations = schema.allocations
_traits = schema.resource_provider_traits
_COMMA: Any = literal_column("','")
_ALL = (
    select(
        _providers.c.id,
        _providers.c.uuid,
        _providers.c.root_provider_id,
        _providers.c.parent_provider_id,
        _inventories.c.resource_class_id,
        _inventories.c.total,
        _inventories.c.reserved,
        _inventories.c.allocation_ratio,
        _inventories.c.min_unit,
        _inventories.c.max_unit,
        _inventories.c.step_size,
        select(func.coalesce(func.sum(_allocations.c.used), 0))
        .where(
            _allocations.c.resource_provider_id == _inventories.c.resource_provider_id,
            _allocations.c.resource_class_id == _inventories.c.resource_class_id,
        )
        .scalar_subquery()
        .label("used"),
        select(func.aggregate_strings(cast(_traits.c.trait_id, String(12)), _COMMA))
        .where(_traits.c.resource_provider_id == _providers.c.id)
        .scalar_subquery()
        .label("trait_ids"),
    )
    .select_from(_providers.outerjoin(_inventories, _inventories.c.resource_provider_id == _providers.c.id))
    .order_by(_providers.c.id, _inventories.c.resource_class_id)
)
_READ_ALL = Statement(_ALL)
_READ = Statement(_ALL.where(in_list(_providers.c.uuid, "uuids")))


@dataclass(slots=True)
class Inventory:
    """One class of one provider. `capacity` is before rounding, as placement compares it."""

    capacity: float
    used: int
    min_unit: int
    max_unit: int
    step_size: int

    def has_room(self, amount: int) -> bool:
        return (
            self.capacity - self.used >= amount
            and self.min_unit <= amount <= self.max_unit
            and amount % self.step_size == 0
        )


@dataclass(slots=True)
class Provider:
    """A provider as of the last refresh. `traits` are names in quotes, sorted, with commas between."""

    id: int
    uuid: str
    root_id: int
    parent_id: int | None
    inventories: dict[int, Inventory]
    traits: str


class Stock:
    """All providers, in order of their ids. Args: is_shared: other processes write the tables, too."""

    def __init__(self, database: Database, classes: Lookup, traits: Lookup, *, is_shared: bool = False) -> None:
        self.providers: dict[int, Provider] = {}
        self.class_names: Mapping[int, str] = {}
        self._database = database
        self._classes = classes
        self._traits = traits
        self._ids: dict[str, int] = {}
        self._trait_lists: dict[str | None, str] = {None: ""}
        self._views: dict[object, View] = {}
        self._is_shared = is_shared
        self._is_loaded = False
        self._reload_at = math.inf
        self._written: set[str] = set()
        self._doubted: dict[str, float] = {}
        self._lock = asyncio.Lock()
        self._begun = 0
        self._done = 0

    def written(self, uuids: Iterable[str], error: BaseException | None = None) -> None:
        """A write that touched these providers has ended. Args: error: what ended it; its effect may be unknown."""
        self._written.update(uuids)
        if error is not None and _leaves_doubt(error):
            until = asyncio.get_running_loop().time() + DOUBTED_S
            self._doubted.update(dict.fromkeys(uuids, until))

    def written_ids(self, ids: Iterable[int]) -> None:
        """As `written`, by row number."""
        self._written.update(self.providers[one].uuid for one in ids if one in self.providers)

    def lose_track(self, error: BaseException) -> None:
        """A write to unknown providers failed: everything is read again, now and when its end must be settled."""
        self._is_loaded = False
        if _leaves_doubt(error):
            self._reload_at = asyncio.get_running_loop().time() + DOUBTED_S

    async def refresh(self) -> None:
        """Know all that was committed before this call. Those who wait at the same time share one query.

        Raises: DBError.
        """
        asked_at = self._begun
        async with self._lock:
            if self._done > asked_at:
                return
            self._begun += 1
            begun = self._begun
            await self._read()
            self._done = begun

    def view(self, key: object, view: "View") -> "View":
        """The kept view of one question, up to date. Args: key: says everything about the question; view: an empty one
        to fill when there is none yet."""
        kept = self._views.get(key)
        if kept is None:
            if len(self._views) >= VIEWS_MAX:
                del self._views[next(iter(self._views))]
            kept = self._views[key] = view
            for provider in self.providers.values():
                kept.update(provider)
        return kept

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._reload_at:
            self._is_loaded, self._reload_at = False, math.inf
        is_whole, self._is_loaded = self._is_shared or not self._is_loaded, True
        self._doubted = {uuid: until for uuid, until in self._doubted.items() if until > now}
        wanted, self._written = self._written | self._doubted.keys(), set()
        try:
            # With nothing to read it is asked all the same: an answer must not outlive the database.
            if is_whole:
                rows = await self._database.fetch(_READ_ALL)
                wanted |= self._ids.keys()
            else:
                rows = await self._database.fetch(_READ, uuids=sorted(wanted))
            self.class_names = await self._classes.names_of(
                {row["resource_class_id"] for row in rows if row["resource_class_id"] is not None} | {*self.class_names}
            )
            for text in {row["trait_ids"] for row in rows} - self._trait_lists.keys():
                names = await self._traits.names_of(int(part) for part in text.split(","))
                self._trait_lists[text] = ",".join(f'"{name}"' for name in sorted(names.values()))
        except BaseException:
            self._written |= wanted
            if is_whole:
                self._is_loaded = False
            raise
        self._take(rows, wanted)

    def _take(self, rows: list[Any], wanted: set[str]) -> None:
        changed: dict[int, Provider] = {}
        for row in rows:
            identity = row["id"]
            provider = changed.get(identity)
            if provider is None:
                root_id = row["root_provider_id"] or identity
                traits = self._trait_lists[row["trait_ids"]]
                provider = Provider(identity, row["uuid"], root_id, row["parent_provider_id"], {}, traits)
                changed[identity] = provider
            if row["resource_class_id"] is not None:
                provider.inventories[row["resource_class_id"]] = Inventory(
                    (row["total"] - row["reserved"]) * row["allocation_ratio"],
                    int(row["used"]),
                    row["min_unit"],
                    row["max_unit"],
                    row["step_size"],
                )
        for uuid in wanted:
            identity = self._ids.get(uuid, 0)
            if identity and identity not in changed:
                del self.providers[identity], self._ids[uuid]
                for view in self._views.values():
                    view.forget(identity)
        changed = {one: provider for one, provider in changed.items() if self.providers.get(one) != provider}
        last = next(reversed(self.providers), 0)
        is_sorted = all(identity in self.providers or identity > last for identity in changed)
        self.providers |= changed
        self._ids |= {provider.uuid: identity for identity, provider in changed.items()}
        if not is_sorted:
            self.providers = dict(sorted(self.providers.items()))
        for view in self._views.values():
            for provider in changed.values():
                view.update(provider)


def _leaves_doubt(error: BaseException) -> bool:
    """Whether a write that ended so may still take effect."""
    return isinstance(error, DBError) or not isinstance(error, Exception)


class View:
    """The answer to one question, a fragment for each provider with room: what to claim, and what is there.

    Args: minor: microversion; wanted: amounts by class; suffixes: of the request groups with resources.
    """

    def __init__(self, stock: Stock, minor: int, wanted: Mapping[int, int], amounts: str, suffixes: list[str]) -> None:
        self._stock = stock
        self._minor = minor
        self._wanted = wanted
        self._amounts = amounts
        self._suffixes = suffixes
        self._fragments: dict[int, tuple[str, str]] = {}
        self._is_sorted = True

    def update(self, provider: Provider) -> None:
        """A provider is new, or has changed."""
        inventories = provider.inventories
        for class_id, amount in self._wanted.items():
            inventory = inventories.get(class_id)
            if inventory is None or not inventory.has_room(amount):
                self._fragments.pop(provider.id, None)
                return
        if provider.id not in self._fragments:
            self._is_sorted = False
        self._fragments[provider.id] = self.fragments(provider)

    def forget(self, identity: int) -> None:
        """A provider is gone."""
        self._fragments.pop(identity, None)

    def all(self) -> list[int]:
        """Ids of the providers with room, in order."""
        self._sort()
        return list(self._fragments)

    def render(self, ids: list[int]) -> bytes:
        """The answer with these providers, in this order."""
        kept = self._fragments
        providers = self._stock.providers
        chosen = [kept.get(one) or self.fragments(providers[one]) for one in ids]
        requests = ",".join([one[0] for one in chosen])
        summaries = ",".join([one[1] for one in chosen])
        return f'{{"allocation_requests":[{requests}],"provider_summaries":{{{summaries}}}}}'.encode()

    def fragments(self, provider: Provider) -> tuple[str, str]:
        """An allocation request and a provider summary."""
        return self._request(provider.uuid), self._summary(provider)

    def _request(self, uuid: str) -> str:
        if self._minor < 12:
            return f'{{"allocations":[{{"resource_provider":{{"uuid":"{uuid}"}},"resources":{self._amounts}}}]}}'
        allocations = f'"allocations":{{"{uuid}":{{"resources":{self._amounts}}}}}'
        if self._minor < 34:
            return f"{{{allocations}}}"
        mappings = ",".join(f'"{suffix}":["{uuid}"]' for suffix in self._suffixes)
        return f'{{{allocations},"mappings":{{{mappings}}}}}'

    def _summary(self, provider: Provider) -> str:
        names = self._stock.class_names
        resources = ",".join(
            f'"{names[class_id]}":{{"capacity":{int(one.capacity)},"used":{one.used}}}'
            for class_id, one in provider.inventories.items()
            if self._minor >= 27 or class_id in self._wanted
        )
        parts = [f'"resources":{{{resources}}}']
        if self._minor >= 17:
            parts.append(f'"traits":[{provider.traits}]')
        if self._minor >= 29:
            parent = "null" if provider.parent_id is None else f'"{self._uuid(provider.parent_id)}"'
            parts.append(f'"parent_provider_uuid":{parent},"root_provider_uuid":"{self._uuid(provider.root_id)}"')
        return f'"{provider.uuid}":{{{",".join(parts)}}}'

    def _uuid(self, identity: int) -> str:
        found = self._stock.providers.get(identity)
        return found.uuid if found else ""

    def _sort(self) -> None:
        if not self._is_sorted:
            self._fragments = dict(sorted(self._fragments.items()))
            self._is_sorted = True
