"""Serving ASGI applications on uvicorn's httptools protocol, several in one process, each on its own socket."""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

KEEP_ALIVE_S = 75
BACKLOG = 2048


class _WholeAnswers:
    """A transport that sends the head of an answer along with the first part of its body.

    uvicorn writes them one after the other: two system calls and two packets for each answer, and two wake-ups of
    whoever reads it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self.get_extra_info = transport.get_extra_info
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
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)


class _Protocol(HttpToolsProtocol):  # type: ignore[misc]
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(_WholeAnswers(transport))


class HttpServer:
    """One application on one address. Answers under way are finished before `close` returns, within its deadline."""

    def __init__(self, app: Any) -> None:
        self._config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, *, shared: bool = False) -> int:
        """Bind and accept. Returns the port (that of `port=0`).

        Args: shared: other processes of ours listen there too, and the kernel deals connections out to all.
        Raises: OSError naming the address.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Protocol(config=self._config, server_state=self._state, app_state={}),
                host,
                port,
                backlog=BACKLOG,
                reuse_address=True,
                reuse_port=shared,
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            )
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, within_s: float = 1.0) -> None:
        """Stop accepting, let requests finish for a while, then cut the rest."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=within_s)
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        self._server = None
