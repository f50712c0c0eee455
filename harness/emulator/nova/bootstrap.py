"""First rows of nova: the two cells and the flavors of the demo cloud."""

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from harness.emulator.database import upsert
from harness.emulator.nova.schema import CELL0_ID, CELL1_ID, cell_mappings, flavors
from harness.emulator.timestamps import utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

# Room on each page for new versions of its rows, so that a save stays heap-only and touches no index (PostgreSQL).
_ROOM = (("instances", 50), ("services", 50), ("compute_nodes", 50))
ADD_CELL = upsert(cell_mappings, ["id"], ())
ADD_FLAVOR = upsert(flavors, ["flavorid"], ())
CELL0_UUID = "00000000-0000-0000-0000-000000000000"
_FLAVORS = (("1", "m1.tiny", 64, 1, 1), ("2", "m1.small", 2048, 1, 20), ("3", "m1.medium", 4096, 2, 40))


async def bootstrap(runtime: "Runtime") -> None:
    """Write them; those that are there stay as they are."""
    database = runtime.database("nova_api")
    if database.dialect == "postgresql":
        for name in ("nova_cell0", "nova_cell1"):
            for table, percent in _ROOM:
                await runtime.database(name).run(f"ALTER TABLE {table} SET (fillfactor = {percent})")
    cell1 = str(uuid5(NAMESPACE_URL, f"{runtime.settings.name}/cell1"))
    cells: list[dict[str, Any]] = [
        {"id": CELL0_ID, "uuid": CELL0_UUID, "name": "cell0"},
        {"id": CELL1_ID, "uuid": cell1, "name": "cell1"},
    ]
    for cell in cells:
        await database.execute(ADD_CELL, **cell)
    for flavorid, name, memory_mb, vcpus, root_gb in _FLAVORS:
        row = {
            "created_at": utcnow_iso(),
            "name": name,
            "flavorid": flavorid,
            "memory_mb": memory_mb,
            "vcpus": vcpus,
            "root_gb": root_gb,
            "ephemeral_gb": 0,
            "swap": 0,
            "rxtx_factor": 1.0,
            "disabled": 0,
            "is_public": 1,
            "description": None,
        }
        await database.execute(ADD_FLAVOR, **row)
