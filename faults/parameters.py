"""Parameters of faults: a name, a unit, a default and a sentence; parsed from what an experiment says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.core.units import duration_ns, format_ns, ratio

Kind = Literal["duration", "ratio", "count", "choice"]
REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. Durations arrive as `40 ms` and leave as integer ns; ratios as `0.5` or `50 %`.

    `default` is written as in an experiment; REQUIRED means that there is none; None means "not set".
    """

    name: str
    kind: Kind
    text: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    at_least: int = 0  # in the parsed unit

    def parse(self, value: Any) -> Any:
        """The value in its core unit.

        Raises:  ValueError saying what is wanted and what was given.
        """
        if value is None and self.default is None:
            return None
        parsed: Any
        match self.kind:
            case "duration":
                parsed = duration_ns(value)
            case "ratio":
                parsed = ratio(value)
            case "count":
                if isinstance(value, bool) or not isinstance(value, int):
                    raise ValueError(f"wanted a whole number; got {value!r}")
                parsed = value
            case "choice":
                if value not in self.choices:
                    raise ValueError(f"wanted one of {', '.join(self.choices)}; got {value!r}")
                return value
        if parsed < self.at_least:
            least = format_ns(self.at_least) if self.kind == "duration" else self.at_least
            raise ValueError(f"wanted {least} or more; got {value!r}")
        return parsed


def parse_parameters(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """All parameters with their defaults, and what is wrong with those given."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    names = [parameter.name for parameter in parameters]
    for name in given:
        if name not in names:
            problems.append(f"unknown parameter '{name}'; wanted one of {', '.join(names) or '(it has none)'}")
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        if value is REQUIRED:
            problems.append(f"parameter '{parameter.name}' is missing: {parameter.text}")
            continue
        try:
            values[parameter.name] = parameter.parse(value)
        except ValueError as error:
            problems.append(f"parameter '{parameter.name}': {error}")
    return values, problems
