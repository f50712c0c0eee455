"""The image that a new cloud starts with: `cirros-fake`, public, 4 KiB of data."""

import hashlib
from uuid import NAMESPACE_URL, uuid5

from harness.emulator.database import upsert
from harness.emulator.glance import schema
from harness.emulator.glance.service import Glance, moment
from harness.emulator.keystone.bootstrap import fixed_id
from harness.emulator.runtime import Runtime

IMAGE_ID = str(uuid5(NAMESPACE_URL, "glance/image/cirros-fake"))
_DATA = b"fake image data\n" * 256


async def bootstrap(runtime: Runtime) -> None:
    """Make the image where it is not there yet."""
    glance = Glance(runtime)
    path = glance.path(IMAGE_ID)
    if not path.exists():
        path.write_bytes(_DATA)
    now = moment()
    await glance.database.execute(
        upsert(schema.images, ("id",), ()),
        id=IMAGE_ID,
        name="cirros-fake",
        status="active",
        visibility="public",
        owner=fixed_id("project", "admin"),
        disk_format="raw",
        container_format="bare",
        size=len(_DATA),
        virtual_size=len(_DATA),
        checksum=hashlib.md5(_DATA, usedforsecurity=False).hexdigest(),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(_DATA).hexdigest(),
        min_ram=0,
        min_disk=0,
        protected=0,
        os_hidden=0,
        created_at=now,
        updated_at=now,
        tags="[]",
        properties="{}",
        deleted=0,
    )
