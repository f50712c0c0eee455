"""One client connection: handshake, frames to channels, writes back, blocking and heartbeats."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from pamqp import commands

from harness.emulator.broker import handshake, methods
from harness.emulator.broker.channel import Channel
from harness.emulator.broker.users import User
from harness.emulator.broker.vhost import VirtualHost
from harness.wire import amqp
from harness.wire.amqp import AmqpError, FrameError

if TYPE_CHECKING:
    from harness.emulator.broker.server import Broker

WRITE_HIGH = 512 * 1024
"""Bytes waiting for one socket above which its consumers get nothing more."""
WRITE_LOW = 64 * 1024
REPLIES_MAX = 8 * 1024 * 1024
"""Bytes waiting for one socket above which nothing more is read from it: its replies would pile up."""


class Session(asyncio.Protocol):
    """A client connection; `state` goes header, start, tune, open, running, closing, closed."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.state = "header"
        self.frame_max = amqp.FRAME_MIN
        self.channel_max = broker.settings.channel_max
        self.heartbeat_s = 0
        self.user: User | None = None
        self.vhost: VirtualHost = broker.vhosts["/"]
        self.channels: dict[int, Channel] = {}
        self.confirming: dict[Channel, None] = {}
        self._confirm_now = False
        self.congested = False
        self.restricted = False
        self.wants_cancel_notice = False
        self.has_published = False
        self.is_blocked = False
        self.last_tag = ""
        self.name = ""
        self.client_properties: dict[str, object] = {}
        self.received_at = self.sent_at = self.connected_at = broker.clock()
        self.received_bytes = self.sent_bytes = 0
        self._parser = amqp.FrameParser(amqp.FRAME_MIN)
        self._preface = b""
        self._out: list[bytes] = []
        self._out_size = 0
        self._paused = False
        self._reads_off: set[str] = set()
        self._crossed: set[int] = set()
        """Channels that both sides have closed at once: the client's close-ok may still come."""
        self._transport: asyncio.Transport | None = None
        self.wants_blocked_notice = False

    # --- transport ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        is_tcp = isinstance(peer, tuple) and isinstance(here, tuple)
        self.name = f"{peer[0]}:{peer[1]} -> {here[0]}:{here[1]}" if is_tcp else f"connection {id(self)}"
        self.broker.sessions[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = "closed"
        self._transport = None
        self.broker.forget(self)
        self.drop_all()

    def pause_writing(self) -> None:
        self._paused = self.congested = True

    def resume_writing(self) -> None:
        self._paused = False
        self._uncongest()

    def data_received(self, data: bytes) -> None:
        self.received_at = self.broker.now
        self.received_bytes += len(data)
        try:
            if self.state == "header":
                data = self._read_preface(data)
            for kind, number, payload in self._parser.feed(data):
                self._frame(kind, number, payload)
        except AmqpError as error:
            self._close_with(error)
        except Exception as error:
            self.broker.log.exception("internal error on %s", self.name)
            self._close_with(AmqpError(541, f"INTERNAL_ERROR - {type(error).__name__}"))
        if self._confirm_now:
            self.write_confirms()
        if self.has_published and self.broker.ledger.in_alarm:
            self.block()

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue bytes for the end of this loop tick: one send per connection and tick."""
        if not self._out:
            self.broker.flush_later(self)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > WRITE_HIGH:
            self.congested = True

    def flush(self) -> None:
        """Send what was queued."""
        out, size = self._out, self._out_size
        self._out, self._out_size = [], 0
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self.sent_at = self.broker.now
        self.sent_bytes += size
        transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self.state == "closed":
            transport.close()
        elif self._paused:
            if transport.get_write_buffer_size() > REPLIES_MAX:
                self._read_off("replies")
        elif self.congested:
            self._uncongest()

    def _uncongest(self) -> None:
        self.congested = False
        self._read_on("replies")
        for channel in self.channels.values():
            if channel.waiting:
                channel.pump()

    def confirm(self, channel: Channel, *, may_wait: bool) -> None:
        """Confirm what `channel` has published, when all that has arrived with it is read.

        A confirm that may wait leaves with the next one, or with the next round of `Broker.confirm_later`: alone it
        would wake the proxy and the publisher for something that nobody waits for.
        """
        self.confirming[channel] = None
        if not may_wait:
            self._confirm_now = True
        else:
            self.broker.confirm_later(self)

    def write_confirms(self) -> None:
        """Confirm all that is due, whether it may wait or not."""
        for channel in self.confirming:
            self.write(amqp.ack_frame(channel.number, channel.confirm_due, multiple=True))
        self.confirming.clear()
        self._confirm_now = False

    def send(self, number: int, method: Any) -> None:
        """Write one method."""
        self.write(amqp.method_frame(number, method))

    def set_frame_max(self, size: int) -> None:
        """The negotiated frame size, in bytes."""
        self.frame_max = self._parser.limit = size

    # --- blocking -----------------------------------------------------------------------------------------------------

    def block(self) -> None:
        """A resource alarm is on and this connection publishes: tell it, and read nothing more from it.

        As in RabbitMQ, a connection is blocked by its first publish under the alarm, not by the alarm itself.
        """
        if self.is_blocked or self.state != "running":
            return
        self.is_blocked = True
        if self.wants_blocked_notice:
            self.send(0, commands.Connection.Blocked(f"low on {' & '.join(self.broker.ledger.alarms)}"))
        self._read_off("alarm")

    def unblock(self) -> None:
        """The alarm is over."""
        if not self.is_blocked:
            return
        self.is_blocked = False
        if self.wants_blocked_notice and self.state == "running":
            self.send(0, commands.Connection.Unblocked())
        self._read_on("alarm")

    def _read_off(self, reason: str) -> None:
        if not self._reads_off and self._transport is not None:
            self._transport.pause_reading()
        self._reads_off.add(reason)

    def _read_on(self, reason: str) -> None:
        if reason in self._reads_off:
            self._reads_off.discard(reason)
            if not self._reads_off and self._transport is not None and not self._transport.is_closing():
                self.received_at = self.broker.now
                self._transport.resume_reading()

    # --- frames -------------------------------------------------------------------------------------------------------

    def _read_preface(self, data: bytes) -> bytes:
        self._preface += data
        if len(self._preface) < 8:
            return b""
        head, rest = self._preface[:8], self._preface[8:]
        self._preface = b""
        if head != amqp.PROTOCOL_HEADER:
            # The specification's answer to an unknown protocol: the supported header, then the end.
            self.write(amqp.PROTOCOL_HEADER)
            self.state = "closed"
            return b""
        handshake.start(self)
        return rest

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if self.state == "closed":
            return
        channel = self.channels.get(number)
        if channel is None or channel.is_closing or self.state != "running":
            self._rare_frame(kind, number, payload, channel)
            return
        try:
            if kind == amqp.METHOD:
                if channel.publishing is not None:
                    raise channel.out_of_turn()
                index = int.from_bytes(payload[:4], "big")
                if index == amqp.BASIC_PUBLISH:
                    self.has_published = True
                    channel.begin_publish(payload)
                elif index == amqp.BASIC_ACK:
                    tag, flags = amqp.decode_ack(payload)
                    channel.ack(tag, multiple=bool(flags & 1))
                elif index == amqp.BASIC_NACK:
                    tag, flags = amqp.decode_ack(payload)
                    channel.reject(tag, multiple=bool(flags & 1), requeue=bool(flags & 2))
                else:
                    self._method(channel, amqp.decode_method(payload))
            elif kind == amqp.BODY:
                channel.content_body(payload)
            elif kind == amqp.HEADER:
                channel.content_header(payload)
            else:
                raise AmqpError(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")
        except AmqpError as error:
            if error.closes_connection:
                raise
            self._close_channel(channel, error)

    def _method(self, channel: Channel, method: Any) -> None:
        if isinstance(method, commands.Channel.Close):
            del self.channels[channel.number]
            channel.drop()
            self.send(channel.number, commands.Channel.CloseOk())
        elif isinstance(method, commands.Channel.Open):
            raise AmqpError(504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10)
        else:
            methods.handle(channel, method)

    def _rare_frame(self, kind: int, number: int, payload: bytes, channel: Channel | None) -> None:
        if kind == amqp.HEARTBEAT:
            if payload:
                raise FrameError(f"heartbeat with {len(payload)} bytes, wanted none")
            if number:
                raise AmqpError(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")
            return
        if channel is not None and channel.is_closing:
            # Everything but close and close-ok is to be ignored until the client has seen our close.
            if kind == amqp.METHOD and payload[:4] in (b"\x00\x14\x00\x28", b"\x00\x14\x00\x29"):
                del self.channels[number]
                if payload[3] == 40:
                    self._crossed.add(number)
                    self.send(number, commands.Channel.CloseOk())
            return
        if self.state == "closing":
            if kind == amqp.METHOD and payload[:4] == b"\x00\x0a\x00\x33":
                self.finish()
            return
        if kind != amqp.METHOD:
            raise AmqpError(505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead")
        method = amqp.decode_method(payload)
        if number == 0:
            handshake.handle(self, method)
        elif self.state != "running":
            raise AmqpError(503, f"COMMAND_INVALID - {method.name} before connection.open")
        elif isinstance(method, commands.Channel.Open):
            self._open_channel(number)
        elif isinstance(method, commands.Channel.CloseOk) and number in self._crossed:
            self._crossed.discard(number)
        else:
            text = "CHANNEL_ERROR - expected 'channel.open'"
            raise AmqpError(504, text, method.index >> 16, method.index & 0xFFFF)

    def _open_channel(self, number: int) -> None:
        limit = self.user.max_channels if self.user and self.user.max_channels is not None else None
        if limit is not None and len(self.channels) >= limit:
            text = f"NOT_ALLOWED - number of channels opened for user '{self.user.name if self.user else ''}' has "
            raise AmqpError(530, f"{text}reached the maximum allowed user limit of ({limit})"[:255])
        # Their number counts, not their numbers, as in RabbitMQ.
        if len(self.channels) >= self.channel_max:
            text = f"NOT_ALLOWED - number of channels opened ({len(self.channels)}) has reached the negotiated "
            raise AmqpError(530, f"{text}channel_max ({self.channel_max})")
        self._crossed.discard(number)
        self.channels[number] = Channel(self, number)
        self.send(number, commands.Channel.OpenOk())

    # --- permissions --------------------------------------------------------------------------------------------------

    def permissions_changed(self) -> None:
        """Read the user's permissions again."""
        granted = self.user.permissions.get(self.vhost.name) if self.user else None
        self.restricted = granted is None or granted != User.ALL

    def require(self, verb: str, name: str, kind: str, class_id: int, method_id: int) -> None:
        """Check that the user may configure, write or read `name`. Raises AmqpError 403."""
        if not self.restricted or self.user is None:
            return
        granted = self.user.permissions.get(self.vhost.name, {})
        shown = name or "amq.default"
        if verb not in granted or re.search(granted[verb], shown) is None:
            text = f"ACCESS_REFUSED - access to {kind} '{shown}' in vhost '{self.vhost.name}' refused for user "
            raise AmqpError(403, f"{text}'{self.user.name}'"[:255], class_id, method_id)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Once a second: send a heartbeat when idle, end the connection when the client is silent for two of them."""
        if self.state in ("header", "start", "tune", "open"):
            if now - self.connected_at > self.broker.settings.handshake_timeout_s:
                self.abort()
            return
        if not self.heartbeat_s or self.state == "closed":
            return
        if not self._reads_off and now - self.received_at > 2 * self.heartbeat_s:
            self.broker.log.warning("missed heartbeats from %s, closing", self.name)
            self.abort()
        elif now - self.sent_at >= self.heartbeat_s / 2 and not self._paused:
            self.write(amqp.HEARTBEAT_FRAME)

    def close(self, code: int, text: str) -> None:
        """Close from our side: an operator's request or the broker's end."""
        self._close_with(AmqpError(code, text))

    def abort(self) -> None:
        """Drop the socket without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _close_channel(self, channel: Channel, error: AmqpError) -> None:
        channel.drop()
        channel.is_closing = True
        method = commands.Channel.Close(error.code, error.text[:255], error.class_id, error.method_id)
        self.send(channel.number, method)

    def _close_with(self, error: AmqpError) -> None:
        if self.state in ("closing", "closed"):
            return
        # Who has not logged in is told nothing, and held up for a while, as in RabbitMQ.
        told = self.state not in ("header", "start", "tune") or error.code == 403
        self.drop_all()
        if self._reads_off and self._transport is not None:
            # Deaf connections must hear the close-ok.
            self._reads_off.clear()
            self._transport.resume_reading()
        self.state = "closing"
        if told:
            self.send(0, commands.Connection.Close(error.code, error.text[:255], error.class_id, error.method_id))
        if not told:
            self.give_up()
        elif isinstance(error, FrameError):
            self.finish()
        else:
            self.broker.later(self.broker.settings.close_timeout_s, self.abort)

    def give_up(self) -> None:
        """Say nothing more and close after a while: nobody shall try passwords in a hurry."""
        self.state = "closing"
        self.broker.later(self.broker.settings.silent_close_s, self.abort)

    def finish(self) -> None:
        """Nothing more is read; the socket closes when what is queued has left."""
        self.state = "closed"
        if not self._out and self._transport is not None:
            self._transport.close()

    def drop_all(self) -> None:
        """Everything the connection held goes: channels, consumers, unacknowledged messages, exclusive queues."""
        channels = list(self.channels.values())
        self.channels.clear()
        for channel in channels:
            channel.drop()
        self.confirming.clear()
        for queue in [queue for queue in self.vhost.queues.values() if queue.owner is self]:
            self.vhost.delete_queue(queue)
