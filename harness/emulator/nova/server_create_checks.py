"""What `POST /servers` refuses besides the form of its body: devices, hints, metadata, and far too many servers."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from harness.emulator.http import ApiError
from harness.emulator.messaging import MessageDeliveryFailure
from harness.emulator.nova import quota, validation
from harness.emulator.nova.compute_api import ComputeApi

FEW = 1000  # servers of which any message can tell, whatever their user data
MESSAGE_MAX_BYTES = 134_217_728  # what the broker takes, RabbitMQ's default
_UUIDS: validation.Schema = {"type": "array", "items": validation.UUID}
_WORDS: validation.Schema = {"type": ["string", "array"], "items": {"type": "string"}}
HINTS: validation.Schema = {
    "type": "object",
    "properties": {
        "group": {"oneOf": [_UUIDS, validation.UUID]},
        "different_host": {"oneOf": [validation.UUID, _UUIDS]},
        "same_host": {"type": ["string", "array"], "items": validation.UUID},
        "query": {"type": ["string", "object"]},
        "target_cell": validation.NAME,
        "different_cell": _WORDS,
        "build_near_host_ip": {"oneOf": [validation.ADDRESS_V4, validation.ADDRESS_V6]},
        "cidr": {"type": "string", "pattern": "^/[0-9a-f.:]+$"},
    },
}
DEVICE: validation.Schema = {
    "type": "object",
    "properties": {
        "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
        "uuid": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._-]*$"},
        "destination_type": {"type": "string", "enum": ["local", "volume"]},
        "boot_index": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"},
    },
}
_BAD_DEVICE = "Block Device Mapping is Invalid: {}"


def check_devices(devices: Sequence[Mapping[str, Any]], *, image_given: bool) -> None:
    """Refuse with 400 devices that contradict themselves, and volumes and snapshots, of which there are none."""
    for device in devices:
        if device.get("no_device"):
            continue
        source, uuid = device.get("source_type"), device.get("uuid")
        if source == "blank" and uuid:
            raise ApiError(400, _BAD_DEVICE.format("Invalid device UUID."))
        if source != "blank" and not uuid:
            raise ApiError(400, _BAD_DEVICE.format("Missing device UUID."))
        boots = int(-1 if device.get("boot_index") is None else device["boot_index"]) == 0
        if source == "image" and device.get("destination_type") == "local" and not (image_given and boots):
            raise ApiError(400, _BAD_DEVICE.format("Mapping image to local is not supported."))
        if source is None:
            raise ApiError(400, _BAD_DEVICE.format("Some required fields are missing"))
        if source == "volume":
            raise ApiError(400, f"Volume {uuid} could not be found.")
        if source == "snapshot":
            raise ApiError(400, _BAD_DEVICE.format(f"failed to get snapshot {uuid}."))


async def check_metadata(api: ComputeApi, project_id: str, metadata: Mapping[str, str]) -> None:
    """Refuse with 403 more items than the project may have."""
    if metadata:
        allowed = (await quota.limits(api.cells, api.settings, project_id))["metadata_items"]
        if 0 <= allowed < len(metadata):
            raise ApiError(403, f"Maximum number of metadata items exceeds {allowed}")


def check_room(row: Mapping[str, Any], count: int) -> None:
    """Refuse more servers than one message to the conductor can tell of.

    Nova checks no such thing: it writes three rows for each server, for hours, then the broker refuses the message and
    the answer is the same 500, with the rows left behind. Args: row: one of `count` alike.
    Raises: MessageDeliveryFailure.
    """
    if count <= FEW:
        return
    each = len(orjson.dumps(orjson.dumps(row).decode()))  # JSON in JSON, as the envelope has it
    if each * count > MESSAGE_MAX_BYTES:
        raise MessageDeliveryFailure(
            f"{count} build requests are more than the {MESSAGE_MAX_BYTES} bytes that the broker takes in a message"
        )
