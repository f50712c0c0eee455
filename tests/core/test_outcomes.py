"""What a request did, and how it ended, are told apart."""

import pytest

from harness.core import outcomes
from harness.core.outcomes import answered, unanswered


@pytest.mark.parametrize(
    ("method", "status", "effect"),
    [("GET", 200, "none"), ("GET", 500, "none"), ("POST", 202, "done"), ("POST", 409, "none"), ("POST", 500, "unknown"),
     ("DELETE", 204, "done"), ("DELETE", 404, "none"), ("PUT", 503, "unknown")],
)  # fmt: skip
def test_an_answer_tells_what_happened(method: str, status: int, effect: str) -> None:
    assert (answered(method, status).effect_name, answered(method, status).ending_name) == (effect, "answered")


@pytest.mark.parametrize(
    ("method", "ending", "was_sent", "effect"),
    [("GET", "timeout", True, "none"), ("POST", "timeout", True, "unknown"), ("POST", "timeout", False, "none"),
     ("POST", "reset", True, "unknown"), ("POST", "refused", False, "none"), ("DELETE", "dropped", False, "none")],
)  # fmt: skip
def test_without_an_answer_a_change_is_in_doubt_once_it_was_sent(
    method: str, ending: str, was_sent: bool, effect: str
) -> None:
    outcome = unanswered(method, outcomes.ENDINGS.index(ending), was_sent=was_sent)
    assert (outcome.effect_name, outcome.ending_name) == (effect, ending)


def test_success_and_outage() -> None:
    assert outcomes.is_success(204, outcomes.ANSWERED)
    assert not outcomes.is_success(404, outcomes.ANSWERED)
    assert not outcomes.is_success(0, outcomes.TIMEOUT)
    assert outcomes.is_outage(503, outcomes.ANSWERED)
    assert outcomes.is_outage(0, outcomes.RESET)
    assert not outcomes.is_outage(404, outcomes.ANSWERED)
    assert not outcomes.is_outage(0, outcomes.DROPPED)
