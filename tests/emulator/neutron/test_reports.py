"""Reports of agents without a broker: gathered, written together, and none forgotten."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from harness.emulator import schemas
from harness.emulator.database import Statement
from harness.emulator.messaging import CallContext
from harness.emulator.neutron import schema
from harness.emulator.neutron.plugin_rpc import ReportsRpc
from harness.emulator.runtime import Runtime
from harness.emulator.settings import DatabaseSettings, Settings
from tests.emulator.waiting import until

KNOWN = Statement(select(schema.agents.c.host))


@pytest.fixture(scope="module")
def database(postgres: DatabaseSettings) -> DatabaseSettings:
    settings = msgspec.structs.replace(postgres, prefix="reports_")
    asyncio.run(schemas.create(settings, ("neutron",)))
    return settings


def report(host: str) -> dict[str, Any]:
    kind = {"agent_type": "Open vSwitch agent", "binary": "neutron-openvswitch-agent", "topic": "N/A"}
    return {"agent_state": {**kind, "host": host, "configurations": {}, "start_flag": True}}


async def test_an_agent_that_registers_while_others_are_written_is_known_when_it_is_told_so(
    database: DatabaseSettings,
) -> None:
    runtime = Runtime(Settings(database=database), "network")
    reports = ReportsRpc(runtime)
    agents = runtime.database("neutron")
    async with agents.transaction() as held:
        await agents_locked(held)
        first = asyncio.create_task(reports.report_state(CallContext(), report("early"), ""))
        await until(lambda: agents.pool.used == 2)  # its write has begun, and waits for the lock
        second = asyncio.create_task(reports.report_state(CallContext(), report("late"), ""))
        await asyncio.sleep(0)
    assert await asyncio.gather(first, second) == ["new", "new"]
    assert {row["host"] for row in await agents.fetch(KNOWN)} == {"early", "late"}
    await reports.close()
    await runtime.close()


async def agents_locked(transaction: Any) -> None:
    """Nobody else can write agents until the transaction ends."""
    await transaction._connection.run("LOCK TABLE agents IN EXCLUSIVE MODE")
