"""What a source of telemetry gives."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Gauge:
    """One reading. `capacity`, in the same unit: what `value` can reach before this part is saturated; None: no end."""

    source: str
    name: str
    value: float
    capacity: float | None = None
    labels: str = ""


class Source(Protocol):
    """One part of the cloud that can be asked for gauges. `name` is unique in a run; `period_s` is how often."""

    name: str
    period_s: float

    async def read(self) -> list[Gauge]:
        """The gauges of this moment.  Raises anything when the part does not answer: that is recorded as `up` = 0."""
        ...

    async def close(self) -> None:
        """Gives back what `read` holds open."""
        ...
