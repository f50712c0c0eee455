"""`PATCH /v2/images/{id}`: glance's JSON patch, one level deep. Checked against glance 33.0.0 on 2026-11-22."""

from typing import Any

import orjson

from harness.emulator.glance import faults, schemas
from harness.emulator.glance.service import Row, may_change
from harness.emulator.http import Caller

_OPERATIONS = ("add", "remove", "replace")
_QUEUED_ONLY = ("disk_format", "container_format")
_FLAGS = ("protected", "os_hidden")
Operation = tuple[str, str, Any]


def parse(body: Any) -> list[Operation]:
    """(operation, member, value) of each step. Raises: ApiError 400, 403."""
    if not isinstance(body, list):
        raise faults.refuse(400, "Request body must be a JSON array of operation objects.")
    found: list[Operation] = []
    for step in body:
        if not isinstance(step, dict):
            raise faults.refuse(400, "Operations must be JSON objects.")
        operation = step.get("op")
        if operation is None:
            operation = next((name for name in _OPERATIONS if name in step), None)  # the v2.0 form: {"add": path}
            path = step.get(operation) if operation else None
        else:
            path = step.get("path")
        if operation is None:
            raise faults.refuse(
                400, "Unable to find `op` in JSON Schema change. It must be one of the following: add, remove, replace."
            )
        if operation not in _OPERATIONS:
            raise faults.refuse(
                400, f"Invalid operation: `{operation}`. It must be one of the following: add, remove, replace."
            )
        if not isinstance(path, str):
            raise faults.refuse(400, "Unable to find 'path' in JSON Schema change")
        if not path.startswith("/"):
            raise faults.refuse(400, f'Pointer `{path}` does not start with "/".')
        if "/" in path[1:]:
            raise faults.refuse(400, f"Invalid JSON pointer for this resource: '{path}'")
        name = path[1:].replace("~1", "/").replace("~0", "~")
        if operation != "remove" and "value" not in step:
            raise faults.refuse(400, f'Operation "{operation}" requires a member named "value".')
        if name in schemas.READ_ONLY or name == "id":
            raise faults.read_only(name)
        found.append((operation, name, step.get("value")))
    return found


def apply(caller: Caller, row: Row, operations: list[Operation]) -> dict[str, Any]:
    """Columns to write. Raises: ApiError 400, 403, 409."""
    properties: dict[str, Any] = orjson.loads(row["properties"])
    values: dict[str, Any] = {}
    if operations and not may_change(caller, row):
        raise faults.forbidden("modify_image")
    for operation, name, value in operations:
        if name not in schemas.PROPERTIES:
            _on_property(properties, operation, name, value)
            values["properties"] = orjson.dumps(properties).decode()
            continue
        if operation == "remove":
            raise faults.detailed(403, f"Property {name} may not be removed.")
        schemas.check(name, value)
        if name in _QUEUED_ONLY and row["status"] != "queued":
            raise faults.refuse(403, f"Attribute {name} can be only replaced for a queued image.")
        if name == "owner" and not caller.is_admin:
            raise faults.detailed(403, "Owner can't be updated by non admin.")
        if name == "visibility" and value == "public" and not caller.is_admin:
            raise faults.forbidden("publicize_image")
        if name == "tags":
            values[name] = orjson.dumps(sorted(set(value))).decode()
        else:
            values[name] = int(value) if name in _FLAGS else value
    return values


def _on_property(properties: dict[str, Any], operation: str, name: str, value: Any) -> None:
    if operation != "add" and name not in properties:
        raise faults.detailed(409, f"Property {name} does not exist.")
    if operation == "remove":
        del properties[name]
        return
    schemas.check(name, value)
    properties[name] = value
