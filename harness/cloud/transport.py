"""HTTP/1.1 for keystoneauth's `Session(session=...)`: what requests does for it, at a few per cent of the price.

Keep-alive connections are pooled last-in first-out, so that the pool is as large as its use; a connection that the
other end closed meanwhile is replaced, and a request repeated only when repeating it is harmless. HTTP proxies and
arguments this transport does not know go to requests itself.
"""

import functools
import io
import os
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import orjson
import requests
import requests.adapters
import requests.utils

from harness.cloud.connection import HttpConnection
from harness.cloud.errors import ConnectionLost, TlsFailed
from harness.cloud.response import Response, SentRequest

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
IDLE_LIMIT_S = 30.0
TRUSTED_IDLE_S = 1.0
UPLOAD_PIECE = 1 << 16
_UNSAFE_TARGET = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{|}#]")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Limits in seconds for one request: to connect, to the first byte of the answer, in all."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    total_s: float = 600.0

    def narrowed(self, timeout: Any) -> "Deadlines":
        """With a `timeout` as requests takes it: a number for the whole request, or (connect, whole)."""
        if timeout is None:
            return self
        connect, total = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        connect = self.connect_s if connect is None else min(self.connect_s, float(connect))
        total = self.total_s if total is None else float(total)
        return Deadlines(connect, min(self.first_byte_s, total), total)


