"""The supervisor's control socket: JSON lines on loopback, a token first, served from the supervisor's one selector."""

import contextlib
import hmac
import json
import selectors
import socket
from collections.abc import Callable
from typing import Any

LINE_MAX = 65_536
PEERS_MAX = 32

OnRequest = Callable[["Peer", dict[str, Any]], None]


class Peer:
    """One connection. Nothing but a closed connection is the answer to a wrong token."""

    def __init__(self, connection: socket.socket, port: "ControlPort") -> None:
        self._connection = connection
        self._port = port
        self._buffer = b""
        self._known = False
        self._closed = False

    def answer(self, message: dict[str, Any]) -> None:
        """Send one line; a peer that is gone or does not read is dropped."""
        if self._closed:
            return
        try:
            self._connection.settimeout(1.0)
            self._connection.sendall(json.dumps(message).encode() + b"\n")
            self._connection.setblocking(False)
        except OSError:
            self.close()

    def readable(self) -> None:
        try:
            data = self._connection.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        if not data or len(self._buffer) > LINE_MAX:
            self.close()
            return
        while not self._closed and b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.close()
        elif self._known:
            self._port.on_request(self, message)
        elif hmac.compare_digest(str(message.get("token", "")).encode(), self._port.token.encode()):
            self._known = True
        else:
            self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._port.forget(self, self._connection)


class ControlPort:
    """The listener. `on_request` is called for each line of a peer that has shown the token."""

    def __init__(self, selector: selectors.BaseSelector, token: str, on_request: OnRequest) -> None:
        if not token:
            raise ValueError("the control port needs a token")
        self.token = token
        self.on_request = on_request
        self._selector = selector
        self._peers: set[Peer] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= PEERS_MAX:
            connection.close()
            return
        connection.setblocking(False)
        peer = Peer(connection, self)
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer.readable)

    def forget(self, peer: Peer, connection: socket.socket) -> None:
        self._peers.discard(peer)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        connection.close()

    def close(self) -> None:
        for peer in list(self._peers):
            peer.close()
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._listener)
        self._listener.close()
