"""Request bodies and queries against the part of JSON Schema that placement's schemas use.

The sentence is jsonschema's; the dump of the schema that placement appends to it is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from harness.emulator.placement import faults

Schema = Mapping[str, Any]
UUID = re.compile(r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
RC_PATTERN = "^[A-Z0-9_]+$"
CUSTOM_RC_PATTERN = "^CUSTOM_[A-Z0-9_]+$"
UUID_PATTERN = "^[0-9a-fA-F-]{36}$"

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "object": (dict,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_patterns: dict[str, re.Pattern[str]] = {}


def check(value: Any, schema: Schema) -> None:
    """Raises: ApiError 400 with the first thing that is wrong."""
    problem = find_problem(value, schema)
    if problem:
        raise faults.bad_request(f"JSON does not validate: {problem}")


def find_problem(value: Any, schema: Schema) -> str | None:
    """What is wrong with a value, in jsonschema's words; None when nothing is."""
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else kinds
        if not any(isinstance(value, _TYPES[kind]) for kind in wanted) or isinstance(value, bool):
            return f"{value!r} is not of type " + ", ".join(repr(kind) for kind in wanted)
    if isinstance(value, dict):
        return _in_object(value, schema)
    if isinstance(value, list):
        return _in_list(value, schema)
    if isinstance(value, str):
        return _in_text(value, schema)
    if isinstance(value, int | float):
        if "minimum" in schema and value < schema["minimum"]:
            return f"{value!r} is less than the minimum of {schema['minimum']!r}"
        if "maximum" in schema and value > schema["maximum"]:
            return f"{value!r} is greater than the maximum of {schema['maximum']!r}"
    return None


def _in_object(value: dict[str, Any], schema: Schema) -> str | None:
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    if len(value) < schema.get("minProperties", 0):
        return f"{value!r} should be non-empty"
    for name, given in value.items():
        inner = properties.get(name)
        if inner is None:
            inner = next((one for pattern, one in patterns.items() if _matches(pattern, name)), None)
        if inner is None:
            if schema.get("additionalProperties", True) is False:
                if patterns:
                    listed = ", ".join(repr(pattern) for pattern in patterns)
                    return f"{name!r} does not match any of the regexes: {listed}"
                return f"Additional properties are not allowed ({name!r} was unexpected)"
            continue
        problem = find_problem(given, inner)
        if problem:
            return problem
    for name in schema.get("required", ()):
        if name not in value:
            return f"{name!r} is a required property"
    return None


def _in_list(value: list[Any], schema: Schema) -> str | None:
    if len(value) < schema.get("minItems", 0):
        return f"{value!r} should be non-empty"
    inner = schema.get("items")
    if inner is not None:
        for one in value:
            problem = find_problem(one, inner)
            if problem:
                return problem
    if schema.get("uniqueItems") and len({str(one) for one in value}) != len(value):
        return f"{value!r} has non-unique elements"
    return None


def _in_text(value: str, schema: Schema) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return f"{value!r} should be non-empty"
    if len(value) > schema.get("maxLength", len(value)):
        return f"{value!r} is too long"
    if "pattern" in schema and not _matches(schema["pattern"], value):
        return f"{value!r} does not match {schema['pattern']!r}"
    if schema.get("format") == "uuid" and not UUID.match(value):
        return f"{value!r} is not a 'uuid'"
    return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _patterns.get(pattern)
    if compiled is None:
        compiled = _patterns[pattern] = re.compile(pattern)
    return compiled.match(value) is not None
