"""The rarer channel methods: declarations, bindings, consumers, limits."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from pamqp import commands

from harness.emulator.broker.arguments import QUORUM
from harness.emulator.broker.channel import Channel
from harness.emulator.broker.queues import Consumer
from harness.emulator.broker.vhost import Exchange
from harness.wire.amqp import AmqpError, method_frame

Reply = Any
"""The method that answers, or None."""


def handle(channel: Channel, method: Any) -> None:
    """Carry out one method and write its reply, unless the client asked for none.

    Raises:  AmqpError as the method's own rules demand, 540 for a method that is not offered, 503 or 505 for one that
             only a broker says.
    """
    handler = _HANDLERS.get(type(method))
    if handler is None:
        raise _not_handled(method)
    reply = handler(channel, method)
    if reply is not None and not getattr(method, "nowait", False):
        channel.session.write(method_frame(channel.number, reply))
    if isinstance(method, commands.Basic.Consume):
        # After consume-ok: a client must know the tag before the first delivery.
        channel.consumers[channel.session.last_tag].queue.pump()


def _exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> Reply:
    vhost, session = channel.session.vhost, channel.session
    _not_default(method.exchange, 40, 10)
    if method.passive:
        vhost.exchange(method.exchange)
        return commands.Exchange.DeclareOk()
    session.require("configure", method.exchange, "exchange", 40, 10)
    vhost.declare_exchange(
        Exchange(
            method.exchange,
            method.exchange_type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=dict(method.arguments or {}),
        )
    )
    return commands.Exchange.DeclareOk()


def _exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> Reply:
    channel.session.require("configure", method.exchange, "exchange", 40, 20)
    channel.session.vhost.delete_exchange(method.exchange, if_unused=method.if_unused)
    return commands.Exchange.DeleteOk()


def _exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> Reply:
    vhost = channel.session.vhost
    _not_default(method.destination, 40, 30)
    _not_default(method.source, 40, 30)
    channel.session.require("write", method.destination, "exchange", 40, 30)
    channel.session.require("read", method.source, "exchange", 40, 30)
    source, target = vhost.exchange(method.source, 40, 30), vhost.exchange(method.destination, 40, 30)
    vhost.bind(source, method.routing_key, target)
    return commands.Exchange.BindOk()


def _exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> Reply:
    vhost = channel.session.vhost
    _not_default(method.destination, 40, 40)
    _not_default(method.source, 40, 40)
    channel.session.require("write", method.destination, "exchange", 40, 40)
    channel.session.require("read", method.source, "exchange", 40, 40)
    source, target = vhost.exchanges.get(method.source), vhost.exchanges.get(method.destination)
    if source is not None and target is not None:
        vhost.unbind(source, method.routing_key, target)
    return commands.Exchange.UnbindOk()


def _queue_declare(channel: Channel, method: commands.Queue.Declare) -> Reply:
    session = channel.session
    if method.passive:
        queue = session.vhost.queue(method.queue, session)
    else:
        arguments = dict(method.arguments or {})
        queue = session.vhost.declare_queue(
            _allowed_name(channel, method.queue, arguments),
            session,
            durable=method.durable,
            exclusive=method.exclusive,
            auto_delete=method.auto_delete,
            arguments=arguments,
        )
    queue.sweep()
    channel.last_queue = queue.name
    return commands.Queue.DeclareOk(queue.name, len(queue.ready), len(queue.consumers))


def _queue_bind(channel: Channel, method: commands.Queue.Bind) -> Reply:
    session = channel.session
    name = _named(channel, method.queue, 50, 20)
    session.require("write", name, "queue", 50, 20)
    _not_default(method.exchange, 50, 20)
    session.require("read", method.exchange, "exchange", 50, 20)
    exchange = session.vhost.exchange(method.exchange, 50, 20)
    queue = session.vhost.queue(name, session, 50, 20)
    session.vhost.bind(exchange, method.routing_key, queue)
    return commands.Queue.BindOk()


def _queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> Reply:
    session = channel.session
    name = _named(channel, method.queue, 50, 50)
    session.require("write", name, "queue", 50, 50)
    _not_default(method.exchange, 50, 50)
    session.require("read", method.exchange, "exchange", 50, 50)
    exchange = session.vhost.exchanges.get(method.exchange)
    # What is not there is not bound: no error.
    if exchange is not None and name in session.vhost.queues:
        session.vhost.unbind(exchange, method.routing_key, session.vhost.queue(name, session, 50, 50))
    return commands.Queue.UnbindOk()


def _queue_purge(channel: Channel, method: commands.Queue.Purge) -> Reply:
    name = _named(channel, method.queue, 50, 30)
    channel.session.require("read", name, "queue", 50, 30)
    queue = channel.session.vhost.queue(name, channel.session, 50, 30)
    return commands.Queue.PurgeOk(queue.purge())


def _queue_delete(channel: Channel, method: commands.Queue.Delete) -> Reply:
    session = channel.session
    name = _named(channel, method.queue, 50, 40)
    session.require("configure", name, "queue", 50, 40)
    if name not in session.vhost.queues:
        return commands.Queue.DeleteOk(0)
    queue = session.vhost.queue(name, session, 50, 40)
    if queue.kind == QUORUM and (method.if_unused or method.if_empty):
        flag = "if-unused" if method.if_unused else "if-empty"
        text = (
            f"NOT_IMPLEMENTED - cannot delete queue '{name}' in vhost '{session.vhost.name}'. queue.delete operations "
        )
        raise AmqpError(540, f"{text}with {flag} flag set are not supported by quorum queues"[:255], 50, 40)
    if method.if_unused and queue.consumers:
        raise AmqpError(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '{session.vhost.name}' in use", 50, 40)
    if method.if_empty and queue.ready:
        raise AmqpError(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '{session.vhost.name}' not empty", 50, 40)
    return commands.Queue.DeleteOk(session.vhost.delete_queue(queue))


def _qos(channel: Channel, method: commands.Basic.Qos) -> Reply:
    if method.prefetch_size:
        raise AmqpError(540, f"NOT_IMPLEMENTED - prefetch_size!=0 ({method.prefetch_size})", 60, 10)
    # RabbitMQ's reading: global is the limit of the channel, otherwise of each consumer that comes later.
    if method.global_:
        channel.channel_limit = method.prefetch_count
        channel.pump()
    else:
        channel.consumer_limit = method.prefetch_count
    return commands.Basic.QosOk()


def _consume(channel: Channel, method: commands.Basic.Consume) -> Reply:
    session = channel.session
    name = _named(channel, method.queue, 60, 20)
    session.require("read", name, "queue", 60, 20)
    queue = session.vhost.queue(name, session, 60, 20)
    tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
    if tag in channel.consumers:
        raise AmqpError(530, f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'", 60, 20)
    if queue.exclusive_consumer or (method.exclusive and queue.consumers):
        text = f"ACCESS_REFUSED - queue '{queue.name}' in vhost '{session.vhost.name}' in exclusive use"
        raise AmqpError(403, text, 60, 20)
    if queue.kind == QUORUM and channel.channel_limit:
        text = f"NOT_IMPLEMENTED - queue '{queue.name}' in vhost '{session.vhost.name}' does not support global qos"
        raise AmqpError(540, text, 60, 20)
    consumer = Consumer(channel, queue, tag, no_ack=method.no_ack, limit=channel.consumer_limit)
    channel.consumers[tag] = consumer
    queue.add_consumer(consumer, exclusive=method.exclusive)
    session.last_tag = tag
    return commands.Basic.ConsumeOk(tag)


def _cancel(channel: Channel, method: commands.Basic.Cancel) -> Reply:
    channel.cancel(method.consumer_tag)
    return commands.Basic.CancelOk(method.consumer_tag)


def _get(channel: Channel, method: commands.Basic.Get) -> Reply:
    session = channel.session
    name = _named(channel, method.queue, 60, 70)
    session.require("read", name, "queue", 60, 70)
    queue = session.vhost.queue(name, session, 60, 70)
    channel.get(queue, no_ack=method.no_ack)
    return None


def _reject(channel: Channel, method: commands.Basic.Reject) -> Reply:
    channel.reject(method.delivery_tag, multiple=False, requeue=method.requeue, method_id=90)
    return None


def _recover(channel: Channel, method: commands.Basic.Recover) -> Reply:
    if not method.requeue:
        raise AmqpError(540, "NOT_IMPLEMENTED - requeue=false", 60, 110)
    channel.recover()
    return commands.Basic.RecoverOk()


def _recover_async(channel: Channel, method: commands.Basic.RecoverAsync) -> Reply:
    if not method.requeue:
        raise AmqpError(540, "NOT_IMPLEMENTED - requeue=false", 60, 100)
    channel.recover()
    return None


def _confirm_select(channel: Channel, method: commands.Confirm.Select) -> Reply:
    channel.confirms = True
    return commands.Confirm.SelectOk()


def _flow(channel: Channel, method: commands.Channel.Flow) -> Reply:
    if not method.active:
        raise AmqpError(540, "NOT_IMPLEMENTED - active=false", 20, 20)
    return commands.Channel.FlowOk(True)


def _named(channel: Channel, name: str, class_id: int, method_id: int) -> str:
    """An empty queue name means the last one declared on the channel."""
    if name:
        return name
    if not channel.last_queue:
        raise AmqpError(404, "NOT_FOUND - no previously declared queue", class_id, method_id)
    return channel.last_queue


def _allowed_name(channel: Channel, name: str, arguments: dict[str, object]) -> str:
    """The name of a queue to declare; an empty one asks for a generated one. Raises AmqpError 403 or 406."""
    if not name and arguments.get("x-queue-type") == QUORUM:
        text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
        raise AmqpError(406, text, 50, 10)
    if name.startswith("amq.") and name not in channel.session.vhost.queues:
        raise AmqpError(403, f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'", 50, 10)
    name = name or f"amq.gen-{secrets.token_urlsafe(16)}"
    channel.session.require("configure", name, "queue", 50, 10)
    return name


def _not_default(exchange: str, class_id: int, method_id: int) -> None:
    if exchange == "":
        text = "ACCESS_REFUSED - operation not permitted on the default exchange"
        raise AmqpError(403, text, class_id, method_id)


def _not_handled(method: Any) -> AmqpError:
    where = method.index >> 16, method.index & 0xFFFF
    if where[0] == 90:
        return AmqpError(540, f"NOT_IMPLEMENTED - {method.name} is not offered by this broker", *where)
    if isinstance(method, commands.Basic.Deliver | commands.Basic.Return | commands.Basic.GetOk):
        text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
        return AmqpError(505, text, *where)
    return AmqpError(503, "COMMAND_INVALID - unimplemented method", *where)


_HANDLERS: dict[type, Callable[[Channel, Any], Reply]] = {
    commands.Exchange.Declare: _exchange_declare,
    commands.Exchange.Delete: _exchange_delete,
    commands.Exchange.Bind: _exchange_bind,
    commands.Exchange.Unbind: _exchange_unbind,
    commands.Queue.Declare: _queue_declare,
    commands.Queue.Bind: _queue_bind,
    commands.Queue.Unbind: _queue_unbind,
    commands.Queue.Purge: _queue_purge,
    commands.Queue.Delete: _queue_delete,
    commands.Basic.Qos: _qos,
    commands.Basic.Consume: _consume,
    commands.Basic.Cancel: _cancel,
    commands.Basic.Get: _get,
    commands.Basic.Reject: _reject,
    commands.Basic.Recover: _recover,
    commands.Basic.RecoverAsync: _recover_async,
    commands.Confirm.Select: _confirm_select,
    commands.Channel.Flow: _flow,
}
