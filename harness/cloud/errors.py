"""How a request can end without an answer, as exceptions that keystoneauth and openstacksdk already understand.

Each is the requests exception the SDK expects for the case, and carries `ending` and `was_sent` for the history.
"""

import errno
from collections.abc import Iterator

import requests.exceptions

from harness.core import outcomes
from harness.core.outcomes import Outcome


class CloudError(Exception):
    """The harness could not do its work with a cloud; nothing of ours was started by the call that raised it."""


class ConnectRefused(requests.exceptions.ConnectionError):
    """No connection could be made: refused, no route, no such name. Nothing was sent."""

    ending = outcomes.REFUSED
    was_sent = False


class ConnectTimedOut(requests.exceptions.ConnectTimeout):
    """No connection within its deadline. Nothing was sent."""

    ending = outcomes.TIMEOUT
    was_sent = False


class TlsFailed(requests.exceptions.SSLError):
    """The TLS handshake failed: certificate, name, protocol. No request was sent."""

    ending = outcomes.REFUSED
    was_sent = False


class ConnectionLost(requests.exceptions.ConnectionError):
    """The connection ended before the whole answer was there. The request may have been carried out."""

    ending = outcomes.RESET
    was_sent = True


class BadAnswer(requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
    """What came back is not a whole HTTP answer to our request. The request may have been carried out."""

    ending = outcomes.RESET
    was_sent = True


class AnswerTimedOut(requests.exceptions.ReadTimeout):
    """No answer, or not all of it, within its deadline. The request may have been carried out."""

    ending = outcomes.TIMEOUT
    was_sent = True


def outcome_of(method: str, error: BaseException) -> Outcome:
    """What a request that raised `error` did and how it ended.

    Reads our own exceptions, and those of requests, urllib3 and keystoneauth, through their causes: keystoneauth hides
    the first cause in a message.
    """
    chain = list(_causes(error))
    for cause in chain:
        ending = getattr(cause, "ending", None)
        if isinstance(ending, int):
            return outcomes.unanswered(method, ending, was_sent=bool(getattr(cause, "was_sent", True)))
    for cause in chain:
        name = type(cause).__name__
        if isinstance(cause, requests.exceptions.SSLError):
            return outcomes.unanswered(method, outcomes.REFUSED, was_sent=False)
        if isinstance(cause, requests.exceptions.ConnectTimeout):
            return outcomes.unanswered(method, outcomes.TIMEOUT, was_sent=False)
        if isinstance(cause, (requests.exceptions.Timeout, TimeoutError)):
            return outcomes.unanswered(method, outcomes.TIMEOUT, was_sent=True)
        if name in ("NewConnectionError", "NameResolutionError") or _is_refusal(cause):
            return outcomes.unanswered(method, outcomes.REFUSED, was_sent=False)
    return outcomes.unanswered(method, outcomes.RESET, was_sent=True)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        # requests keeps the urllib3 error as its first argument, and urllib3 its reason beside it.
        todo += [current.__cause__, current.__context__, _as_error(getattr(current, "reason", None))]
        todo += [argument for argument in current.args if isinstance(argument, BaseException)]


def _as_error(value: object) -> BaseException | None:
    return value if isinstance(value, BaseException) else None
