"""Checks request bodies against schemas; the words of a refusal are those that Nova's users see.

A small subset of JSON Schema (type, properties, required, additionalProperties, lengths, numbers, bounds, pattern,
enum, format, items, oneOf): the first violation is reported, with the name of the field and the value.
"""

import ipaddress
import re
import uuid
from collections.abc import Mapping
from typing import Any

from harness.emulator.http import ApiError
from harness.emulator.timestamps import parse

Schema = Mapping[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "format": "name"}
_YES = (True, *["True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes"])
_NO = (False, *["False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"])
BOOLEAN: Schema = {"enum": [*_YES, *_NO]}
POSITIVE: Schema = {"type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 1, "minLength": 1}
NUMERIC: Schema = {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 0}
ADDRESS_V4: Schema = {"type": "string", "format": "ipv4"}
ADDRESS_V6: Schema = {"type": "string", "format": "ipv6"}
UUID: Schema = {"type": "string", "format": "uuid"}
METADATA: Schema = {
    "type": "object",
    "keys": "^[a-zA-Z0-9-_:. ]{1,255}$",
    "values": {"type": "string", "maxLength": 255},
}
INTEGER_MAX = 0x7FFFFFFF
TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"}
TAGS: Schema = {"type": "array", "items": TAG, "maxItems": 50}
# Query parameters of paged lists.
PAGING: Schema = {"limit": {"type": "string", "pattern": "^[0-9]*$"}, "marker": {"type": "string"}}
SORT_DIR: Schema = {"type": "string", "enum": ["asc", "desc"]}
_BAD_NAME = (
    "An invalid 'name' value was provided. The name must be: printable characters. "
    "Can not start or end with whitespace."
)


def why_not(value: Any, schema: Schema) -> str | None:
    """What is wrong with a value; None when it fits."""
    found = _violation(value, schema, "")
    return None if found is None else found[2]


def check(body: Any, schema: Schema) -> None:
    """Refuse with 400 what does not fit.

    Raises: ApiError.
    """
    found = _violation(body, schema, "")
    if found is None:
        return
    field, value, why = found
    if why == _BAD_NAME:
        raise ApiError(400, why)
    raise ApiError(400, f"Invalid input for field/attribute {field}. Value: {value}. {why}" if field else why)


def check_query(req: Any, schema: Schema, *, strict_since: int = 75) -> None:
    """Refuse with 400 query parameters that do not fit; unknown ones from a microversion on (2.75 in most places).

    Args: schema: of the parameters by name. strict_since: the minor version.
    Raises: ApiError.
    """
    params = req.params
    for name, part in schema.items():
        for value in params[name] if isinstance(params.get(name), list) else [params[name]] if name in params else []:
            found = _violation(value, part, name)
            if found is not None:
                raise ApiError(400, f"Invalid input for query parameters {name}. Value: {value}. {found[2]}")
    if req.context.version[1] >= strict_since:
        found = _violation(params, {"additionalProperties": False, "properties": {name: {} for name in schema}}, "")
        if found is not None:
            raise ApiError(400, found[2])


def digits(text: str) -> int:
    """The number that decimal digits say; at most INTEGER_MAX, as no column holds more and int() takes not all."""
    return min(int(text), INTEGER_MAX) if len(text) < 20 else INTEGER_MAX


def is_true(value: Any) -> bool:
    """One of the many ways to say yes in a request body."""
    return str(value).lower() in ("true", "1", "on", "yes", "y", "t")


def is_uuid(text: object) -> bool:
    """Whether a text is a UUID in any of the usual spellings."""
    try:
        return str(uuid.UUID(str(text))).replace("-", "") == str(text).lower().replace("-", "")
    except ValueError:
        return False


def _violation(value: Any, schema: Schema, field: str) -> tuple[str, Any, str] | None:
    kinds = schema.get("type")
    if kinds is not None:
        wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not any(_is(value, kind) for kind in wanted):
            return field, value, f"{value!r} is not of type {', '.join(repr(kind) for kind in wanted)}"
    options = schema.get("enum")
    if options is not None and not any(type(value) is type(option) and value == option for option in options):
        return field, value, f"{value!r} is not one of {options}"
    branches = schema.get("oneOf")
    if branches is not None and all(_violation(value, branch, field) for branch in branches):
        return field, value, f"{value!r} is not valid under any of the given schemas"
    if isinstance(value, dict):
        return _object_violation(value, schema, field)
    if isinstance(value, list):
        return _array_violation(value, schema, field)
    why = _scalar_violation(value, schema)
    return None if why is None else (field, value, why)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _object_violation(value: dict[str, Any], schema: Schema, field: str) -> tuple[str, Any, str] | None:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if len(value) < schema.get("minProperties", 0):
        return field, value, f"{value!r} should be non-empty" if not value else f"{value!r} has too few properties"
    if len(value) > schema.get("maxProperties", len(value)):
        return field, value, f"{value!r} has too many properties"
    for name in schema.get("required", ()):
        if name not in value:
            return field, value, f"{name!r} is a required property"
    unknown = [] if schema.get("additionalProperties", True) else [name for name in value if name not in properties]
    if unknown:
        verb = "was" if len(unknown) == 1 else "were"
        names = ", ".join(repr(name) for name in unknown)
        return field, value, f"Additional properties are not allowed ({names} {verb} unexpected)"
    for name, branch in properties.items():
        if name in value:
            found = _violation(value[name], branch, name)
            if found is not None:
                return found
    keys, values = schema.get("keys"), schema.get("values")
    for name, item in value.items():
        if keys is not None and not re.search(keys, name):
            return field, value, f"{name!r} does not match any of the regexes: {keys!r}"
        found = _violation(item, values, name) if values is not None else None
        if found is not None:
            return found
    return None


def _array_violation(value: list[Any], schema: Schema, field: str) -> tuple[str, Any, str] | None:
    if len(value) < schema.get("minItems", 0):
        return field, value, f"{value!r} should be non-empty" if not value else f"{value!r} is too short"
    if len(value) > schema.get("maxItems", len(value)):
        return field, value, f"{value!r} is too long"
    items = schema.get("items")
    if items is not None:
        for index, item in enumerate(value):
            found = _violation(item, items, str(index))
            if found is not None:
                return found
    return None


def _scalar_violation(value: Any, schema: Schema) -> str | None:
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return f"{value!r} should be non-empty" if not value else f"{value!r} is too short"
        if len(value) > schema.get("maxLength", len(value)):
            return f"{value!r} is too long"
        pattern = schema.get("pattern")
        if pattern is not None and not re.search(pattern, value):
            return f"{value!r} does not match {pattern!r}"
        kind = schema.get("format")
        if kind == "uuid" and not is_uuid(value):
            return f"{value!r} is not a 'uuid'"
        if kind == "date-time" and not _is_time(value):
            return f"{value!r} is not a 'date-time'"
        if kind == "name" and (value != value.strip() or not value.isprintable()):
            return _BAD_NAME
        if kind in ("ipv4", "ipv6") and not _is_address(value, 4 if kind == "ipv4" else 6):
            return f"{value!r} is not a {kind!r}"
        if kind == "regex" and not _is_regex(value):
            return f"{value!r} is not a 'regex'"
        if kind == "base64" and not re.fullmatch(r"[A-Za-z0-9+/\s]*={0,2}\s*", value):
            return f"{value!r} is not a 'base64'"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            return f"{value!r} is less than or equal to the minimum of {schema['exclusiveMinimum']}"
        if value < schema.get("minimum", value):
            return f"{value!r} is less than the minimum of {schema['minimum']}"
        if value > schema.get("maximum", value):
            return f"{value!r} is greater than the maximum of {schema['maximum']}"
    return None


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _is_time(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
