"""`/servers/{server_id}/os-volume_attachments`: always empty, there are no volumes here."""

from typing import Any

from harness.emulator.http import require
from harness.emulator.nova.compute_api import ComputeApi


class VolumeAttachmentsResource:
    """The list, which clients read when they show a server."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        require(req.context.caller.is_reader, "os_compute_api:os-volumes-attachments:index")
        await self.api.instance(req.context.caller, server_id)
        self.api.app.json(resp, {"volumeAttachments": []})
