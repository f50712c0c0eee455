"""Queues and their consumers: who gets which message, in which order, and what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from heapq import merge
from typing import TYPE_CHECKING

from harness.emulator.broker.arguments import queue_type
from harness.emulator.broker.message import Entry, Message
from harness.wire.amqp import deliver_head

if TYPE_CHECKING:
    from harness.emulator.broker.channel import Channel
    from harness.emulator.broker.server import Ledger
    from harness.emulator.broker.session import Session


class Consumer:
    """One basic.consume. `limit` is its prefetch count, 0 for none."""

    __slots__ = ("channel", "head", "limit", "no_ack", "queue", "tag", "unacked")

    def __init__(self, channel: Channel, queue: Queue, tag: str, *, no_ack: bool, limit: int) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.limit = limit
        self.unacked = 0
        self.head = deliver_head(tag)


class Queue:
    """A classic queue in memory.

    `ready` holds entries by rising `place`. Consumers take turns; one that is at its prefetch limit or whose socket is
    congested is passed over, so a slow consumer costs no memory beyond the queue itself.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        *,
        durable: bool,
        auto_delete: bool,
        owner: Session | None,
        arguments: dict[str, object],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        self.arguments = arguments
        self.kind = queue_type(arguments)
        self.ttl_ms = _milliseconds(arguments, "x-message-ttl")
        self.expires_ms = _milliseconds(arguments, "x-expires")
        self.ready: deque[Entry] = deque()
        self.consumers: deque[Consumer] = deque()
        self.exclusive_consumer = False
        self.unacked = 0
        self.is_deleted = False
        self.published = self.delivered = self.acked = 0
        self._clock = clock
        self._ledger = ledger
        self._next_place = 0
        self.used_at = clock()

    def put(self, message: Message) -> None:
        """Take a message: straight to a free consumer when nobody waits before it, else to the end of the queue."""
        place = self._next_place
        self._next_place = place + 1
        self.published += 1
        expires_at: float | None = None
        ttl_ms = self.ttl_ms
        if message.expiration_ms is not None:
            ttl_ms = message.expiration_ms if ttl_ms is None else min(ttl_ms, message.expiration_ms)
        if ttl_ms is not None:
            expires_at = self._clock() + ttl_ms / 1000
        entry = Entry(place, message, expires_at)
        self._ledger.hold(message.size)
        if self.consumers and not self.ready:
            consumer = self._free_consumer()
            if consumer is not None:
                self._hand_over(consumer, entry)
                return
        self.ready.append(entry)

    def pump(self) -> None:
        """Hand waiting messages to consumers until one side runs out."""
        ready = self.ready
        while ready:
            if ready[0].expires_at is not None and self._drop_expired():
                continue
            consumer = self._free_consumer()
            if consumer is None:
                return
            self._hand_over(consumer, ready.popleft())

    def get(self) -> Entry | None:
        """The next message for basic.get; it counts as unacked until `settle` or `requeue`."""
        self.used_at = self._clock()
        self._drop_expired()
        if not self.ready:
            return None
        self.unacked += 1
        return self.ready.popleft()

    def settle(self, entry: Entry) -> None:
        """The message is done: acked, rejected without requeue, or taken with no_ack."""
        self.unacked -= 1
        self.acked += 1
        self._ledger.release(entry.message.size)

    def requeue(self, entries: Iterable[Entry]) -> None:
        """Unacked messages come back, each to its old place, marked as redelivered."""
        back = sorted(entries, key=_place)
        if not back:
            return
        self.unacked -= len(back)
        for entry in back:
            entry.redelivered = True
        if self.is_deleted:
            for entry in back:
                self._ledger.release(entry.message.size)
            return
        if not self.ready or back[-1].place < self.ready[0].place:
            self.ready.extendleft(reversed(back))
        else:
            self.ready = deque(merge(back, self.ready, key=_place))
        self.pump()

    def purge(self) -> int:
        """Drop all ready messages; unacked ones stay. Returns how many went."""
        count = len(self.ready)
        for entry in self.ready:
            self._ledger.release(entry.message.size)
        self.ready.clear()
        return count

    def add_consumer(self, consumer: Consumer, *, exclusive: bool) -> None:
        """A consumer joins; `pump` afterwards, once its consume-ok is written."""
        self.consumers.append(consumer)
        self.exclusive_consumer = exclusive
        self.used_at = self._clock()

    def remove_consumer(self, consumer: Consumer) -> bool:
        """A consumer leaves. Returns True when the queue is now due for auto-delete."""
        try:
            self.consumers.remove(consumer)
        except ValueError:
            return False
        self.exclusive_consumer = False
        self.used_at = self._clock()
        return self.auto_delete and not self.consumers

    def is_expired(self, now: float) -> bool:
        """True when the queue has x-expires and nobody consumed, polled or declared it for that long."""
        return self.expires_ms is not None and not self.consumers and now - self.used_at >= self.expires_ms / 1000

    def touch(self) -> None:
        """Note that the queue was declared again, which restarts x-expires."""
        self.used_at = self._clock()

    def sweep(self) -> None:
        """Drop messages at the head that outlived their TTL (RabbitMQ too expires from the head only)."""
        self._drop_expired()

    @property
    def message_bytes(self) -> int:
        """Bytes of the bodies that are ready."""
        return sum(len(entry.message.body) for entry in self.ready)

    def _free_consumer(self) -> Consumer | None:
        consumers = self.consumers
        for _ in range(len(consumers)):
            consumer = consumers[0]
            consumers.rotate(-1)
            channel = consumer.channel
            if channel.session.congested or not channel.has_room(consumer):
                channel.waiting[self] = None
                continue
            return consumer
        return None

    def _hand_over(self, consumer: Consumer, entry: Entry) -> None:
        self.delivered += 1
        self.unacked += 1
        consumer.channel.deliver(consumer, entry)
        if consumer.no_ack:
            self.settle(entry)

    def _drop_expired(self) -> bool:
        ready, now, dropped = self.ready, self._clock(), False
        while ready:
            expires_at = ready[0].expires_at
            if expires_at is None or expires_at > now:
                break
            self._ledger.release(ready.popleft().message.size)
            dropped = True
        return dropped


def _place(entry: Entry) -> int:
    return entry.place


def _milliseconds(arguments: dict[str, object], name: str) -> int | None:
    value = arguments.get(name)
    assert value is None or isinstance(value, int), (name, value)  # the virtual host has checked it
    return value
