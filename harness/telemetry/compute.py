"""How much of the hypervisors is given away, through Nova's own statistics (any OpenStack cloud, admin only)."""

from collections.abc import Awaitable, Callable
from typing import Any

from harness.telemetry.gauge import Gauge


class Hypervisors:
    """Args: ask: gives the body of `GET /os-hypervisors/statistics` (microversion below 2.88)."""

    name = "placement"
    period_s = 5.0  # Nova adds up all its hypervisors for each answer

    def __init__(self, ask: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._ask = ask

    async def read(self) -> list[Gauge]:
        said = (await self._ask())["hypervisor_statistics"]
        return [
            Gauge("placement", "memory MiB", float(said["memory_mb_used"]), float(said["memory_mb"])),
            Gauge("placement", "disk GiB", float(said["local_gb_used"]), float(said["local_gb"])),
            Gauge("placement", "servers", float(said["running_vms"])),
        ]

    async def close(self) -> None:
        return None
