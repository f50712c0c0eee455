"""Consuming over a connection that may come and go: queues are declared again and consumed again on each new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pamqp import base, commands

from harness.emulator.messaging.channel import Channel
from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost
from harness.emulator.messaging.link import Link, LinkSettings
from harness.emulator.messaging.publisher import ExchangeSpec, queue_arguments
from harness.emulator.messaging.server import RpcServer

log = logging.getLogger("squall.messaging")

Take = Callable[[str, bytes], bool]
"""Takes a body for a server; False rejects the message without requeue."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue to consume. `is_own` queues are deleted when the bus closes; `exchange` None binds nothing."""

    queue: str
    server: str
    exchange: ExchangeSpec | None
    routing_key: str
    durable: bool = False
    is_quorum: bool = False
    expires_ms: int | None = None
    is_own: bool = False


class Listener:
    """All subscriptions of a process, in groups of one channel each."""

    def __init__(self, address: Address, settings: LinkSettings, *, name: str) -> None:
        self.link = Link(address, settings, name=name, setup=self._setup)
        self._settings = settings
        self._groups: list[_Group] = []
        self._lock = asyncio.Lock()

    def start(self) -> None:
        """Start connecting."""
        self.link.start()

    async def close(self) -> None:
        """Delete own queues as far as the broker answers, then close."""
        for group in self._groups:
            group.is_closing = True
            if group.restoring is not None:
                group.restoring.cancel()
            await group.delete_own()
        await self.link.close()

    async def add(
        self,
        subscriptions: Sequence[Subscription],
        take: Take,
        *,
        is_full: Callable[[], bool],
        prefetch: int = 0,
        server: RpcServer | None = None,
        acks_may_wait: bool = False,
    ) -> None:
        """Declare, bind and consume; returns when the broker has answered all. No deadline while it is away.

        Args:  acks_may_wait: no other process ever consumes these queues, so a crash before the acknowledgement makes
               nobody do the work again.
        """
        group = _Group(list(subscriptions), take, is_full, prefetch, self._settings, acks_may_wait=acks_may_wait)
        group.on_broken = lambda: self._restore(group)
        if server is not None:
            server.on_room = group.release
        self._groups.append(group)
        while group.channel is None or group.channel.closed.done():
            connection = await self.link.wait_ready()
            try:
                await self._open(group, connection)
            except (ConnectionLost, ChannelClosed, TimeoutError) as error:
                log.warning("consuming %s failed: %s", group.title, error)
                await asyncio.sleep(self._settings.reconnect_delay_s)

    async def _setup(self, connection: Connection) -> None:
        for group in self._groups:
            await self._open(group, connection)

    async def _open(self, group: _Group, connection: Connection) -> None:
        async with self._lock:
            if group.channel is None or group.channel.connection is not connection or group.channel.closed.done():
                await group.open(connection)

    def _restore(self, group: _Group) -> None:
        """A channel or queue is gone while the connection lives: set the group up again after the driver's delay."""
        task = asyncio.create_task(self._restored(group))
        group.restoring = task

    async def _restored(self, group: _Group) -> None:
        while not group.is_closing:
            await asyncio.sleep(self._settings.reconnect_delay_s)
            connection = await self.link.wait_ready()
            try:
                await self._open(group, connection)
            except (ConnectionLost, ChannelClosed, TimeoutError) as error:
                log.warning("consuming %s again failed: %s", group.title, error)
            else:
                return


