"""Filters that provider lists and allocation candidates share: `resources`, `required`, `member_of`.

Each becomes a condition on `resource_providers` in the one query that reads them, so that cost follows what is
answered, not how many providers there are.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from harness.emulator.database import in_list
from harness.emulator.placement import faults, schema, validation
from harness.emulator.placement.service import Placement

_providers = schema.resource_providers
_inventories = schema.inventories
_allocations = schema.allocations
_traits = schema.resource_provider_traits
_aggregates = schema.resource_provider_aggregates


NO_TRAIT = 'Invalid trait(s) in "required" parameter: '

# Built only when a query of a new shape is seen: to build one costs more than to run the query.
Condition = Callable[[], ColumnElement[bool]]


@dataclass(slots=True)
class Filter:
    """Conditions on a provider. `shape` says everything that `conditions` depend on; `values` their parameters."""

    conditions: list[Condition] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    shape: list[Hashable] = field(default_factory=list)
    resources: dict[int, int] = field(default_factory=dict)  # class id -> amount


async def parse(placement: Placement, params: dict[str, str], suffix: str = "", no_trait: str = NO_TRAIT) -> Filter:
    """The filters in a query.

    Args: suffix: of the request group, `resources1` has "1". no_trait: what a refusal of an unknown trait begins with.

    Raises: ApiError 400 for a class or trait that does not exist, or a value that cannot be read.
    """
    found = Filter()
    if f"resources{suffix}" in params:
        found.resources = await resources(placement, params[f"resources{suffix}"])
        for index, (class_id, amount) in enumerate(found.resources.items()):
            found.conditions.append(partial(has_room, f"{suffix}_{index}"))
            found.values |= {f"class{suffix}_{index}": class_id, f"amount{suffix}_{index}": amount}
        found.shape.append(("resources", suffix, len(found.resources)))
    for line in _lines(params, f"required{suffix}"):
        await _required(placement, line, found, no_trait)
    for line in _lines(params, f"member_of{suffix}"):
        await _member_of(placement, line, found)
    return found


def _lines(params: dict[str, str], name: str) -> list[str]:
    return params[name].split("\n") if name in params else []


async def resources(placement: Placement, text: str) -> dict[int, int]:
    """`VCPU:1,DISK_GB:20` as class id -> amount. Raises: ApiError 400."""
    found: dict[int, int] = {}
    for part in text.split(","):
        name, colon, amount = part.partition(":")
        if not colon:
            text = text or "empty string"
            raise faults.bad_request(
                f"Badly formed resources parameter. Expected resources query string parameter in form: "
                f"?resources=VCPU:2,MEMORY_MB:1024. Got: {text}."
            )
        if not amount.isdigit() and not amount.removeprefix("-").isdigit():
            raise faults.bad_request(f"Requested resource {name} expected positive integer amount. Got: {amount}.")
        if int(amount) < 1:
            raise faults.bad_request(f"Requested resource {name} requires amount >= 1. Got: {amount}.")
        class_id = await placement.classes.id_of(name)
        if class_id is None:
            raise faults.bad_request(f"Invalid resource class in resources parameter: No such resource class {name}.")
        found[class_id] = int(amount)
    return found


def has_room(name: str) -> ColumnElement[bool]:
    """A provider has an inventory of class `class<name>` from which `amount<name>` can still be taken."""
    amount: Any = bindparam(f"amount{name}")
    class_id: Any = bindparam(f"class{name}")
    inventory = _inventories.alias(f"i{name}")
    held = _allocations.alias(f"a{name}")
    used = (
        select(func.coalesce(func.sum(held.c.used), 0))
        .where(held.c.resource_provider_id == _providers.c.id, held.c.resource_class_id == class_id)
        .correlate(_providers)
        .scalar_subquery()
    )
    # A scalar subquery, not EXISTS: PostgreSQL turns EXISTS into a join over all providers before it looks at LIMIT.
    room = (
        select((inventory.c.total - inventory.c.reserved) * inventory.c.allocation_ratio - used)
        .where(
            inventory.c.resource_provider_id == _providers.c.id,
            inventory.c.resource_class_id == class_id,
            inventory.c.min_unit <= amount,
            inventory.c.max_unit >= amount,
            amount % inventory.c.step_size == 0,
        )
        .correlate(_providers)
        .scalar_subquery()
    )
    enough: ColumnElement[bool] = room >= amount
    return enough


def has_trait(name: str, *, forbidden: bool = False) -> ColumnElement[bool]:
    """A provider has, or must not have, the trait whose number is parameter `name`."""
    has = exists().where(and_(_traits.c.resource_provider_id == _providers.c.id, _traits.c.trait_id == bindparam(name)))
    return ~has if forbidden else has


def _any_trait(name: str) -> ColumnElement[bool]:
    return exists().where(and_(_traits.c.resource_provider_id == _providers.c.id, in_list(_traits.c.trait_id, name)))


def _in_aggregates(name: str, forbidden: bool) -> ColumnElement[bool]:
    member = exists().where(
        and_(_aggregates.c.resource_provider_id == _providers.c.id, in_list(_aggregates.c.aggregate_id, name))
    )
    return ~member if forbidden else member


async def _required(placement: Placement, line: str, found: Filter, no_trait: str) -> None:
    any_of = line.startswith("in:")
    names = line.removeprefix("in:").split(",")
    if not all(name.removeprefix("!") for name in names):
        raise faults.bad_request(
            "Invalid query string parameters: Expected 'required' parameter value of the form: "
            f"HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty trait in: {line}"
        )
    both = sorted(name for name in names if f"!{name}" in names)
    if both:
        raise faults.bad_request(
            "Conflicting required and forbidden traits found in the following traits keys: "
            f"required: ({', '.join(both)})"
        )
    if any_of:
        ids = [await _trait(placement, name, no_trait) for name in names]
        parameter = f"traits_{len(found.shape)}"
        found.values[parameter] = ids
        found.conditions.append(partial(_any_trait, parameter))
        found.shape.append(("required in", parameter))
        return
    for name in names:
        parameter = f"trait_{len(found.shape)}"
        found.values[parameter] = await _trait(placement, name.removeprefix("!"), no_trait)
        found.conditions.append(partial(has_trait, parameter, forbidden=name.startswith("!")))
        found.shape.append(("required", parameter, name.startswith("!")))


async def _trait(placement: Placement, name: str, no_trait: str) -> int:
    trait_id = await placement.traits.id_of(name)
    if trait_id is None:
        raise faults.bad_request(f"{no_trait}No such trait(s): {name}.")
    return trait_id


async def _member_of(placement: Placement, line: str, found: Filter) -> None:
    forbidden = line.startswith("!")
    uuids = line.removeprefix("!").removeprefix("in:").split(",")
    if not all(validation.UUID.match(uuid) for uuid in uuids):
        raise faults.bad_request(
            "Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). "
            f"Got: {line.removeprefix('!')}"
        )
    ids = [one for uuid in uuids if (one := await placement.aggregates.id_of(uuid)) is not None]
    parameter = f"aggregates_{len(found.shape)}"
    found.values[parameter] = ids
    found.conditions.append(partial(_in_aggregates, parameter, forbidden))
    found.shape.append(("member_of", parameter, forbidden))
