"""`Bus`: RPC and notifications of one process, on two AMQP connections (one sends, one listens)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from harness.emulator.messaging import envelope
from harness.emulator.messaging.connection import Address
from harness.emulator.messaging.envelope import CallContext
from harness.emulator.messaging.errors import ConnectionLost, MessageUndeliverable, MessagingTimeout
from harness.emulator.messaging.link import LinkSettings
from harness.emulator.messaging.listener import Listener, Subscription
from harness.emulator.messaging.publisher import ExchangeSpec, Publisher
from harness.emulator.messaging.server import RpcServer

if TYPE_CHECKING:
    from harness.emulator.settings import Settings

log = logging.getLogger("squall.messaging")

GONE_QUEUES = 200
"""Reply queues remembered as gone, for `gone_ttl_s` each: nobody waits a minute for each of their replies."""


@dataclass(frozen=True, slots=True)
class BusSettings:
    """One process's way to the broker. Times are real seconds, multiplied by `time_scale` when used.

    Defaults are oslo.messaging 18's (impl_rabbit.py): reply and fanout queues live 1800 s without a consumer, a reply
    whose queue is missing is tried again every 0.25 s for 60 s. `durable_queues` and `quorum_queues` are for topic
    queues and their exchanges (amqp_durable_queues, rabbit_quorum_queue), `transient_quorum_queues` is for reply and
    fanout queues (rabbit_transient_quorum_queue). `notifications` are off, as the real services have no notification
    driver by default: with nobody to read them they would pile up in `notifications.info`. `prefetch` is for each
    served channel and bounds memory: the real driver has none, but its unbounded backlog is acknowledged too.
    """

    address: Address
    name: str = "squall"
    time_scale: float = 1.0
    rpc_response_timeout_s: float = 60.0
    heartbeat_s: float = 60.0
    reconnect_interval_s: float = 1.0
    reconnect_backoff_s: float = 2.0
    reconnect_max_s: float = 30.0
    durable_queues: bool = False
    quorum_queues: bool = False
    transient_quorum_queues: bool = False
    transient_queue_ttl_s: float = 1800.0
    missing_queue_retry_s: float = 60.0
    missing_queue_interval_s: float = 0.25
    gone_ttl_s: float = 60.0
    prefetch: int = 1024
    notifications: bool = False

    @property
    def has_durable_queues(self) -> bool:
        """Whether topic queues and their exchanges survive the broker: quorum queues cannot but do so."""
        return self.durable_queues or self.quorum_queues

    def scaled(self, seconds: float) -> float:
        """A real duration in this cloud's seconds."""
        return seconds * self.time_scale

    def link(self) -> LinkSettings:
        """Timings of the connections. A heartbeat is at least 2 s: a busy machine must not be taken for a dead one."""
        return LinkSettings(
            heartbeat_s=max(2, round(self.scaled(self.heartbeat_s))) if self.heartbeat_s else 0,
            connect_timeout_s=max(1.0, self.scaled(60.0)),
            request_timeout_s=max(5.0, self.scaled(60.0)),
            reconnect_delay_s=self.scaled(1.0),
            retry_first_s=self.scaled(self.reconnect_interval_s),
            retry_step_s=self.scaled(self.reconnect_backoff_s),
            retry_max_s=self.scaled(self.reconnect_max_s),
        )