class FixedHeaders(dict[str, str]):
    """Headers that are sent many times: encoded once. Never changed after they were made."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields)
        self.encoded = _encode_headers(fields)


class Transport:
    """Looks like a requests.Session to keystoneauth; may be shared by any number of greenlets or threads.

    Args: deadlines: used where a call brings no timeout. user_agent: sent where a call brings none.
    """

    def __init__(self, deadlines: Deadlines | None = None, user_agent: str = "squall") -> None:
        self.deadlines = deadlines or Deadlines()
        self.connects = 0
        self._user_agent = user_agent
        self._pools: dict[tuple[Any, ...], list[HttpConnection]] = {}
        self._proxied: dict[str, bool] = {}
        self._requests: requests.Session | None = None
        self._lock = threading.Lock()

    # The parts of requests.Session that keystoneauth touches besides `request`.

    @property
    def adapters(self) -> dict[str, Any]:
        return {}

    def mount(self, prefix: str, adapter: Any) -> None:
        """Accepted and without effect: there are no adapters here."""

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            while pool:
                pool.pop().close()
        if self._requests is not None:
            self._requests.close()

    def request(
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        timeout: Any = None,
        verify: bool | str | None = True,
        cert: Any = None,
        allow_redirects: bool = False,
        stream: bool = False,
        **unusual: Any,
    ) -> Any:
        """Send one request and wait for its answer.

        Redirects are not followed: keystoneauth does that itself, keeping the method.
        Raises: requests' exceptions, those of harness.cloud.errors among them.
        """
        scheme, host, port, path = _split(url)
        if allow_redirects or any(unusual.values()) or scheme not in ("http", "https") or self._needs_proxy(url):
            extra = {"params": params, "data": data, "headers": headers, "json": json, "timeout": timeout}
            extra |= {"verify": verify, "cert": cert, "allow_redirects": allow_redirects, "stream": stream}
            return self._fallback().request(method, url, **extra, **unusual)
        method = method.upper()
        limits = self.deadlines if timeout is None else self.deadlines.narrowed(timeout)
        body, framing, is_json = _body(data, json)
        if framing == "chunked" and headers and any(name.lower() == "content-length" for name in headers):
            framing = "given"
        head = self._head(method, path, params, headers, scheme, host, port, framing, is_json)
        sent = SentRequest(method, url, headers or {}, body)
        tls_key = (verify, cert) if scheme == "https" else None
        key = (scheme, host, port, tls_key)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools.setdefault(key, [])
        expects = headers is not None and "100-continue" in str(headers.get("Expect", "")).lower()
        replayable = body is None or isinstance(body, bytes)
        while True:
            connection = self._idle(pool, is_trusted=method in REPEATABLE)
            reused = connection is not None
            if connection is None:
                connection = self._connect(scheme, host, port, tls_key, limits)
            started = time.monotonic_ns()
            try:
                return self._exchange(connection, pool, sent, head, body, framing, limits, stream, expects)
            except ConnectionLost:
                # The other end may close an idle connection at any time: with nothing answered on a used one, that is
                # what happened. Asking again is harmless for requests that may be repeated.
                if not (reused and replayable and method in REPEATABLE and not connection.answered):
                    raise
                while pool:
                    pool.pop().close()
                limits = limits.narrowed(max(0.001, limits.total_s - (time.monotonic_ns() - started) / 1e9))

    def _exchange(
        self,
        connection: HttpConnection,
        pool: list[HttpConnection],
        sent: SentRequest,
        head: bytes,
        body: Any,
        framing: str,
        limits: Deadlines,
        stream: bool,
        expects: bool,
    ) -> Response:
        started_ns = time.monotonic_ns()
        started = started_ns / 1e9
        first_byte, total = started + min(limits.first_byte_s, limits.total_s), started + limits.total_s
        streaming = False
        try:
            if expects and body:
                connection.send(head, None, first_byte, chunked=False)
                if connection.wait_for_continue():
                    self._send_rest(connection, body, total, framing)
            else:
                self._send_all(connection, head, body, first_byte, total, framing)
            connection.receive_headers(first_byte, has_body=sent.method != "HEAD")
            status, reason, headers = connection.status, connection.reason, connection.headers
            if stream and not connection.done:
                streaming = True
                pieces = connection.stream_body(total, lambda done, whole: self._release(pool, done, whole))
                elapsed = time.monotonic_ns() - started_ns
                return Response(sent, status, reason, headers, elapsed, None, pieces, connection.close)
            content = connection.receive_body(total)
            elapsed = time.monotonic_ns() - started_ns
            self._release(pool, connection, True)
            return Response(sent, status, reason, headers, elapsed, content)
        except BaseException:
            if not streaming:
                connection.close()
            raise

    def _send_all(
        self, connection: HttpConnection, head: bytes, body: Any, first_byte: float, total: float, framing: str
    ) -> None:
        deadline = first_byte if body is None or isinstance(body, bytes) else total
        try:
            connection.send(head, body, deadline, chunked=framing == "chunked")
        except ConnectionLost:
            if body is None or connection.exchanges > 1:
                raise
            # An answer may stand before the closed door: 413 while we still upload.
            try:
                connection.receive_headers(min(total, time.monotonic() + 1), has_body=True)
            except requests.exceptions.RequestException:
                pass
            if not connection.headers_done:
                raise

    def _send_rest(self, connection: HttpConnection, body: Any, deadline: float, framing: str) -> None:
        pieces = [body] if isinstance(body, bytes) else body
        connection.exchanges -= 1
        connection.send(b"", pieces, deadline, chunked=framing == "chunked")

    def _idle(self, pool: list[HttpConnection], *, is_trusted: bool) -> HttpConnection | None:
        while True:
            try:
                connection = pool.pop()
            except IndexError:
                return None
            # A request that must not be repeated pays one system call to learn that its connection still stands.
            fresh = is_trusted and time.monotonic() - connection.idle_since < TRUSTED_IDLE_S
            if fresh or not connection.is_stale:
                return connection
            connection.close()

    def _release(self, pool: list[HttpConnection], connection: HttpConnection, is_whole: bool) -> None:
        if not (is_whole and connection.is_reusable):
            connection.close()
            return
        now = connection.idle_since = time.monotonic()
        pool.append(connection)
        # Last in, first out: what is not needed sinks to the bottom and leaves from there.
        if now - pool[0].idle_since > IDLE_LIMIT_S and len(pool) > 1:
            pool.pop(0).close()

    def _connect(self, scheme: str, host: str, port: int, tls_key: Any, limits: Deadlines) -> HttpConnection:
        self.connects += 1
        tls = _tls_context(*tls_key) if tls_key is not None else None
        where = f"{scheme}://{host}:{port}"
        return HttpConnection.open(host, port, tls, min(limits.connect_s, limits.total_s), where)

    def _head(
        self,
        method: str,
        path: str,
        params: Any,
        headers: Mapping[str, str] | None,
        scheme: str,
        host: str,
        port: int,
        framing: str,
        is_json: bool,
    ) -> bytes:
        if params:
            query = params if isinstance(params, str) else _query(params)
            path = f"{path}{'&' if '?' in path else '?'}{query}" if query else path
        if _UNSAFE_TARGET.search(path):
            path = requests.utils.requote_uri(path.partition("#")[0])
            if not path.isascii() or any(character <= " " for character in path):
                raise requests.exceptions.InvalidURL(f"{path!r} cannot be sent")
        if isinstance(headers, FixedHeaders):
            fields = headers.encoded
        else:
            given = {name.lower() for name in headers} if headers else ()
            fields = _encode_headers(headers) if headers else b""
            if "user-agent" not in given:
                fields += b"User-Agent: %b\r\n" % self._user_agent.encode()
            if is_json and "content-type" not in given:
                fields += b"Content-Type: application/json\r\n"
            if "content-length" in given or "transfer-encoding" in given:
                framing = "given"
        start = f"{method} {path} HTTP/1.1\r\n{_host_line(scheme, host, port)}"
        if framing == "chunked":
            start += "Transfer-Encoding: chunked\r\n"
        elif framing.isdigit() or (not framing and method in ("POST", "PUT", "PATCH")):
            start += f"Content-Length: {framing or 0}\r\n"
        return start.encode() + fields + b"\r\n"

    def _needs_proxy(self, url: str) -> bool:
        origin = url[: url.find("/", 8)] if url.find("/", 8) > 0 else url
        known = self._proxied.get(origin)
        if known is None:
            scheme = origin.partition(":")[0]
            proxies = requests.utils.get_environ_proxies(origin, no_proxy=None)
            known = self._proxied[origin] = scheme in proxies or "all" in proxies
        return known

    def _fallback(self) -> requests.Session:
        with self._lock:
            if self._requests is None:
                self._requests = requests.Session()
                adapter = requests.adapters.HTTPAdapter(pool_connections=32, pool_maxsize=256)
                self._requests.mount("http://", adapter)
                self._requests.mount("https://", adapter)
            return self._requests


def _body(data: Any, json: Any) -> tuple[bytes | Iterable[bytes] | None, str, bool]:
    """The body to send, how it is framed (a length, "chunked" or "" for none), and whether it is JSON."""
    if json is not None and data is None:
        encoded = orjson.dumps(json)
        return encoded, str(len(encoded)), True
    if data is None or (isinstance(data, (str, bytes)) and not data):
        return None, "", False
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), str(len(data)), False
    if isinstance(data, Mapping) or (isinstance(data, list) and data and isinstance(data[0], tuple)):
        encoded = _query(data).encode()
        return encoded, str(len(encoded)), False
    if hasattr(data, "read"):
        size = requests.utils.super_len(data)  # type: ignore[no-untyped-call]
        return _pieces(data), str(size) if size else "chunked", False
    return (piece.encode() if isinstance(piece, str) else piece for piece in data), "chunked", False


def _pieces(file: Any) -> Iterator[bytes]:
    read: Callable[[int], Any] = file.read
    while piece := read(UPLOAD_PIECE):
        yield piece.encode() if isinstance(file, io.TextIOBase) else piece


def _query(params: Any) -> str:
    pairs = params.items() if isinstance(params, Mapping) else params
    return urllib.parse.urlencode([(name, value) for name, value in pairs if value is not None], doseq=True)


def _encode_headers(headers: Mapping[str, Any]) -> bytes:
    lines = []
    for name, given in headers.items():
        if given is None:
            continue
        value = given.decode("latin-1") if isinstance(given, bytes) else str(given)
        if "\n" in value or "\r" in value or "\n" in name or "\r" in name or ":" in name:
            raise requests.exceptions.InvalidHeader(f"header {name!r} holds what must not be in a header")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def _split(url: str) -> tuple[str, str, int, str]:
    start = url.find("://") + 3
    if start < 3:
        raise requests.exceptions.MissingSchema(f"{url!r} has no scheme")
    end = url.find("/", start)
    query = url.find("?", start)
    if query > 0 and (end < 0 or query < end):
        end = query
    origin, path = (url, "/") if end < 0 else (url[:end], url[end:])
    if path[0] == "?":
        path = "/" + path
    scheme, host, port = _origin(origin)
    return scheme, host, port, path


@functools.lru_cache(maxsize=1024)
def _origin(origin: str) -> tuple[str, str, int]:
    try:
        parts = urllib.parse.urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise requests.exceptions.InvalidURL(f"{origin!r}: {error}") from None
    if not host or "@" in parts.netloc:
        raise requests.exceptions.InvalidURL(f"{origin!r} is not scheme://host[:port]")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


@functools.lru_cache(maxsize=1024)
def _host_line(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    is_default = port == (443 if scheme == "https" else 80)
    return f"Host: {name}\r\n" if is_default else f"Host: {name}:{port}\r\n"


@functools.lru_cache(maxsize=64)
def _tls_context(verify: bool | str | None, cert: Any) -> ssl.SSLContext:
    """A client context as requests would make it: `verify` True, False or a bundle; `cert` a file or (file, key)."""
    bundle = verify if isinstance(verify, str) else None
    if verify is True or verify is None:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif bundle is not None:
            is_directory = os.path.isdir(bundle)
            context.load_verify_locations(None if is_directory else bundle, bundle if is_directory else None)
        if cert:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else tuple(cert)))
    except (OSError, ssl.SSLError) as error:
        raise TlsFailed(f"cannot use verify={verify!r} cert={cert!r}: {error}") from error
    return context
