"""Exact percentiles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.quantiles import grouped_quantiles, interval, parse_percentile, quantile, quantiles, samples_needed

SAMPLES = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)
QS = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])


def test_the_nearest_rank_is_one_of_the_samples() -> None:
    hundred = np.arange(1, 101)
    assert [quantile(hundred, q) for q in (0.5, 0.95, 0.99, 0.999)] == [50, 95, 99, 100]
    assert quantile(np.array([1.0, math.inf]), 0.99) == math.inf
    assert math.isnan(quantile(np.array([]), 0.5))


@given(SAMPLES, QS)
def test_at_least_a_share_q_of_the_samples_is_not_above_the_quantile(samples: list[int], q: float) -> None:
    value = quantile(np.array(samples), q)
    at_most = sum(sample <= value for sample in samples)
    below = sum(sample < value for sample in samples)
    assert value in samples
    assert at_most >= q * len(samples) - 1e-6
    assert below < q * len(samples) + 1e-6


@given(SAMPLES, QS)
def test_the_interval_encloses_the_quantile(samples: list[int], q: float) -> None:
    low, high = interval(np.array(samples), q)
    assert low <= quantile(np.array(samples), q) <= high


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), min_size=1, max_size=60))
def test_grouped_quantiles_are_those_of_each_group_alone(rows: list[tuple[int, int]]) -> None:
    groups, samples = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    keys, counts, table = grouped_quantiles(groups, samples, (0.5, 0.99))
    for key, count, values in zip(keys, counts, table, strict=True):
        alone = samples[groups == key]
        assert (len(alone), quantiles(alone, (0.5, 0.99))) == (count, tuple(values))


def test_percentiles_and_how_many_samples_they_need() -> None:
    assert [samples_needed(parse_percentile(text)) for text in ("p50", "p95", "p99", "p99.9")] == [10, 20, 100, 1000]
    with pytest.raises(ValueError, match="p95"):
        parse_percentile("95")
