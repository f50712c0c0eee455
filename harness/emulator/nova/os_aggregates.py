"""`/os-aggregates`: there are none."""

from typing import Any

from harness.emulator.http import require
from harness.emulator.nova.compute_api import ComputeApi


class AggregatesResource:
    """The list."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-aggregates:index")
        self.api.app.json(resp, {"aggregates": []})
