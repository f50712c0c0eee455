"""A link: one listener, one upstream, the connections between them and the toxics on them."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import Any, cast

from faults.proxy.config import LinkConfig, parse_address
from faults.proxy.pipe import Budget, Counter, Pipe
from faults.proxy.toxics import Stream, Toxic

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST, as a killed server's kernel does


class End(asyncio.Protocol):
    """One socket of a session: reads into `outgoing`, is written to by `incoming`."""

    __slots__ = ("incoming", "is_lost", "outgoing", "session", "transport")

    def __init__(self, session: Session, outgoing: Pipe, incoming: Pipe) -> None:
        self.session = session
        self.outgoing = outgoing
        self.incoming = incoming
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        self.outgoing.set_source(self.transport)
        self.incoming.set_destination(self.transport)
        self.session.end_is_connected(self)

    def data_received(self, data: bytes) -> None:
        self.outgoing.feed(data)

    def eof_received(self) -> bool:
        self.outgoing.end()
        return True  # half-close: the other direction goes on

    def pause_writing(self) -> None:
        self.incoming.destination_full(True)

    def resume_writing(self) -> None:
        self.incoming.destination_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.session.end_is_lost()

    def reset(self) -> None:
        """Close with RST."""
        if self.transport is not None and not self.is_lost:
            sock = self.transport.get_extra_info("socket")
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            except OSError:
                pass  # the kernel closed it already
            self.transport.abort()


class Session:
    """One client connection and its twin to the upstream."""

    __slots__ = ("client", "closed", "dial", "finishing", "link", "pipes", "server")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.closed = False
        self.finishing = False  # both directions ended; only send buffers remain
        self.dial: asyncio.Task[None] | None = None
        upstream = Pipe(link.counters["upstream"], link.budget, self._on_end, self.close)
        downstream = Pipe(link.counters["downstream"], link.budget, self._on_end, self.close)
        self.pipes: dict[Stream, Pipe] = {"upstream": upstream, "downstream": downstream}
        self.client = End(self, upstream, downstream)
        self.server = End(self, downstream, upstream)

    def end_is_connected(self, end: End) -> None:
        """A socket stands: the client's starts the dial."""
        if end is self.server:
            return
        self.link.sessions.add(self)
        self.link.accepted += 1
        self.refresh_toxics()
        self.dial = asyncio.get_running_loop().create_task(self._dial())

    def end_is_lost(self) -> None:
        """A socket is gone: a clean end was carried by the pipes, so anything else is passed on as a reset."""
        if not self.finishing:
            self.close()
        elif self.client.is_lost and self.server.is_lost:
            self.closed = True
            self.link.sessions.discard(self)

    def refresh_toxics(self) -> None:
        """Take over the link's present toxics, on a connection that may be open for long."""
        for stream, pipe in self.pipes.items():
            pipe.set_toxics(self.link.toxics_of(stream), self.link.draws)

    def close(self) -> None:
        """Reset both sockets (those that are not closing already) and drop what is held."""
        if self.closed:
            return
        self.closed = True
        self.link.sessions.discard(self)
        if self.dial is not None and self.dial is not asyncio.current_task():
            self.dial.cancel()
        for pipe in self.pipes.values():
            pipe.close()
        self.client.reset()
        self.server.reset()

    async def _dial(self) -> None:
        try:
            async with asyncio.timeout(self.link.dial_timeout_s):
                transport = await self.link.dial(self.server)
        except (OSError, TimeoutError):
            self.link.dial_failures += 1
            self.close()
            return
        if self.closed:
            transport.abort()

    def _on_end(self) -> None:
        if self.closed or self.finishing or not all(pipe.delivered_end for pipe in self.pipes.values()):
            return
        self.finishing = True
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.close()  # after what its buffer still holds


class Link:
    """A named listener towards one upstream. Counters only ever grow, except the number of open connections."""

    def __init__(self, config: LinkConfig, budget: Budget, seed: int, dial_timeout_s: float) -> None:
        self.name = config.name
        self.listen = config.listen
        self.listen_socket = config.listen_socket
        self.upstream_socket = config.upstream_socket
        self.upstream = config.upstream
        self.upstream_address = parse_address(config.upstream, "upstream")
        self.budget = budget
        self.dial_timeout_s = dial_timeout_s
        self.rng = random.Random(f"{seed}/{config.name}")
        self.sessions: set[Session] = set()
        self.toxics: dict[str, Toxic] = {}
        self.counters: dict[Stream, Counter] = {"upstream": Counter(), "downstream": Counter()}
        self.accepted = 0
        self.dial_failures = 0
        self._server: asyncio.Server | None = None
        self._local: asyncio.Server | None = None  # on the unix socket

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def start(self) -> None:
        """Listen; `listen` then shows the real port.

        Raises:  OSError when the address is taken or not ours, or the socket cannot be made; then nothing listens.
        """
        if self._server is not None:
            return
        host, port = parse_address(self.listen, "listen")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self).client, host, port, backlog=4096)
        if self.listen_socket:
            try:
                self._local = await loop.create_unix_server(
                    lambda: Session(self).client, self.listen_socket, backlog=4096
                )
            except OSError:
                await self.stop()  # both or none
                raise
        real_port = self._server.sockets[0].getsockname()[1]
        self.listen = f"[{host}]:{real_port}" if ":" in host else f"{host}:{real_port}"

    async def stop(self) -> None:
        """Stop listening and reset every connection: new ones are refused by the kernel."""
        servers = self._server, self._local
        self._server = self._local = None
        for server in servers:
            if server is not None:
                server.close()
        self.drop_sessions()
        await asyncio.sleep(0)  # let the listener's handle close before a restart on the same port

    async def dial(self, end: End) -> asyncio.Transport:
        """Connect one socket of a session to the upstream. Raises: OSError."""
        loop = asyncio.get_running_loop()
        if self.upstream_socket:
            transport, _ = await loop.create_unix_connection(lambda: end, self.upstream_socket)
        else:
            transport, _ = await loop.create_connection(lambda: end, *self.upstream_address)
        return transport

    def drop_sessions(self) -> None:
        """Reset every open connection."""
        for session in list(self.sessions):
            session.close()

    def set_upstream(self, upstream: str) -> None:
        """Lead new connections elsewhere; open ones are reset.

        Raises:  ConfigInvalid.
        """
        self.upstream_address = parse_address(upstream, "upstream")
        self.upstream = upstream
        self.upstream_socket = ""
        self.drop_sessions()

    def toxics_of(self, stream: Stream) -> list[Toxic]:
        """In the order they were added."""
        return [toxic for toxic in self.toxics.values() if toxic.stream == stream]

    def draws(self, toxic: Toxic) -> bool:
        """Whether the toxic acts on one more connection."""
        return toxic.toxicity >= 1 or self.rng.random() < toxic.toxicity

    def refresh_toxics(self) -> None:
        """Bring the present toxics to the connections that are open already."""
        for session in list(self.sessions):
            session.refresh_toxics()

    def as_dict(self) -> dict[str, Any]:
        """Toxiproxy's JSON for a proxy."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.as_dict() for toxic in self.toxics.values()],
        }

    def stats(self) -> dict[str, Any]:
        """Counters since the process started; bytes and connections."""
        return {
            "connections_open": len(self.sessions),
            "connections_accepted": self.accepted,
            "dial_failures": self.dial_failures,
            "bytes_upstream": self.counters["upstream"].bytes,
            "bytes_downstream": self.counters["downstream"].bytes,
            "toxics": len(self.toxics),
            "enabled": self.enabled,
        }
