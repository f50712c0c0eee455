"""`/os-availability-zone`: one zone of all computes, `nova`; `internal` holds the other services."""

from typing import Any

from harness.emulator.http import require
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.server_create import ZONE


class ZonesResource:
    """List, and detail with hosts for administrators."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        computes = [row for row in await self.api.services() if row["binary"] == "nova-compute"]
        zones = []
        if computes:
            available = any(not row["disabled"] for row in computes)
            zones.append({"zoneName": ZONE, "zoneState": {"available": available}, "hosts": None})
        self.api.app.json(resp, {"availabilityZoneInfo": zones})

    async def on_get_detail(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-availability-zone:detail")
        hosts: dict[str, dict[str, Any]] = {"internal": {}, ZONE: {}}
        for row in await self.api.services():
            zone = ZONE if row["binary"] == "nova-compute" else "internal"
            updated = row["updated_at"]
            hosts[zone].setdefault(row["host"], {})[row["binary"]] = {
                "available": self.api.is_up(row),
                "active": not row["disabled"],
                "updated_at": updated[:19] + ".000000" if updated else None,
            }
        zones = [
            {"zoneName": zone, "zoneState": {"available": True}, "hosts": found}
            for zone, found in hosts.items()
            if found
        ]
        self.api.app.json(resp, {"availabilityZoneInfo": zones})
