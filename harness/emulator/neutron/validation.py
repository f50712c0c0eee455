"""Checks and conversions of attribute values, with neutron's reasons. A check returns the reason, None if it passes."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.emulator.neutron import errors

Check = Callable[[Any], str | None]
Convert = Callable[[Any], Any]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_TRUE = frozenset(("true", "1"))
_FALSE = frozenset(("false", "0"))


def repeated(values: list[str]) -> list[str]:
    """Those values that are there more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def uuid(value: Any) -> str | None:
    return None if is_uuid(value) else f"'{value}' is not a valid UUID."


def uuids(value: Any) -> str | None:
    """A list of different UUIDs."""
    if not isinstance(value, list):
        return f"'{value}' is not a list."
    for item in value:
        if not is_uuid(item):
            return f"'{item}' is not a valid UUID."
    if len(set(value)) != len(value):
        return f"Duplicate items in the list: '{', '.join(repeated(value))}'."
    return None


def text(limit: int) -> Check:
    """A string of at most `limit` characters."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"'{value}' is not a valid string."
        if len(value) > limit:
            return f"'{value}' exceeds maximum length of {limit}."
        return None

    return check


def one_of(*values: Any) -> Check:
    return lambda value: None if value in values else f"{value} is not in valid_values."


def mac_address(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _MAC.fullmatch(value)):
        return None
    return f"'{value}' is not a valid MAC address."


def ip_address(value: Any) -> str | None:
    if isinstance(value, str):
        try:
            ipaddress.ip_address(value)
        except ValueError:
            pass
        else:
            return None
    return f"'{value}' is not a valid IP address."


def ip_address_or_none(value: Any) -> str | None:
    return None if value is None else ip_address(value)


def name_servers(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return f"Invalid data format for nameserver: '{value}'."
    for item in value:
        reason = ip_address(item)
        if reason:
            return f"'{item}' is not a valid nameserver. {reason}"
    if len(set(value)) != len(value):
        return f"Duplicate nameserver '{value[-1]}'."
    return None


def host_routes(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return f"Invalid data format for hostroute: '{value}'."
    for route in value:
        if not isinstance(route, dict) or set(route) != {"destination", "nexthop"}:
            return f"Invalid data format for hostroute: '{route}'."
        reason = ip_address(route["nexthop"])
        if reason:
            return reason
        try:
            ipaddress.ip_network(str(route["destination"]))
        except ValueError:
            return f"'{route['destination']}' is not a valid CIDR."
    return None


def texts(value: Any) -> str | None:
    """A list of strings, or nothing."""
    if value is None:
        return None
    if not isinstance(value, list):
        return f"'{value}' is not a list."
    return next((f"'{item}' is not a valid string." for item in value if not isinstance(item, str)), None)


def zone_hints(value: Any) -> Any:
    """Raises: 404 for a zone that there is not; anything but a list is for the check to refuse."""
    if isinstance(value, list):
        for zone in value:
            if isinstance(zone, str) and zone != "nova":
                raise errors.neutron(404, "AvailabilityZoneNotFound", f"AvailabilityZone {zone} could not be found.")
    return value


def allocation_pools(value: Any) -> str | None:
    """Each with a start and an end, and nothing else."""
    if value is None:
        return None
    if not isinstance(value, list):
        return None  # refused later, in other words
    for pool in value:
        if not isinstance(pool, dict):
            return f"Invalid data format for IP pool: '{pool}'."
        if set(pool) != {"start", "end"}:
            given = ", ".join(f"'{name}'" for name in sorted(pool))
            return (
                f"Validation of dictionary's keys failed. Expected keys: {{'end', 'start'}} Provided keys: {{{given}}}."
            )
        for address in (pool["start"], pool["end"]):
            if reason := ip_address(address):
                return reason
    return None


def fixed_ips(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"Invalid data format for fixed IP: '{value}'."
    seen = set()
    for fixed in value:
        if not isinstance(fixed, dict):
            return f"Invalid data format for fixed IP: '{fixed}'."
        if "ip_address" in fixed:
            reason = ip_address(fixed["ip_address"])
            if reason:
                return reason
            if fixed["ip_address"] in seen:
                return f"Duplicate IP address '{fixed['ip_address']}'."
            seen.add(fixed["ip_address"])
        if "subnet_id" in fixed and not is_uuid(fixed["subnet_id"]):
            return f"'{fixed['subnet_id']}' is not a valid UUID."
    return None


def dictionary_or_none(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict) else f"'{value}' is not a dictionary."


def not_negative(value: Any) -> str | None:
    return None if isinstance(value, int) and value >= 0 else f"'{value}' should be non-negative."


def to_bool(value: Any) -> bool:
    """Raises: the 400 that neutron answers for what it does not take as true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
    raise errors.invalid_input(f"'{value}' cannot be converted to boolean")


def to_int(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise errors.invalid_input(f"'{value}' is not an integer") from None


def to_ip(value: Any) -> Any:
    """An address in its canonical form; anything else as it is, for the check to refuse."""
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else value  # a number would be one, too
    except ValueError:
        return value


def none_to_list(value: Any) -> Any:
    return [] if value is None else value
