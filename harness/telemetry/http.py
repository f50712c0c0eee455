"""A GET of a JSON document inside an event loop, for sources; the deadline is the caller's."""

import asyncio
import base64
from typing import Any
from urllib.parse import urlsplit

import orjson


async def get_json(url: str, *, user: str = "", password: str = "", headers: dict[str, str] | None = None) -> Any:
    """The document at an http URL.  Raises OSError when it cannot be had, ValueError when it is not JSON or not 200."""
    parts = urlsplit(url)
    lines = {"Host": parts.netloc, "Connection": "close", "Accept": "application/json", **(headers or {})}
    if user:
        lines["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET {target} HTTP/1.0\r\n{head}\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    header, _, body = answer.partition(b"\r\n\r\n")
    status = header.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise ValueError(f"GET {url}: wanted 200; got {header.splitlines()[:1]}")
    return orjson.loads(body)
