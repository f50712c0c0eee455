"""Who may do what: the default policy of neutron 29, as far as its rules differ.

`Caller.roles` holds implied roles too (admin, manager, member, reader), as keystone's tokens do.
"""

from collections.abc import Iterable
from typing import Any

from harness.emulator.http import Caller
from harness.emulator.neutron import errors

_MEMBERS = frozenset(("admin", "manager", "member"))
_READERS = frozenset(("admin", "manager", "member", "reader"))
_MANAGERS = frozenset(("admin", "manager"))


def is_admin(caller: Caller) -> bool:
    return caller.is_admin


def is_service(caller: Caller) -> bool:
    """The rule `service_api`: another service of the cloud calls."""
    return "service" in caller.roles


def is_global(caller: Caller) -> bool:
    """Sees the rows of all projects."""
    return caller.is_admin or "service" in caller.roles


def is_member(caller: Caller, project_id: str) -> bool:
    return caller.project_id == project_id and not _MEMBERS.isdisjoint(caller.roles)


def is_reader(caller: Caller, project_id: str) -> bool:
    return caller.project_id == project_id and not _READERS.isdisjoint(caller.roles)


def is_manager(caller: Caller, project_id: str) -> bool:
    return caller.project_id == project_id and not _MANAGERS.isdisjoint(caller.roles)


def require_admin(caller: Caller, rule: str) -> None:
    if not caller.is_admin:
        raise errors.forbidden(f"rule:{rule}")


def require_member(caller: Caller, project_id: str, rule: str) -> None:
    """Admin, or member of the project that owns the resource."""
    if not (caller.is_admin or is_member(caller, project_id)):
        raise errors.forbidden(f"rule:{rule}")


def require_attributes(caller: Caller, rule: str, given: Iterable[str], admin_only: frozenset[str]) -> None:
    """Refuse the attributes that only an administrator may write, named in the order they were given."""
    if not caller.is_admin:
        refused = [name for name in given if name in admin_only]
        if refused:
            raise errors.attribute_forbidden(rule, refused)


def visible(fields: dict[str, Any], hidden: tuple[str, ...], caller: Caller) -> dict[str, Any]:
    """Take out what only administrators (and services) see."""
    if not is_global(caller):
        for name in hidden:
            fields.pop(name, None)
    return fields
