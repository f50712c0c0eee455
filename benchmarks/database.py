"""CPU that the thin database layer adds to its driver: one SELECT by key and one UPDATE on the embedded PostgreSQL.

    python -m benchmarks.database [--rounds 5] [--calls 2000]

Same connection count (one), same prepared statements; figures are this process's user + system CPU per call, medians.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import uvloop
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, select, update
from sqlalchemy.schema import CreateTable

from harness.emulator.database import Database, Statement
from harness.emulator.settings import DatabaseSettings
from harness.emulator.standalone import StandalonePostgres

servers = Table("servers", MetaData(), Column("uuid", String(36), primary_key=True), Column("status", String(20)),
                Column("revision", Integer))  # fmt: skip
GET = Statement(select(servers).where(servers.c.uuid == bindparam("uuid")))
SET = Statement(update(servers).where(servers.c.uuid == bindparam("uuid")).values(status=bindparam("status")))
GET_SQL = "SELECT uuid, status, revision FROM servers WHERE uuid = $1::VARCHAR"
SET_SQL = "UPDATE servers SET status=$1::VARCHAR WHERE uuid = $2::VARCHAR"


async def measure(settings: DatabaseSettings, rounds: int, calls: int) -> None:
    """Interleave the four loops and print their medians."""
    database = Database("postgres", settings)
    driver = await asyncpg.connect(
        host=settings.host, port=settings.port, user=settings.user, password=settings.password, database="postgres"
    )
    await database.run(str(CreateTable(servers)))
    await database.run("INSERT INTO servers VALUES ('a', 'BUILD', 0)")
    loops: dict[str, Callable[[], Awaitable[object]]] = {
        "SELECT driver": lambda: driver.fetch(GET_SQL, "a"),
        "SELECT layer": lambda: database.fetch(GET, uuid="a"),
        "UPDATE driver": lambda: driver.execute(SET_SQL, "ACTIVE", "a"),
        "UPDATE layer": lambda: database.execute(SET, uuid="a", status="ACTIVE"),
    }
    figures: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, call in loops.items():
            began = time.process_time()
            for _ in range(calls):
                await call()
            figures[name].append((time.process_time() - began) / calls * 1e6)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, value in medians.items():
        print(f"{name:<14}{value:>8.1f} us CPU a call (min {min(figures[name]):.1f})")
    for what in ("SELECT", "UPDATE"):
        print(f"{what} layer adds {min(figures[f'{what} layer']) - min(figures[f'{what} driver']):.1f} us (of minima)")
    await driver.close()
    await database.close()


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m benchmarks.database`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.database")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as directory:
        Path(directory).chmod(0o711)
        with StandalonePostgres(Path(directory)) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
            run.run(measure(server.settings, options.rounds, options.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
