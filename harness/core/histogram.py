"""Log-linear histograms of nanoseconds: they merge by addition, on any worker, in any order.

128 sub-buckets to each power of two: a bucket is at most 1/128 (0.79 %) of its lower edge wide, and values below 256
are exact. Minimum, maximum, sum and count are kept exactly. int64 throughout, up to 2^63 - 1.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SUB_BITS = 7
SUB_BUCKETS = 1 << SUB_BITS
BUCKETS = (64 - SUB_BITS) * SUB_BUCKETS + SUB_BUCKETS


def bucket_of(value: int) -> int:
    """The bucket that holds a value >= 0."""
    shift = max(0, value.bit_length() - SUB_BITS - 1)
    return (shift << SUB_BITS) + (value >> shift)


def buckets_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`bucket_of`, in bulk."""
    _, exponent = np.frexp(values.astype(np.float64))
    shift = np.maximum(exponent.astype(np.int64) - SUB_BITS - 1, 0)
    # Near 2^53 and above a float rounds up into the next power of two: step back where it did.
    shift -= (shift > 0) & ((values >> shift) < SUB_BUCKETS)
    return (shift << SUB_BITS) + (values >> shift)


def upper_edge(bucket: int) -> int:
    """The highest value that falls into a bucket."""
    if bucket < 2 * SUB_BUCKETS:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return (((bucket & (SUB_BUCKETS - 1)) + SUB_BUCKETS + 1) << shift) - 1


class Histogram:
    """Counts of values >= 0, int64. `merge` adds another; `quantile` reads it."""

    __slots__ = ("count", "counts", "max", "min", "sum")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.sum = 0
        self.min = -1
        self.max = -1

    def record(self, value: int) -> None:
        """Count one value. The hot path collects values and calls `record_many` once a second instead."""
        assert value >= 0, value
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.count += 1
        self.sum += value
        self.min = value if self.min < 0 else min(self.min, value)
        self.max = max(self.max, value)

    def record_many(self, values: NDArray[np.int64] | Iterable[int]) -> None:
        """Count many values, none negative."""
        array = values if isinstance(values, np.ndarray) else np.fromiter(values, dtype=np.int64)
        if not len(array):
            return
        lowest = int(array.min())
        assert lowest >= 0, lowest
        buckets, counts = np.unique(buckets_of(array), return_counts=True)
        mine = self.counts
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True):
            mine[bucket] = mine.get(bucket, 0) + count
        self.count += len(array)
        self.sum += int(array.sum())
        self.min = lowest if self.min < 0 else min(self.min, lowest)
        self.max = max(self.max, int(array.max()))

    def merge(self, other: "Histogram") -> None:
        """Add another histogram's values to this one."""
        mine = self.counts
        for bucket, count in other.counts.items():
            mine[bucket] = mine.get(bucket, 0) + count
        self.count += other.count
        self.sum += other.sum
        if other.count:
            self.min = other.min if self.min < 0 else min(self.min, other.min)
            self.max = max(self.max, other.max)

    def quantile(self, q: float) -> int | None:
        """The value below which a share `q` in (0, 1] of the values lies: nearest rank, the bucket's upper edge, so
        never below the truth and less than 0.8 % above it. None without values."""
        assert 0 < q <= 1, q
        if not self.count:
            return None
        rank = max(1, -(-round(q * self.count * 1_000_000) // 1_000_000))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return max(self.min, min(upper_edge(bucket), self.max))
        return self.max

    def to_message(self) -> dict[str, Any]:
        """Plain data for a message; sparse, so one second of one route is some hundred bytes."""
        buckets = sorted(self.counts)
        return {
            "buckets": buckets,
            "counts": [self.counts[bucket] for bucket in buckets],
            "sum": self.sum,
            "min": self.min,
            "max": self.max,
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """Back from `to_message`."""
        histogram = cls()
        histogram.counts = dict(zip(message["buckets"], message["counts"], strict=True))
        histogram.count = sum(message["counts"])
        histogram.sum, histogram.min, histogram.max = message["sum"], message["min"], message["max"]
        return histogram

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.to_message() == other.to_message()

    __hash__ = None  # type: ignore[assignment]
