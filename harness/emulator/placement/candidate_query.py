"""The query of `GET /allocation_candidates`: which parameters a microversion knows, and which must go together.

Checked against placement 16.0.0. The order of the checks is placement's: the schema, what concerns the whole request,
then its groups.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from harness.emulator.placement import faults, validation
from harness.emulator.placement.resource import Request

Groups = dict[str, dict[str, str]]
_LIMIT = {"type": "string", "pattern": "^[1-9][0-9]*$", "minLength": 1}
_TEXT = {"type": "string"}
_POLICY = {"type": "string", "enum": ["none", "isolate"]}
# What each microversion added. Since 1.25 those of a group may carry a suffix.
_WHOLE: tuple[tuple[int, str, Mapping[str, Any]], ...] = (
    (16, "limit", _LIMIT),
    (25, "group_policy", _POLICY),
    (35, "root_required", _TEXT),
    (36, "same_subtree", _TEXT),
)
_OF_GROUP = ((10, "resources"), (17, "required"), (21, "member_of"), (31, "in_tree"))
_SUFFIXED_SINCE = 25


def _kinds(minor: int) -> list[str]:
    return [name for since, name in _OF_GROUP if minor >= since]


def _pattern(kind: str, minor: int) -> str:
    suffix = "[a-zA-Z0-9_-]{1,64}" if minor >= 33 else "[1-9][0-9]*"
    return f"^{kind}({suffix})?$"


def read(req: Request) -> tuple[Groups, dict[str, str]]:
    """Request groups by suffix, and the parameters that belong to none; not to be changed. Raises: ApiError 400."""
    return _read(req.query_string, req.context.version[1])


@lru_cache(maxsize=512)  # nova asks the same for every server of a flavor
def _read(text: str, minor: int) -> tuple[Groups, dict[str, str]]:
    pairs = parse_qsl(text, keep_blank_values=True)
    problem = validation.find_problem(dict(pairs), _SCHEMAS[minor])
    if problem:
        raise faults.bad_request(f"Invalid query string parameters: {problem}")
    whole = {name: schema for since, name, schema in _WHOLE if minor >= since}
    groups: Groups = {}
    params: dict[str, str] = {}
    for name, value in pairs:
        if name in whole:
            if name == "root_required" and name in params:
                raise faults.bad_request(
                    "Query parameter 'root_required' may be specified only once.", faults.DUPLICATE_KEY
                )
            params[name] = f"{params[name]}\n{value}" if name == "same_subtree" and name in params else value
            continue
        match = next(found for kind in _kinds(minor) if (found := re.match(_pattern(kind, minor), name)))
        group = groups.setdefault(match[1] or "", {})
        kept = name in group and not (name.startswith("required") and minor < 39)
        group[name] = f"{group[name]}\n{value}" if kept else value
    _check_together(groups, params, minor)
    return groups, params


def _schema(minor: int) -> validation.Schema:
    whole: dict[str, Any] = {name: schema for since, name, schema in _WHOLE if minor >= since}
    if minor < _SUFFIXED_SINCE:
        properties = {**dict.fromkeys(_kinds(minor), _TEXT), **whole}
        return {"properties": properties, "required": ("resources",), "additionalProperties": False}
    patterns = {_pattern(kind, minor): _TEXT for kind in _kinds(minor)}
    return {"properties": whole, "patternProperties": patterns, "additionalProperties": False}


_SCHEMAS = [_schema(minor) for minor in range(40)]


def _check_together(groups: Groups, params: dict[str, str], minor: int) -> None:
    for suffix, group in groups.items():
        tree = group.get(f"in_tree{suffix}")
        if tree is not None and not validation.UUID.match(tree.strip()):
            raise faults.bad_request(
                f"Invalid query string parameters: Expected 'in_tree' parameter to be a format of uuid. Got: {tree}"
            )
    subtrees = {name.strip() for line in params.get("same_subtree", "-").split("\n") for name in line.split(",")}
    subtrees = subtrees if "same_subtree" in params else set()
    if "" in subtrees:
        raise faults.bad_request(
            "Empty string (unsuffixed group) can not be specified in `same_subtree` ", faults.BAD_VALUE
        )
    empty = [suffix for suffix, group in groups.items() if f"resources{suffix}" not in group]
    if minor < 36:
        _check_orphans(groups, empty)
    else:
        _check_subtrees(groups, empty, subtrees)
    if "group_policy" not in params and len([suffix for suffix in groups if suffix]) > 1:
        raise faults.bad_request(
            'The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.'
        )


def _check_orphans(groups: Groups, empty: list[str]) -> None:
    for kind, words in (
        ("required", "All traits parameters must be associated with resources.  Found the following orphaned traits "
                     "keys: {}"),
        ("member_of", "All member_of parameters must be associated with resources. Found the following orphaned "
                      "member_of keys: {}"),
    ):  # fmt: skip
        orphans = [f"{kind}{suffix}" for suffix in empty if f"{kind}{suffix}" in groups[suffix]]
        if orphans:
            raise faults.bad_request(words.format(", ".join(orphans)))
    if empty:
        raise faults.bad_request("All request groups must specify resources.")
    if not groups:
        raise faults.bad_request("At least one request group (`resources` or `resources{$S}`) is required.")


def _check_subtrees(groups: Groups, empty: list[str], subtrees: set[str]) -> None:
    if len(empty) == len(groups):
        raise faults.bad_request(
            "There must be at least one resources or resources[$S] parameter.", faults.MISSING_VALUE
        )
    loose = [suffix for suffix in empty if suffix not in subtrees]
    if loose:
        raise faults.bad_request(
            "Resourceless suffixed group request should be specified in `same_subtree` query param: bad group(s) - "
            f"{loose}.",
            faults.BAD_VALUE,
        )
    absent = sorted(suffix for suffix in subtrees if suffix not in groups)
    if absent:
        raise faults.bad_request(
            f"Real suffixes should be specified in `same_subtree`: {absent} not found in {list(groups)}.",
            faults.BAD_VALUE,
        )
