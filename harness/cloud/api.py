"""One journey's view of a cloud: every request by route name, timed, classified, and told to an observer.

The verbs in compute.py, network.py, image.py, identity.py and placement.py are written on `Api.call`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keystoneauth1.exceptions
import openstack.exceptions
import requests.exceptions

from harness.cloud.errors import outcome_of
from harness.cloud.session import Cloud
from harness.core import outcomes
from harness.core.clock import Clock, RunClock
from harness.core.outcomes import Outcome
from harness.core.samples import NO_OPERATION

NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it happened; times in ns on the run's clock. status NO_ANSWER: nothing came back."""

    service: str
    route: str
    intended_ns: int
    sent_ns: int
    done_ns: int
    status: int
    outcome: Outcome
    request_id: str | None
    size: int
    operation_id: int = NO_OPERATION


Observer = Callable[[Exchange], None]


class RequestFailed(Exception):
    """A request did not bring what was asked for; what it did to the cloud is in `outcome`.

    status: HTTP status, or NO_ANSWER. request_id: the service's, where it told.
    """

    def __init__(self, text: str, exchange: Exchange) -> None:
        super().__init__(text)
        self.exchange = exchange

    @property
    def status(self) -> int:
        return self.exchange.status

    @property
    def outcome(self) -> Outcome:
        return self.exchange.outcome

    @property
    def request_id(self) -> str | None:
        return self.exchange.request_id


class Refused(RequestFailed):
    """The service answered with an error status."""


class NoAnswer(RequestFailed):
    """The service did not answer: refused, reset or timed out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: `body` parsed (None when empty), the exchange it came with, and the response as it was."""

    body: Any
    exchange: Exchange
    response: Any


class Api:
    """Makes the requests of one journey over a shared Cloud.

    Args: observe: told of every exchange, good or bad. clock: of the run; without one, times run from 0 at this call.
          timeout_s: deadline of each request. intended_ns: when the journey was meant to start: its first request is
          measured from there; each later one is meant to leave when it leaves.
    """

    def __init__(
        self,
        cloud: Cloud,
        observe: Observer | None = None,
        *,
        clock: Clock | None = None,
        timeout_s: float | None = None,
        intended_ns: int | None = None,
        operation_id: int = NO_OPERATION,
    ) -> None:
        self.cloud = cloud
        self.clock = clock or RunClock(0)
        self.timeout_s = timeout_s
        self.operation_id = operation_id
        self._observe = observe
        self._intended_ns = intended_ns

    def call(
        self,
        service: str,
        method: str,
        route: str,
        path: str | None = None,
        *,
        json: Any = None,
        data: Any = None,
        params: Any = None,
        microversion: str | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """One request.

        Args:   route: its name without the method, "/servers/{id}"; path: what is sent, the route where they are equal.
                accept: error statuses that are an answer here (404 of a delete).
        Raises: Refused for other statuses from 400 on; NoAnswer.
        """
        options: dict[str, Any] = {}
        if json is not None:
            options["json"] = json
        if data is not None:
            options["data"] = data
        if params is not None:
            options["params"] = params
        if microversion is not None:
            options["microversion"] = microversion
        if headers is not None:
            options["headers"] = headers
        if self.timeout_s is not None:
            options["timeout"] = self.timeout_s
        return self.measure(
            service,
            method,
            route,
            lambda: self.cloud.proxy(service).request(path or route, method, **options),
            accept=accept,
        )

    def measure(
        self, service: str, method: str, route: str, send: Callable[[], Any], *, accept: Collection[int] = ()
    ) -> Answer:
        """`call` with the sending left to the caller; `send` returns a response as requests would."""
        sent_ns = self.clock.now_ns()
        intended_ns, self._intended_ns = self._intended_ns, None
        intended_ns = sent_ns if intended_ns is None else min(intended_ns, sent_ns)
        name = f"{method} {route}"
        try:
            response = send()
        except (
            requests.exceptions.RequestException,
            keystoneauth1.exceptions.ClientException,
            openstack.exceptions.SDKException,
            OSError,
        ) as error:
            status = int(getattr(error, "http_status", 0) or getattr(error, "status_code", 0) or NO_ANSWER)
            outcome = outcomes.answered(method, status) if status >= 100 else outcome_of(method, error)
            exchange = Exchange(
                service, name, intended_ns, sent_ns, self.clock.now_ns(), status, outcome,
                getattr(error, "request_id", None), 0, self.operation_id,
            )  # fmt: skip
            self._tell(exchange)
            kind = Refused if status else NoAnswer
            raise kind(f"{name}: {str(error)[:500]}", exchange) from error
        status = response.status_code
        header = getattr(response, "header", None)
        content = response.content
        exchange = Exchange(
            service, name, intended_ns, sent_ns, self.clock.now_ns(), status, outcomes.answered(method, status),
            header(b"x-openstack-request-id") if header else response.headers.get("x-openstack-request-id"),
            len(content), self.operation_id,
        )  # fmt: skip
        self._tell(exchange)
        if status >= 400 and status not in accept:
            raise Refused(f"{name}: {status} {_message(response)}", exchange)
        return Answer(_parsed(response, content, name, exchange), exchange, response)

    def _tell(self, exchange: Exchange) -> None:
        if self._observe is not None:
            self._observe(exchange)


def _parsed(response: Any, content: bytes, name: str, exchange: Exchange) -> Any:
    if not content:
        return None
    first = content[:1]
    if first not in (b"{", b"["):
        return content
    try:
        return response.json()
    except ValueError as error:
        raise Refused(f"{name}: {exchange.status}, but the body is not JSON: {error}", exchange) from error


def _message(response: Any) -> str:
    """The service's own words: each wraps them differently."""
    try:
        body = response.json()
    except ValueError:
        return str(response.text)[:300]
    while isinstance(body, dict):
        inner = body.get("message") or body.get("detail") or next(iter(body.values()), "")
        if inner == body:
            break
        body = inner
    if isinstance(body, list) and body:
        first = body[0]
        body = first.get("detail") or first.get("title") if isinstance(first, dict) else first
    return " ".join(str(body).split())[:300]
