"""Probes: whether a database or broker answers, and how fast. Each is one fresh connection with a deadline.

The greeting probes need no account: MySQL and MariaDB greet on connect; PostgreSQL answers an SSLRequest; an AMQP 0-9-1
broker answers the protocol header with Connection.Start. All of them are answered by the server process itself, not by
the kernel, so a stopped server fails them although it still accepts connections.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from enum import Enum

import msgspec

from faults.errors import TargetUnfit
from faults.targets import ProbeMeans, split_address

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # PostgreSQL frontend protocol: length, SSLRequest code
TCP_PROVES_NOTHING = (  # for faults whose target goes on listening
    "wanted protocol postgresql, mysql or amqp; got tcp, which the kernel answers whatever the server does"
)
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"


class Ending(Enum):
    """How a probe ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  # refused, reset, or closed without an answer
    TIMEOUT = "timeout"
    ERROR = "error"  # answered, but not with what a healthy server says


class Probed(msgspec.Struct, frozen=True):
    """One probe's result; `took_ns` until the ending, whichever it was."""

    ending: Ending
    took_ns: int
    detail: str = ""

    @property
    def is_healthy(self) -> bool:
        return self.ending is Ending.ANSWERED


def probe(means: ProbeMeans, timeout_s: float, address: str = "") -> Probed:
    """Ask once.

    Args:    timeout_s: for the whole of it. address: asked instead of the means' own (a link's listener).
    """
    host, port = split_address(address or means.address) or ("", 0)
    started = time.monotonic_ns()
    try:
        if means.user and means.protocol in ("postgresql", "mysql"):
            detail = asyncio.run(_login(means, host, port, timeout_s))
        else:
            detail = _greet(means.protocol, host, port, timeout_s)
        ending = Ending.ANSWERED if detail == "" else Ending.ERROR
    except TimeoutError:
        ending, detail = Ending.TIMEOUT, f"no answer within {timeout_s:g} s"
    except (ConnectionError, EOFError) as error:
        ending, detail = Ending.REFUSED, str(error) or type(error).__name__
    except (OSError, TargetUnfit) as error:
        ending, detail = Ending.ERROR, str(error)
    return Probed(ending, time.monotonic_ns() - started, detail)


def _greet(protocol: str, host: str, port: int, timeout_s: float) -> str:
    """ "" when the greeting is as it should be, else what came."""
    deadline = time.monotonic() + timeout_s
    with socket.create_connection((host, port), timeout=timeout_s) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if protocol == "tcp":
            return ""
        if protocol == "postgresql":
            sock.sendall(_SSL_REQUEST)
            answer = _receive(sock, 1, deadline)
            return "" if answer in (b"N", b"S") else f"answered {answer!r} to an SSLRequest"
        if protocol == "mysql":
            head = _receive(sock, 5, deadline)  # 3 bytes length, sequence, protocol version or 0xff
            return "" if head[4] == 10 else f"greeted with {head!r}"
        sock.sendall(_AMQP_HEADER)
        head = _receive(sock, 11, deadline)  # frame header (7), class 10, method 10 = Connection.Start
        return "" if head[0] == 1 and head[7:11] == b"\x00\x0a\x00\x0a" else f"answered {head!r}"


def _receive(sock: socket.socket, count: int, deadline: float) -> bytes:
    data = b""
    while len(data) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError("closed without an answer")
        data += more
    return data


async def _login(means: ProbeMeans, host: str, port: int, timeout_s: float) -> str:
    password = means.password.read() if means.password is not None else ""
    async with asyncio.timeout(timeout_s):
        if means.protocol == "postgresql":
            return await _login_postgresql(means, host, port, password, timeout_s)
        return await _login_mysql(means, host, port, password, timeout_s)


async def _login_postgresql(means: ProbeMeans, host: str, port: int, password: str, timeout_s: float) -> str:
    import asyncpg

    try:
        connection = await asyncpg.connect(
            host=host,
            port=port,
            user=means.user,
            password=password,
            database=means.database or "postgres",
            timeout=timeout_s,
            ssl=False,
        )
    except asyncpg.CannotConnectNowError as error:
        raise ConnectionRefusedError(str(error)) from error  # starting up, shutting down, in recovery
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"{type(error).__name__}: {error}"
    try:
        return "" if await connection.fetchval("SELECT 1") == 1 else "SELECT 1 answered something else"
    finally:
        connection.terminate()


async def _login_mysql(means: ProbeMeans, host: str, port: int, password: str, timeout_s: float) -> str:
    import asyncmy

    try:
        connection = await asyncmy.connect(
            host=host,
            port=port,
            user=means.user,
            password=password,
            database=means.database or None,
            connect_timeout=max(1, round(timeout_s)),
        )
    except asyncmy.errors.OperationalError as error:
        if error.args and error.args[0] in (2003, 2013, 2006):
            raise ConnectionRefusedError(str(error)) from error
        return f"OperationalError: {error}"
    except asyncmy.errors.MySQLError as error:
        return f"{type(error).__name__}: {error}"
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT 1")
            row = await cursor.fetchone()
        return "" if row == (1,) else "SELECT 1 answered something else"
    finally:
        connection.close()