class _Group:
    """Subscriptions that share a channel and a taker."""

    def __init__(
        self,
        subscriptions: list[Subscription],
        take: Take,
        is_full: Callable[[], bool],
        prefetch: int,
        settings: LinkSettings,
        *,
        acks_may_wait: bool,
    ) -> None:
        self.channel: Channel | None = None
        self.on_broken: Callable[[], None] | None = None
        self.restoring: asyncio.Task[None] | None = None
        self.closing: asyncio.Task[None] | None = None
        self.is_closing = False
        self._subscriptions = subscriptions
        self._take = take
        self._is_full = is_full
        self._prefetch = prefetch
        self._settings = settings
        self._acks_may_wait = acks_may_wait
        self._servers = {str(at).encode(): item.server for at, item in enumerate(subscriptions, 1)}
        self._held = 0

    @property
    def title(self) -> str:
        """For the log."""
        more = len(self._subscriptions) - 1
        return self._subscriptions[0].queue + (f" and {more} more" if more > 0 else "")

    async def open(self, connection: Connection) -> None:
        """Open a channel, declare, bind, consume. Raises ConnectionLost, ChannelClosed or TimeoutError."""
        timeout_s = self._settings.request_timeout_s
        channel = await connection.channel(timeout_s=timeout_s)
        channel.on_delivery = self._delivery
        channel.on_cancel = self._cancelled
        self._held = 0
        if self._prefetch:
            await channel.request(self._limit(), timeout_s=timeout_s)
        await channel.request_all(self._declarations(), timeout_s=timeout_s)
        self.channel = channel
        consumes: list[base.Frame] = [
            commands.Basic.Consume(queue=item.queue, consumer_tag=str(at))
            for at, item in enumerate(self._subscriptions, 1)
        ]
        await channel.request_all(consumes, timeout_s=timeout_s)
        channel.closed.add_done_callback(self._channel_closed)

    def _limit(self) -> commands.Basic.Qos:
        if not any(item.is_quorum for item in self._subscriptions):
            return commands.Basic.Qos(0, self._prefetch, True)
        # Quorum queues know no limit of a channel: each consumer gets its share.
        return commands.Basic.Qos(0, max(1, self._prefetch // len(self._subscriptions)), False)

    def _declarations(self) -> list[base.Frame]:
        requests: list[base.Frame] = []
        declared: set[str] = set()
        for item in self._subscriptions:
            if item.exchange is not None and item.exchange.name not in declared:
                declared.add(item.exchange.name)
                requests.append(item.exchange.declare())
            arguments = queue_arguments(is_quorum=item.is_quorum, expires_ms=item.expires_ms)
            requests.append(commands.Queue.Declare(queue=item.queue, durable=item.durable, arguments=arguments))
            if item.exchange is not None:
                requests.append(
                    commands.Queue.Bind(queue=item.queue, exchange=item.exchange.name, routing_key=item.routing_key)
                )
        return requests

    async def delete_own(self) -> None:
        """Delete the queues that only this process used."""
        own = [item.queue for item in self._subscriptions if item.is_own]
        if not own or self.channel is None or self.channel.closed.done():
            return
        try:
            await self.channel.request_all([commands.Queue.Delete(queue=name) for name in own], timeout_s=2.0)
        except (ConnectionLost, ChannelClosed, TimeoutError):
            pass  # they expire by themselves

    def release(self) -> None:
        """There is room again: acknowledge what was held back."""
        if self._held and self.channel is not None and not self.channel.closed.done():
            self.channel.ack(self._held)
            self._held = 0

    def _delivery(self, consumer_tag: bytes, delivery_tag: int, _header: bytes, body: bytes) -> None:
        channel = self.channel
        if channel is None:
            return
        try:
            is_taken = self._take(self._servers[consumer_tag], body)
        except Exception:
            log.exception("message for %s could not be taken, skipping it", self.title)
            is_taken = False
        if not is_taken:
            channel.reject(delivery_tag, requeue=False)
        elif self._is_full():
            self._held = delivery_tag
        else:
            self._held = 0
            channel.ack(delivery_tag, may_wait=self._acks_may_wait)

    def _cancelled(self, consumer_tag: str) -> None:
        if self.is_closing:
            return
        log.warning("the broker cancelled consumer %s of %s", consumer_tag, self.title)
        if self.channel is not None:
            # Every consumer of the channel is set up again, as the real driver does on a cancel.
            self.closing = asyncio.create_task(self.channel.close())

    def _channel_closed(self, closed: asyncio.Future[Exception]) -> None:
        reason = closed.result()
        if isinstance(reason, ChannelClosed) and not self.is_closing and self.on_broken is not None:
            log.warning("consuming %s is interrupted: %s", self.title, reason)
            self.on_broken()
