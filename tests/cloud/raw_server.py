"""A TCP server that answers with exactly the bytes, pauses and closes that a test writes down."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[["Peer"], None]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock, self.number = sock, number
        self._rest = b""

    def read_request(self) -> bytes:
        """The next request: head, and body as Content-Length or chunks say; b'' when the client is gone."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            while not body.endswith(b"0\r\n\r\n"):
                body += self.sock.recv(65536)
        elif b"content-length:" in lowered:
            length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += self.sock.recv(65536)
            body, self._rest = body[:length], body[length:]
        return head + b"\r\n\r\n" + body

    def read_head(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.sock.recv(65536)
        return data

    def say(self, *pieces: bytes, gap_s: float = 0.0) -> None:
        """Send pieces, each in a segment of its own, with a pause between them."""
        for piece in pieces:
            self.sock.sendall(piece)
            if gap_s:
                time.sleep(gap_s)  # the slow byte under test, not a wait for something

    def answer(self, body: bytes = b"{}", status: bytes = b"200 OK", extra: bytes = b"") -> None:
        self.say(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), extra, body))

    def close(self) -> None:
        self.sock.close()


@contextmanager
def raw_server(script: Script, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> Iterator[str]:
    """Serves `script` to each connection in a thread; yields the base URL."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = socket.create_server((host, 0), family=socket.AddressFamily(family))
    peers: list[socket.socket] = []

    def serve(sock: socket.socket, number: int) -> None:
        try:
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True)
            peers.append(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script(Peer(sock, number))
        except OSError:
            pass
        finally:
            sock.close()

    def accept() -> None:
        number = 0
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=serve, args=(sock, number), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else ("localhost" if tls is not None else host)
    try:
        yield f"{'https' if tls is not None else 'http'}://{shown}:{port}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in peers:
            sock.close()
