"""What is saved along with an instance is written when the instance matched, and not otherwise."""

import asyncio

import msgspec
from sqlalchemy import Integer, literal_column, select, text

from harness.emulator import schemas
from harness.emulator.database import Database, Statement
from harness.emulator.nova import instances
from harness.emulator.nova.schema import instance_actions_events, instance_info_caches
from harness.emulator.nova.schema import instances as table
from harness.emulator.settings import DatabaseSettings

UUID = "11111111-1111-1111-1111-111111111111"
EVENT = {
    "event": "compute__do_build_and_run_instance",
    "instance_uuid": UUID,
    "request_id": "req-1",
    "start_time": "2026-01-01T00:00:00Z",
    "finish_time": "2026-01-01T00:00:01Z",
    "result": "Success",
    "traceback": None,
    "host": "compute-00001",
}
EVENTS = Statement(select(instance_actions_events.c.event))
TUPLES_READ = Statement(
    select(literal_column("idx_tup_fetch + seq_tup_read").label("tuples"))
    .select_from(text("pg_stat_xact_user_tables"))
    .where(text("relname = 'instances'"))
)
CACHES = Statement(select(instance_info_caches.c.network_info))


def test_neither_cache_nor_event_is_written_for_an_instance_in_another_state(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(postgres, prefix="saves_")
        await schemas.create(settings, ("nova_cell1",))
        cell = Database("nova_cell1", settings)
        await cell.execute(instances.INSERT_INSTANCE, **_row(UUID))

        active = {"vm_state": "active", "task_state": None}
        assert await instances.save(cell, UUID, active, ["networking"], event=EVENT) == 0
        assert await instances.save(cell, UUID, {"task_state": "x"}, ["networking"], network_info="[]") == 0
        assert (await cell.fetch(EVENTS), await cell.fetch(CACHES)) == ([], [])

        for info in ("[]", '["overwritten"]'):
            assert await instances.save(cell, UUID, {"progress": 1}, ["spawning"], network_info=info) == 1
        assert await instances.save(cell, UUID, active, ["spawning"], event=EVENT) == 1
        assert [found["network_info"] for found in await cell.fetch(CACHES)] == ['["overwritten"]']
        assert [found["event"] for found in await cell.fetch(EVENTS)] == [EVENT["event"]]
        await cell.close()

    asyncio.run(scenario())


def test_a_save_reads_its_own_row_only_in_tables_that_are_too_new_for_statistics(postgres: DatabaseSettings) -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(postgres, prefix="own_row_")
        await schemas.create(settings, ("nova_cell1",))
        cell = Database("nova_cell1", settings)
        for number in range(300):
            await cell.execute(instances.INSERT_INSTANCE, **_row(f"{number:036d}"))
            if number == 0:  # the plan is made now, and kept
                await instances.save(cell, f"{0:036d}", {"progress": 1}, ["spawning"])
        async with cell.transaction() as transaction:
            before = await transaction.fetch_value(TUPLES_READ)
            statement = Statement.for_shape(("instance_save", ("progress",), "list"), lambda: None)
            wanted = {"b_uuid": f"{7:036d}", "b_now": "", "b_expected": ["spawning"]}
            assert await transaction.execute(statement, progress=2, **wanted) == 1
            assert await transaction.fetch_value(TUPLES_READ) - before <= 2
        await cell.close()

    asyncio.run(scenario())


def _row(uuid: str) -> dict[str, object]:
    needed = [column for column in table.columns if not column.nullable and column.name not in ("id", "deleted")]
    row = {column.name: 0 if isinstance(column.type, Integer) else "{}" for column in needed}
    return {**row, "uuid": uuid, "task_state": "spawning"}
