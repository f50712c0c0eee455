"""Refusals in the long form in which keystone 30 prints some violations of its schemas: reason, schema, instance.

Only what the schema of a token request and of a change of password uses: type, properties, required, items, enum.
"""

import pprint
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.emulator.keystone import faults

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]
_TYPES: dict[str, Any] = {
    "string": str,
    "object": dict,
    "array": list,
    "boolean": bool,
}
_TEXT: Schema = {"type": "string"}
_DOMAIN: Schema = {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}}
_USER: Schema = {"type": "object", "properties": {"id": _TEXT, "name": _TEXT, "password": _TEXT, "domain": _DOMAIN}}
_SCOPE: Schema = {
    "type": ["object", "string"],
    "properties": {
        "project": {"type": "object", "properties": {"name": _TEXT, "id": _TEXT, "domain": _DOMAIN}},
        "domain": {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}},
        "OS-TRUST:trust": {"type": "object", "properties": {"id": _TEXT}},
        "system": {
            "type": "object",
            "properties": {"all": {"type": "boolean", "enum": [True, False, None]}},
        },
    },
}
TOKEN_REQUEST: Schema = {
    "type": "object",
    "properties": {
        "identity": {
            "type": "object",
            "properties": {
                "methods": {"type": "array", "items": _TEXT},
                "password": {"type": "object", "properties": {"user": _USER}},
                "token": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
            },
            "required": ["methods"],
        },
        "scope": _SCOPE,
    },
    "required": ["identity"],
}
PASSWORD_CHANGE: Schema = {
    "type": "object",
    "properties": {"original_password": _TEXT, "password": _TEXT},
    "required": ["original_password", "password"],
    "additionalProperties": False,
}


def check(value: Any, schema: Schema) -> None:
    """Refuse what does not fit; of several reasons the one nearest to the root counts, then the first.

    Raises: ApiError 400.
    """
    found = min(_violations(value, schema, (), ()), key=lambda one: len(one[1]), default=None)
    if found is None:
        return
    sentence, path, schema_path, keyword, part, instance = found
    text = (
        f"{sentence}\n\nFailed validating {keyword!r} in schema{_subscripts(schema_path)}:\n{_indented(part)}\n\n"
        f"On instance{_subscripts(path)}:\n{_indented(instance)}"
    )
    where = "/".join(str(step) for step in path)
    raise faults.bad_request(f"Invalid input for field '{where}': {text}" if path else text)


def _violations(
    value: Any, schema: Schema, path: Path, schema_path: Path
) -> Iterator[tuple[str, Path, Path, str, Schema, Any]]:
    kinds = schema.get("type", ())
    wanted: Sequence[str] = (kinds,) if isinstance(kinds, str) else kinds
    if wanted and not any(isinstance(value, _TYPES[kind]) for kind in wanted):
        names = ", ".join(repr(kind) for kind in wanted)
        yield f"{value!r} is not of type {names}", path, schema_path, "type", schema, value
    for name, part in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _violations(value[name], part, (*path, name), (*schema_path, "properties", name))
    if "items" in schema and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _violations(item, schema["items"], (*path, index), (*schema_path, "items"))
    for name in schema.get("required", ()):
        if isinstance(value, dict) and name not in value:
            yield f"{name!r} is a required property", path, schema_path, "required", schema, value
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not one of {schema['enum']!r}", path, schema_path, "enum", schema, value


def _subscripts(path: Path) -> str:
    return "".join(f"[{step!r}]" for step in path)


def _indented(value: Any) -> str:
    return textwrap.indent(pprint.pformat(value, width=72, sort_dicts=False), "    ")
