"""The control listener: a small HTTP/1.1 server over httptools, so that the proxy imports no web framework."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

import httptools

from faults.proxy.api import Api

MAX_BODY = 1 << 20


class ControlProtocol(asyncio.Protocol):
    """One keep-alive connection; pipelined requests are answered in order."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._queue: asyncio.Queue[tuple[str, str, str, bytes, bool]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._url = b""
        self._authorization = ""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        self._worker = asyncio.get_running_loop().create_task(self._answer())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._worker is not None:
            self._worker.cancel()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    # -- called by the parser ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._authorization = ""
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY and self._transport is not None:
            self._transport.abort()

    def on_message_complete(self) -> None:
        self._queue.put_nowait(
            (
                self._parser.get_method().decode("latin-1"),
                self._url.decode("latin-1"),
                self._authorization,
                bytes(self._body),
                self._parser.should_keep_alive(),
            )
        )

    # ----------------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        assert self._transport is not None
        while True:
            method, url, authorization, body, keep_alive = await self._queue.get()
            status, answer = await self._api.handle(method, url, authorization, body)
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            if answer:
                head += "Content-Type: application/json\r\n"
            if status == HTTPStatus.UNAUTHORIZED:
                head += 'WWW-Authenticate: Bearer realm="squall"\r\n'
            if status != HTTPStatus.NO_CONTENT:
                head += f"Content-Length: {len(answer)}\r\n"
            if not keep_alive:
                head += "Connection: close\r\n"
            self._transport.write(head.encode() + b"\r\n" + answer)
            if not keep_alive:
                self._transport.close()
                return
