"""Sending with confirms over a connection that may come and go."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange as it is declared before the first use on a channel."""

    name: str
    kind: str
    durable: bool = False
    auto_delete: bool = False

    def declare(self) -> commands.Exchange.Declare:
        """The method that declares it."""
        return commands.Exchange.Declare(
            exchange=self.name, exchange_type=self.kind, durable=self.durable, auto_delete=self.auto_delete
        )


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
        self, exchange: ExchangeSpec, key: str, body: bytes, properties: bytes, *, with_queue: bool = False
    ) -> None:
        """Publish to an exchange that is declared when this channel has not done so yet.

        Args:    with_queue: also declare a queue named like the key and bind it, as notifications do.
        Raises:  MessageDeliveryFailure when the broker closes the channel over it with anything but 404, or
                 `CHANNEL_ATTEMPTS` times with 404; ConnectionLost when the bus is closed.
        """
        route = self._route(exchange.name, key)
        wanted = f"{exchange.name}\0{key}" if with_queue else exchange.name
        attempts = 0
        while True:
            try:
                channel = self._channel
                if channel is None or channel.closed.done():
                    channel = await self._reopen()
                if wanted not in channel.declared:
                    await self._declare(channel, exchange, key if with_queue else None)
                if not channel.has_slot:
                    await channel.wait_slot()
                await channel.publish(route, properties, body)
            except (ConnectionLost, TimeoutError) as error:
                await self._after_loss(error)
            except ChannelClosed as error:
                attempts += 1
                _judge(error, attempts)
            else:
                self.published += 1
                return
            self.resent += 1

    async def publish_mandatory(self, queue: str, body: bytes) -> None:
        """Publish straight to a queue. Raises MessageUndeliverable when there is none, else as `publish`."""
        route = self._route("", queue)
        attempts = 0
        while True:
            try:
                channel = self._channel
                if channel is None or channel.closed.done():
                    channel = await self._reopen()
                if not channel.has_slot:
                    await channel.wait_slot()
                properties = identified(channel.next_message_id)
                await channel.publish(route, properties, body, mandatory=True)
            except (ConnectionLost, TimeoutError) as error:
                await self._after_loss(error)
            except ChannelClosed as error:
                attempts += 1
                _judge(error, attempts)
            else:
                self.published += 1
                return
            self.resent += 1

    async def _after_loss(self, error: ConnectionLost | TimeoutError) -> None:
        """Let the link notice the loss before the next attempt asks it for a connection."""
        log.debug("publish is sent again: %s", error)
        if isinstance(error, TimeoutError):
            (await self.link.wait_ready()).fail(str(error))
        # The link's own task runs between the loss and its notice of it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.link.wait_ready()

    async def _declare(self, channel: Channel, exchange: ExchangeSpec, queue: str | None) -> None:
        requests: list[base.Frame] = [exchange.declare()]
        if queue is not None:
            requests.append(commands.Queue.Declare(queue=queue, durable=exchange.durable))
            requests.append(commands.Queue.Bind(queue=queue, exchange=exchange.name, routing_key=queue))
        await channel.request_all(requests, timeout_s=self._settings.request_timeout_s)
        channel.declared.add(exchange.name)
        if queue is not None:
            channel.declared.add(f"{exchange.name}\0{queue}")

    async def _reopen(self) -> Channel:
        async with self._lock:
            connection = await self.link.wait_ready()
            if self._channel is None or self._channel.closed.done():
                await self._setup(connection)
            assert self._channel is not None
            return self._channel

    async def _setup(self, connection: Connection) -> None:
        channel = await connection.channel(timeout_s=self._settings.request_timeout_s)
        await channel.enable_confirms(timeout_s=self._settings.request_timeout_s)
        self._channel = channel

    def _route(self, exchange: str, key: str) -> bytes:
        route = self._routes.get((exchange, key))
        if route is None:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            route = self._routes[exchange, key] = route_bytes(exchange, key)
        return route


def _judge(error: ChannelClosed, attempts: int) -> None:
    """A channel that was closed over a missing exchange is worth another try, any other reason is final."""
    if error.code != 404 or attempts >= CHANNEL_ATTEMPTS:
        raise MessageDeliveryFailure(str(error)) from error
