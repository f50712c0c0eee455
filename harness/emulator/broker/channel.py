"""One channel of a connection: its publishes, consumers and unacknowledged deliveries.

The rarer methods (declare, bind, delete, ...) are in `methods.py`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

from pamqp import commands

from harness.emulator.broker.arguments import LONGEST_MS
from harness.emulator.broker.message import Entry, Message
from harness.emulator.broker.queues import Consumer, Queue
from harness.wire import amqp
from harness.wire.amqp import AmqpError

if TYPE_CHECKING:
    from harness.emulator.broker.session import Session

_NO_SIZE = b"\0\x3c" + bytes(10)
"""Start of a content header of class basic without a body size: properties alone decide when a message expires."""


class Channel:
    """State of one open channel."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number
        self.consumers: dict[str, Consumer] = {}
        self.waiting: dict[Queue, None] = {}
        """Queues that had a message for this channel while it was full or its socket congested."""
        self.unacked: OrderedDict[int, tuple[Entry, Queue, Consumer | None]] = OrderedDict()
        self.channel_limit = 0
        self.consumer_limit = 0
        self.is_closing = False
        self.confirms = False
        self.last_queue = ""
        self.confirm_due = 0
        self._published = 0
        self._next_delivery = 1
        self.publishing: bytes | None = None
        """basic.publish whose content has not come whole yet: nothing else may come in between."""
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0

    # --- publishing ---------------------------------------------------------------------------------------------------

    def begin_publish(self, payload: bytes) -> None:
        """basic.publish arrived: its content must follow."""
        if len(payload) < 9:
            raise AmqpError(501, "FRAME_ERROR - basic.publish is too short", 60, 40)
        self.publishing = payload

    def out_of_turn(self) -> AmqpError:
        """What to say to a frame that is not the one that must follow."""
        if self.publishing is None:
            return AmqpError(505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead")
        wanted = "content body" if self._header else "content header for class 60"
        got = "non content body" if self._header else "non content header"
        return AmqpError(505, f"UNEXPECTED_FRAME - expected {wanted}, got {got} frame instead", 60, 40)

    def content_header(self, payload: bytes) -> None:
        """The content header of the publish under way."""
        if self.publishing is None or self._header:
            raise self.out_of_turn()
        if payload[:2] != b"\0\x3c" and len(payload) >= 14:
            text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class "
            raise AmqpError(505, f"{text}{int.from_bytes(payload[:2], 'big')} instead", 60, 40)
        size = amqp.body_size(payload)
        if size > self.session.broker.settings.max_message_bytes:
            text = f"PRECONDITION_FAILED - message size {size} is larger than configured max size "
            self.publishing = None
            raise AmqpError(406, f"{text}{self.session.broker.settings.max_message_bytes}", 60, 40)
        self._header = payload
        self._missing = size
        if not size:
            self._finish_publish(b"")

    def content_body(self, payload: bytes) -> None:
        """A body frame of the publish under way."""
        if not self._missing:
            raise self.out_of_turn()
        self._missing -= len(payload)
        if self._missing == 0 and not self._body:
            self._finish_publish(payload)
            return
        if self._missing < 0:
            raise self.out_of_turn()
        self._body.append(payload)
        if self._missing == 0:
            body = b"".join(self._body)
            self._body.clear()
            self._finish_publish(body)

    def _finish_publish(self, body: bytes) -> None:
        payload, header = self.publishing, self._header
        assert isinstance(payload, bytes)
        self.publishing, self._header = None, b""
        session = self.session
        route = payload[6:-1]
        if payload[-1] & 2:
            raise AmqpError(540, "NOT_IMPLEMENTED - immediate=true", 60, 40)
        if session.restricted:
            exchange = amqp.split_route(route)[0]
            session.require("write", exchange, "exchange", 60, 40)
        if header[13] & 0x10:
            self._check_user(_NO_SIZE + header[12:])
        queues = session.vhost.route(route)
        self._published += 1
        expiration_ms = _expiration_ms(_NO_SIZE + header[12:]) if header[12] & 1 else None
        if queues:
            message = Message(route, header[12:], body, expiration_ms)
            for queue in queues:
                queue.put(message)
        elif payload[-1] & 1:
            self._return(route, header[12:], body)
        if self.confirms:
            self.confirm_due = self._published
            # The two halves of a call: a request expires, a reply is mandatory. Their senders wait for something else.
            session.confirm(self, may_wait=expiration_ms is not None or payload[-1] & 1 == 1)

    def _check_user(self, header: bytes) -> None:
        """The user-id property, when set, must be true. Raises AmqpError 406."""
        said, user = amqp.decode_properties(header).user_id, self.session.user
        if user is not None and said != user.name:
            text = f"PRECONDITION_FAILED - user_id property set to '{said}' but authenticated user was '{user.name}'"
            raise AmqpError(406, text[:255], 60, 40)

    def _return(self, route: bytes, properties: bytes, body: bytes) -> None:
        exchange, key = amqp.split_route(route)
        method = commands.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange=exchange, routing_key=key)
        self.session.write(amqp.method_frame(self.number, method))
        self.session.write(amqp.content_frames(self.number, properties, body, self.session.frame_max))

    # --- delivering ---------------------------------------------------------------------------------------------------

    def has_room(self, consumer: Consumer) -> bool:
        """True while prefetch limits allow one more delivery to `consumer`."""
        if consumer.no_ack:
            return True
        if consumer.limit and consumer.unacked >= consumer.limit:
            return False
        return not self.channel_limit or len(self.unacked) < self.channel_limit

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Write one delivery; the queue has already counted it."""
        tag = self._next_delivery
        self._next_delivery = tag + 1
        if not consumer.no_ack:
            self.unacked[tag] = (entry, consumer.queue, consumer)
            consumer.unacked += 1
        message, session = entry.message, self.session
        session.write(
            amqp.deliver_frame(self.number, consumer.head, tag, entry.redelivered, message.route)
            + amqp.content_frames(self.number, message.properties, message.body, session.frame_max)
        )

    def get(self, queue: Queue, *, no_ack: bool) -> None:
        """basic.get."""
        entry = queue.get()
        if entry is None:
            self.session.write(amqp.method_frame(self.number, commands.Basic.GetEmpty()))
            return
        tag = self._next_delivery
        self._next_delivery = tag + 1
        exchange, key = amqp.split_route(entry.message.route)
        method = commands.Basic.GetOk(tag, entry.redelivered, exchange, key, len(queue.ready))
        self.session.write(amqp.method_frame(self.number, method))
        self.session.write(
            amqp.content_frames(self.number, entry.message.properties, entry.message.body, self.session.frame_max)
        )
        if no_ack:
            queue.settle(entry)
        else:
            self.unacked[tag] = (entry, queue, None)

    def ack(self, tag: int, *, multiple: bool) -> None:
        """basic.ack. Raises AmqpError 406 for a delivery tag that is not outstanding."""
        for entry, queue, consumer in self._take(tag, multiple):
            if consumer is not None:
                consumer.unacked -= 1
            queue.settle(entry)
        if self.waiting:
            self.pump()

    def reject(self, tag: int, *, multiple: bool, requeue: bool, method_id: int = 120) -> None:
        """basic.reject and basic.nack. Raises AmqpError 406 for a delivery tag that is not outstanding."""
        self._give_back(self._take(tag, multiple, method_id), requeue=requeue)
        if self.waiting:
            self.pump()

    def recover(self) -> None:
        """basic.recover with requeue: all unacknowledged messages go back to their queues."""
        taken = list(self.unacked.values())
        self.unacked.clear()
        self._give_back(taken, requeue=True)

    def pump(self) -> None:
        """Ask the queues that were turned away again; call it when there is room again."""
        waiting = self.waiting
        self.waiting = {}
        for queue in waiting:
            queue.pump()

    def _take(self, tag: int, multiple: bool, method_id: int = 80) -> list[tuple[Entry, Queue, Consumer | None]]:
        unacked = self.unacked
        if not multiple:
            found = unacked.pop(tag, None)
            if found is None:
                raise AmqpError(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}", 60, method_id)
            return [found]
        if tag == 0:
            taken = list(unacked.values())
            unacked.clear()
            return taken
        if tag >= self._next_delivery or tag not in unacked:
            raise AmqpError(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}", 60, method_id)
        taken = []
        while unacked:
            first, value = unacked.popitem(last=False)
            if first > tag:
                unacked[first] = value
                unacked.move_to_end(first, last=False)
                break
            taken.append(value)
        return taken

    def _give_back(self, taken: list[tuple[Entry, Queue, Consumer | None]], *, requeue: bool) -> None:
        returned: dict[Queue, list[Entry]] = {}
        for entry, queue, consumer in taken:
            if consumer is not None:
                consumer.unacked -= 1
            if requeue:
                returned.setdefault(queue, []).append(entry)
            else:
                queue.settle(entry)
        for queue, entries in returned.items():
            queue.requeue(entries)

    # --- life ---------------------------------------------------------------------------------------------------------

    def cancel(self, tag: str) -> None:
        """The client cancels a consumer; an unknown tag is no error."""
        consumer = self.consumers.pop(tag, None)
        if consumer is not None and consumer.queue.remove_consumer(consumer):
            self.session.vhost.delete_queue(consumer.queue)

    def cancelled_by_broker(self, consumer: Consumer) -> None:
        """The queue is gone: tell the client, if it said it understands."""
        self.consumers.pop(consumer.tag, None)
        if self.session.wants_cancel_notice:
            method = commands.Basic.Cancel(consumer.tag, nowait=True)
            self.session.write(amqp.method_frame(self.number, method))

    def drop(self) -> None:
        """The channel is over: consumers leave first, so that nothing returns to them, then messages go back."""
        for tag in list(self.consumers):
            self.cancel(tag)
        self.session.write_confirms()
        self.waiting.clear()
        self.publishing, self._header, self._missing = None, b"", 0
        self._body.clear()
        self.recover()


@lru_cache(maxsize=1024)
def _expiration_ms(header: bytes) -> int | None:
    """The `expiration` property in ms. Raises AmqpError 406 when it is not a number, as RabbitMQ does."""
    text = amqp.decode_properties(header).expiration
    if text is None:
        return None
    if problem := _expiration_problem(text):
        raise AmqpError(406, f"PRECONDITION_FAILED - invalid expiration '{text}': {problem}"[:255], 60, 40)
    return int(text)


def _expiration_problem(text: str) -> str:
    """Erlang's word for what is wrong with an expiration; empty when nothing is."""
    found = re.match(r"[+-]?[0-9]+", text, re.ASCII)
    if found is None:
        return "no_integer"
    if found.end() < len(text):
        return f'{{leftover_string,"{text[found.end() :]}"}}'
    value = int(text)
    if value < 0:
        return f"{{value_negative,{value}}}"
    return f"{{value_too_large,{value}}}" if value > LONGEST_MS else ""
