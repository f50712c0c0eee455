"""What stands in front of a service: the limits and deadlines of a connection, and requests that are none.

uvicorn's protocol has none of these; the services leave them to their front end (Apache's httpd, nginx, HAProxy). Where
those differ the answer here is the one that two of the three give:

    target above 8190 bytes                           414   Apache, nginx (HAProxy: 400)
    a header above 8190 bytes, more than 100 headers  400   all three (431, of RFC 6585, none of them)
    no Host, or two of them                           400   Apache, nginx
    Content-Length twice, or with Transfer-Encoding   400   RFC 9112 6.3: a request that others may cut elsewhere
    a head that takes too long                        408   Apache, HAProxy; one that never begins: closed, no word
    a method that no RFC has                          501   RFC 9110 9.1 (Apache and nginx leave it to what is behind)
    HTTP/2 without asking first, HTTP/0.9             505, 400
    `//`, `/./` and `/../` in a path                  made plain, as Apache and nginx do

Nothing of the request is repeated in a refusal.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import httptools
from falcon.constants import COMBINED_METHODS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TARGET_MAX = 8190  # Apache's LimitRequestLine
HEADER_MAX = 8190  # Apache's LimitRequestFieldSize
HEADERS_MAX = 100  # Apache's LimitRequestFields
HEAD_MAX = 65_536  # all of a head that goes on and on
SEND_WITHIN_S = 60.0  # nginx's send_timeout: between two moments at which the client took some of an answer
LINGER_S = 2.0  # how long a refused client may go on talking: a reset would take the refusal from it
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [^ \r\n]+ HTTP/1\.[01]\r?\n")
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class WholeAnswers:
    """A transport that sends the head of an answer along with the first part of its body.

    uvicorn writes them one after the other: two system calls and two packets for each answer, and two wake-ups of
    whoever reads it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)  # where the body is not there yet
            return
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _flush(self) -> None:
        data, self._head = self._head, b""
        if data and not self._transport.is_closing():
            self._transport.write(data)


class FrontEnd(HttpToolsProtocol):  # type: ignore[misc]
    """One connection of a client.

    Args: head_within_s: from the connection, or the first byte of a later request, to the end of the request's head.
    """

    def __init__(self, *, head_within_s: float, **uvicorn_options: Any) -> None:
        super().__init__(**uvicorn_options)
        self.url = b""
        self._head_within_s = head_within_s
        self._in_head = False
        self._head_began = False  # in the data that is being read
        self._head_size = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._send_deadline: asyncio.TimerHandle | None = None
        self._refusal = 400
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(WholeAnswers(transport))
        self._head_deadline = self.loop.call_later(self._head_within_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        for timer in (self._head_deadline, self._send_deadline):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._is_refused:
            return
        self._head_began = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(501 if _REQUEST_LINE.match(data) else 400)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        except httptools.HttpParserUpgrade:
            pass  # answered as if nobody had asked, and nothing after it is understood
        else:
            self._watch(len(data))

    def _watch(self, size: int) -> None:
        """Bound a head that is not complete, in bytes and in time."""
        if self._in_head:
            self._head_size += 0 if self._head_began else size  # of the first data, some was another request's
            if self._head_size > HEAD_MAX or len(self.url) > TARGET_MAX:
                self._refuse(414 if len(self.url) > TARGET_MAX else 400)
                return
        is_idle = self.cycle is None or self.cycle.response_complete  # blank lines, a body nobody wants
        if self._head_deadline is None and (self._in_head or is_idle):
            self._head_deadline = self.loop.call_later(self._head_within_s, self._head_is_late)

    # The parser's callbacks. What they raise makes `feed_data` fail.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._head_began = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
        status = self._why_not()
        if status:
            self._refusal = status
            raise ValueError(status)
        if not self.url.startswith(b"/"):
            self.url = _origin_form(self.url)
        super().on_headers_complete()
        path: str = self.scope["path"]
        if "//" in path or "/." in path:
            self.scope["path"] = plain_path(path)

    def _why_not(self) -> int:
        """The status with which a head is refused; 0 for none."""
        if self.parser.get_method().decode() not in COMBINED_METHODS:
            return 501
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            return 400 if version.startswith("0") else 505
        if len(self.url) > TARGET_MAX:
            return 414
        if len(self.headers) > HEADERS_MAX:
            return 400
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            if len(value) > HEADER_MAX:
                return 400
        if hosts > 1 or (not hosts and version == "1.1"):
            return 400
        return 0

    # Deadlines.

    def _head_is_late(self) -> None:
        self._head_deadline = None
        if self._in_head:
            self._refuse(408)
        elif not self.transport.is_closing():
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for somebody who does not read
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_progress()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_deadline is not None:
            self._send_deadline.cancel()
            self._send_deadline = None

    def _expect_progress(self, before: int = -1) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting == before:
            self.transport.abort()
        else:
            self._send_deadline = self.loop.call_later(SEND_WITHIN_S, self._expect_progress, waiting)

    def _refuse(self, status: int) -> None:
        """Answer and hang up, unless an answer is under way: then that is the last one."""
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            return
        transport = self.transport
        if transport.is_closing():
            return
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            transport.write(_refusal(status))
        if cycle is not None and not cycle.response_complete:  # its body will never be whole
            cycle.disconnected = True
            cycle.message_event.set()
        transport.write_eof()
        self.loop.call_later(LINGER_S, transport.close)


def plain_path(path: str) -> str:
    """Without empty and dot segments (RFC 3986 5.2.4); a slash at the end stays."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and segments[-1] in ("", ".", "..") else ""
    return "/" + "/".join(kept) + end


def _origin_form(target: bytes) -> bytes:
    """`http://host/path` is `/path` here, whoever that host may be."""
    found = _AUTHORITY.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _refusal(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase.encode()
    head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\n" % (status, phrase)
    return head + b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(phrase), phrase)
