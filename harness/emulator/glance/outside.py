"""Parts of the image API that this cloud does not have: tasks, the cache, importing data in steps.

Answered as glance 33.0.0 does where there is nothing, and where the policy forbids.
"""

from typing import Any

from falcon.asgi import Request, Response

from harness.emulator.glance import faults
from harness.emulator.glance.service import Resource


class Tasks(Resource):
    """Lists for administrators that are always empty. Args: action: of the policy."""

    def __init__(self, action: str, *shared: Any) -> None:
        super().__init__(*shared)
        self.action = action

    async def on_get(self, req: Request, resp: Response, key: str = "") -> None:
        if not req.context.caller.is_admin:
            raise faults.forbidden(self.action)
        if key:
            raise faults.refuse(404, f"Task not found for task_id {key}")
        self.app.json(resp, {"tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"})


class ImageTasks(Resource):
    """What hangs under one image."""

    async def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        await self.glance.visible(req.context.caller, image_id)
        self.app.json(resp, {"tasks": []})

    async def on_get_locations(self, req: Request, resp: Response, image_id: str) -> None:
        await self.glance.visible(req.context.caller, image_id)
        if not req.context.caller.is_service:
            raise faults.forbidden("fetch_image_location")
        self.app.json(resp, [])

    async def on_post_import(self, req: Request, resp: Response, image_id: str) -> None:
        body = await self.document(req)
        if "method" not in body:
            raise faults.refuse(400, "Import request requires a 'method' field.")
        row = await self.glance.visible(req.context.caller, image_id)
        raise faults.refuse(409, f"Image with status {row['status']} cannot be target for import")

    async def on_put_stage(self, req: Request, resp: Response, image_id: str) -> None:
        row = await self.glance.visible(req.context.caller, image_id)
        raise faults.refuse(409, f"Image status transition from {row['status']} to uploading is not allowed")
