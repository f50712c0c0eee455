"""What a management path names: found, or one of the two ways to say no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.emulator.broker.queues import Queue
from harness.emulator.broker.users import User
from harness.emulator.broker.vhost import Exchange, VirtualHost

if TYPE_CHECKING:
    from harness.emulator.broker.server import Broker
    from harness.emulator.broker.session import Session


class NotFound(Exception):
    """No such path or object: 404."""


class Refusal(Exception):
    """A request that cannot be carried out. Args: status: of HTTP. error, reason: what the answer says."""

    def __init__(self, reason: str, *, status: int = 400, error: str = "bad_request") -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason


def vhost_of(broker: Broker, name: str) -> VirtualHost:
    """Raises NotFound."""
    found = broker.vhosts.get(name)
    if found is None:
        raise NotFound
    return found


def queue_of(vhost: VirtualHost, name: str) -> Queue:
    """Raises NotFound."""
    found = vhost.queues.get(name)
    if found is None:
        raise NotFound
    return found


def exchange_of(vhost: VirtualHost, name: str) -> Exchange:
    """Raises NotFound."""
    found = vhost.exchanges.get(name)
    if found is None:
        raise NotFound
    return found


def user_of(broker: Broker, name: str) -> User:
    """Raises NotFound."""
    found = broker.users.get(name)
    if found is None:
        raise NotFound
    return found


def session_of(broker: Broker, name: str) -> Session:
    """Raises NotFound."""
    for session in broker.sessions:
        if session.name == name:
            return session
    raise NotFound
