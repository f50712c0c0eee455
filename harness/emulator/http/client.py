"""HTTP/1.1 on loopback between the services: one asyncio protocol on httptools, a LIFO keep-alive pool, deadlines.

There is no deadline unless the caller gives one: keystoneauth sets none either, so a hung service hangs its callers.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import orjson

IDLE_MAX_S = 30.0  # below the 75 s that our servers keep a connection
_IDEMPOTENT = frozenset(("GET", "HEAD"))


class HTTPConnectionError(Exception):
    """No answer: refused, reset, or closed half way. Whether the request was acted on is unknown."""


class HTTPTimeout(HTTPConnectionError):
    """The deadline passed first."""


class Response:
    """Status, headers (names in lower case; the last of each) and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """The body, parsed. Raises: ValueError."""
        return orjson.loads(self.body)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class _Connection(asyncio.Protocol):
    """One request at a time; the answer is gathered whole."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.closed = False
        self.fresh = True  # nothing was answered on it yet
        self._waiter: asyncio.Future[Response] | None = None
        self._parser: Any = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._begun = False
        self._head_request = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, data: bytes, *, head: bool) -> "asyncio.Future[Response]":
        assert self.transport is not None
        self._waiter = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._body = []
        self._begun = False
        self._head_request = head
        self.transport.write(data)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self._begun = True
        if self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(HTTPConnectionError(f"not an HTTP answer: {error}"))
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._head_request:  # the parser would wait for the body that Content-Length announces
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser, self._parser = self._parser, None
        waiter, self._waiter = self._waiter, None
        if parser is None or waiter is None:
            return
        self.fresh = False
        if not parser.should_keep_alive() or self._head_request:
            self.close()
        if not waiter.done():
            waiter.set_result(Response(parser.get_status_code(), self._headers, b"".join(self._body)))

    def eof_received(self) -> None:
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        what = "after part of the answer" if self._begun else "without an answer"
        self._fail(HTTPConnectionError(f"connection closed {what}: {exc or 'end of stream'}"))

    @property
    def answer_begun(self) -> bool:
        return self._begun

    def _fail(self, error: HTTPConnectionError) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def close(self) -> None:
        self.closed = True
        if self.transport is not None:
            self.transport.close()


class HTTPClient:
    """Connections of one process to its neighbours, kept per host and port."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Connection]] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Send one request and gather the answer, whatever its status.

        Raises: HTTPTimeout; HTTPConnectionError. A GET or HEAD is sent again, once, when a kept connection turns out
        to be closed; nothing else is ever sent twice.
        """
        parts = urlsplit(url)
        target = parts.path or "/"
        if parts.query:
            target = f"{target}?{parts.query}"
        key = (parts.hostname or "127.0.0.1", parts.port or 80)
        data = _request_bytes(method, target, parts.netloc, headers, json, body)
        if timeout_s is None:
            return await self._exchange(method, key, data)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(method, key, data)
        except TimeoutError:
            raise HTTPTimeout(f"{method} {parts.path} at {parts.netloc}: no answer within {timeout_s:.3g} s") from None

    async def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def _exchange(self, method: str, key: tuple[str, int], data: bytes) -> Response:
        while True:
            connection = self._kept(key)
            reused = connection is not None
            if connection is None:
                connection = await _connect(key)
            try:
                response = await connection.send(data, head=method == "HEAD")
            except HTTPConnectionError as error:
                if reused and method in _IDEMPOTENT and not connection.answer_begun:
                    continue
                raise HTTPConnectionError(f"{method} at {key[0]}:{key[1]}: {error}") from None
            except BaseException:
                connection.close()  # cancelled: an answer may still come, for nobody
                raise
            if not connection.closed:
                connection.idle_since = time.monotonic()
                self._idle.setdefault(key, []).append(connection)
            return response

    def _kept(self, key: tuple[str, int]) -> _Connection | None:
        connections = self._idle.get(key)
        oldest = time.monotonic() - IDLE_MAX_S
        while connections:
            connection = connections.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.close()
        return None


async def _connect(key: tuple[str, int]) -> _Connection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, key[0], key[1])
    except OSError as error:
        raise HTTPConnectionError(f"connect to {key[0]}:{key[1]}: {error.strerror or error}") from error
    return connection


def _request_bytes(
    method: str, target: str, host: str, headers: Mapping[str, str] | None, json: Any, body: bytes | None
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n"]
    if json is not None:
        body = orjson.dumps(json)
        lines.append("content-type: application/json\r\n")
    if headers:
        lines.extend(f"{name}: {value}\r\n" for name, value in headers.items())
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body or b'')}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1") + (body or b"")
