"""`/v2/images/{image_id}/file`: image data, streamed both ways. Checked against glance 33.0.0 on 2026-11-22."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import falcon
from falcon.asgi import Request, Response

from harness.emulator.glance import faults
from harness.emulator.glance.service import Resource, may_change
from harness.emulator.http import Caller

_CHUNK = 65_536  # bytes
_RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")


class ImageFile(Resource):
    """Upload makes a queued image active; a broken upload makes it queued again."""

    async def on_put(self, req: Request, resp: Response, image_id: str) -> None:
        kind = (req.content_type or "").partition(";")[0].strip()
        if kind != "application/octet-stream":
            raise faults.media_type(kind, f"Invalid content type {kind or None}")
        caller: Caller = req.context.caller
        row = await self.glance.visible(caller, image_id)
        if not may_change(caller, row):
            raise faults.forbidden("upload_image")
        if row["status"] == "queued" and not (row["disk_format"] and row["container_format"]):
            unset = ", ".join(name for name in ("disk_format", "container_format") if not row[name])
            raise faults.refuse(400, f"Properties {unset} must be set prior to saving data.")
        if row["status"] != "queued" or not await self.glance.move(image_id, "queued", "saving"):
            raise faults.refuse(409, f"Image status transition from {row['status']} to saving is not allowed")
        path = self.glance.path(image_id)
        try:
            size, checksum, hashed = await _receive(req, path)
        except BaseException:
            path.unlink(missing_ok=True)
            await self.glance.move(image_id, "saving", "queued")
            raise
        await self.glance.change(
            image_id,
            status="active",
            size=size,
            virtual_size=size if row["disk_format"] in ("raw", "iso") else None,
            checksum=checksum,
            os_hash_algo="sha512",
            os_hash_value=hashed,
        )
        self.nothing(resp)

    async def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        caller: Caller = req.context.caller
        row = await self.glance.visible(caller, image_id)
        if row["status"] == "deactivated" and not caller.is_admin:
            raise faults.refuse(403, "The requested image has been deactivated. Image data download is forbidden.")
        if row["size"] is None:
            self.nothing(resp)
            return
        start, end = _span(req.get_header("Range"), row["size"])
        resp.content_type = "application/octet-stream"
        resp.set_header("Content-MD5", row["checksum"])
        if (start, end) != (0, row["size"]):
            resp.status = falcon.HTTP_206
            resp.set_header("Content-Range", f"bytes {start}-{end - 1}/{row['size']}")
        path = self.glance.path(image_id)
        if not path.exists():
            raise faults.refuse(404, f"Image file {path.name} not found")
        resp.set_header("Content-Length", str(end - start))
        resp.stream = _send(path, start, end)


async def _receive(req: Request, path: Path) -> tuple[int, str, str]:
    """Store the body. Returns its bytes, MD5 and SHA-512. Raises: ApiError 400 when the client went away."""
    checksum = hashlib.md5(usedforsecurity=False)
    hashed = hashlib.sha512()
    size = 0
    with path.open("wb") as file:
        async for part in req.stream:
            checksum.update(part)
            hashed.update(part)
            size += file.write(part)
    if req.content_length is not None and size != req.content_length:
        raise faults.refuse(400, "Image data transfer was cut short")
    return size, checksum.hexdigest(), hashed.hexdigest()


async def _send(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    left = end - start
    with path.open("rb") as file:
        file.seek(start)
        while left > 0:
            part = file.read(min(_CHUNK, left))
            if not part:
                return
            left -= len(part)
            yield part


def _span(header: str | None, size: int) -> tuple[int, int]:
    """First byte and the one after the last. Raises: ApiError 416."""
    if header is None:
        return 0, size
    match = _RANGE.match(header)
    if match is None:
        raise faults.refuse(416, "Invalid range specified")
    if int(match[1]) >= size:
        raise faults.detailed(
            416,
            f"Invalid start position in Range header. Start position MUST be in the inclusive range [0, {size - 1}].",
        )
    end = min(int(match[2]) + 1, size) if match[2] else size
    return int(match[1]), end
