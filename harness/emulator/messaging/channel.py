"""One channel of the lean client: requests, confirmed publishes, deliveries."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pamqp import base, commands

from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost, MessageUndeliverable
from harness.wire import amqp
from harness.wire.amqp import AmqpError

if TYPE_CHECKING:
    from harness.emulator.messaging.connection import Connection

Delivery = Callable[[bytes, int, bytes, bytes], None]
"""Called with consumer tag, delivery tag, content header payload and body."""

IN_FLIGHT = 4096
"""Publishes of one channel that may await their confirm; the next ones wait."""
PIPELINE = 512
"""Requests of `Channel.request_all` that are under way at once."""


class Channel:
    """A channel. `closed` is done when it is over, with the reason."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.closed: asyncio.Future[Exception] = connection.loop.create_future()
        self.on_delivery: Delivery | None = None
        self.on_cancel: Callable[[str], None] | None = None
        self.declared: set[str] = set()
        """Exchanges that a publisher has declared on this channel."""
        self._loop = connection.loop
        self._replies: deque[asyncio.Future[base.Frame]] = deque()
        self._unconfirmed: OrderedDict[int, asyncio.Future[None]] = OrderedDict()
        self._slot_waiters: deque[asyncio.Future[None]] = deque()
        self._next_publish = 1
        self._ack_due = 0
        self._is_closing = False
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

        `timeout_s` bounds each step of `PIPELINE` methods, not the whole; it does not run while the broker blocks us,
        because then it does not even read.
        """
        answers: list[base.Frame] = []
        for at in range(0, len(methods), PIPELINE):
            self._check_open()
            futures: list[asyncio.Future[base.Frame]] = []
            for method in methods[at : at + PIPELINE]:
                future = self._loop.create_future()
                self._replies.append(future)
                futures.append(future)
                self.connection.write(amqp.method_frame(self.number, method))
            await self._answered(futures, timeout_s)
            answers.extend([future.result() for future in futures])
        return answers

    async def _answered(self, futures: list[asyncio.Future[base.Frame]], timeout_s: float) -> None:
        pending: set[asyncio.Future[base.Frame]] = set(futures)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=timeout_s)
            if pending and not self.connection.is_blocked:
                raise TimeoutError(f"{len(pending)} requests were not answered within {timeout_s:g} s")

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Close the channel politely."""
        if not self.closed.done():
            self._is_closing = True
            if self._ack_due:
                # Behind the close it would name a channel that the broker has forgotten: that costs the connection.
                self.connection.write(self.take_ack())
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
        self.connection.write(
            amqp.publish_frame(number, route, mandatory=mandatory)
            + amqp.content_frames(number, properties, body, self.connection.frame_max)
        )
        return future

    @property
    def next_message_id(self) -> str:
        """Message id for the next mandatory publish: by it a returned message is matched to its publish."""
        return str(self._next_publish)

    # --- consuming ----------------------------------------------------------------------------------------------------

    def ack(self, delivery_tag: int, *, may_wait: bool = False) -> None:
        """Acknowledge everything up to `delivery_tag`; it leaves at the end of this loop tick, or soon if it may wait.

        Let it wait only on queues that nobody else consumes: after a crash others would do the work once more.
        """
        if self._is_closing:
            return  # the broker gives the message to somebody else
        self._ack_due = max(self._ack_due, delivery_tag)
        self.connection.ack_at_flush(self, may_wait=may_wait)

    def reject(self, delivery_tag: int, *, requeue: bool) -> None:
        """Refuse one delivery."""
        if self._is_closing:
            return
        self.connection.write(amqp.method_frame(self.number, commands.Basic.Reject(delivery_tag, requeue)))

    def take_ack(self) -> bytes:
        """The frame for all acknowledgements that are due; empty when none is."""
        tag, self._ack_due = self._ack_due, 0
        if not tag:
            return b""
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
            self.connection.write(amqp.method_frame(self.number, commands.Channel.CloseOk()))
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
        self.connection.forget(self)
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
