"""What became of a request, in two columns: what it did to the cloud, and how it ended.

`effect` none | done | unknown: a request that only reads has no effect, however it ends; one that changes something and
was never answered, or answered 5xx, is unknown until a later read settles it.
`ending` answered | refused | reset | timeout | dropped: dropped arrivals were never sent by us.
"""

from dataclasses import dataclass
from typing import Final

EFFECTS: Final = ("none", "done", "unknown")
ENDINGS: Final = ("answered", "refused", "reset", "timeout", "dropped")
NONE, DONE, UNKNOWN = range(3)
ANSWERED, REFUSED, RESET, TIMEOUT, DROPPED = range(5)

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request's end, by index into EFFECTS and ENDINGS, ready for typed arrays."""

    effect: int
    ending: int

    @property
    def effect_name(self) -> str:
        return EFFECTS[self.effect]

    @property
    def ending_name(self) -> str:
        return ENDINGS[self.ending]


def answered(method: str, status: int) -> Outcome:
    """The outcome of an answer with this HTTP status.

    A 4xx refused the change, so it has no effect; after a 5xx nobody knows; a 2xx or 3xx of a change is done.
    """
    assert status >= 100, status
    if method in READING:
        return _READ_ANSWERED
    if status < 400:
        return _DONE
    return _REJECTED if status < 500 else _IN_DOUBT


def unanswered(method: str, ending: int, *, was_sent: bool) -> Outcome:
    """The outcome of a request without an answer.

    Args: ending: REFUSED, RESET, TIMEOUT or DROPPED. was_sent: whether a byte of it may have reached the service; a
          connection that was refused or timed out while it was being made carried nothing.
    """
    assert ending != ANSWERED
    changed = method not in READING and was_sent and ending not in (REFUSED, DROPPED)
    return _UNANSWERED[(UNKNOWN if changed else NONE), ending]


def is_success(status: int, ending: int) -> bool:
    """Whether a user would call this a success: answered, and below 400."""
    return ending == ANSWERED and 100 <= status < 400


def is_outage(status: int, ending: int) -> bool:
    """Whether it counts against availability: no answer, or 5xx. A 4xx is an answer; a dropped arrival is ours."""
    return ending in (REFUSED, RESET, TIMEOUT) or status >= 500


_READ_ANSWERED = Outcome(NONE, ANSWERED)
_REJECTED = Outcome(NONE, ANSWERED)
_DONE = Outcome(DONE, ANSWERED)
_IN_DOUBT = Outcome(UNKNOWN, ANSWERED)
_UNANSWERED = {
    (effect, ending): Outcome(effect, ending)
    for effect in (NONE, UNKNOWN)
    for ending in (REFUSED, RESET, TIMEOUT, DROPPED)
}
