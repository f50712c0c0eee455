"""Request bodies against the part of JSON Schema that keystone's schemas use; messages as keystone gives them."""

import re
from collections.abc import Container, Mapping
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
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-]+$"}
ID_OR_NONE: Schema = {**ID, "type": ["string", "null"]}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
BOOLEAN_OR_NONE: Schema = {"type": ["boolean", "null"]}
TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^,/]*$"}
TAGS: Schema = {"type": "array", "items": TAG}
IMMUTABLE: Schema = {"type": "object", "properties": {"immutable": BOOLEAN_OR_NONE}}
USER_OPTIONS: Schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(
            (
                "ignore_change_password_upon_first_use",
                "ignore_password_expiry",
                "ignore_lockout_failure_attempts",
                "lock_password",
                "ignore_user_inactivity",
                "multi_factor_auth_enabled",
            ),
            BOOLEAN_OR_NONE,
        ),
        "multi_factor_auth_rules": {"type": ["array", "null"]},
    },
}
ANY_BOOLEAN: Schema = {
    "enum": [
        True, "True", "TRUE", "true", False, "False", "FALSE", "false", "", "1", "0", "y", "Y", "n", "N", "on", "ON",
        "off", "OFF", "yes", "no",
    ]
}  # fmt: skip


def members(body: Any, kind: str) -> dict[str, Any]:
    """The object under `kind` of a request body.

    Raises: ApiError 400 when it is not there.
    """
    if not isinstance(body, dict) or kind not in body:
        raise faults.bad_request(f"{kind!r} is a required property")
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
            _check_member(name, value[name], schema)
    for name in required:
        if name not in value:
            raise faults.bad_request(
                f"Invalid input for field/attribute {kind}. Value: {value}. {name!r} is a required property"
            )


def _check_member(name: str, value: Any, schema: Schema) -> None:
    problem = _problem(value, schema)
    if problem is None and isinstance(value, dict) and "properties" in schema:
        problem = unexpected(value, schema["properties"])
    if problem:
        raise faults.bad_request(f"Invalid input for field/attribute {name}. Value: {value}. {problem}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            _check_member(str(index), item, schema["items"])
    if isinstance(value, dict):
        for key, part in schema.get("properties", {}).items():
            if key in value:
                _check_member(key, value[key], part)


def unexpected(value: dict[str, Any], known: Container[str]) -> str | None:
    """What jsonschema says of members that are not allowed; None when there are none."""
    names = [name for name in value if name not in known]
    if not names:
        return None
    listed = ", ".join(repr(name) for name in names)
    return f"Additional properties are not allowed ({listed} {'was' if len(names) == 1 else 'were'} unexpected)"


def _problem(value: Any, schema: Schema) -> str | None:
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else kinds
        if not any(isinstance(value, _TYPES[kind]) for kind in wanted):
            return f"{value!r} is not of type " + ", ".join(repr(kind) for kind in wanted)
    if isinstance(value, dict) and len(value) < schema.get("minProperties", 0):
        return f"{value!r} should be non-empty"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{value!r} does not match {schema['pattern']!r}"
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