class Bus:
    """RPC client, RPC servers and notifier of one process.

    `drop_cast`, when set, is asked for each cast (topic, method) and makes it vanish by answering True: the truth
    switch `lost_cast`.
    """

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self.drop_cast: Callable[[str, str], bool] | None = None
        # Names must differ between processes that share a seed, so this is the system's randomness on purpose.
        self._ids = random.Random(random.SystemRandom().getrandbits(256))
        link = settings.link()
        self.publisher = Publisher(settings.address, link, name=f"{settings.name}:send")
        self.listener = Listener(settings.address, link, name=f"{settings.name}:listen")
        self.reply_queue = f"reply_{self._new_id()}"
        self._has_reply_queue = False
        self._reply_lock = asyncio.Lock()
        self._waiters: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone: OrderedDict[str, float] = OrderedDict()
        self._servers: list[RpcServer] = []
        self._exchanges: dict[str, ExchangeSpec] = {}

    @classmethod
    def of(cls, settings: Settings, *, name: str) -> Bus:
        """The bus of process `name` of an emulated cloud."""
        broker = settings.broker
        return cls(
            BusSettings(
                address=Address(
                    broker.host, broker.port, broker.user, broker.password, broker.virtual_host, broker.socket
                ),
                name=name,
                time_scale=settings.time_scale,
                rpc_response_timeout_s=broker.rpc_response_timeout_s,
                heartbeat_s=broker.heartbeat_s,
                reconnect_interval_s=broker.reconnect_interval_s,
                reconnect_backoff_s=broker.reconnect_backoff_s,
                reconnect_max_s=broker.reconnect_max_s,
                durable_queues=broker.durable_queues,
                quorum_queues=broker.quorum_queues,
                transient_quorum_queues=broker.transient_quorum_queues,
                transient_queue_ttl_s=broker.transient_queue_ttl_s,
                notifications=bool(getattr(broker, "notifications", False)),
            )
        )

    async def start(self) -> None:
        """Connect both connections. Waits for the broker without a deadline, as the real services do at their start."""
        self.publisher.start()
        self.listener.start()
        await asyncio.gather(self.publisher.link.wait_ready(), self.listener.link.wait_ready())

    async def close(self) -> None:
        """Stop serving, fail waiting calls with ConnectionLost, close both connections."""
        await self.listener.close()
        for server in self._servers:
            await server.stop()
        await self.publisher.close()
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(ConnectionLost("the bus is closed"))

    # --- sending ------------------------------------------------------------------------------------------------------

    async def call(
        self,
        topic: str,
        method: str,
        args: dict[str, Any],
        *,
        server: str | None = None,
        exchange: str = "nova",
        version: str = "1.0",
        context: CallContext | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Call a remote method and wait for its result.

        Args:    timeout_s: real seconds, scaled; `rpc_response_timeout` when None. It runs from the moment the broker
                 has confirmed the request: while the broker is blocked or away there is no deadline, as for real.
        Raises:  MessagingTimeout without a reply in time, RemoteError when the method raised, MessageDeliveryFailure
                 when the broker refuses the request.
        """
        if not self._has_reply_queue:
            await self._open_reply_queue()
        deadline_s = self.settings.scaled(self.settings.rpc_response_timeout_s if timeout_s is None else timeout_s)
        msg_id = self._new_id()
        message = self._message(method, args, version, context)
        message["_msg_id"] = msg_id
        message["_reply_q"] = self.reply_queue
        message["_timeout"] = None
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # kept: to ask for it costs a system call
        loop = self._loop
        waiter: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._waiters[msg_id] = waiter
        timer: asyncio.TimerHandle | None = None
        try:
            # A request that nobody took before its caller gave up must not be done later.
            properties = envelope.expiring(int(deadline_s * 1000))
            await self.publisher.publish(
                self._topic_exchange(exchange),
                _key(topic, server),
                envelope.wrap(message),
                properties,
                reply=waiter,
            )
            timer = loop.call_later(deadline_s, _expire, waiter, self.reply_queue, msg_id)
            reply = await waiter
        finally:
            del self._waiters[msg_id]
            if timer is not None:
                timer.cancel()
        if reply.get("failure"):
            raise envelope.remote_error(reply["failure"])
        return reply.get("result")

    async def cast(
        self,
        topic: str,
        method: str,
        args: dict[str, Any],
        *,
        server: str | None = None,
        fanout: bool = False,
        exchange: str = "nova",
        version: str = "1.0",
        context: CallContext | None = None,
    ) -> None:
        """Send a request and forget it. Returns when the broker confirmed it: not that anybody will run it.

        While the broker blocks or is away it waits, without any deadline, as the real driver does.
        Raises:  MessageDeliveryFailure when the broker refuses it.
        """
        if self.drop_cast is not None and self.drop_cast(topic, method):
            return
        body = envelope.wrap(self._message(method, args, version, context))
        if fanout:
            await self.publisher.publish(self._fanout_exchange(topic), "", body, envelope.PROPERTIES)
        else:
            spec = self._topic_exchange(exchange)
            await self.publisher.publish(spec, _key(topic, server), body, envelope.PROPERTIES)

    async def notify(
        self,
        event_type: str,
        payload: dict[str, Any],
        *,
        publisher_id: str,
        exchange: str = "nova",
        context: CallContext | None = None,
    ) -> None:
        """Send a notification of priority INFO to `notifications.info`.

        As in the real driver its queue is declared by the sender, so notifications pile up when nobody reads them; it
        does nothing unless `BusSettings.notifications` is on.
        """
        if not self.settings.notifications:
            return
        raw = self._new_id()
        message = {
            "message_id": f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}",
            "publisher_id": publisher_id,
            "event_type": event_type,
            "priority": "INFO",
            "payload": payload,
            "timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat(" "),
            "_unique_id": self._new_id(),
        }
        envelope.pack_context(message, context)
        await self.publisher.publish(
            self._topic_exchange(exchange),
            "notifications.info",
            envelope.wrap(message),
            envelope.PROPERTIES,
            with_queue=True,
        )

    # --- serving ------------------------------------------------------------------------------------------------------

    async def serve(
        self, topic: str, endpoint: object, *, server: str, exchange: str = "nova", concurrency: int = 64
    ) -> None:
        """Serve `endpoint` on queues `topic` and `topic.server` and on a fanout queue. Returns when they are consumed.

        `concurrency` is the number of requests handled at once (64 threads as executor_thread_pool_size).
        """
        await self._subscribe(
            endpoint,
            concurrency,
            [
                self._topic_subscription(exchange, topic, server),
                self._topic_subscription(exchange, f"{topic}.{server}", server),
                self._fanout_subscription(topic, server),
            ],
        )

    async def serve_many(
        self,
        topic: str,
        endpoint: object,
        *,
        servers: Sequence[str],
        exchange: str = "nova",
        concurrency: int = 64,
        fanout: bool = False,
    ) -> None:
        """Serve `endpoint` for many simulated servers: one queue `topic.server` each, one channel for all.

        `context.server` says who was addressed. `concurrency` is for all of them together. With `fanout` one fanout
        queue serves them all: such a request runs once, with an empty `context.server`.
        """
        subscriptions = [self._topic_subscription(exchange, f"{topic}.{server}", server) for server in servers]
        if fanout:
            subscriptions.append(self._fanout_subscription(topic, ""))
        await self._subscribe(endpoint, concurrency, subscriptions)

    async def _subscribe(self, endpoint: object, concurrency: int, subscriptions: list[Subscription]) -> None:
        server = RpcServer(endpoint, concurrency=concurrency, reply=self._send_reply)
        self._servers.append(server)
        await self.listener.add(
            subscriptions,
            server.take,
            is_full=lambda: server.is_full,
            prefetch=self.settings.prefetch,
            server=server,
            acks_may_wait=all(subscription.is_own for subscription in subscriptions),
        )

    def _topic_subscription(self, exchange: str, queue: str, server: str) -> Subscription:
        return Subscription(
            queue=queue,
            server=server,
            exchange=self._topic_exchange(exchange),
            routing_key=queue,
            durable=self.settings.has_durable_queues,
            is_quorum=self.settings.quorum_queues,
        )

    def _fanout_subscription(self, topic: str, server: str) -> Subscription:
        return Subscription(
            queue=f"{topic}_fanout_{self._new_id()}",
            server=server,
            exchange=self._fanout_exchange(topic),
            routing_key=topic,
            durable=self.settings.transient_quorum_queues,
            is_quorum=self.settings.transient_quorum_queues,
            expires_ms=self._transient_ms(),
            is_own=True,
        )

    # --- replies ------------------------------------------------------------------------------------------------------

    async def _open_reply_queue(self) -> None:
        async with self._reply_lock:
            if self._has_reply_queue:
                return
            subscription = Subscription(
                queue=self.reply_queue,
                server="",
                exchange=None,
                routing_key="",
                durable=self.settings.transient_quorum_queues,
                is_quorum=self.settings.transient_quorum_queues,
                expires_ms=self._transient_ms(),
            )
            await self.listener.add(
                [subscription], self._take_reply, is_full=lambda: False, prefetch=0, acks_may_wait=True
            )
            self._has_reply_queue = True

    def _take_reply(self, _server: str, body: bytes) -> bool:
        try:
            message = envelope.unwrap(body)
        except envelope.BadEnvelope as error:
            log.error("reply dropped: %s", error)
            return False
        waiter = self._waiters.get(message.get("_msg_id", ""))
        if waiter is None:
            log.info("no call waits for reply %s", message.get("_msg_id"))
        elif not waiter.done() and message.get("ending"):
            waiter.set_result(message)
        return True

    async def _send_reply(self, queue: str, message: dict[str, Any]) -> None:
        """Send a reply; a missing queue is tried again for `missing_queue_retry_s`, then remembered as gone."""
        settings = self.settings
        gone_at = self._gone.get(queue)
        if gone_at is not None:
            if time.monotonic() - gone_at < settings.scaled(settings.gone_ttl_s):
                log.warning("%s does not exist, reply %s dropped", queue, message["_msg_id"])
                return
            del self._gone[queue]
        message["_unique_id"] = self._new_id()
        body = envelope.wrap(message)
        end = time.monotonic() + settings.scaled(settings.missing_queue_retry_s)
        while True:
            try:
                await self.publisher.publish_mandatory(queue, body)
            except MessageUndeliverable:
                if time.monotonic() >= end:
                    log.error("reply %s was not sent: queue %s is missing", message["_msg_id"], queue)
                    self._gone[queue] = time.monotonic()
                    if len(self._gone) > GONE_QUEUES:
                        self._gone.popitem(last=False)
                    return
                await asyncio.sleep(settings.scaled(settings.missing_queue_interval_s))
            else:
                return

    # --- parts --------------------------------------------------------------------------------------------------------

    def _message(self, method: str, args: dict[str, Any], version: str, context: CallContext | None) -> dict[str, Any]:
        message: dict[str, Any] = {"method": method, "args": args, "version": version, "_unique_id": self._new_id()}
        envelope.pack_context(message, context)
        return message

    def _topic_exchange(self, name: str) -> ExchangeSpec:
        spec = self._exchanges.get(name)
        if spec is None:
            spec = self._exchanges[name] = ExchangeSpec(
                name, "topic", durable=self.settings.has_durable_queues, has_quorum_queues=self.settings.quorum_queues
            )
        return spec

    def _fanout_exchange(self, topic: str) -> ExchangeSpec:
        durable = self.settings.transient_quorum_queues
        return ExchangeSpec(f"{topic}_fanout", "fanout", durable=durable, auto_delete=True)

    def _transient_ms(self) -> int:
        return max(1000, int(self.settings.scaled(self.settings.transient_queue_ttl_s) * 1000))

    def _new_id(self) -> str:
        return f"{self._ids.getrandbits(128):032x}"


def _key(topic: str, server: str | None) -> str:
    return f"{topic}.{server}" if server else topic


def _expire(waiter: asyncio.Future[dict[str, Any]], queue: str, msg_id: str) -> None:
    if not waiter.done():
        text = f"Timed out waiting for a reply {queue} to message ID {msg_id}."
        waiter.set_exception(MessagingTimeout(text))
