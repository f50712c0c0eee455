"""Request bodies against the part of JSON Schema that keystone's schemas use; messages as keystone gives them."""

from collections.abc import Mapping
from typing import Any

from harness.emulator.keystone import faults

Schema = Mapping[str, Any]

_TYPES: dict[str, Any] = {
    "string": str,
    "object": dict,
    "array": list,
    "boolean": bool,
    "null": type(None),
}

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
PROJECT_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
TEXT: Schema = {"type": "string"}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}


def members(body: Any, kind: str) -> dict[str, Any]:
    """The object under `kind` of a request body.

    Raises: ApiError 400 when it is not there.
    """
    if not isinstance(body, dict) or kind not in body:
        raise faults.missing(kind, "request body")
    value = body[kind]
    if not isinstance(value, dict):
        raise faults.bad_request(
            f"Invalid input for field/attribute {kind}. Value: {value}. {value!r} is not of type 'object'"
        )
    return value


def check(value: dict[str, Any], kind: str, properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> None:
    """Check the members of a request body; unknown members are allowed, as keystone allows them.

    Raises: ApiError 400 naming the first offending member, in the schema's order.
    """
    for name, schema in properties.items():
        if name in value:
            problem = _problem(value[name], schema)
            if problem:
                raise faults.bad_request(f"Invalid input for field/attribute {name}. Value: {value[name]}. {problem}")
    for name in required:
        if name not in value:
            raise faults.bad_request(
                f"Invalid input for field/attribute {kind}. Value: {value}. {name!r} is a required property"
            )


def _problem(value: Any, schema: Schema) -> str | None:
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else kinds
        if not any(isinstance(value, _TYPES[kind]) for kind in wanted):
            return f"{value!r} is not of type " + ", ".join(repr(kind) for kind in wanted)
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return f"{value!r} should be non-empty" if schema["minLength"] == 1 else f"{value!r} is too short"
        if len(value) > schema.get("maxLength", len(value)):
            return f"{value!r} is too long"
        if schema.get("minLength") == 1 and not value.strip():
            return f"{value!r} does not match '[\\\\S]+'"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is not one of {schema['enum']!r}"
    return None
