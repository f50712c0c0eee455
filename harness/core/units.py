"""Quantities as people write them in an experiment: `50 ms`, `12 s`, `2 min`, `1.5 h`, `99.9 %`."""

import re

_DURATIONS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LONGEST_NS = 365 * 24 * _DURATIONS_NS["h"]  # far from where 64 bits end, and from any run
_QUANTITY = re.compile(r"^\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*$")


def _split(text: object, kind: str, units: list[str]) -> tuple[float, str]:
    if isinstance(text, str) and (match := _QUANTITY.match(text)) and match[2] in units:
        return float(match[1]), match[2]
    wanted = f"a number and one of {', '.join(units)}, such as '5 {units[min(3, len(units) - 1)]}'"
    raise ValueError(f"wanted {kind}: {wanted}; got {text!r}")


def duration_ns(text: object) -> int:
    """`12 s` as integer nanoseconds.  Raises ValueError on a missing or unknown unit and on a negative duration."""
    value, unit = _split(text, "a duration", list(_DURATIONS_NS))
    if not 0 <= value * _DURATIONS_NS[unit] <= _LONGEST_NS:
        raise ValueError(f"wanted a duration from zero to a year; got {text!r}")
    return round(value * _DURATIONS_NS[unit])


def ratio(value: object) -> float:
    """`0.999` or `99.9 %` as a ratio of 0 to 1.  Raises ValueError outside of it."""
    if isinstance(value, str):
        number, _ = _split(value, "a ratio", ["%"])
        number /= 100
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"wanted a ratio such as 0.999 or '99.9 %'; got {value!r}")
    if not 0 <= number <= 1:
        raise ValueError(f"wanted a ratio from 0 to 1; got {value!r}")
    return number


def format_ns(ns: float | None) -> str:
    """A duration for readers, three digits: `812 us`, `4.31 s`, `2 min 5 s`; `never` for None or infinity."""
    if ns is None or ns == float("inf"):
        return "never"
    for unit, size in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
        if abs(ns) < size * 999.5:
            return f"{ns / size:.3g} {unit}"
    seconds = ns / 1e9
    if abs(seconds) < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
