"""Sending with confirms over a connection that may come and go."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from pamqp import base, commands

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.envelope import identified
from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost, MessageDeliveryFailure
from harness.emulator.messaging.link import Link, LinkSettings
from harness.wire.amqp import route_bytes

log = logging.getLogger("squall.messaging")

CHANNEL_ATTEMPTS = 10
"""Times a publish is sent again after its channel was closed with 404: an exchange that keeps vanishing."""
ROUTES = 50_000
"""Encoded routes kept."""


def queue_arguments(*, is_quorum: bool, expires_ms: int | None = None) -> dict[str, object]:
    """Arguments of a queue as the real driver declares it."""
    arguments: dict[str, object] = {}
    if is_quorum:
        arguments["x-queue-type"] = "quorum"
    if expires_ms is not None:
        arguments["x-expires"] = expires_ms
    return arguments


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange as it is declared before the first use on a channel."""

    name: str
    kind: str
    durable: bool = False
    auto_delete: bool = False
    has_quorum_queues: bool = False

    def declare(self) -> commands.Exchange.Declare:
        """The method that declares it."""
        return commands.Exchange.Declare(
            exchange=self.name, exchange_type=self.kind, durable=self.durable, auto_delete=self.auto_delete
        )


class _Message:
    """One message on its way. Without an exchange it is mandatory and goes straight to the queue `key`."""

    __slots__ = ("body", "exchange", "key", "properties", "reply", "route", "wanted", "with_queue")

    def __init__(
        self,
        exchange: ExchangeSpec | None,
        key: str,
        route: bytes,
        body: bytes,
        properties: bytes,
        *,
        with_queue: bool = False,
        reply: asyncio.Future[Any] | None = None,
    ) -> None:
        self.exchange = exchange
        self.key = key
        self.route = route
        self.body = body
        self.properties = properties
        self.with_queue = with_queue
        self.reply = reply
        name = exchange.name if exchange is not None else ""
        self.wanted = f"{name}\0{key}" if with_queue else name
        """What must have been declared on the channel."""


class Publisher:
    """Publishes messages and waits until the broker confirms them.

    A connection that is lost takes no publish with it: what was not confirmed is sent again on the next one,
    so a message may arrive twice (receivers drop it by `_unique_id`). While the broker is away or blocks there is no
    deadline.
    """

    def __init__(self, address: Address, settings: LinkSettings, *, name: str) -> None:
        self.link = Link(address, settings, name=name, setup=self._setup)
        self.published = 0
        self.resent = 0
        self._settings = settings
        self._channel: Channel | None = None
        self._lock = asyncio.Lock()
        self._routes: dict[tuple[str, str], bytes] = {}

    def start(self) -> None:
        """Start connecting."""
        self.link.start()

    async def close(self) -> None:
        """Close the connection; publishes that wait fail with ConnectionLost."""
        await self.link.close()

    async def publish(
        self,
        exchange: ExchangeSpec,
        key: str,
        body: bytes,
        properties: bytes,
        *,
        with_queue: bool = False,
        reply: asyncio.Future[Any] | None = None,
    ) -> None:
        """Publish to an exchange that is declared when this channel has not done so yet.

        Args:    with_queue: also declare a queue named like the key and bind it, as notifications do.
                 reply: when it is done, the message has arrived, whatever the broker has confirmed so far.
        Raises:  MessageDeliveryFailure when the broker refuses it, ConnectionLost when the bus is closed.
        """
        route = self._route(exchange.name, key)
        await self._deliver(_Message(exchange, key, route, body, properties, with_queue=with_queue, reply=reply))

    async def publish_mandatory(self, queue: str, body: bytes) -> None:
        """Publish straight to a queue. Raises MessageUndeliverable when there is none, else as `publish`."""
        await self._deliver(_Message(None, queue, self._route("", queue), body, b""))

    async def _deliver(self, message: _Message) -> None:
        missing = 0
        while True:
            try:
                channel = self._channel
                if channel is None or channel.closed.done():
                    channel = await self._reopen()
                await self._send(channel, message)
            except (ConnectionLost, TimeoutError) as error:
                await self._after_loss(error)
            except ChannelClosed as error:
                missing += 1
                if (error.code != 404 or missing >= CHANNEL_ATTEMPTS) and await self._sent_alone(message):
                    return
            else:
                self.published += 1
                return
            self.resent += 1

    async def _send(self, channel: Channel, message: _Message) -> None:
        if message.exchange is not None and message.wanted not in channel.declared:
            await self._declare(channel, message)
        if not channel.has_slot:
            await channel.wait_slot()
        if message.exchange is None:
            await channel.publish(message.route, identified(channel.next_message_id), message.body, mandatory=True)
        else:
            confirmed = channel.publish(message.route, message.properties, message.body)
            if message.reply is not None:
                # A broker may confirm late (ours keeps confirms to send them together): the reply is as good.
                message.reply.add_done_callback(partial(_has_arrived, confirmed))
            await confirmed

    async def _sent_alone(self, message: _Message) -> bool:
        """Send on a channel of its own: the shared one was closed over this message or over one of its neighbours.

        Returns False when the connection was lost meanwhile. Raises MessageDeliveryFailure when it was this message.
        """
        try:
            connection = await self.link.wait_ready()
            channel = await self._open(connection)
            await self._send(channel, message)
            await channel.close()
        except ChannelClosed as error:
            raise MessageDeliveryFailure(str(error)) from error
        except (ConnectionLost, TimeoutError) as error:
            await self._after_loss(error)
            return False
        self.published += 1
        return True

    async def _after_loss(self, error: ConnectionLost | TimeoutError) -> None:
        """Let the link notice the loss before the next attempt asks it for a connection."""
        log.debug("publish is sent again: %s", error)
        if isinstance(error, TimeoutError):
            (await self.link.wait_ready()).fail(str(error))
        # The link's own task runs between the loss and its notice of it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.link.wait_ready()

    async def _declare(self, channel: Channel, message: _Message) -> None:
        exchange, key = message.exchange, message.key
        assert exchange is not None
        requests: list[base.Frame] = [exchange.declare()]
        if message.with_queue:
            arguments = queue_arguments(is_quorum=exchange.has_quorum_queues)
            requests.append(commands.Queue.Declare(queue=key, durable=exchange.durable, arguments=arguments))
            requests.append(commands.Queue.Bind(queue=key, exchange=exchange.name, routing_key=key))
        await channel.request_all(requests, timeout_s=self._settings.request_timeout_s)
        channel.declared.update((exchange.name, message.wanted))

    async def _reopen(self) -> Channel:
        async with self._lock:
            connection = await self.link.wait_ready()
            if self._channel is None or self._channel.closed.done():
                await self._setup(connection)
            assert self._channel is not None
            return self._channel

    async def _setup(self, connection: Connection) -> None:
        self._channel = await self._open(connection)

    async def _open(self, connection: Connection) -> Channel:
        channel = await connection.channel(timeout_s=self._settings.request_timeout_s)
        await channel.enable_confirms(timeout_s=self._settings.request_timeout_s)
        return channel

    def _route(self, exchange: str, key: str) -> bytes:
        route = self._routes.get((exchange, key))
        if route is None:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            route = self._routes[exchange, key] = route_bytes(exchange, key)
        return route


def _has_arrived(confirmed: asyncio.Future[None], _reply: asyncio.Future[Any]) -> None:
    if not confirmed.done():
        confirmed.set_result(None)
