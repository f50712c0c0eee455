"""One AMQP connection on asyncio: channels, publisher confirms, deliveries, heartbeats, blocking.

It does not reconnect, `link.py` does. Everything written in one loop tick leaves in one send, and the acknowledgements of
a tick ride along as one `basic.ack` with `multiple`. Nothing here copies a message more than once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from pamqp import base, commands

from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost, MessageUndeliverable
from harness.wire import amqp
from harness.wire.amqp import AmqpError

log = logging.getLogger("squall.messaging")

Delivery = Callable[[bytes, int, bytes, bytes], None]
"""Called with consumer tag, delivery tag, content header payload and body."""

CLIENT_CAPABILITIES: dict[str, object] = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
IN_FLIGHT = 4096
"""Publishes of one channel that may await their confirm; the next ones wait."""
WRITE_HIGH = 256 * 1024
PIPELINE = 512
"""Requests of `Channel.request_all` that are under way at once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and who logs in."""

    host: str
    port: int
    user: str
    password: str
    virtual_host: str = "/"

    def __repr__(self) -> str:
        return f"amqp://{self.user}@{self.host}:{self.port}/{self.virtual_host}"


class Connection(asyncio.Protocol):
    """A connection that is open, or over for good (`closed` is done then).

    Args:  name: shown by the broker as `connection_name`. heartbeat_s: wanted interval, 0 turns it off.
    """

    def __init__(self, address: Address, *, name: str = "", heartbeat_s: int = 60) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._name = name
        self._heartbeat_s = heartbeat_s
        self.frame_max = amqp.FRAME_MAX
        self.closed: asyncio.Future[Exception] = self._loop.create_future()
        self.is_blocked = False
        self._is_paused = False
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._channels: dict[int, Channel] = {}
        self._channel_max = 2047
        self._parser = amqp.FrameParser()
        self._out: list[bytes] = []
        self._acking: dict[Channel, None] = {}
        self._flushing = False
        self._transport: asyncio.Transport | None = None
        self._received_at = self._sent_at = self._loop.time()
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
                await connection._loop.create_connection(lambda: connection, address.host, address.port)
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
            self._write(amqp.method_frame(0, commands.Connection.Close(200, "bye", 0, 0)))
            await asyncio.wait([self.closed], timeout=timeout_s)
        self._end(ConnectionLost("closed by us"))

    @property
    def is_writable(self) -> bool:
        """False while the broker blocks publishers or does not read."""
        return not self.is_blocked and not self._is_paused

    async def wait_writable(self) -> None:
        """Wait until the broker takes publishes again; no deadline, as in the real driver. Raises ConnectionLost."""
        while not self.is_writable:
            self._check_open()
            waiter = self._loop.create_future()
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
        self._received_at = self._loop.time()
        channels = self._channels
        try:
            for kind, number, payload in self._parser.feed(data):
                channel = channels.get(number)
                if channel is not None:
                    channel.frame(kind, payload)
                elif number == 0:
                    self._connection_frame(kind, payload)
        except AmqpError as error:
            self._end(ConnectionLost(f"{self._address!r}: {error}"))

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        for channel in self._acking:
            self._out.append(channel.take_ack())
        self._acking.clear()
        out, self._out = self._out, []
        if self._transport is None or self._transport.is_closing():
            return
        self._sent_at = self._loop.time()
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _ack_at_flush(self, channel: Channel) -> None:
        self._acking[channel] = None
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _wake_writers(self) -> None:
        if self.is_writable or self.closed.done():
            while self._writable_waiters:
                waiter = self._writable_waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)

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
        properties = {
            "product": "squall",
            "platform": "Python",
            "capabilities": CLIENT_CAPABILITIES,
            "connection_name": self._name,
        }
        response = f"\0{self._address.user}\0{self._address.password}"
        answer = commands.Connection.StartOk(properties, "PLAIN", response, "en_US")  # type: ignore[arg-type]
        self._write(amqp.method_frame(0, answer))

    def _tune(self, method: commands.Connection.Tune) -> None:
        self.frame_max = min(method.frame_max or amqp.FRAME_MAX, amqp.FRAME_MAX)
        self._channel_max = min(method.channel_max or 65535, 65535)
        # py-amqp takes the lower of both wishes, and none when either side says 0.
        beat_s = min(method.heartbeat, self._heartbeat_s)
        self._parser.limit = self.frame_max
        self._write(amqp.method_frame(0, commands.Connection.TuneOk(method.channel_max, self.frame_max, beat_s)))
        self._write(amqp.method_frame(0, commands.Connection.Open(self._address.virtual_host)))
        if beat_s:
            self._schedule_beat(beat_s)

    def _schedule_beat(self, beat_s: int) -> None:
        self._beat = self._loop.call_later(beat_s / 4, self._heartbeat, beat_s)

    def _heartbeat(self, beat_s: int) -> None:
        now = self._loop.time()
        if now - self._received_at > 2 * beat_s:
            self._end(ConnectionLost(f"{self._address!r}: no sign of life from the broker for {2 * beat_s} s"))
            return
        if now - self._sent_at >= beat_s / 2:
            self._write(amqp.HEARTBEAT_FRAME)
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
            self._loop.call_later(1.0, self._transport.abort)


class Channel:
    """A channel. `closed` is done when it is over, with the reason."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.closed: asyncio.Future[Exception] = connection._loop.create_future()
        self.on_delivery: Delivery | None = None
        self.on_cancel: Callable[[str], None] | None = None
        self.declared: set[str] = set()
        """Exchanges that a publisher has declared on this channel."""
        self._loop = connection._loop
        self._replies: deque[asyncio.Future[base.Frame]] = deque()
        self._unconfirmed: OrderedDict[int, asyncio.Future[None]] = OrderedDict()
        self._slot_waiters: deque[asyncio.Future[None]] = deque()
        self._next_publish = 1
        self._ack_due = 0
        self._content: bytes | None = None
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0

    # --- requests -----------------------------------------------------------------------------------------------------

    async def request(self, method: base.Frame, *, timeout_s: float = 30.0) -> base.Frame:
        """Send a method and wait for its answer.

        Raises:  ChannelClosed or ConnectionLost as the broker decides, TimeoutError after `timeout_s`.
        """
        return (await self.request_all([method], timeout_s=timeout_s))[0]

    async def request_all(self, methods: Sequence[base.Frame], *, timeout_s: float = 30.0) -> list[base.Frame]:
        """Send many methods without waiting in between; answers in the same order. Raises as `request` does.

        `timeout_s` bounds each step of `PIPELINE` methods, not the whole.
        """
        answers: list[base.Frame] = []
        for at in range(0, len(methods), PIPELINE):
            self._check_open()
            futures: list[asyncio.Future[base.Frame]] = []
            for method in methods[at : at + PIPELINE]:
                future = self._loop.create_future()
                self._replies.append(future)
                futures.append(future)
                self.connection._write(amqp.method_frame(self.number, method))
            async with asyncio.timeout(timeout_s):
                answers.extend(await asyncio.gather(*futures))
        return answers

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Close the channel politely."""
        if not self.closed.done():
            try:
                await self.request(commands.Channel.Close(200, "bye", 0, 0), timeout_s=timeout_s)
            except (ConnectionLost, ChannelClosed, TimeoutError):
                pass
        self.end(ChannelClosed(200, "closed by us"))

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def enable_confirms(self, *, timeout_s: float = 30.0) -> None:
        """Ask for publisher confirms; needed before `publish`."""
        await self.request(commands.Confirm.Select(), timeout_s=timeout_s)

    async def wait_slot(self) -> None:
        """Wait until a publish may be sent: broker not blocking, socket writable, fewer than `IN_FLIGHT` unconfirmed.

        No deadline, as in the real driver. Raises ConnectionLost or ChannelClosed.
        """
        while True:
            self._check_open()
            if not self.connection.is_writable:
                await self.connection.wait_writable()
            elif len(self._unconfirmed) >= IN_FLIGHT:
                waiter = self._loop.create_future()
                self._slot_waiters.append(waiter)
                await waiter
            else:
                return

    @property
    def has_slot(self) -> bool:
        """True when `publish` may be called at once."""
        return self.connection.is_writable and len(self._unconfirmed) < IN_FLIGHT and not self.closed.done()

    def publish(self, route: bytes, properties: bytes, body: bytes, *, mandatory: bool = False) -> asyncio.Future[None]:
        """Send a message; the future is done when the broker has taken responsibility for it.

        Its exceptions: MessageUndeliverable when `mandatory` and unroutable, ConnectionLost or ChannelClosed when the
        fate is unknown, ChannelClosed(541) on a negative confirm. Call it only while `has_slot`.
        With `mandatory`, `properties` must carry the message id that `next_message_id` gives.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self.closed.done():
            future.set_exception(_copy(self.closed.result()))
            return future
        number = self.number
        self._unconfirmed[self._next_publish] = future
        self._next_publish += 1
        self.connection._write(
            amqp.publish_frame(number, route, mandatory=mandatory)
            + amqp.content_frames(number, properties, body, self.connection.frame_max)
        )
        return future

    @property
    def next_message_id(self) -> str:
        """Message id for the next mandatory publish: by it a returned message is matched to its publish."""
        return str(self._next_publish)

    # --- consuming ----------------------------------------------------------------------------------------------------

    def ack(self, delivery_tag: int) -> None:
        """Acknowledge everything up to `delivery_tag`; it leaves at the end of this loop tick."""
        self._ack_due = max(self._ack_due, delivery_tag)
        self.connection._ack_at_flush(self)

    def reject(self, delivery_tag: int, *, requeue: bool) -> None:
        """Refuse one delivery."""
        self.connection._write(amqp.method_frame(self.number, commands.Basic.Reject(delivery_tag, requeue)))

    def take_ack(self) -> bytes:
        """The frame for all acknowledgements that are due."""
        tag, self._ack_due = self._ack_due, 0
        return amqp.ack_frame(self.number, tag, multiple=True)

    # --- frames -------------------------------------------------------------------------------------------------------

    def frame(self, kind: int, payload: bytes) -> None:
        """One frame from the broker. Raises AmqpError when it breaks the rules."""
        if kind == amqp.METHOD:
            index = int.from_bytes(payload[:4], "big")
            if index in (amqp.BASIC_DELIVER, amqp.BASIC_RETURN):
                self._content = payload
            elif index == amqp.BASIC_ACK:
                tag, multiple = amqp.decode_ack(payload)
                self._confirm(tag, bool(multiple), None)
            elif index == amqp.BASIC_NACK:
                tag, flags = amqp.decode_ack(payload)
                self._confirm(tag, bool(flags & 1), ChannelClosed(541, "the broker could not take the message"))
            else:
                self._method(amqp.decode_method(payload))
        elif kind == amqp.BODY:
            self._missing -= len(payload)
            if self._missing or self._body:
                self._body.append(payload)
                if self._missing:
                    return
                payload = b"".join(self._body)
                self._body.clear()
            self._complete(payload)
        elif kind == amqp.HEADER:
            self._header = payload
            self._missing = amqp.body_size(payload)
            if not self._missing:
                self._complete(b"")

    def _complete(self, body: bytes) -> None:
        method = self._content
        self._content = None
        if method is None:
            raise AmqpError(505, "UNEXPECTED_FRAME - content without a method")
        if method[3] == 60:
            if self.on_delivery is not None:
                tag, number = amqp.deliver_key(method)
                self.on_delivery(tag, number, self._header, body)
        else:
            self._returned(amqp.decode_method(method))

    def _returned(self, method: base.Frame) -> None:
        assert isinstance(method, commands.Basic.Return)
        message_id = amqp.decode_properties(self._header).message_id
        future = self._unconfirmed.get(int(message_id)) if message_id and message_id.isdigit() else None
        if future is not None and not future.done():
            text = f"{method.reply_code} {method.reply_text}: {method.exchange!r} {method.routing_key!r}"
            future.set_exception(MessageUndeliverable(text))

    def _confirm(self, tag: int, multiple: bool, problem: Exception | None) -> None:
        unconfirmed = self._unconfirmed
        if not multiple:
            future = unconfirmed.pop(tag, None)
            if future is not None:
                _settle(future, problem)
        else:
            while unconfirmed:
                first, future = unconfirmed.popitem(last=False)
                if tag and first > tag:
                    unconfirmed[first] = future
                    unconfirmed.move_to_end(first, last=False)
                    break
                _settle(future, problem)
        if self._slot_waiters:
            self._wake_slots(IN_FLIGHT - len(unconfirmed))

    def _wake_slots(self, count: int) -> None:
        while self._slot_waiters and count > 0:
            waiter = self._slot_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _method(self, method: base.Frame) -> None:
        if isinstance(method, commands.Channel.Close):
            self.connection._write(amqp.method_frame(self.number, commands.Channel.CloseOk()))
            self.end(ChannelClosed(method.reply_code, method.reply_text))
        elif isinstance(method, commands.Basic.Cancel):
            if self.on_cancel is not None:
                self.on_cancel(method.consumer_tag)
        elif self._replies:
            future = self._replies.popleft()
            if not future.done():
                future.set_result(method)

    def end(self, reason: Exception) -> None:
        """The channel is over: everybody who waits on it learns why."""
        if self.closed.done():
            return
        self.closed.set_result(reason)
        if self.connection._channels.get(self.number) is self:
            del self.connection._channels[self.number]
        self.connection._acking.pop(self, None)
        for future in [*self._replies, *self._unconfirmed.values()]:
            if not future.done():
                future.set_exception(_copy(reason))
                future.exception()  # retrieved: a waiter may have been cancelled
        self._replies.clear()
        self._unconfirmed.clear()
        self._wake_slots(len(self._slot_waiters))

    def _check_open(self) -> None:
        if self.closed.done():
            raise _copy(self.closed.result())


def _settle(future: asyncio.Future[None], problem: Exception | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(_copy(problem))


def _copy(error: Exception) -> Exception:
    """A fresh exception of the same kind: one object raised in many tasks would gather all their tracebacks."""
    if isinstance(error, ChannelClosed):
        return ChannelClosed(error.code, error.text)
    return ConnectionLost(str(error))
