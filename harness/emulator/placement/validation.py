"""Request bodies and queries against the part of JSON Schema that placement's schemas use.

The sentence is jsonschema's; the dump of the schema that placement appends to it is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from harness.emulator.placement import faults

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]
Problems = list[tuple[Path, str]]
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
    """What is wrong with a value, in jsonschema's words; None when nothing is.

    Of several things that of jsonschema's choice: the least deep, of these the one whose path comes last.
    """
    problems: Problems = []
    _collect(value, schema, (), problems)
    return max(problems, key=lambda found: (-len(found[0]), found[0]))[1] if problems else None


def _collect(value: Any, schema: Schema, path: Path, problems: Problems) -> None:
    kinds = schema.get("type")
    if kinds is not None:
        wanted = [kinds] if isinstance(kinds, str) else kinds
        if not any(isinstance(value, _TYPES[kind]) for kind in wanted) or isinstance(value, bool):
            problems.append((path, f"{value!r} is not of type " + ", ".join(repr(kind) for kind in wanted)))
            return
    if isinstance(value, dict):
        _in_object(value, schema, path, problems)
    elif isinstance(value, list):
        _in_list(value, schema, path, problems)
    elif isinstance(value, str):
        problem = _in_text(value, schema)
        if problem:
            problems.append((path, problem))
    elif isinstance(value, int | float):
        if "minimum" in schema and value < schema["minimum"]:
            problems.append((path, f"{value!r} is less than the minimum of {schema['minimum']!r}"))
        if "maximum" in schema and value > schema["maximum"]:
            problems.append((path, f"{value!r} is greater than the maximum of {schema['maximum']!r}"))


def _in_object(value: dict[str, Any], schema: Schema, path: Path, problems: Problems) -> None:
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    if len(value) < schema.get("minProperties", 0):
        problems.append((path, f"{value!r} should be non-empty"))
    for name in schema.get("required", ()):
        if name not in value:
            problems.append((path, f"{name!r} is a required property"))
    unknown = []
    for name, given in value.items():
        inner = properties.get(name)
        if inner is None:
            inner = next((one for pattern, one in patterns.items() if _matches(pattern, name)), None)
        if inner is None:
            unknown.append(name)
        else:
            _collect(given, inner, (*path, name), problems)
    if unknown and schema.get("additionalProperties", True) is False:
        names = ", ".join(repr(name) for name in sorted(unknown))
        if patterns:
            listed = ", ".join(repr(pattern) for pattern in sorted(patterns))
            problems.append(
                (path, f"{names} {'does' if len(unknown) == 1 else 'do'} not match any of the regexes: {listed}")
            )
        else:
            verb = "was" if len(unknown) == 1 else "were"
            problems.append((path, f"Additional properties are not allowed ({names} {verb} unexpected)"))


def _in_list(value: list[Any], schema: Schema, path: Path, problems: Problems) -> None:
    if len(value) < schema.get("minItems", 0):
        problems.append((path, f"{value!r} should be non-empty"))
    inner = schema.get("items")
    if inner is not None:
        for index, one in enumerate(value):
            _collect(one, inner, (*path, index), problems)
    if schema.get("uniqueItems") and len({str(one) for one in value}) != len(value):
        problems.append((path, f"{value!r} has non-unique elements"))


def _in_text(value: str, schema: Schema) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return f"{value!r} should be non-empty"
    if len(value) > schema.get("maxLength", len(value)):
        return f"{value!r} is too long"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is not one of {schema['enum']!r}"
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
