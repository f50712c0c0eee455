"""Gauges of a PostgreSQL or MariaDB server, over one connection that is held open from before the first fault."""

from typing import Any

from harness.telemetry.gauge import Gauge

_POSTGRESQL = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle'),
       (SELECT sum(xact_commit) FROM pg_stat_database), (SELECT sum(xact_rollback) FROM pg_stat_database),
       (SELECT sum(deadlocks) FROM pg_stat_database)
"""


class PostgreSQL:
    """Args: address, user, password: of the server itself, not of a proxy: a slowed link must not slow its gauges."""

    name = "database"
    period_s = 1.0

    def __init__(self, host: str, port: int, user: str, password: str, database: str = "postgres") -> None:
        self._login = {"host": host, "port": port, "user": user, "password": password, "database": database}
        self._connection: Any = None

    async def read(self) -> list[Gauge]:
        import asyncpg

        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(**self._login, timeout=2)
        used, most, waits, active, commits, rollbacks, deadlocks = await self._connection.fetchrow(_POSTGRESQL)
        return _gauges(used, most, waits, active, float(commits or 0), float(rollbacks or 0), float(deadlocks or 0))

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class MariaDB:
    """Args: as of PostgreSQL. The user needs no privilege beyond connecting (PROCESS for row lock waits of others)."""

    name = "database"
    period_s = 1.0

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self._login = {"host": host, "port": port, "user": user, "password": password}
        self._connection: Any = None

    async def read(self) -> list[Gauge]:
        import asyncmy

        if self._connection is None:
            self._connection = await asyncmy.connect(**self._login, connect_timeout=2)
        try:
            async with self._connection.cursor() as cursor:
                await cursor.execute("SHOW GLOBAL STATUS")
                status = dict(await cursor.fetchall())
                await cursor.execute("SELECT @@max_connections")
                (most,) = await cursor.fetchone()
        except Exception:
            await self.close()
            raise
        gauges = _gauges(
            int(status["Threads_connected"]),
            int(most),
            int(status.get("Innodb_row_lock_current_waits", 0)),
            int(status["Threads_running"]),
            float(status["Com_commit"]),
            float(status["Com_rollback"]),
            float(status.get("Innodb_deadlocks", 0)),
        )
        if "wsrep_flow_control_paused" in status:
            gauges.append(Gauge("database", "flow control paused", float(status["wsrep_flow_control_paused"]), 1.0))
        return gauges

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _gauges(
    used: int, most: int, waits: int, active: int, commits: float, rollbacks: float, deadlocks: float
) -> list[Gauge]:
    return [
        Gauge("database", "connections", used, most),
        Gauge("database", "lock waits", waits),
        Gauge("database", "active statements", active),
        Gauge("database", "commits", commits),
        Gauge("database", "rollbacks", rollbacks),
        Gauge("database", "deadlocks", deadlocks),
    ]
