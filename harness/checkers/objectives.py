"""An objective as a target: its bound, its unit, and how its values are shown to readers."""

import math
from typing import Any

from msgspec import Struct

from harness.checkers.finding import Judgement
from harness.core.quantiles import parse_percentile
from harness.core.units import format_ns

TIMED = ("response", "service", "ready", "gone")


class Target(Struct, frozen=True, kw_only=True):
    """An objective with its bound in the measure's own unit: ns for times, a ratio, per second, or a factor."""

    measure: str
    limit: float
    at_most: bool
    phase: str = "*"
    route: str | None = None
    swarm: str | None = None
    fault: str | None = None

    @classmethod
    def of_plan(cls, objective: dict[str, Any]) -> "Target":
        """A target from the plan's list of objectives."""
        names = {key: objective.get(key) for key in ("route", "swarm", "fault")}
        at_most = objective["bound"] == "at_most"
        phase, limit = objective.get("phase") or "*", float(objective["limit"])
        return cls(measure=objective["measure"], limit=limit, at_most=at_most, phase=phase, **names)

    @property
    def kind(self) -> str:
        return self.measure.split("_p")[0] if self.percentile else self.measure

    @property
    def percentile(self) -> float | None:
        kind, _, number = self.measure.rpartition("_p")
        return parse_percentile(f"p{number}") if kind in TIMED else None

    @property
    def is_time(self) -> bool:
        return self.percentile is not None or self.measure in ("downtime", "time_to_recover")

    @property
    def of_fault(self) -> bool:
        return self.measure in ("downtime", "time_to_recover", "degradation")

    def show(self, value: float | None) -> str:
        """A value of this measure for readers."""
        if value is None or math.isnan(value):
            return "-"
        if self.is_time:
            return "0 s" if value == 0 else format_ns(value)
        if self.measure == "headroom":
            return f"{value * 100:.3g} %"
        if self.measure in ("success_ratio", "availability"):
            # Rounded down: 99.996 % is not 100 %.
            return f"{math.floor(value * 1e5 + 1e-6) / 1e3:g} %"
        return (
            "infinite"
            if math.isinf(value)
            else (f"{value:,.0f}" if value >= 100 else f"{value:.3g}")
            + {"throughput": "/s", "degradation": "x"}[self.measure]
        )


class TargetResult(Struct, frozen=True, kw_only=True):
    """One target in one phase. Times in ns. `value` is None without samples, and for "never" (see `shown`).

    `of`: what was measured. `samples`: those that count; `excluded`: those of client-limited seconds.
    `interval`: 95 % order-statistic interval of a percentile, None at an end that is not bounded.
    """

    phase: str
    measure: str
    route: str | None
    swarm: str | None
    fault: str | None
    bound: str
    limit: float
    limit_shown: str
    value: float | None
    shown: str
    of: str
    samples: int
    excluded: int
    interval: tuple[float | None, float | None] | None
    verdict: Judgement
    reason: str
