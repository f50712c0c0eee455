"""What the management paths answer."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.emulator.broker import changes
from harness.emulator.broker.found import NotFound, exchange_of, queue_of, session_of, user_of, vhost_of
from harness.emulator.broker.queues import Queue
from harness.emulator.broker.users import User
from harness.emulator.broker.vhost import Exchange, VirtualHost

if TYPE_CHECKING:
    from harness.emulator.broker.channel import Channel
    from harness.emulator.broker.server import Broker
    from harness.emulator.broker.session import Session

Document = dict[str, Any]


def answer(broker: Broker, verb: str, path: tuple[str, ...], body: Document) -> tuple[int, object]:
    """Status and JSON document, None for none, for one request; `path` starts after `/api`.

    Raises:  NotFound, Refusal, or TypeError, ValueError when the body is not of the form that it must have.
    """
    if verb == "GET":
        if path[:2] == ("health", "checks") and broker.ledger.in_alarm and path[2:] in (("alarms",), ("local-alarms",)):
            return 503, _alarms(broker, path[2])
        return 200, _get(broker, path)
    try:
        return changes.change(broker, verb, path, body), None
    except NotFound:
        _get(broker, path)  # a path that is there, for reading only
        return 405, None


def _get(broker: Broker, path: tuple[str, ...]) -> object:
    match path:
        case ("overview",):
            return _overview(broker)
        case ("nodes",):
            return [_node(broker)]
        case ("nodes", name) if name == broker.settings.node:
            return _node(broker)
        case ("queues",):
            return [_queue(vhost, queue) for vhost in broker.vhosts.values() for queue in vhost.queues.values()]
        case ("queues", vhost):
            found = vhost_of(broker, vhost)
            return [_queue(found, queue) for queue in found.queues.values()]
        case ("queues", vhost, name):
            found = vhost_of(broker, vhost)
            return _queue(found, queue_of(found, name))
        case ("exchanges",):
            return [_exchange(vhost, one) for vhost in broker.vhosts.values() for one in vhost.exchanges.values()]
        case ("exchanges", vhost):
            found = vhost_of(broker, vhost)
            return [_exchange(found, one) for one in found.exchanges.values()]
        case ("exchanges", vhost, name):
            found = vhost_of(broker, vhost)
            return _exchange(found, exchange_of(found, name))
        case ("bindings", vhost):
            return [
                {
                    "source": source.name,
                    "vhost": vhost,
                    "destination": destination.name,
                    "destination_type": "queue" if isinstance(destination, Queue) else "exchange",
                    "routing_key": key,
                    "arguments": {},
                }
                for source, key, destination in vhost_of(broker, vhost).bindings()
            ]
        case ("connections",):
            return [_connection(session) for session in broker.sessions]
        case ("connections", name):
            return _connection(session_of(broker, name))
        case ("channels",):
            return [_channel(channel) for session in broker.sessions for channel in session.channels.values()]
        case ("vhosts",):
            return [{"name": name} for name in broker.vhosts]
        case ("vhosts", name):
            return {"name": vhost_of(broker, name).name}
        case ("users",):
            return [_user(user) for user in broker.users.values()]
        case ("users", name):
            return _user(user_of(broker, name))
        case ("permissions",):
            return [_permissions(user, vhost) for user in broker.users.values() for vhost in user.permissions]
        case ("permissions", vhost, name):
            return _permissions(user_of(broker, name), vhost)
        case ("vhost-limits",):
            return _limits("vhost", [(one.name, one.limits) for one in broker.vhosts.values()])
        case ("vhost-limits", name):
            return _limits("vhost", [(name, vhost_of(broker, name).limits)])
        case ("user-limits",):
            return _limits("user", [(one.name, one.limits) for one in broker.users.values()])
        case ("user-limits", name):
            return _limits("user", [(name, user_of(broker, name).limits)])
        case ("health", "checks", "alarms" | "local-alarms"):
            return {"status": "ok"}
        case ("squall", "alarms"):
            return {"on": broker.ledger.alarms, "held": sorted(broker.ledger.held_on)}
        case ("squall", "memory"):
            return {"held": broker.ledger.held, "watermark": broker.ledger.watermark_bytes}
        case _:
            raise NotFound


def _totals(queues: Iterable[Queue]) -> Document:
    ready = unacked = 0
    for queue in queues:
        ready += len(queue.ready)
        unacked += queue.unacked
    return {"messages": ready + unacked, "messages_ready": ready, "messages_unacknowledged": unacked}


def _overview(broker: Broker) -> Document:
    queues = [queue for vhost in broker.vhosts.values() for queue in vhost.queues.values()]
    return {
        "management_version": broker.settings.version,
        "product_name": "Squall embedded broker",
        "product_version": broker.settings.version,
        "cluster_name": broker.settings.node,
        "node": broker.settings.node,
        "object_totals": {
            "channels": sum(len(session.channels) for session in broker.sessions),
            "connections": len(broker.sessions),
            "consumers": sum(len(queue.consumers) for queue in queues),
            "exchanges": sum(len(vhost.exchanges) for vhost in broker.vhosts.values()),
            "queues": len(queues),
        },
        "queue_totals": _totals(queues),
        "message_stats": {
            "publish": sum(queue.published for queue in queues),
            "deliver_get": sum(queue.delivered for queue in queues),
            "ack": sum(queue.acked for queue in queues),
        },
    }


def _node(broker: Broker) -> Document:
    return {
        "name": broker.settings.node,
        "type": "disc",
        "running": True,
        "os_pid": str(os.getpid()),
        "mem_used": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "mem_limit": broker.ledger.watermark_bytes,
        "mem_alarm": "memory" in broker.ledger.alarms,
        "disk_free_alarm": "disk" in broker.ledger.alarms,
        "partitions": [],
        "uptime": int((broker.now - broker.started_at) * 1000),
    }


def _alarms(broker: Broker, which: str) -> Document:
    where = "cluster" if which == "alarms" else "node"
    return {
        "status": "failed",
        "reason": f"There are alarms in effect in the {where}",
        "alarms": [{"node": broker.settings.node, "resource": resource} for resource in broker.ledger.alarms],
    }


def _exchange(vhost: VirtualHost, exchange: Exchange) -> Document:
    return {
        "name": exchange.name,
        "vhost": vhost.name,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": exchange.arguments,
    }


def _user(user: User) -> Document:
    return {"name": user.name, "tags": list(user.tags), "limits": user.limits}


def _permissions(user: User, vhost: str) -> Document:
    if vhost not in user.permissions:
        raise NotFound
    return {"user": user.name, "vhost": vhost, **user.permissions[vhost]}


def _limits(kind: str, limits: list[tuple[str, dict[str, int]]]) -> list[Document]:
    return [{kind: name, "value": value} for name, value in limits if value]


def _queue(vhost: VirtualHost, queue: Queue) -> Document:
    return {
        "name": queue.name,
        "vhost": vhost.name,
        "type": queue.kind,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": queue.arguments,
        "consumers": len(queue.consumers),
        "state": "running",
        "messages": len(queue.ready) + queue.unacked,
        "messages_ready": len(queue.ready),
        "messages_unacknowledged": queue.unacked,
        "message_bytes_ready": queue.message_bytes,
        "message_stats": {"publish": queue.published, "deliver_get": queue.delivered, "ack": queue.acked},
    }


def _connection(session: Session) -> Document:
    host, _, port = session.name.partition(" ")[0].rpartition(":")
    return {
        "name": session.name,
        "vhost": session.vhost.name,
        "user": session.user.name if session.user else "none",
        "state": _state(session),
        "channels": len(session.channels),
        "peer_host": host,
        "peer_port": int(port) if port.isdigit() else 0,
        "protocol": "AMQP 0-9-1",
        "timeout": session.heartbeat_s,
        "frame_max": session.frame_max,
        "channel_max": session.channel_max,
        "client_properties": session.client_properties,
        "recv_oct": session.received_bytes,
        "send_oct": session.sent_bytes,
    }


def _state(session: Session) -> str:
    if session.state != "running" or not session.broker.ledger.in_alarm:
        return session.state
    return "blocked" if session.is_blocked else "blocking"


def _channel(channel: Channel) -> Document:
    session = channel.session
    connection = _connection(session)
    return {
        "name": f"{session.name} ({channel.number})",
        "number": channel.number,
        "connection_details": {name: connection[name] for name in ("name", "peer_host", "peer_port")},
        "vhost": connection["vhost"],
        "user": connection["user"],
        "state": "running",
        "confirm": channel.confirms,
        "transactional": False,
        "consumer_count": len(channel.consumers),
        "messages_unacknowledged": len(channel.unacked),
        "prefetch_count": channel.consumer_limit,
        "global_prefetch_count": channel.channel_limit,
    }
