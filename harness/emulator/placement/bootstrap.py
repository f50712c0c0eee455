"""The rows that placement starts with: the standard resource classes and traits."""

from harness.emulator.database import upsert
from harness.emulator.placement import schema, standard_names
from harness.emulator.runtime import Runtime


async def bootstrap(runtime: Runtime) -> None:
    """Make the standard names where they are not there yet."""
    database = runtime.database("placement")
    for table, names in (
        (schema.resource_classes, standard_names.RESOURCE_CLASSES),
        (schema.traits, standard_names.TRAITS),
    ):
        await database.execute_many(upsert(table, ("name",), ()), [{"name": name} for name in names])
