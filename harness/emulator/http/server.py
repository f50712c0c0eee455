"""Serving ASGI applications on uvicorn's httptools protocol, several in one process, each on its own socket."""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from harness.emulator.http.front_end import FrontEnd

KEEP_ALIVE_S = 75
BACKLOG = 2048
HEAD_WITHIN_S = 60.0  # nginx's client_header_timeout; Apache's mod_reqtimeout gives 20 to 40 s


class HttpServer:
    """One application on one address. Answers under way are finished before `close` returns, within its deadline.

    Args: head_within_s: how long a client may take to say what it wants.
    """

    def __init__(self, app: Any, *, head_within_s: float = HEAD_WITHIN_S) -> None:
        self._head_within_s = head_within_s
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
                lambda: FrontEnd(
                    head_within_s=self._head_within_s, config=self._config, server_state=self._state, app_state={}
                ),
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
