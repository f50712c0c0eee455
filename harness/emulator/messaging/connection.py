"""One AMQP connection on asyncio: channels, publisher confirms, deliveries, heartbeats, blocking.

It does not reconnect, `link.py` does. Everything written in one loop tick leaves in one send, and the acknowledgements
of a tick ride along as one `basic.ack` with `multiple`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import cast

from pamqp import commands

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.errors import ConnectionLost
from harness.wire import amqp
from harness.wire.amqp import AmqpError

log = logging.getLogger("squall.messaging")

CLIENT_CAPABILITIES: dict[str, object] = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
WRITE_HIGH = 256 * 1024
"""Bytes waiting for the socket above which publishers wait."""
WAKE_BATCH = 128
ACKS_WAIT_S = 0.02
"""How long an acknowledgement that may wait is kept for others to leave with it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and who logs in."""

    host: str
    port: int
    user: str
    password: str
    virtual_host: str = "/"
    socket: str = ""  # path of a unix socket to use instead of host and port

    def __repr__(self) -> str:
        return f"amqp://{self.user}@{self.host}:{self.port}/{self.virtual_host}"


class Connection(asyncio.Protocol):
    """A connection that is open, or over for good (`closed` is done then).

    Args:  name: shown by the broker as `connection_name`. heartbeat_s: wanted interval, 0 turns it off.
    """

    def __init__(self, address: Address, *, name: str = "", heartbeat_s: int = 60) -> None:
        self.loop = asyncio.get_running_loop()
        self._address = address
        self._name = name
        self._heartbeat_s = heartbeat_s
        self.frame_max = amqp.FRAME_MAX
        self.closed: asyncio.Future[Exception] = self.loop.create_future()
        self.is_blocked = False
        self.server_properties: dict[str, object] = {}
        self._is_paused = False
        self._opened: asyncio.Future[None] = self.loop.create_future()
        self._channels: dict[int, Channel] = {}
        self._channel_max = 2047
        self._parser = amqp.FrameParser()
        self._out: list[bytes] = []
        self._acking: dict[Channel, None] = {}
        self._flushing = False
        self._ack_timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._received_at = self._sent_at = self.loop.time()
        self._beat: asyncio.TimerHandle | None = None
        self._writable_waiters: deque[asyncio.Future[None]] = deque()

    @classmethod
    async def open(
        cls, address: Address, *, name: str = "", heartbeat_s: int = 60, timeout_s: float = 10.0
    ) -> Connection:
        """Connect and log in.

        Raises:  ConnectionLost with the reason when it is not open within `timeout_s`, is refused or not let in.
        """
        connection = cls(address, name=name, heartbeat_s=heartbeat_s)
        try:
            async with asyncio.timeout(timeout_s):
                if address.socket:
                    await connection.loop.create_unix_connection(lambda: connection, address.socket)
                else:
                    await connection.loop.create_connection(lambda: connection, address.host, address.port)
                await connection._opened
        except TimeoutError as error:
            connection._end(ConnectionLost(f"{address!r}: not open after {timeout_s:g} s"))
            raise ConnectionLost(f"{address!r}: not open after {timeout_s:g} s") from error
        except OSError as error:
            connection._end(ConnectionLost(f"{address!r}: {error}"))
            raise ConnectionLost(f"{address!r}: {error}") from error
        except BaseException:
            connection._end(ConnectionLost(f"{address!r}: opening was given up"))
            raise
        return connection

    async def channel(self, *, timeout_s: float = 30.0) -> Channel:
        """Open a channel. Raises ConnectionLost, or TimeoutError when the broker does not answer in time."""
        self._check_open()
        number = next((n for n in range(1, self._channel_max + 1) if n not in self._channels), 0)
        if not number:
            raise ConnectionLost(f"{self._address!r}: all {self._channel_max} channels are in use")
        channel = Channel(self, number)
        self._channels[number] = channel
        await channel.request(commands.Channel.Open(), timeout_s=timeout_s)
        return channel

    async def close(self, *, timeout_s: float = 2.0) -> None:
        """Close politely; after `timeout_s` without an answer drop the socket."""
        if not self.closed.done():
            self.write(amqp.method_frame(0, commands.Connection.Close(200, "bye", 0, 0)))
            await asyncio.wait([self.closed], timeout=timeout_s)
        self._end(ConnectionLost("closed by us"))

    def fail(self, text: str) -> None:
        """Give the connection up: it does not answer."""
        self._end(ConnectionLost(f"{self._address!r}: {text}"))

    @property
    def is_writable(self) -> bool:
        """False while the broker blocks publishers or does not read."""
        return not self.is_blocked and not self._is_paused

    async def wait_writable(self) -> None:
        """Wait until the broker takes publishes again; no deadline, as in the real driver. Raises ConnectionLost."""
        while not self.is_writable:
            self._check_open()
            waiter = self.loop.create_future()
            self._writable_waiters.append(waiter)
            await waiter
        self._check_open()

    # --- transport ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed.done():
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._transport.write(amqp.PROTOCOL_HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost(f"{self._address!r}: {exc or 'closed by the broker without a word'}"))

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wake_writers()

    def data_received(self, data: bytes) -> None:
        self._received_at = self.loop.time()
        channels = self._channels
        try:
            for kind, number, payload in self._parser.feed(data):
                channel = channels.get(number)
                if channel is not None:
                    channel.frame(kind, payload)
                elif number == 0:
                    self._connection_frame(kind, payload)
        except Exception as error:
            # Whatever it was, the stream cannot be trusted any more.
            if not isinstance(error, AmqpError):
                log.exception("%s: unreadable frame", self._name)
            self._end(ConnectionLost(f"{self._address!r}: {type(error).__name__}: {error}"))

    def write(self, data: bytes) -> None:
        """Queue bytes for the end of this loop tick."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        for channel in self._acking:
            self._out.append(channel.take_ack())
        self._acking.clear()
        out, self._out = self._out, []
        if not out or self._transport is None or self._transport.is_closing():
            return
        self._sent_at = self.loop.time()
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def ack_at_flush(self, channel: Channel, *, may_wait: bool) -> None:
        """Let `channel` add its acknowledgement to what leaves at the end of this loop tick.

        One that may wait leaves with whatever is next, at the latest after `ACKS_WAIT_S`: an acknowledgement that
        travels alone wakes the proxy and the broker for nothing else.
        """
        self._acking[channel] = None
        if self._flushing:
            return
        if not may_wait:
            self._flushing = True
            self.loop.call_soon(self._flush)
        elif self._ack_timer is None:
            self._ack_timer = self.loop.call_later(ACKS_WAIT_S, self._flush)

    def forget(self, channel: Channel) -> None:
        """A channel is over: its number may be used again."""
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]
        self._acking.pop(channel, None)

    def _wake_writers(self) -> None:
        """Wake waiting publishers, a batch per loop turn: the socket may be full again long before all have written."""
        if not self.is_writable and not self.closed.done():
            return
        batch = len(self._writable_waiters) if self.closed.done() else WAKE_BATCH
        while self._writable_waiters and batch > 0:
            waiter = self._writable_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                batch -= 1
        if self._writable_waiters:
            self.loop.call_soon(self._wake_writers)

    # --- channel 0 ----------------------------------------------------------------------------------------------------

    def _connection_frame(self, kind: int, payload: bytes) -> None:
        if kind == amqp.HEARTBEAT:
            return
        method = amqp.decode_method(payload)
        if isinstance(method, commands.Connection.Start):
            self._start(method)
        elif isinstance(method, commands.Connection.Tune):
            self._tune(method)
        elif isinstance(method, commands.Connection.OpenOk):
            if not self._opened.done():
                self._opened.set_result(None)
        elif isinstance(method, commands.Connection.Blocked):
            log.info("%s: the broker blocks publishing: %s", self._name, method.reason)
            self.is_blocked = True
        elif isinstance(method, commands.Connection.Unblocked):
            log.info("%s: the broker takes publishes again", self._name)
            self.is_blocked = False
            self._wake_writers()
        elif isinstance(method, commands.Connection.Close):
            if self._transport is not None:
                self._transport.write(amqp.method_frame(0, commands.Connection.CloseOk()))
            self._end(ConnectionLost(f"{self._address!r}: {method.reply_code} {method.reply_text}"))
        elif isinstance(method, commands.Connection.CloseOk):
            self._end(ConnectionLost("closed by us"))

    def _start(self, method: commands.Connection.Start) -> None:
        self.server_properties = dict(method.server_properties)
        properties = {
            "product": "squall",
            "platform": "Python",
            "capabilities": CLIENT_CAPABILITIES,
            "connection_name": self._name,
        }
        response = f"\0{self._address.user}\0{self._address.password}"
        answer = commands.Connection.StartOk(properties, "PLAIN", response, "en_US")
        self.write(amqp.method_frame(0, answer))

    def _tune(self, method: commands.Connection.Tune) -> None:
        self.frame_max = min(method.frame_max or amqp.FRAME_MAX, amqp.FRAME_MAX)
        self._channel_max = min(method.channel_max or 65535, 65535)
        # py-amqp takes the lower of both wishes, and none when either side says 0.
        beat_s = min(method.heartbeat, self._heartbeat_s)
        self._parser.limit = self.frame_max
        self.write(amqp.method_frame(0, commands.Connection.TuneOk(method.channel_max, self.frame_max, beat_s)))
        self.write(amqp.method_frame(0, commands.Connection.Open(self._address.virtual_host)))
        if beat_s:
            self._schedule_beat(beat_s)

    def _schedule_beat(self, beat_s: int) -> None:
        self._beat = self.loop.call_later(beat_s / 4, self._heartbeat, beat_s)

    def _heartbeat(self, beat_s: int) -> None:
        now = self.loop.time()
        if now - self._received_at > 2 * beat_s:
            self._end(ConnectionLost(f"{self._address!r}: no sign of life from the broker for {2 * beat_s} s"))
            return
        if now - self._sent_at >= beat_s / 2:
            self.write(amqp.HEARTBEAT_FRAME)
        self._schedule_beat(beat_s)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed.done():
            raise ConnectionLost(str(self.closed.result()))

    def _end(self, reason: ConnectionLost) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if not self._opened.done():
            self._opened.set_exception(reason)
            self._opened.exception()  # retrieved: nobody may be waiting any more
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            channel.end(ConnectionLost(str(reason)))
        self._acking.clear()
        self._wake_writers()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            # A peer that does not read would keep a polite close waiting for ever.
            self.loop.call_later(1.0, self._transport.abort)
