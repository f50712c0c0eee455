"""What a resource of the API consists of, and how a request's body becomes values.

One `Attribute` says who may write a field, how it is checked, where it is stored, and whether it filters or sorts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from harness.emulator.http import Caller
from harness.emulator.neutron import errors, policy
from harness.emulator.neutron.validation import Check, Convert, text

Values = dict[str, Any]
REQUIRED = object()
_NOT_GIVEN = object()
_PROJECT = text(255)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field. `kind` is how it is stored: text, bool (0 or 1), int or json; "" when it has no column."""

    name: str
    kind: str = "text"
    column: str = ""  # the name, unless told otherwise
    post: bool = False
    put: bool = False
    default: Any = None  # REQUIRED: must be given; None with post: absent from the values when not given
    check: Check | None = None
    convert: Convert | None = None
    filters: bool = False
    sorts: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of resource: its names, its table and its attributes in the order in which they are checked."""

    singular: str
    collection: str
    table: Table
    attributes: tuple[Attribute, ...]
    by_name: dict[str, Attribute] = field(init=False)
    defaults: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {attribute.name: attribute for attribute in self.attributes})
        self.by_name["tenant_id"] = self.by_name["project_id"]
        given = {a.name: a.default for a in self.attributes if a.post and a.default not in (None, REQUIRED)}
        object.__setattr__(self, "defaults", given)

    def created(self, body: Any, caller: Caller) -> tuple[list[Values], bool]:
        """Values of the resources that a POST asks for, and whether it is a bulk request.

        Raises: ApiError 400 with neutron's words.
        """
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise errors.bad_request("Body contains invalid data")
        if self.collection in body:
            items = body[self.collection]
            if not items:
                raise errors.bad_request("Resources required")
            if not isinstance(items, list):
                raise errors.bad_request("Body contains invalid data")
            inner = [
                item[self.singular] if isinstance(item, dict) and self.singular in item else item for item in items
            ]
            return [self._created(item, caller) for item in inner], True
        if not body and self.singular.startswith("security_group"):  # an extension's resources, checked elsewhere
            raise errors.bad_request("Resource body required")
        if self.singular not in body:
            raise errors.bad_request(f"Unable to find '{self.singular}' in request body")
        if not isinstance(body[self.singular], dict):
            raise errors.bad_request(f"Object '{self.singular}' contains invalid data")
        return [self._created(body[self.singular], caller)], False

    def updated(self, body: Any, caller: Caller) -> Values:
        """Values that a PUT changes.

        Raises: ApiError 400 with neutron's words.
        """
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise errors.bad_request("Body contains invalid data")
        if self.singular not in body:
            raise errors.bad_request(f"Unable to find '{self.singular}' in request body")
        given = body[self.singular]
        if not isinstance(given, dict):
            raise errors.bad_request(f"Object '{self.singular}' contains invalid data")
        self._known(given)
        self._require_own_project(given.get("project_id", caller.project_id), caller)
        for name in given:
            if not self.by_name[name].put:
                raise errors.bad_request(f"Cannot update read-only attribute {name}")
        return dict(self._converted(given))

    def _created(self, given: Any, caller: Caller) -> Values:
        if not isinstance(given, dict):
            raise errors.bad_request("Body contains invalid data")
        if given.get("project_id", given.get("tenant_id")) != given.get("tenant_id", given.get("project_id")):
            raise errors.bad_request("'project_id' and 'tenant_id' do not match")
        project = given.get("project_id", given.get("tenant_id", _NOT_GIVEN))
        if project is _NOT_GIVEN:
            project = caller.project_id
        self._require_own_project(project, caller)
        self._known(given)
        for attribute in self.attributes:
            if attribute.default is REQUIRED and attribute.name not in given:
                raise errors.bad_request(
                    f"Failed to parse request. Required attribute '{attribute.name}' not specified"
                )
        for name in given:
            if not self.by_name[name].post:
                raise errors.bad_request(f"Attribute '{name}' not allowed in POST")
        reason = _PROJECT(project)
        if reason is not None:
            raise errors.invalid_attribute("tenant_id", reason)
        values = self.defaults.copy()
        values.update(self._converted(given))
        values["project_id"] = project
        return values

    def _require_own_project(self, project: Any, caller: Caller) -> None:
        if project != caller.project_id and not policy.is_global(caller):
            raise errors.bad_request(
                "Specifying 'project_id' other than the authenticated project in request is not allowed for the "
                "current user."
            )

    def _known(self, given: dict[str, Any]) -> None:
        unknown = [name for name in given if name not in self.by_name]
        if unknown:
            raise errors.bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")

    def _converted(self, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for attribute in self.attributes:
            name = attribute.name
            if name not in given or name == "project_id":
                continue
            value = given[name]
            if attribute.convert is not None:
                value = attribute.convert(value)
            if attribute.check is not None:
                reason = attribute.check(value)
                if reason is not None:
                    raise errors.invalid_attribute(name, reason)
            yield name, value


def standard(*, tagged: bool = True, described: bool = True) -> tuple[Attribute, ...]:
    """The attributes that all resources with neutron's standard attributes have."""
    found = [
        Attribute("project_id", post=True, filters=True, sorts=True),
        Attribute("created_at"),
        Attribute("updated_at"),
        Attribute("revision_number", "int", filters=True),
    ]
    if described:
        found.append(Attribute("description", post=True, put=True, default="", check=text(255), filters=True))
    if tagged:
        found.append(Attribute("tags", "json"))
    return tuple(found)
