"""`/servers/{server_id}/ips` and the addresses on one network."""

from typing import Any

import orjson

from harness.emulator.http import ApiError
from harness.emulator.nova import states
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.server_views import addresses


class ServerIpsResource:
    """Addresses of a server."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        self.api.app.json(resp, {"addresses": await self._addresses(req, server_id)})

    async def on_get_network(self, req: Any, resp: Any, server_id: str, label: str) -> None:
        found = await self._addresses(req, server_id)
        if label not in found:
            raise ApiError(404, "Instance is not a member of specified network")
        self.api.app.json(resp, {label: found[label]})

    async def _addresses(self, req: Any, server_id: str) -> dict[str, list[dict[str, Any]]]:
        _, row = await self.api.instance(req.context.caller, server_id)
        if row["vm_state"] == states.BUILDING:
            return {}
        return addresses(orjson.loads(row["network_info"] or "[]"), extended=False)
