"""Merged histograms equal the histogram of all; a quantile is never below the truth and less than 0.8 % above."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.core.histogram import BUCKETS, Histogram, bucket_of, buckets_of, upper_edge

VALUES = st.one_of(st.integers(0, 600), st.integers(0, 2**34), st.integers(0, 2**63 - 1))


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(values)
    return histogram


@given(st.lists(VALUES))
def test_bulk_and_single_bucketing_agree(values: list[int]) -> None:
    assert buckets_of(np.array(values, dtype=np.int64)).tolist() == [bucket_of(value) for value in values]


@given(VALUES)
def test_a_value_lies_in_its_bucket_and_the_bucket_is_narrow(value: int) -> None:
    bucket = bucket_of(value)
    lower = upper_edge(bucket - 1) + 1 if bucket else 0
    assert 0 <= bucket < BUCKETS
    assert lower <= value <= upper_edge(bucket)
    assert (upper_edge(bucket) - lower) < 0.008 * max(lower, 1) or upper_edge(bucket) == lower


@given(st.lists(st.lists(st.integers(0, 2**40))))
def test_merged_histograms_equal_the_histogram_of_all(parts: list[list[int]]) -> None:
    merged = Histogram()
    for part in parts:
        merged.merge(Histogram.from_message(histogram_of(part).to_message()))
    assert merged == histogram_of([value for part in parts for value in part])


@given(st.lists(st.integers(0, 2**40), min_size=1), st.floats(0.001, 1.0))
def test_a_quantile_is_true_to_its_bucket(values: list[int], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(round(q * len(values) * 1e6) / 1e6)) - 1]
    found = histogram_of(values).quantile(q)
    assert found is not None
    assert exact <= found <= exact * 1.008


def test_single_records_equal_bulk_records_and_empty_says_none() -> None:
    one = Histogram()
    for value in (3, 1000, 70_000):
        one.record(value)
    assert one == histogram_of([3, 1000, 70_000])
    assert (one.count, one.sum, one.min, one.max) == (3, 71_003, 3, 70_000)
    assert Histogram().quantile(0.99) is None
    assert all(upper_edge(a) < upper_edge(b) for a, b in pairwise(range(3000)))
