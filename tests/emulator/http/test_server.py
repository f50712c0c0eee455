"""An answer leaves in one piece, and a head without its body is not held back."""

import asyncio
from typing import Any

from harness.emulator.http import HttpServer

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


def test_a_head_does_not_wait_for_a_body_that_comes_later() -> None:
    async def scenario() -> None:
        body_may_come = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(HEAD)
            await body_may_come.wait()
            await send({"type": "http.response.body", "body": b"late"})

        server = HttpServer(app)
        port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            body_may_come.set()
            assert await reader.readexactly(4) == b"late"
        writer.close()
        await server.close()

    asyncio.run(scenario())


def test_head_and_body_are_one_write() -> None:
    written: list[bytes] = []

    class Transport:
        def write(self, data: bytes) -> None:
            written.append(data)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    async def scenario() -> None:
        from harness.emulator.http.front_end import WholeAnswers

        answers = WholeAnswers(Transport())  # type: ignore[arg-type]
        answers.write(b"HTTP/1.1 200 OK\r\n\r\n")
        answers.write(b"body")
        answers.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        answers.close()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert written == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"HTTP/1.1 204 No Content\r\n\r\n"]
