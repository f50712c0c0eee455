"""A connection that comes back: reconnects with back-off and sets everything up again.

A process has two, as the real driver keeps senders and listeners apart: a broker in alarm stops reading from
connections that publish, and the acknowledgements of listeners must not hang behind that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost

log = logging.getLogger("squall.messaging")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Timings in seconds, already scaled. Defaults are oslo.messaging's.

    `reconnect_delay_s` (kombu_reconnect_delay) is waited after a loss, then the first try follows; further tries wait
    `retry_first_s`, growing by `retry_step_s` up to `retry_max_s`.
    """

    heartbeat_s: int = 60
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 60.0
    reconnect_delay_s: float = 1.0
    retry_first_s: float = 1.0
    retry_step_s: float = 2.0
    retry_max_s: float = 30.0


Setup = Callable[[Connection], Awaitable[None]]


class Link:
    """Args:  setup: run on each new connection before it is handed out (open channels, declare, consume)."""

    def __init__(self, address: Address, settings: LinkSettings, *, name: str, setup: Setup) -> None:
        self.settings = settings
        self.reconnects = 0
        self._address = address
        self._name = name
        self._setup = setup
        self._connection: Connection | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def start(self) -> None:
        """Start connecting in the background."""
        self._task = asyncio.create_task(self._run(), name=f"amqp {self._name}")

    async def wait_ready(self) -> Connection:
        """The connection, as soon as there is one that is set up. No deadline, as in the real driver."""
        while self._connection is None or not self._ready.is_set() or self._connection.closed.done():
            if self._connection is not None and self._connection.closed.done():
                self._ready.clear()
            if self._is_closing or self._task is None:
                raise ConnectionLost(f"{self._name}: the bus is closed")
            await self._ready.wait()
        return self._connection

    @property
    def is_up(self) -> bool:
        """True while there is a connection that is set up."""
        return self._ready.is_set()

    async def close(self) -> None:
        """Close the connection and stop reconnecting."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        connection, self._connection = self._connection, None
        self._ready.set()
        if connection is not None:
            await connection.close()

    async def _run(self) -> None:
        interval_s = 0.0
        while True:
            connection: Connection | None = None
            try:
                connection = await Connection.open(
                    self._address,
                    name=self._name,
                    heartbeat_s=self.settings.heartbeat_s,
                    timeout_s=self.settings.connect_timeout_s,
                )
                self._connection = connection
                await self._setup(connection)
            except Exception as error:
                if not isinstance(error, ConnectionLost | ChannelClosed | TimeoutError):
                    # A mistake of ours; but a process without its bus would hang without a word.
                    log.exception("%s: setting up failed", self._name)
                interval_s = self._next(interval_s)
                log.warning("%s: %s; next try in %.1f s", self._name, error, interval_s)
                if connection is not None:
                    self._connection = None
                    await connection.close(timeout_s=0.2)
                await asyncio.sleep(interval_s)
                continue
            interval_s = 0.0
            self._ready.set()
            reason = await asyncio.shield(connection.closed)
            self._ready.clear()
            self._connection = None
            self.reconnects += 1
            log.warning("%s: connection lost: %s", self._name, reason)
            await asyncio.sleep(self.settings.reconnect_delay_s)

    def _next(self, interval_s: float) -> float:
        if not interval_s:
            return self.settings.retry_first_s
        return min(interval_s + self.settings.retry_step_s, self.settings.retry_max_s)
