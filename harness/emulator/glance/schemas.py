"""The image schema: what `/v2/schemas/...` answers, and what bodies are checked against."""

import re
from typing import Any

from harness.emulator.glance import faults

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["null", "string"]}
_READ_ONLY = {"readOnly": True}
_TYPES: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "array": list, "null": type(None)}

PROPERTIES: dict[str, dict[str, Any]] = {
    "id": {**_TEXT, "description": "Identifier of the image", "pattern": _UUID},
    "name": {**_TEXT_OR_NULL, "description": "Name of the image", "maxLength": 255},
    "status": {
        **_TEXT,
        **_READ_ONLY,
        "description": "Status of the image",
        "enum": [
            "queued",
            "saving",
            "active",
            "killed",
            "deleted",
            "uploading",
            "importing",
            "pending_delete",
            "deactivated",
        ],
    },
    "visibility": {
        **_TEXT,
        "description": "Who can see the image",
        "enum": ["community", "public", "private", "shared"],
    },
    "protected": {"type": "boolean", "description": "Whether deleting is refused"},
    "os_hidden": {"type": "boolean", "description": "Whether usual lists leave the image out"},
    "checksum": {**_TEXT_OR_NULL, **_READ_ONLY, "description": "MD5 of the data", "maxLength": 32},
    "os_hash_algo": {**_TEXT_OR_NULL, **_READ_ONLY, "description": "Algorithm of os_hash_value", "maxLength": 64},
    "os_hash_value": {**_TEXT_OR_NULL, **_READ_ONLY, "description": "Hash of the data", "maxLength": 128},
    "owner": {**_TEXT_OR_NULL, "description": "Project that owns the image", "maxLength": 255},
    "size": {"type": ["null", "integer"], **_READ_ONLY, "description": "Bytes of data"},
    "virtual_size": {"type": ["null", "integer"], **_READ_ONLY, "description": "Bytes of the disk inside"},
    "container_format": {
        **_TEXT_OR_NULL,
        "description": "Format of the container",
        "enum": [None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
    },
    "disk_format": {
        **_TEXT_OR_NULL,
        "description": "Format of the disk",
        "enum": [None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"],
    },
    "created_at": {**_TEXT, **_READ_ONLY, "description": "When the image was registered"},
    "updated_at": {**_TEXT, **_READ_ONLY, "description": "When the image was changed last"},
    "tags": {"type": "array", "description": "Labels of the image", "items": {**_TEXT, "maxLength": 255}},
    "direct_url": {**_TEXT, **_READ_ONLY, "description": "URL of the data in its store"},
    "min_ram": {"type": "integer", "description": "MB of RAM needed to boot the image"},
    "min_disk": {"type": "integer", "description": "GB of disk needed to boot the image"},
    "self": {**_TEXT, **_READ_ONLY, "description": "URL of the image"},
    "file": {**_TEXT, **_READ_ONLY, "description": "URL of the data"},
    "stores": {**_TEXT, **_READ_ONLY, "description": "Stores that hold the data"},
    "schema": {**_TEXT, **_READ_ONLY, "description": "URL of this schema"},
}
READ_ONLY = frozenset(name for name, given in PROPERTIES.items() if given.get("readOnly"))

IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": PROPERTIES,
    "additionalProperties": _TEXT,
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": {**_TEXT, "description": "Project that the image is shared with"},
        "image_id": {**_TEXT, "description": "Identifier of the image", "pattern": _UUID},
        "created_at": {**_TEXT, "description": "When it was shared"},
        "updated_at": {**_TEXT, "description": "When the sharing was changed last"},
        "status": {
            **_TEXT,
            "description": "Whether the project took the offer",
            "enum": ["pending", "accepted", "rejected"],
        },
        "schema": {"readOnly": True, **_TEXT},
    },
}


def _many(kind: str, item: dict[str, Any], *, paged: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {kind: {"type": "array", "items": item}}
    links = [{"rel": "describedby", "href": "{schema}"}]
    if paged:
        properties |= {"first": _TEXT, "next": _TEXT}
        links = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, *links]
    return {"name": kind, "properties": {**properties, "schema": _TEXT}, "links": links}


DOCUMENTS: dict[str, dict[str, Any]] = {
    "image": IMAGE,
    "images": _many("images", IMAGE, paged=True),
    "member": MEMBER,
    "members": _many("members", MEMBER, paged=False),
}


def check(name: str, value: Any) -> None:
    """One member of an image against the schema. Raises: ApiError 400."""
    given = PROPERTIES.get(name, _TEXT)
    kinds = [given["type"]] if isinstance(given["type"], str) else given["type"]
    if not any(_is(value, kind) for kind in kinds):
        raise faults.mismatch(f"{value!r} is not of type " + ", ".join(repr(kind) for kind in kinds))
    if "enum" in given and value not in given["enum"]:
        raise faults.mismatch(f"{value!r} is not one of {given['enum']!r}")
    if isinstance(value, str):
        if len(value) > given.get("maxLength", len(value)):
            raise faults.mismatch(f"{value!r} is too long")
        if "pattern" in given and not re.match(given["pattern"], value):
            raise faults.mismatch(f"{value!r} does not match {given['pattern']!r}")
    if isinstance(value, list):
        for one in value:
            if not isinstance(one, str):
                raise faults.mismatch(f"{one!r} is not of type 'string'")
            if len(one) > 255:
                raise faults.mismatch(f"{one!r} is too long")
    if name in ("min_ram", "min_disk") and value < 0:
        raise faults.refuse(400, f"Invalid value '{value}' for parameter '{name}': Cannot be a negative value")


def _is(value: Any, kind: str) -> bool:
    if kind == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[kind])
