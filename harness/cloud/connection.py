"""One HTTP/1.1 connection: a socket and a parser, one exchange at a time.

Plain stdlib sockets: under Locust gevent has replaced them, in the engine's threads it has not; both work alike.
"""

import contextlib
import socket
import ssl
import time
import zlib
from _socket import socket as RawSocket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httptools

from harness.cloud.errors import AnswerTimedOut, BadAnswer, ConnectionLost, ConnectRefused, ConnectTimedOut, TlsFailed
from harness.cloud.response import RawHeaders

RECEIVE = 1 << 16
HEADERS_LIMIT = 1 << 18
CONTINUE_S = 1.0
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class HttpConnection:
    """A connection that is open, idle or in one exchange. After any exception it must be closed, not used again."""

    def __init__(self, sock: socket.socket, where: str) -> None:
        self.where = where
        self.idle_since = 0.0
        self.exchanges = 0
        self.status = 0
        self.reason = b""
        self.headers: RawHeaders = []
        self.chunks: list[bytes] = []
        self.encoding = b""
        self.headers_done = self.done = self.keep_alive = False
        self.answered = False  # at least one byte of an answer came
        self._continued = self._surplus = self._has_length = False
        self._header_bytes = 0
        self._sock = sock
        self._parser = httptools.HttpResponseParser(self)

    @classmethod
    def open(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float, where: str) -> "HttpConnection":
        """Connect, and shake hands where there is TLS, all within `timeout_s`.

        Raises: ConnectRefused, ConnectTimedOut, TlsFailed.
        """
        deadline = time.monotonic() + timeout_s
        try:
            sock = socket.create_connection((host, port), timeout=timeout_s)
        except TimeoutError:
            raise ConnectTimedOut(f"no connection to {where} within {timeout_s:g} s") from None
        except OSError as error:
            raise ConnectRefused(f"cannot connect to {where}: {error}") from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                sock = tls.wrap_socket(sock, server_hostname=host)
        except TimeoutError:
            sock.close()
            raise ConnectTimedOut(f"no TLS handshake with {where} within {timeout_s:g} s") from None
        except ssl.SSLError as error:
            sock.close()
            raise TlsFailed(f"TLS handshake with {where} failed: {error}") from error
        except OSError as error:
            sock.close()
            raise ConnectRefused(f"{where} ended the connection during the handshake: {error}") from error
        return cls(sock, where)

    def close(self) -> None:
        self._parser = None
        self._sock.close()

    @property
    def is_stale(self) -> bool:
        """Whether an idle connection can no longer be used: the other end closed it, or said what nobody asked."""
        raw: Any = getattr(self._sock, "_sock", self._sock)
        try:
            self._sock.settimeout(0.0)
            # Straight to the C socket: an SSLSocket refuses flags, and what counts is whether any byte waits.
            waiting = RawSocket.recv(raw, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return waiting is not None

    # One exchange: send, receive headers, receive body.

    def send(self, head: bytes, body: bytes | Iterable[bytes] | None, deadline: float, *, chunked: bool) -> None:
        """Send a request. `body` as bytes goes out with the head; pieces go out one by one, `chunked` or as they are.

        Raises: ConnectionLost, AnswerTimedOut (the other end stopped reading), or whatever the pieces raise.
        """
        self._reset()
        self.exchanges += 1
        try:
            self._limit(deadline)
            if body is None or isinstance(body, bytes):
                self._sock.sendall(head + body if body else head)
                return
            self._sock.sendall(head)
            for piece in body:
                if piece:
                    self._limit(deadline)
                    self._sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._sock.sendall(b"0\r\n\r\n")
        except TimeoutError:
            raise AnswerTimedOut(f"{self.where} stopped reading our request") from None
        except OSError as error:
            raise ConnectionLost(f"{self.where} closed the connection while we sent: {error}") from error

    def wait_for_continue(self) -> bool:
        """After the head of a request with `Expect: 100-continue`: whether to send the body now.

        True on 100, and after a second of silence (RFC 9110, 10.1.1); False when a final answer came instead.
        """
        deadline = time.monotonic() + CONTINUE_S
        with contextlib.suppress(AnswerTimedOut):
            while not self.headers_done and not self._continued:
                self._receive(deadline)
        return not self.headers_done

    def receive_headers(self, deadline: float, *, has_body: bool) -> None:
        """Read up to the end of the headers of the final answer; `has_body` is False for an answer to HEAD."""
        while not self.headers_done:
            self._receive(deadline)
        if not has_body and not self.done:
            # The parser waits for the body the headers promise: a new one takes over.
            self.done, self.keep_alive = True, self.keep_alive and not self.chunks
            self._parser = httptools.HttpResponseParser(self)

    def receive_body(self, deadline: float) -> bytes:
        """Read the rest of the answer and return its body, decoded."""
        while not self.done:
            self._receive(deadline)
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks = []
        return self._decoder()(body) if self.encoding else body

    def stream_body(self, deadline: float, finish: Callable[["HttpConnection", bool], None]) -> Iterator[bytes]:
        """The body in decoded pieces as they arrive; `finish(self, is_whole)` is called once at the end."""
        decode = _inflater() if self.encoding else None
        whole = False
        try:
            while True:
                pieces, self.chunks = self.chunks, []
                for piece in pieces:
                    decoded = _inflate(decode, piece, self.where) if decode else piece
                    if decoded:
                        yield decoded
                if self.done and not self.chunks:
                    break
                self._receive(deadline)
            whole = True
        finally:
            finish(self, whole)

    @property
    def is_reusable(self) -> bool:
        return self.done and self.keep_alive and not self._surplus

    def _reset(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers, self.chunks = [], []
        self.encoding = b""
        self.headers_done = self.done = self.keep_alive = self.answered = False
        self._continued = self._surplus = self._has_length = False
        self._header_bytes = 0

    def _limit(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def _receive(self, deadline: float) -> None:
        try:
            self._limit(deadline)
            data = self._sock.recv(RECEIVE)
        except TimeoutError:
            what = "the rest of its answer" if self.answered else "an answer"
            raise AnswerTimedOut(f"{self.where} did not give {what} in time") from None
        except OSError as error:
            raise ConnectionLost(f"connection to {self.where} lost: {error}") from error
        if not data:
            self._end_of_stream()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep_alive = False
            if not self.done:
                raise BadAnswer(f"{self.where} did not answer in HTTP: {error}") from None
        if not self.headers_done:
            self._header_bytes += len(data)
            if self._header_bytes > HEADERS_LIMIT:
                raise BadAnswer(f"{self.where} sent more than {HEADERS_LIMIT} bytes of headers")

    def _end_of_stream(self) -> None:
        if self.headers_done and not self._has_length:
            self.done, self.keep_alive = True, False  # a body that ends with the connection
        elif self.answered:
            raise BadAnswer(f"{self.where} closed the connection in the middle of its answer")
        else:
            raise ConnectionLost(f"{self.where} closed the connection without an answer")

    def _decoder(self) -> Callable[[bytes], bytes]:
        where = self.where
        return lambda body: _inflate(_inflater(), body, where, last=True)

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self.done:
            self._surplus = True

    def on_status(self, status: bytes) -> None:
        if not self.done:
            self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.done:
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200 and self.status != 101:
            return
        for name, value in self.headers:
            lowered = name.lower()
            if lowered in _FRAMING:
                self._has_length = True
            elif lowered == b"content-encoding":
                coding = value.strip().lower()
                self.encoding = coding if coding in (b"gzip", b"x-gzip", b"deflate") else b""
        self.keep_alive = self._parser.should_keep_alive()
        self.headers_done = True

    def on_body(self, body: bytes) -> None:
        if not self.done:
            self.chunks.append(body)

    def on_message_complete(self) -> None:
        if self.done:
            return
        if self.headers_done:
            self.done = True
        else:  # an interim answer, 100 Continue or 103: the real one follows
            self._continued, self.headers, self.reason = True, [], b""


def _inflater() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)


def _inflate(inflater: Any, data: bytes, where: str, *, last: bool = False) -> bytes:
    try:
        plain: bytes = inflater.decompress(data)
    except zlib.error as error:
        raise BadAnswer(f"{where} sent a compressed body that does not unpack: {error}") from None
    if last and data and not inflater.eof:
        raise BadAnswer(f"{where} sent a compressed body that ends too early")
    return plain
