"""The client between services, against servers that behave badly."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from harness.emulator.http import HTTPClient, HTTPConnectionError, HTTPTimeout

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def _request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def _against(serve: Serve, body: Callable[[HTTPClient, str], Awaitable[None]]) -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = HTTPClient()
        try:
            async with asyncio.timeout(10):
                await body(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
        finally:
            await client.close()
            server.close()

    asyncio.run(scenario())


def test_connections_are_kept_and_a_stale_one_is_replaced_for_reads_only() -> None:
    served: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(0)
        for _ in range(2):
            await _request(reader)
            served[-1] += 1
            writer.write(OK)
        await _request(reader)  # the third request on a connection is answered by closing it
        writer.close()

    async def body(client: HTTPClient, url: str) -> None:
        for _ in range(3):
            assert (await client.request("GET", url)).body == b"ok"
        assert served == [2, 1]
        await client.request("GET", url)
        with pytest.raises(HTTPConnectionError, match="without an answer"):
            await client.request("POST", url, json={})

    _against(serve, body)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
    ],
)
def test_answers_of_every_framing_are_gathered_whole(answer: bytes, expected: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()

    async def body(client: HTTPClient, url: str) -> None:
        assert (await client.request("GET", url)).body == expected

    _against(serve, body)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b"\x00\x01 nonsense\r\n\r\n"]
)
def test_half_an_answer_is_an_error(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(answer)
        writer.close()

    async def body(client: HTTPClient, url: str) -> None:
        with pytest.raises(HTTPConnectionError):
            await client.request("GET", url)

    _against(serve, body)


def test_a_deadline_ends_the_wait_and_the_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        assert await reader.read() == b""
        closed.set()

    async def body(client: HTTPClient, url: str) -> None:
        with pytest.raises(HTTPTimeout, match=r"no answer within 0\.05 s"):
            await client.request("GET", url, timeout_s=0.05)
        await closed.wait()

    _against(serve, body)
