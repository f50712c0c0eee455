"""HTTP management of the embedded broker: RabbitMQ's paths and JSON shapes, as far as gauges and faults use them.

Checked against RabbitMQ 3.10.8's management API on 2026-11-30. Basic authentication on every path. RabbitMQ has no path
for its alarms, only `rabbitmqctl set_vm_memory_high_watermark` and `set_disk_free_limit`; here they are

    GET    /api/squall/alarms              which are on, and which of them are held on
    PUT    /api/squall/alarms/RESOURCE     hold one on: memory or disk
    DELETE /api/squall/alarms/RESOURCE     let it go: memory follows the bytes again, disk is off
    GET    /api/squall/memory              bytes held by messages, and the watermark
    PUT    /api/squall/memory              {"watermark": BYTES}
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from harness.emulator.broker import views
from harness.emulator.broker.found import NotFound, Refusal

if TYPE_CHECKING:
    from harness.emulator.broker.server import Broker

HEAD_MAX = 16 * 1024
BODY_MAX = 64 * 1024
IDLE_S = 30.0


class Management:
    """The HTTP listener."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen. Returns the port. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_MAX)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and drop open connections."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)
            }
            parts = line.split(" ")
            length = headers.get("content-length", "0")
            if len(parts) != 3 or not length.isdigit() or int(length) > BODY_MAX or "transfer-encoding" in headers:
                self._answer(writer, 400, {"error": "bad_request", "reason": "malformed request"}, keep=False)
                return False
            body = await reader.readexactly(int(length))
        keep = headers.get("connection", "").lower() != "close" and parts[2] == "HTTP/1.1"
        status, answer = self._dispatch(parts[0], parts[1], headers, body)
        self._answer(writer, status, answer, keep=keep)
        await asyncio.wait_for(writer.drain(), IDLE_S)
        return keep

    def _dispatch(self, verb: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if not self._authorised(headers.get("authorization", "")):
            return 401, {"error": "not_authorised", "reason": "Login failed"}
        path = tuple(unquote(part) for part in target.partition("?")[0].strip("/").split("/"))
        if path[:1] != ("api",):
            return 404, {"error": "Object Not Found", "reason": "Not Found"}
        try:
            document = orjson.loads(body) if body else {}
            return views.answer(self._broker, verb, path[1:], document)
        except Refusal as refusal:
            return refusal.status, {"error": refusal.error, "reason": refusal.reason}
        except NotFound:
            return 404, {"error": "Object Not Found", "reason": "Not Found"}
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            return 400, {"error": "bad_request", "reason": f"{type(error).__name__}: {error}"}

    def _authorised(self, value: str) -> bool:
        scheme, _, encoded = value.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        user = self._broker.users.get(name)
        return user is not None and "administrator" in user.tags and user.accepts(password)

    @staticmethod
    def _answer(writer: asyncio.StreamWriter, status: int, document: object, *, keep: bool) -> None:
        body = b"" if document is None else orjson.dumps(document)
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"connection: {'keep-alive' if keep else 'close'}",
        ]
        if status == 401:
            lines.append('www-authenticate: Basic realm="Squall embedded broker"')
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
