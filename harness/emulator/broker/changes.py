"""What the management paths change. Each function returns the status of the answer: 201 for new, 204 for changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.emulator.broker.found import NotFound, Refusal, exchange_of, queue_of, session_of, vhost_of
from harness.emulator.broker.users import User
from harness.wire.amqp import AmqpError

if TYPE_CHECKING:
    from harness.emulator.broker.server import Broker

Document = dict[str, Any]
RIGHTS = ("configure", "write", "read")


def change(broker: Broker, verb: str, path: tuple[str, ...], body: Document) -> int:
    """Carry out a PUT or DELETE. Raises NotFound, also for a path that can only be read, or Refusal."""
    match verb, path:
        case "DELETE", ("connections", name):
            session_of(broker, name).close(320, "CONNECTION_FORCED - Closed via management plugin")
        case "DELETE", ("queues", vhost, name):
            found = vhost_of(broker, vhost)
            found.delete_queue(queue_of(found, name))
        case "DELETE", ("queues", vhost, name, "contents"):
            queue_of(vhost_of(broker, vhost), name).purge()
        case "DELETE", ("exchanges", vhost, name):
            _delete_exchange(broker, vhost, name)
        case "PUT", ("vhosts", name):
            return _put_vhost(broker, name)
        case "DELETE", ("vhosts", name):
            vhost_of(broker, name)
            broker.delete_vhost(name)
        case "PUT", ("users", name):
            return _put_user(broker, name, body)
        case "DELETE", ("users", name):
            if name not in broker.users:
                raise NotFound
            broker.delete_user(name)
        case "PUT", ("permissions", vhost, name):
            return _put_permissions(broker, vhost, name, body)
        case "DELETE", ("permissions", vhost, name):
            return _delete_permissions(broker, vhost, name)
        case (("PUT" | "DELETE"), ("vhost-limits", vhost, limit)):
            found = vhost_of(broker, vhost)
            _set_limit(found, limit, ("max-connections", "max-queues"), "limits", verb, body)
        case (("PUT" | "DELETE"), ("user-limits", name, limit)):
            user = broker.users.get(name)
            if user is None:
                raise Refusal(f"no_such_user {name}")
            _set_limit(user, limit, ("max-connections", "max-channels"), "user-limits", verb, body)
        case "PUT", ("squall", "memory"):
            broker.ledger.set_watermark(int(_needed(body, "watermark")["watermark"]))
        case (("PUT" | "DELETE"), ("squall", "alarms", ("memory" | "disk") as resource)):
            broker.ledger.hold_alarm(resource, verb == "PUT")
        case _:
            raise NotFound
    return 204


def _delete_exchange(broker: Broker, vhost: str, name: str) -> None:
    found = vhost_of(broker, vhost)
    exchange_of(found, name)
    try:
        found.delete_exchange(name)
    except AmqpError as error:
        raise Refusal("Access refused.", status=401, error="not_authorised") from error


def _put_vhost(broker: Broker, name: str) -> int:
    if name in broker.vhosts:
        return 204
    broker.add_vhost(name)
    for user in broker.users.values():
        if "administrator" in user.tags:
            user.permissions.setdefault(name, dict(User.ALL))
    return 201


def _put_user(broker: Broker, name: str, body: Document) -> int:
    if "tags" not in body:
        raise Refusal("tags_not_present")
    tags = body["tags"]
    named = tuple(tag for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag)
    user = broker.users.get(name)
    if user is None:
        broker.users[name] = User(name, str(_needed(body, "password")["password"]), tags=named)
        return 201
    user.tags = named
    if "password" in body:
        user.set_password(str(body["password"]))
    return 204


def _put_permissions(broker: Broker, vhost: str, name: str, body: Document) -> int:
    user = broker.users.get(name)
    if vhost not in broker.vhosts or user is None:
        raise Refusal("vhost_or_user_not_found")
    granted = {right: str(_needed(body, *RIGHTS)[right]) for right in RIGHTS}
    for pattern in granted.values():
        try:
            re.compile(pattern)
        except re.error as error:
            raise Refusal(f"invalid_regexp {pattern}: {error}") from error
    is_new = vhost not in user.permissions
    user.permissions[vhost] = granted
    _permissions_changed(broker)
    return 201 if is_new else 204


def _delete_permissions(broker: Broker, vhost: str, name: str) -> int:
    user = broker.users.get(name)
    if user is None or vhost not in user.permissions:
        raise NotFound
    del user.permissions[vhost]
    _permissions_changed(broker)
    return 204


def _set_limit(target: object, limit: str, allowed: tuple[str, ...], where: str, verb: str, body: Document) -> None:
    if limit not in allowed:
        raise Refusal(f"Unrecognised terms {limit} in {where}")
    value = _needed(body, "value")["value"] if verb == "PUT" else None
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refusal(f"{limit} should be a number, actually was {value}")
    # Below zero is no limit.
    setattr(target, limit.replace("-", "_"), None if value is None or value < 0 else value)


def _permissions_changed(broker: Broker) -> None:
    for session in broker.sessions:
        if session.state == "running":
            session.permissions_changed()


def _needed(body: Document, *names: str) -> Document:
    missing = [name for name in names if name not in body]
    if missing:
        raise Refusal(f"[{','.join(f'{{key_missing,{name}}}' for name in missing)}]")
    return body
