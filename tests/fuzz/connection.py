"""One request on a connection of its own, byte for byte, and the statuses that come back."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import httptools

READ_MAX = 65_536


@dataclass
class Answer:
    """`statuses` of all answers on the connection but 100; `document` of the last, where it is JSON."""

    statuses: list[int] = field(default_factory=list)
    document: Any = None
    is_whole: bool = False


class _Reader:
    """Callbacks of the parser."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body = b""

    def on_message_begin(self) -> None:
        self.body = b""
        self.answer.is_whole = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.answer.is_whole = True


async def send(host: str, port: int, parts: tuple[bytes | float, ...], within_s: float, *, is_silent: bool) -> Answer:
    """Send the parts; read until an answer is whole, or the other side hangs up.

    Args: is_silent: no answer may be due: what comes within a second is taken, then the connection is dropped.
    Raises: TimeoutError; OSError when no connection is made.
    """
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(host, port)
    try:
        return await _exchange(reader, writer, parts, within_s, is_silent)
    finally:
        writer.transport.abort()


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    parts: tuple[bytes | float, ...],
    within_s: float,
    is_silent: bool,
) -> Answer:
    state = _Reader()
    parser = httptools.HttpResponseParser(state)
    with contextlib.suppress(ConnectionError):  # hung up on us while we were sending: the answer may be there
        async with asyncio.timeout(within_s):
            for part in parts:
                if isinstance(part, float):
                    await asyncio.sleep(part)
                else:
                    writer.write(part)
                    await writer.drain()
    is_head = b"".join(part for part in parts if isinstance(part, bytes)).startswith(b"HEAD ")
    try:
        async with asyncio.timeout(1.0 if is_silent else within_s):
            while not (state.answer.is_whole and state.answer.statuses):
                data = await reader.read(READ_MAX)
                if not data:
                    break
                with contextlib.suppress(httptools.HttpParserError):
                    parser.feed_data(data)
                status = parser.get_status_code()
                if status >= 200 and not state.answer.statuses:
                    state.answer.statuses.append(status)
                if is_head and state.answer.statuses:
                    break
    except TimeoutError:
        if not is_silent:
            raise
    except ConnectionError:
        pass
    with contextlib.suppress(ValueError):
        state.answer.document = json.loads(state.body)
    return state.answer
