"""Which part ran out first, and how much room the others had: from gauges that know their capacity."""

import math

import numpy as np
import pandas as pd
from msgspec import Struct

SATURATED = 0.95  # of capacity; a pool is not seen at its very edge between two readings
# What makes work wait when it is full, and nothing fail: a burst fills it at once, and that is no want of room.
_WAITS = frozenset({"request slots", "busy cores"})
_LASTING = 2  # readings in a row: one is an instant, two are a state


class Part(Struct, frozen=True):
    """One gauge with a capacity.

    `peak`: the largest share of it in use at one reading. `lasting`: the largest that held for two readings in a row,
    from which the headroom is. `saturated_ns`: since when it was full, None if never.
    """

    source: str
    name: str
    labels: str
    peak: float
    lasting: float
    value: float
    capacity: float
    peak_ns: int
    saturated_ns: int | None
    readings: int

    @property
    def headroom(self) -> float:
        return 1.0 - self.lasting

    @property
    def title(self) -> str:
        words = self.name if self.source in self.name else f"{self.source} {self.name}"
        return words + (f" ({self.labels})" if self.labels else "")


def parts(gauges: pd.DataFrame, start_ns: int | None = None, end_ns: int | None = None) -> list[Part]:
    """All parts with a capacity in [start_ns, end_ns), fullest first."""
    rows = gauges[gauges["capacity"] > 0]
    if start_ns is not None:
        rows = rows[rows["at_ns"] >= start_ns]
    if end_ns is not None:
        rows = rows[rows["at_ns"] < end_ns]
    found = []
    keys = [rows[name].astype(object).where(rows[name].notna(), "") for name in ("source", "name", "labels")]
    for (source, name, labels), group in rows.groupby(keys, sort=True):
        ordered = group.sort_values("at_ns")
        share = (ordered["value"] / ordered["capacity"]).to_numpy(np.float64)
        at_ns = ordered["at_ns"].to_numpy(np.int64)
        if not len(share) or np.isnan(share).all():
            continue
        peak = int(np.nanargmax(share))
        found.append(
            Part(
                source=str(source),
                name=str(name),
                labels=str(labels),
                peak=float(share[peak]),
                lasting=float(np.fmin(share[1:], share[:-1]).max()) if len(share) > 1 else float(share[peak]),
                value=float(ordered["value"].iloc[peak]),
                capacity=float(ordered["capacity"].iloc[peak]),
                peak_ns=int(at_ns[peak]),
                saturated_ns=_since(share >= SATURATED, at_ns),
                readings=len(share),
            )
        )
    return sorted(found, key=lambda part: (-part.peak, part.title))


def first_saturated(found: list[Part]) -> Part | None:
    """The part that was saturated first; of those at the same time, the fullest."""
    saturated = [part for part in found if part.saturated_ns is not None]
    return min(saturated, key=lambda part: (part.saturated_ns or 0, -part.peak, part.title)) if saturated else None


def headroom(found: list[Part]) -> tuple[float, Part | None]:
    """The room left in the fullest part that refuses when it is full, and that part; NaN and None without any."""
    least = min(
        (part for part in found if part.name not in _WAITS), key=lambda part: (part.headroom, part.title), default=None
    )
    return (math.nan, None) if least is None else (least.headroom, least)


def _since(
    full: "np.ndarray[tuple[int], np.dtype[np.bool_]]", at_ns: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> int | None:
    """The first reading of a row of full ones that lasts."""
    run = 0
    for index, is_full in enumerate(full):
        run = run + 1 if is_full else 0
        if run >= min(_LASTING, len(full)):
            return int(at_ns[index - run + 1])
    return None
