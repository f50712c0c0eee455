"""Requests as bytes on a socket, and what a cloud has to say to them."""

from __future__ import annotations

import json
import socket
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.emulator.cloud import EmbeddedCloud

WITHIN_S = 20.0
COLLECTIONS = {
    "keystone": "/v3/users",
    "glance": "/v2/images",
    "placement": "/resource_providers",
    "nova": "/v2.1/servers",
    "neutron": "/v2.0/networks",
}
SERVICES = tuple(COLLECTIONS)


@dataclass(frozen=True)
class Reply:
    """The first answer that is not 100; status 0 when there was none. `rest`: what came after it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    rest: bytes = b""
    is_closed: bool = False
    continued: bool = False


@dataclass
class Wire:
    """One cloud, spoken to in bytes, with an admin's token."""

    cloud: EmbeddedCloud
    token: str

    @classmethod
    def to(cls, cloud: EmbeddedCloud) -> Wire:
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": cloud.settings.admin_password}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        request = urllib.request.Request(
            f"{cloud.settings.auth_url}/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            return cls(cloud, answer.headers["X-Subject-Token"])

    def tracebacks(self) -> list[str]:
        """The logs of this cloud that hold one."""
        logs = Path(self.cloud.state / "logs").glob("*.log")
        return [log.name for log in logs if b"Traceback (most recent call last)" in log.read_bytes()]

    def connect(self, service: str) -> socket.socket:
        return socket.create_connection((self.cloud.settings.host, self.cloud.settings.ports[service]), WITHIN_S)

    def get(self, service: str, target: str, *lines: str | bytes, method: str = "GET", version: str = "1.1") -> Reply:
        """A request without a body. Args: lines: header lines to add."""
        return self.send(service, self.head(method, target, *lines, version=version) + b"\r\n")

    def post(
        self, service: str, body: bytes, *lines: str | bytes, kind: str = "application/json", target: str = ""
    ) -> Reply:
        head = self.head("POST", target or COLLECTIONS[service], f"Content-Length: {len(body)}", *lines)
        if kind:
            head += f"Content-Type: {kind}\r\n".encode()
        return self.send(service, head + b"\r\n" + body)

    def head(self, method: str, target: str, *lines: str | bytes, version: str = "1.1") -> bytes:
        """The head of a request, without the empty line at its end."""
        first = f"{method} {target} HTTP/{version}\r\nHost: 127.0.0.1\r\nX-Auth-Token: {self.token}\r\n"
        given = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
        return first.encode("latin-1") + b"".join(line + b"\r\n" for line in given)

    def send(self, service: str, data: bytes, *, is_head: bool = False) -> Reply:
        """Send, and read one answer, or until the other side hangs up."""
        with self.connect(service) as connection:
            try:
                connection.sendall(data)
            except ConnectionError:
                pass  # hung up on us: the answer may be there
            return read(connection, is_head=is_head or data.startswith(b"HEAD "))


def read(connection: socket.socket, *, is_head: bool = False) -> Reply:
    """One answer. Raises: TimeoutError."""
    got, continued = b"", False
    while True:
        if got.startswith(b"HTTP/1.1 100 ") and b"\r\n\r\n" in got:
            got, continued = got.partition(b"\r\n\r\n")[2], True
        head, found, rest = got.partition(b"\r\n\r\n")
        if found:
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            length = 0 if is_head else int(headers.get("content-length", 0))
            if len(rest) >= length:
                closes = headers.get("connection") == "close"
                return Reply(int(first.split()[1]), headers, rest[:length], rest[length:], closes, continued)
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            return Reply(0, is_closed=True, continued=continued)
        got += data


def shape(service: str, reply: Reply) -> Any:
    """The message in an error as this service puts it. Raises: AssertionError when it is in another form."""
    if service == "glance":
        text = reply.body.decode()
        assert text.startswith(f"{reply.status} "), text
        assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
        return text.split("\n\n", 1)[1].strip()
    document = json.loads(reply.body)
    match service:
        case "keystone":
            assert document["error"]["code"] == reply.status
            return document["error"]["message"]
        case "placement":
            assert document["errors"][0]["status"] == reply.status
            return document["errors"][0]["detail"]
        case "nova":
            (fault,) = document.values()
            assert fault["code"] == reply.status
            return fault["message"]
        case _:
            assert set(document["NeutronError"]) == {"type", "message", "detail"}
            return document["NeutronError"]["message"]
