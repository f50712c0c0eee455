"""What the management paths answer."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.emulator.broker.queues import Queue
from harness.emulator.broker.users import User
from harness.emulator.broker.vhost import VirtualHost

if TYPE_CHECKING:
    from harness.emulator.broker.server import Broker
    from harness.emulator.broker.session import Session

Document = dict[str, Any]


class NotFound(Exception):
    """No such path or object: 404."""


def answer(broker: Broker, verb: str, path: tuple[str, ...], body: Document) -> tuple[int, object]:
    """Status and JSON document for one request; `path` starts after `/api`.

    Raises:  NotFound, or KeyError, TypeError, ValueError when the body does not say what it must.
    """
    if verb == "GET":
        if path == ("health", "checks", "alarms") and broker.ledger.in_alarm:
            return 503, _alarms(broker)
        return 200, _get(broker, path)
    _change(broker, verb, path, body)
    return (201 if verb == "PUT" else 204), {}


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
            found = _vhost(broker, vhost)
            return [_queue(found, queue) for queue in found.queues.values()]
        case ("queues", vhost, name):
            found = _vhost(broker, vhost)
            return _queue(found, _queue_of(found, name))
        case ("exchanges", vhost):
            return [
                {
                    "name": exchange.name,
                    "vhost": vhost,
                    "type": exchange.kind,
                    "durable": exchange.durable,
                    "auto_delete": exchange.auto_delete,
                    "internal": exchange.internal,
                    "arguments": exchange.arguments,
                }
                for exchange in _vhost(broker, vhost).exchanges.values()
            ]
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
                for source, key, destination in _vhost(broker, vhost).bindings()
            ]
        case ("connections",):
            return [_connection(session) for session in broker.sessions]
        case ("connections", name):
            return _connection(_session(broker, name))
        case ("vhosts",):
            return [{"name": name} for name in broker.vhosts]
        case ("users",):
            return [{"name": user.name, "tags": list(user.tags)} for user in broker.users.values()]
        case ("permissions",):
            return [
                {"user": user.name, "vhost": vhost, **granted}
                for user in broker.users.values()
                for vhost, granted in user.permissions.items()
            ]
        case ("health", "checks", "alarms"):
            return {"status": "ok"}
        case ("squall", "memory"):
            return {"held": broker.ledger.held, "watermark": broker.ledger.watermark_bytes}
        case _:
            raise NotFound


def _change(broker: Broker, verb: str, path: tuple[str, ...], body: Document) -> None:
    match verb, path:
        case "DELETE", ("connections", name):
            _session(broker, name).close(320, "CONNECTION_FORCED - Closed via management plugin")
        case "DELETE", ("queues", vhost, name):
            found = _vhost(broker, vhost)
            found.delete_queue(_queue_of(found, name))
        case "DELETE", ("queues", vhost, name, "contents"):
            _queue_of(_vhost(broker, vhost), name).purge()
        case "DELETE", ("exchanges", vhost, name):
            _vhost(broker, vhost).delete_exchange(name)
        case "PUT", ("vhosts", name):
            broker.add_vhost(name)
            for user in broker.users.values():
                if "administrator" in user.tags:
                    user.permissions.setdefault(name, dict(User.ALL))
        case "DELETE", ("vhosts", name):
            _vhost(broker, name)
            broker.delete_vhost(name)
        case "PUT", ("users", name):
            _put_user(broker, name, body)
        case "PUT", ("permissions", vhost, name):
            _vhost(broker, vhost)
            _user(broker, name).permissions[vhost] = {verb: str(body[verb]) for verb in ("configure", "write", "read")}
            _permissions_changed(broker)
        case (("PUT" | "DELETE"), ("vhost-limits", vhost, limit)):
            _set_limit(_vhost(broker, vhost), limit, {"max-connections", "max-queues"}, verb, body)
        case (("PUT" | "DELETE"), ("user-limits", name, limit)):
            _set_limit(_user(broker, name), limit, {"max-connections", "max-channels"}, verb, body)
        case "PUT", ("squall", "memory"):
            broker.ledger.set_watermark(int(body["watermark"]))
        case _:
            raise NotFound


def _put_user(broker: Broker, name: str, body: Document) -> None:
    tags = body.get("tags", "")
    named = tuple(tag for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag)
    user = broker.users.get(name)
    if user is None:
        broker.users[name] = User(name, str(body["password"]), tags=named)
        return
    user.tags = named
    if "password" in body:
        user.set_password(str(body["password"]))


def _set_limit(target: object, limit: str, allowed: set[str], verb: str, body: Document) -> None:
    if limit not in allowed:
        raise NotFound
    value = int(body["value"]) if verb == "PUT" else None
    setattr(target, limit.replace("-", "_"), None if value is None or value < 0 else value)


def _permissions_changed(broker: Broker) -> None:
    for session in broker.sessions:
        if session.state == "running":
            session.permissions_changed()


def _vhost(broker: Broker, name: str) -> VirtualHost:
    found = broker.vhosts.get(name)
    if found is None:
        raise NotFound
    return found


def _queue_of(vhost: VirtualHost, name: str) -> Queue:
    found = vhost.queues.get(name)
    if found is None:
        raise NotFound
    return found


def _user(broker: Broker, name: str) -> User:
    found = broker.users.get(name)
    if found is None:
        raise NotFound
    return found


def _session(broker: Broker, name: str) -> Session:
    for session in broker.sessions:
        if session.name == name:
            return session
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
        "rabbitmq_version": None,
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
        "mem_alarm": broker.ledger.in_alarm,
        "disk_free_alarm": False,
        "partitions": [],
        "uptime": int((broker.now - broker.started_at) * 1000),
    }


def _alarms(broker: Broker) -> Document:
    return {
        "status": "failed",
        "reason": "There are alarms in effect in the cluster",
        "alarms": [{"node": broker.settings.node, "resource": "memory"}],
    }


def _queue(vhost: VirtualHost, queue: Queue) -> Document:
    return {
        "name": queue.name,
        "vhost": vhost.name,
        "type": "classic",
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
        "state": "blocked" if session.is_blocked else session.state,
        "channels": len(session.channels),
        "peer_host": host,
        "peer_port": int(port) if port.isdigit() else 0,
        "protocol": "AMQP 0-9-1",
        "timeout": session.heartbeat_s,
        "frame_max": session.frame_max,
        "client_properties": session.client_properties,
        "recv_oct": session.received_bytes,
        "send_oct": session.sent_bytes,
    }
