"""Real TCP servers for the proxy's tests, on threads, on port 0."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[socket.socket], None]


@contextmanager
def upstream(handle: Handler) -> Iterator[int]:
    """A server that calls `handle` with each connection, in a thread of its own. Yields its port."""

    class Each(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                handle(self.request)
            except OSError:
                pass  # what a test does to a connection is what it tests

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Each) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def echo(sock: socket.socket) -> None:
    """Send back what comes, then the end."""
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def connect(address: tuple[str, int], timeout_s: float = 10.0) -> socket.socket:
    sock = socket.create_connection(address, timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive(sock: socket.socket, count: int | None = None) -> bytes:
    """Exactly `count` bytes, or everything up to the end."""
    data = bytearray()
    while count is None or len(data) < count:
        more = sock.recv(65536 if count is None else count - len(data))
        if not more:
            break
        data += more
    return bytes(data)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
