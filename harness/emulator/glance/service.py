"""What glance's resources share: images by id, who may see and change them, where their data lies."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import falcon.asgi
import orjson
from falcon.asgi import Request
from sqlalchemy import bindparam, delete, insert, select, update

from harness.emulator import timestamps
from harness.emulator.database import Statement
from harness.emulator.glance import faults, schema
from harness.emulator.http import ApiError, Caller, ServiceApp
from harness.emulator.runtime import Runtime

Row = Mapping[str, Any]

_images = schema.images
_members = schema.image_members
_GET = Statement(select(_images).where(_images.c.id == bindparam("id"), _images.c.deleted == 0))
_ADD = Statement(insert(_images))
_CHANGE = Statement(update(_images).where(_images.c.id == bindparam("the_id")))
_MOVE = Statement(
    update(_images)
    .where(_images.c.id == bindparam("the_id"), _images.c.status == bindparam("expected"))
    .values(status=bindparam("new_status"), updated_at=bindparam("moment"))
)
_DROP_MEMBERS = Statement(delete(_members).where(_members.c.image_id == bindparam("image_id")))
_MEMBER = Statement(
    select(_members).where(_members.c.image_id == bindparam("image_id"), _members.c.member == bindparam("member"))
)


class Glance:
    """One process's view of the image database and of the directory with the data."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.settings = runtime.settings.glance
        self.database = runtime.database("glance")
        self.url = runtime.settings.url("glance")
        directory = self.settings.filesystem_store_datadir
        self._files = Path(directory) if directory else Path(tempfile.mkdtemp(prefix="glance-"))

    def path(self, image_id: str) -> Path:
        """Where the data of an image lies. Ids are uuids by schema: they cannot lead elsewhere."""
        self._files.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._files / image_id

    async def find(self, image_id: str) -> Row | None:
        row: Row | None = await self.database.fetch_one(_GET, id=image_id)
        return row

    async def visible(self, caller: Caller, image_id: str, refusal: ApiError | None = None) -> Row:
        """An image that the caller may see. Raises: ApiError 404 (`refusal`, or the usual one)."""
        row = await self.find(image_id)
        if row is not None and await self._sees(caller, row):
            return row
        raise refusal or faults.no_image(image_id)

    async def member(self, image_id: str, project_id: str) -> Row | None:
        row: Row | None = await self.database.fetch_one(_MEMBER, image_id=image_id, member=project_id)
        return row

    async def add(self, **values: Any) -> None:
        """Raises: DBDuplicateEntry."""
        await self.database.execute(_ADD, deleted=0, **values)

    async def change(self, image_id: str, **values: Any) -> None:
        await self.database.execute(_CHANGE, the_id=image_id, updated_at=moment(), **values)

    async def move(self, image_id: str, expected: str, status: str) -> bool:
        """From one status to another. Returns whether the image was in the expected one."""
        return bool(
            await self.database.execute(_MOVE, the_id=image_id, expected=expected, new_status=status, moment=moment())
        )

    async def remove(self, image_id: str) -> None:
        """Delete an image, its members and its data."""
        await self.database.execute(_DROP_MEMBERS, image_id=image_id)
        await self.change(image_id, status="deleted", deleted=1)
        self.path(image_id).unlink(missing_ok=True)

    async def _sees(self, caller: Caller, row: Row) -> bool:
        if caller.is_admin or row["owner"] == caller.project_id or row["visibility"] in ("public", "community"):
            return True
        return row["visibility"] == "shared" and await self.member(row["id"], caller.project_id) is not None


def moment() -> str:
    """Now, as it is stored: with microseconds, which are not shown."""
    return timestamps.utcnow_iso_micro()


def may_change(caller: Caller, row: Row) -> bool:
    """Administrators, and members of the project that owns the image."""
    return caller.is_admin or (row["owner"] == caller.project_id and caller.is_member)


def view(row: Row) -> dict[str, Any]:
    """An image as glance shows it; additional properties come first."""
    image_id = row["id"]
    shown: dict[str, Any] = orjson.loads(row["properties"])
    shown |= {
        "name": row["name"],
        "disk_format": row["disk_format"],
        "container_format": row["container_format"],
        "visibility": row["visibility"],
        "size": row["size"],
        "virtual_size": row["virtual_size"],
        "status": row["status"],
        "checksum": row["checksum"],
        "protected": bool(row["protected"]),
        "min_ram": row["min_ram"],
        "min_disk": row["min_disk"],
        "owner": row["owner"],
        "os_hidden": bool(row["os_hidden"]),
        "os_hash_algo": row["os_hash_algo"],
        "os_hash_value": row["os_hash_value"],
        "id": image_id,
        "created_at": f"{row['created_at'][:19]}Z",
        "updated_at": f"{row['updated_at'][:19]}Z",
        "tags": orjson.loads(row["tags"]),
        "self": f"/v2/images/{image_id}",
        "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }
    if row["size"] is not None:
        shown["stores"] = "fs"
    return shown


class Resource:
    """One URL of the API."""

    def __init__(self, app: ServiceApp, glance: Glance) -> None:
        self.app = app
        self.glance = glance

    async def document(self, req: Request) -> dict[str, Any]:
        """The request's JSON object. Raises: ApiError 400, also for a list, for which glance 33.0.0 has a 500."""
        body = await self.app.body(req)
        if not isinstance(body, dict):
            raise faults.refuse(400, "Unexpected body type. Expected list/dict.")
        return body

    def nothing(self, resp: falcon.asgi.Response) -> None:
        resp.status = falcon.HTTP_204
