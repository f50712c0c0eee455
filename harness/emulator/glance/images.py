"""`/v2/images`: create, show, delete, deactivate. Checked against glance 33.0.0 on 2026-11-22."""

from typing import Any
from uuid import uuid4

import falcon
import orjson
from falcon.asgi import Request, Response

from harness.emulator.database import DBDuplicateEntry
from harness.emulator.glance import faults, listing, patching, schemas
from harness.emulator.glance.service import Resource, may_change, moment, view
from harness.emulator.http import Caller

_BASE = ("name", "visibility", "owner", "disk_format", "container_format", "min_ram", "min_disk")


class Images(Resource):
    """`/v2/images`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.app.json(resp, await listing.answer(self.glance, req))

    async def on_post(self, req: Request, resp: Response) -> None:
        caller: Caller = req.context.caller
        given = await self.document(req)
        for name in given:
            if name in schemas.READ_ONLY:
                raise faults.read_only(name)
        for name, value in given.items():
            schemas.check(name, value)
        if not caller.is_member:
            raise faults.forbidden("add_image")
        if given.get("visibility") == "public" and not caller.is_admin:
            raise faults.forbidden("publicize_image")
        owner = given.get("owner", caller.project_id)
        if owner != caller.project_id and not caller.is_admin:
            raise faults.detailed(403, f"You are not permitted to create images owned by '{owner}'")
        image_id = given.get("id") or str(uuid4())
        now = moment()
        values: dict[str, Any] = {name: given.get(name) for name in _BASE}
        values |= {
            "id": image_id,
            "status": "queued",
            "owner": owner,
            "visibility": given.get("visibility", "shared"),
            "min_ram": given.get("min_ram", 0),
            "min_disk": given.get("min_disk", 0),
            "protected": int(given.get("protected", False)),
            "os_hidden": int(given.get("os_hidden", False)),
            "tags": orjson.dumps(sorted(set(given.get("tags", [])))).decode(),
            "properties": orjson.dumps(
                {name: value for name, value in given.items() if name not in schemas.PROPERTIES}
            ).decode(),
            "created_at": now,
            "updated_at": now,
        }
        try:
            await self.glance.add(**values)
        except DBDuplicateEntry:
            raise faults.refuse(409, f"Image ID {image_id} already exists!") from None
        row = await self.glance.find(image_id)
        assert row is not None
        headers = {
            "Location": f"{self.glance.url}/v2/images/{image_id}",
            "OpenStack-image-import-methods": "glance-direct,web-download,copy-image",
            "OpenStack-image-store-ids": "fs,os_glance_staging_store,os_glance_tasks_store",
        }
        self.app.json(resp, view(row), 201, headers=headers)


class Image(Resource):
    """`/v2/images/{image_id}`."""

    async def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        self.app.json(resp, view(await self.glance.visible(req.context.caller, image_id)))

    async def on_patch(self, req: Request, resp: Response, image_id: str) -> None:
        kind = (req.content_type or "").partition(";")[0].strip()
        if kind not in faults.PATCH_TYPES.split(", "):
            raise faults.media_type(
                kind,
                f"Image PATCH expects Content-Type one of: {faults.PATCH_TYPES}",
                **{"Accept-Patch": faults.PATCH_TYPES},
            )
        operations = patching.parse(await self.app.body(req))
        row = await self.glance.visible(req.context.caller, image_id)
        values = patching.apply(req.context.caller, row, operations)
        if values:
            await self.glance.change(image_id, **values)
            row = await self.glance.visible(req.context.caller, image_id)
        self.app.json(resp, view(row))

    async def on_delete(self, req: Request, resp: Response, image_id: str) -> None:
        caller: Caller = req.context.caller
        missing = faults.refuse(404, f"Failed to find image {image_id} to delete")
        row = await self.glance.visible(caller, image_id, missing)
        if not may_change(caller, row):
            raise faults.forbidden("delete_image")
        if row["protected"]:
            raise faults.refuse(403, f"Image {image_id} is protected and cannot be deleted.")
        await self.glance.remove(image_id)
        self.nothing(resp)


class ImageAction(Resource):
    """`POST /v2/images/{image_id}/actions/deactivate|reactivate`. Args: action: which."""

    def __init__(self, action: str, *shared: Any) -> None:
        super().__init__(*shared)
        self.action = action
        self.before, self.after = ("active", "deactivated") if action == "deactivate" else ("deactivated", "active")

    async def on_post(self, req: Request, resp: Response, image_id: str) -> None:
        caller: Caller = req.context.caller
        row = await self.glance.visible(caller, image_id)
        if not may_change(caller, row):
            raise faults.forbidden(self.action)
        if row["status"] not in (self.before, self.after):
            raise faults.refuse(403, f"Not allowed to {self.action} image in status '{row['status']}'")
        await self.glance.move(image_id, self.before, self.after)
        self.nothing(resp)


class ImageTag(Resource):
    """`PUT|DELETE /v2/images/{image_id}/tags/{tag}`."""

    async def on_put(self, req: Request, resp: Response, image_id: str, tag: str) -> None:
        tags = await self._tags(req, image_id)
        if len(tag) > 255:
            raise faults.mismatch(f"{tag!r} is too long")
        if tag not in tags:
            await self.glance.change(image_id, tags=orjson.dumps(sorted([*tags, tag])).decode())
        self.nothing(resp)

    async def on_delete(self, req: Request, resp: Response, image_id: str, tag: str) -> None:
        tags = await self._tags(req, image_id)
        if tag not in tags:
            raise faults.not_found()
        await self.glance.change(image_id, tags=orjson.dumps([one for one in tags if one != tag]).decode())
        self.nothing(resp)

    async def _tags(self, req: Request, image_id: str) -> list[str]:
        missing = faults.refuse(404, f"Image {image_id} not found.")
        row = await self.glance.visible(req.context.caller, image_id, missing)
        if not may_change(req.context.caller, row):
            raise faults.forbidden("modify_image")
        tags: list[str] = orjson.loads(row["tags"])
        return tags


class Schema(Resource):
    """`GET /v2/schemas/{kind}`."""

    async def on_get(self, req: Request, resp: Response, kind: str) -> None:
        if kind not in schemas.DOCUMENTS:
            raise faults.not_found()
        self.app.json(resp, schemas.DOCUMENTS[kind])


class Fixed(Resource):
    """A document that never changes. Args: document."""

    def __init__(self, document: dict[str, Any], *shared: Any) -> None:
        super().__init__(*shared)
        self.document_shown = document

    async def on_get(self, req: Request, resp: Response) -> None:
        self.app.json(resp, self.document_shown)


def versions(url: str) -> dict[str, Any]:
    """The version document: every minor version is served by the newest code."""
    minors = range(18, -1, -1)
    return {
        "versions": [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == minors[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{url}/v2/"}],
            }
            for minor in minors
        ]
    }


class Versions(Fixed):
    """`GET /`: 300, as for any path that names no version."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await super().on_get(req, resp)
        if req.path != "/versions":
            resp.status = falcon.HTTP_300
