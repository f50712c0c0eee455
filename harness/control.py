"""How the engine talks to its processes: JSON lines over loopback TCP, guarded by a token.

Plain sockets and threads, so that it works alike in the engine, in the nemesis, and in Locust's processes where gevent
has replaced both. The first line of a connection is `{"token": ...}`; a wrong one is answered by closing.
"""

import contextlib
import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
_LINE_LIMIT = 4 << 20
_CONNECT_S = 10.0


class Link:
    """One connection, either end. `send` may be called from any thread; `receive` from one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Raises OSError when the other end is gone."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._sock.sendall(data)

    def receive(self) -> Message | None:
        """The next message, waiting without end; None when the other end is gone or breaks the protocol."""
        try:
            line = self._file.readline(_LINE_LIMIT)
            return dict(json.loads(line)) if line.endswith(b"\n") else None
        except (OSError, ValueError, TypeError):
            return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._sock.close()


class ControlServer:
    """The engine's end.

    Args: on_message: called with (link, message) from a thread of that link. on_closed: called once when a link ends.
    """

    def __init__(self, on_message: Callable[[Link, Message], None], on_closed: Callable[[Link], None]) -> None:
        self.token = secrets.token_hex(16)
        self._on_message, self._on_closed = on_message, on_closed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._links: set[Link] = set()
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What a child process needs to connect."""
        return {"SQUALL_CONTROL": self.address, "SQUALL_TOKEN": self.token}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which would take one more client otherwise
        self._listener.close()
        for link in list(self._links):
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), name="control-link", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_CONNECT_S)
        link = Link(sock)
        greeting = link.receive() or {}
        if not hmac.compare_digest(str(greeting.get("token", "")), self.token):
            link.close()
            return
        sock.settimeout(None)
        self._links.add(link)
        while (message := link.receive()) is not None:
            self._on_message(link, message)
        self._links.discard(link)
        link.close()
        self._on_closed(link)


def connect(address: str | None = None, token: str | None = None) -> Link:
    """Connects to an engine, by default to the one that the environment names.

    Raises: OSError when nothing listens there; KeyError when neither argument nor environment names it.
    """
    host, _, port = (address or os.environ["SQUALL_CONTROL"]).rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=_CONNECT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(None)
    link = Link(sock)
    link.send({"token": token or os.environ["SQUALL_TOKEN"]})
    return link
