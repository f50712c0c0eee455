"""Bodies of requests: read within a size and a time, and what in them no service here can keep."""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import unquote_to_bytes

import falcon.asgi

from harness.emulator.http.errors import ApiError
from harness.emulator.http.slots import BUFFERED_BODY_MAX, ClientGone, Receive

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_EMPTY = {"type": "http.request", "body": b"", "more_body": True}  # Falcon wants a first part outside of any handler
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


async def awaited(scope: Any, receive: Receive, body_max: int, within_s: float) -> Receive:
    """Take in a small body before the request takes a slot, as nginx does: a slow client then holds none.

    Returns the `receive` to go on with, on which a client too slow shows as an ApiError 408.
    Raises: ClientGone: the client hung up before the body was whole.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value == b"0":
            return receive
        if name in _FRAMING:
            is_small = name == b"transfer-encoding" or int(value) <= min(body_max, BUFFERED_BODY_MAX)
            if is_small and scope["method"] in _WITH_BODY:
                return await _read_ahead(receive, within_s)
            return _unread(receive, within_s)
    return receive


def _unread(receive: Receive, within_s: float) -> Receive:
    """A body that is read late or never: its first part is empty, and there at once.

    Falcon waits for a first part before anything else, without a deadline; and asking for it sends `100 Continue`,
    which a body that is too large must not be told. Each later part has a deadline; a body cut short is an error.
    """
    is_first, is_whole = True, False

    async def parts() -> Any:
        nonlocal is_first, is_whole
        if is_first:
            is_first = False
            return _EMPTY
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout(within_s):
                message = await receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            raise _cut_short()
        is_whole = not message["more_body"]
        return message

    return parts


async def _read_ahead(receive: Receive, within_s: float) -> Receive:
    early: deque[Any] = deque()
    size, is_late, is_whole = 0, False, False
    try:
        async with asyncio.timeout(within_s):
            while not is_whole and size <= BUFFERED_BODY_MAX:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                size += len(message["body"])
                is_whole = not message["more_body"]
                early.append(message)
    except TimeoutError:
        is_late = True
        if not early:
            early.append(_EMPTY)

    async def replay() -> Any:
        if early:
            return early.popleft()
        if is_late:
            raise _too_slow()
        return await receive()

    return replay


async def read(req: falcon.asgi.Request, body_max: int, within_s: float) -> bytes:
    """A whole body. Raises: ApiError 413, 408 (a client too slow), 400 (it hung up in the middle)."""
    length = req.content_length
    if length == 0:
        return b""
    try:
        async with asyncio.timeout(within_s):
            if length is not None:
                body = bytes(await req.stream.read())
                if len(body) < length:
                    raise _cut_short()
                return body
            parts: list[bytes] = []
            size = 0
            async for part in req.stream:
                size += len(part)
                if size > body_max:
                    raise too_large()
                parts.append(part)
            return b"".join(parts)
    except TimeoutError:
        raise _too_slow() from None


def too_large() -> ApiError:
    """As oslo.middleware says it, in front of every service alike. The rest of the body is not read."""
    text = b"413 Request Entity Too Large\n\nRequest is too large. Larger than max_request_body_size (%s).\n\n   "
    return ApiError(413, body=text, content_type="text/plain; charset=UTF-8", headers={"Connection": "close"})


def _too_slow() -> ApiError:
    return ApiError(408, "The request body did not arrive in time.", headers={"Connection": "close"})


def _cut_short() -> ApiError:
    return ApiError(400, "The request body is not whole.", headers={"Connection": "close"})


def is_utf8(query: bytes) -> bool:
    """Whether a query, with its escapes resolved, is UTF-8."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


def holds_nul(document: Any) -> bool:
    """Whether any text of a JSON document does. PostgreSQL keeps none (MariaDB does)."""
    left = [document]  # no recursion: orjson lets a thousand levels through
    while left:
        value = left.pop()
        if isinstance(value, str):
            if "\0" in value:
                return True
        elif isinstance(value, dict):
            left += value
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False
