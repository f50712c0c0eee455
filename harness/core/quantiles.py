"""Exact percentiles from samples, with what they are worth: the interval, and how many samples a percentile needs.

A percentile here is the nearest rank: the smallest sample that at least a share `q` of all samples do not exceed. It is
always one of the samples, so infinity (an operation that never came true) passes through unharmed.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]


def parse_percentile(text: str) -> float:
    """`p95` as 0.95, `p99.9` as 0.999.  Raises ValueError for anything outside of 0 to 100, both excluded."""
    number = float(text.removeprefix("p"))
    if not text.startswith("p") or not 0 < number < 100:
        raise ValueError(f"wanted a percentile such as p95; got {text!r}")
    return round(number / 100, 10)


def rank(count: int, q: float) -> int:
    """Index, from zero, of the nearest-rank quantile among `count` sorted samples."""
    # The rounding keeps 0.95 * 20 from becoming rank 20 by an error in the last bit.
    return min(count - 1, max(0, math.ceil(round(q * count, 9)) - 1))


def quantile(samples: Samples, q: float) -> float:
    """The nearest-rank quantile of unsorted samples; NaN without samples."""
    if not len(samples):
        return math.nan
    index = rank(len(samples), q)
    return float(np.partition(samples, index)[index])


def quantiles(samples: Samples, qs: tuple[float, ...]) -> tuple[float, ...]:
    """Several nearest-rank quantiles with one sort."""
    if not len(samples):
        return (math.nan,) * len(qs)
    ordered = np.sort(samples)
    return tuple(float(ordered[rank(len(ordered), q)]) for q in qs)


def interval(samples: Samples, q: float, z: float = 1.96) -> tuple[float, float]:
    """Order-statistic interval of a quantile, free of any assumption about the shape of the distribution.

    Args:    z: normal score of the confidence, 1.96 for 95 %.
    Returns: two of the samples, or infinity above where the samples are too few to bound it.
    Source:  binomial ranks, normal approximation; Hahn and Meeker, Statistical Intervals, section 5.2.
    """
    count = len(samples)
    if not count:
        return math.nan, math.nan
    ordered = np.sort(samples)
    spread = z * math.sqrt(count * q * (1 - q))
    low = math.floor(count * q - spread) - 1
    high = math.ceil(count * q + spread)
    return (
        float(ordered[low]) if low >= 0 else -math.inf,
        float(ordered[high]) if high < count else math.inf,
    )


def samples_needed(q: float) -> int:
    """The fewest samples of which this percentile says more than the largest one does: one sample beyond it."""
    return max(10, math.ceil(round(1 / (1 - q), 6)))


def grouped_quantiles(
    groups: npt.NDArray[np.int64], samples: Samples, qs: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Nearest-rank quantiles per group, in one sort of all samples.

    Args:    groups, samples: one entry per sample.
    Returns: group keys in ascending order, the samples in each, quantiles (one row per group, one column per q).
    """
    if not len(samples):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(qs)))
    order = np.lexsort((samples, groups))
    ordered = samples[order]
    keys, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    table = np.empty((len(keys), len(qs)))
    for column, q in enumerate(qs):
        ranks = np.clip(np.ceil(np.round(q * counts, 9)).astype(np.int64) - 1, 0, counts - 1)
        table[:, column] = ordered[starts + ranks]
    return keys.astype(np.int64), counts.astype(np.int64), table
