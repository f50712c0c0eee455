"""Response time runs from the intention; buffers keep every row and check it in bulk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import MS
from harness.core.outcomes import ANSWERED, NONE, TIMEOUT
from harness.core.samples import SLOWEST_KEPT, Sample, SampleBuffer


def queue_on_one_worker(arrivals_ns: list[int], service_ns: list[int]) -> list[Sample]:
    samples, free_ns = [], 0
    for intended, service in zip(arrivals_ns, service_ns, strict=True):
        sent = max(intended, free_ns)
        free_ns = sent + service
        samples.append(Sample(intended, sent, free_ns))
    return samples


def test_a_stall_is_charged_to_every_arrival_it_delays() -> None:
    arrivals_ns = [i * 100 * MS for i in range(11)]
    samples = queue_on_one_worker(arrivals_ns, service_ns=[1000 * MS] + [0] * 10)
    assert [s.response_ns // MS for s in samples] == [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1))
def test_response_time_is_never_below_service_time(gaps: list[tuple[int, int]]) -> None:
    arrivals = [sum(gap for gap, _ in gaps[: i + 1]) for i in range(len(gaps))]
    for sample in queue_on_one_worker(arrivals, [service for _, service in gaps]):
        assert sample.response_ns >= sample.service_ns
        assert sample.response_ns == sample.service_ns + sample.lag_ns


def test_a_sample_that_left_before_it_was_meant_to_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Sample(10, 9, 11)
    buffer = SampleBuffer()
    buffer.append(buffer.key("s", "c", "compute", "GET /servers"), 10, 9, 11, 200, NONE, ANSWERED)
    with pytest.raises(AssertionError, match="GET /servers"):
        buffer.take()


def test_a_buffer_gives_back_every_row_once() -> None:
    buffer = SampleBuffer()
    get, post = (buffer.key("s", "c", "compute", route) for route in ("GET /servers/{id}", "POST /servers"))
    assert buffer.key("s", "c", "compute", "GET /servers/{id}") == get
    for row in range(100):
        buffer.append(get, row, row, row + row, 200, NONE, ANSWERED, size=row, request_id=f"req-{row}")
    buffer.append(post, 5, 6, 7, 0, 2, TIMEOUT, operation_id=9, request_id=None)
    buffer.append(post, 5, 6, 7, 500, 2, ANSWERED, request_id="req-bad")
    batch = buffer.take()
    assert len(batch) == 102
    assert len(buffer) == 0
    assert [batch.keys[k].route for k in batch.key[-3:]] == ["GET /servers/{id}", "POST /servers", "POST /servers"]
    assert batch.operation_id[-2] == 9
    assert batch.ending[-2:].tolist() == [TIMEOUT, ANSWERED]
    assert batch.succeeded.sum() == 100
    kept = [request_id for request_id in batch.request_ids if request_id]
    assert kept == [f"req-{row}" for row in range(100 - SLOWEST_KEPT, 100)] + ["req-bad"]
    assert not len(buffer.take())


def test_a_404_is_an_answer_that_nobody_need_worry_about() -> None:
    buffer = SampleBuffer()
    get = buffer.key("s", "c", "compute", "GET /servers/{id}")
    for status in (200, 404, 409, 503):
        buffer.append(get, 1, 2, 3, status, NONE, ANSWERED)
    buffer.append(get, 1, 2, 3, 0, NONE, TIMEOUT)
    assert buffer.take().failed.tolist() == [False, False, True, True, True]
