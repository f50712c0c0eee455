"""The ways the services write a point in time. Always UTC; kept in the database as the text that is answered."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_second = (-1, "")  # the present second and its text


def now() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Nova's, glance's and neutron's style: whole seconds, `2026-11-22T15:00:00Z`."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def iso_micro(moment: datetime) -> str:
    """Keystone's style: `2026-11-22T15:00:00.000000Z`. Sorts as time does."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def plain_micro(moment: datetime) -> str:
    """Style of nova's `OS-SRV-USG:launched_at` and of service records: `2026-11-22T15:00:00.000000`, no zone."""
    return moment.isoformat(timespec="microseconds")[:26]


def utcnow_iso() -> str:
    """Now, as `iso` writes it. Every row and every answer has one: a second's text is made once."""
    global _second
    present = int(time.time())
    if _second[0] != present:
        _second = (present, iso(datetime.fromtimestamp(present, UTC)))
    return _second[1]


def utcnow_iso_micro() -> str:
    """Now, as `iso_micro` writes it."""
    return iso_micro(now())


def utcnow_plain_micro() -> str:
    """Now, as `plain_micro` writes it."""
    return plain_micro(now())


def parse(text: str) -> datetime:
    """Read any of the styles, and ISO 8601 with an offset; text without a zone is UTC.

    Raises: ValueError when it is not a time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def after(seconds: float, moment: datetime | None = None) -> datetime:
    """The moment (now) plus some seconds; negative: before it."""
    return (moment or now()) + timedelta(seconds=seconds)


def epoch_us(moment: datetime) -> int:
    """Whole microseconds since 1970, exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
