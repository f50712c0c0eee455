"""What placement's resources share: the database, the numbered names, providers by uuid."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from harness.emulator.database import Database, Statement, Transaction
from harness.emulator.placement import faults, schema
from harness.emulator.placement.lookups import Lookup
from harness.emulator.placement.stock import Stock
from harness.emulator.runtime import Runtime

Row = Mapping[str, Any]
_providers = schema.resource_providers

PROVIDER = Statement(select(_providers).where(_providers.c.uuid == bindparam("uuid")))
BUMP_GENERATION = Statement(
    update(_providers)
    .where(_providers.c.id == bindparam("provider_id"), _providers.c.generation == bindparam("seen"))
    .values(generation=_providers.c.generation + 1)
)
GENERATION_CHANGED = "Resource provider's generation already changed. Please update the generation and try again."


class GenerationConflict(Exception):
    """A provider's generation is not the one that was read: somebody else changed the provider meanwhile."""


class Placement:
    """One process's view of the placement database."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.settings = runtime.settings.placement
        self.database: Database = runtime.database("placement")
        self.classes = Lookup(self.database, schema.resource_classes)
        self.traits = Lookup(self.database, schema.traits)
        self.consumer_types = Lookup(self.database, schema.consumer_types)
        self.projects = Lookup(self.database, schema.projects, "external_id")
        self.users = Lookup(self.database, schema.users, "external_id")
        self.aggregates = Lookup(self.database, schema.placement_aggregates, "uuid")
        is_shared = len(runtime.settings.hosting("placement")) > 1
        self.stock = Stock(self.database, self.classes, self.traits, is_shared=is_shared)

    async def find_provider(self, uuid: str) -> Row | None:
        row: Row | None = await self.database.fetch_one(PROVIDER, uuid=uuid)
        return row

    async def provider(self, uuid: str, refusal: str = "No resource provider with uuid {uuid} found") -> Row:
        """A provider's row.

        Raises: ApiError 404. Args: refusal: its sentence, which differs from handler to handler.
        """
        row = await self.find_provider(uuid)
        if row is None:
            raise faults.not_found(refusal.format(uuid=uuid))
        return row


async def bump(transaction: Transaction, provider: Row) -> None:
    """Raise a provider's generation by one. Raises: GenerationConflict."""
    if not await transaction.execute(BUMP_GENERATION, provider_id=provider["id"], seen=provider["generation"]):
        raise GenerationConflict
