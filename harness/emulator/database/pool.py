"""Connections of one process to one database: as many as oslo.db would have, and a bounded wait for the next.

Differs from SQLAlchemy's QueuePool in two ways on purpose, because each new connection costs the server a process, a
password check and the preparation of every statement: a caller first waits a moment for a connection in use before it
opens one of the overflow, and those linger for a while instead of being closed at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from harness.emulator.database.connections import Connection
from harness.emulator.database.errors import DBConnectionError, DBError, DBTimeout
from harness.emulator.settings import DatabaseSettings

OVERFLOW_LINGER_S = 5.0
Connect = Callable[[], Awaitable[Connection]]


class Pool:
    """LIFO of idle connections; at most `max_pool_size + max_overflow` in all; waiters are served in order."""

    def __init__(self, settings: DatabaseSettings, connect: Connect, *, scale: float) -> None:
        self._connect = connect
        self._kept = settings.max_pool_size
        self.size_max = settings.max_pool_size + settings.max_overflow
        self._timeout_s = settings.pool_timeout_s * scale
        self._overflow_after_s = settings.overflow_after_s
        self._ping_after_s = settings.pre_ping_after_idle_s
        self._attempts = settings.connect_attempts
        self._interval_s = settings.connect_interval_s * scale
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._had_one = False
        self._closed = False
        self.size = 0

    @property
    def used(self) -> int:
        """Connections that somebody holds now."""
        return self.size - len(self._idle)

    @property
    def queued(self) -> int:
        """Callers that wait for a connection."""
        return len(self._waiting)

    def take_now(self) -> Connection | None:
        """A connection that was in use a moment ago, without waiting and without a ping; None: call `take`."""
        if self._idle:
            connection = self._idle[-1]
            if time.monotonic() - connection.idle_since < self._ping_after_s and not connection.closed:
                return self._idle.pop()
        return None

    async def take(self) -> Connection:
        """A live connection: idle and pinged, new, or the next one given back.

        Raises: DBTimeout; DBConnectionError.
        """
        if self._closed:
            raise DBConnectionError("the pool is closed")
        while self._idle:
            connection = self._idle.pop()
            if connection.closed:
                self.size -= 1
                connection.terminate()
                continue
            if await self._answers(connection):
                return connection
        if self.size < self._kept:
            return await self._open()
        if self.size < self.size_max:
            with suppress(TimeoutError):
                return await self._next(self._overflow_after_s)
            if self.size < self.size_max:
                return await self._open()
        try:
            return await self._next(self._timeout_s)
        except TimeoutError:
            raise DBTimeout(
                f"no connection within {self._timeout_s:.3g} s; all {self.size_max} of this process are in use"
            ) from None

    async def _next(self, within_s: float) -> Connection:
        """The next connection that is given back, or one of our own in the room of one that died.

        Raises: TimeoutError; DBConnectionError.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(within_s, _expire, waiter)
        try:
            connection_or_room = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # cancelled just as it was served
            raise
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        if connection_or_room is not None:
            return connection_or_room
        return await self._open(room_is_taken=True)

    def _pass_on(self, connection_or_room: Connection | None) -> None:
        if connection_or_room is None:
            self._free_room()
        else:
            self.give(connection_or_room)

    def give(self, connection: Connection) -> None:
        """Hand a connection back; a dead one is dropped."""
        if connection.closed or self._closed:
            self.drop(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self.size > self._kept and self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(OVERFLOW_LINGER_S, self._reap)

    def drop(self, connection: Connection) -> None:
        """End a connection that nobody can use any more; its room goes to the next waiter."""
        connection.terminate()
        self._free_room()

    async def close(self) -> None:
        """End all idle connections; those in use end when they are given back."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        idle, self._idle = self._idle, []
        self.size -= len(idle)
        await asyncio.gather(*(connection.close() for connection in idle))

    async def _answers(self, connection: Connection) -> bool:
        if time.monotonic() - connection.idle_since < self._ping_after_s:
            return True
        try:
            await connection.run("SELECT 1")
        except DBError:
            self.size -= 1
            connection.terminate()
            return False
        except BaseException:
            self.drop(connection)
            raise
        return True

    async def _open(self, *, room_is_taken: bool = False) -> Connection:
        if not room_is_taken:
            self.size += 1
        attempts = 1 if self._had_one else self._attempts
        try:
            while True:
                attempts -= 1
                try:
                    connection = await self._connect()
                except DBConnectionError:
                    if attempts <= 0:
                        raise
                    await asyncio.sleep(self._interval_s)
                else:
                    self._had_one = True
                    return connection
        except BaseException:
            self._free_room()
            raise

    def _free_room(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the room stays counted: the waiter opens a connection of its own
                return
        self.size -= 1

    def _reap(self) -> None:
        """Close overflow connections that have been idle for the linger time, oldest first."""
        self._reaper = None
        oldest = time.monotonic() - OVERFLOW_LINGER_S
        while self._idle and self.size > self._kept and self._idle[0].idle_since <= oldest:
            self.size -= 1
            self._idle.pop(0).terminate()
        if self.size > self._kept:
            self._reaper = asyncio.get_running_loop().call_later(OVERFLOW_LINGER_S, self._reap)


def _expire(waiter: "asyncio.Future[Connection | None]") -> None:
    # Not by asyncio.timeout: it could cancel a waiter that was served in the same turn, and lose the connection.
    if not waiter.done():
        waiter.set_exception(TimeoutError())
