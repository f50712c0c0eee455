"""The row in `services` of a service with a database of its own (conductor, scheduler), and its regular report."""

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import bindparam, update

from harness.emulator.database import DBError, Statement, upsert
from harness.emulator.nova.schema import services
from harness.emulator.timestamps import utcnow_iso, utcnow_iso_micro

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.service")
REGISTER = upsert(services, ["host", "binary"], ["last_seen_up", "updated_at"])
REPORT = Statement(
    update(services)
    .where(services.c.host == bindparam("b_host"), services.c.binary == bindparam("b_binary"))
    .values(last_seen_up=bindparam("now"), updated_at=bindparam("now"), report_count=services.c.report_count + 1)
)


def new_row(name: str, host: str, binary: str, topic: str) -> dict[str, object]:
    """A row of `services` for `REGISTER`. Its UUID follows from names, so that a restart finds the same."""
    now = utcnow_iso_micro()
    return {
        "uuid": str(uuid5(NAMESPACE_URL, f"{name}/{binary}/{host}")),
        "created_at": utcnow_iso(),
        "updated_at": now,
        "last_seen_up": now,
        "host": host,
        "binary": binary,
        "topic": topic,
    }


class ServiceRecord:
    """Reports every `report_interval`; a failed report is the next one's business."""

    def __init__(self, runtime: "Runtime", *, host: str, binary: str, topic: str) -> None:
        self.host = host
        self.binary = binary
        self._runtime = runtime
        self._topic = topic
        self._database = runtime.database("nova_cell1")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register and begin to report."""
        row = new_row(self._runtime.settings.name, self.host, self.binary, self._topic)
        await self._database.execute(REGISTER, **row)
        self._task = asyncio.create_task(self._report())

    async def close(self) -> None:
        """End the reports; the row stays, as for real."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _report(self) -> None:
        interval_s = self._runtime.scaled(self._runtime.settings.nova.report_interval_s)
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self._database.execute_retried(
                    REPORT, b_host=self.host, b_binary=self.binary, now=utcnow_iso_micro()
                )
            except DBError as error:
                log.error("report of %s failed: %s", self.binary, error)
