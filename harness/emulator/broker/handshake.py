"""The life of a connection on channel 0: login, limits, virtual host, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands

from harness.emulator.broker.users import credentials
from harness.wire import amqp
from harness.wire.amqp import AmqpError

if TYPE_CHECKING:
    from harness.emulator.broker.session import Session

CAPABILITIES: dict[str, object] = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": False,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": False,
}


def start(session: Session) -> None:
    """The protocol header was right: offer the login."""
    settings = session.broker.settings
    properties = {
        "product": "Squall embedded broker",
        "version": settings.version,
        "platform": "Python",
        "cluster_name": settings.node,
        "capabilities": CAPABILITIES,
    }
    session.state = "start"
    session.send(0, commands.Connection.Start(0, 9, properties, "PLAIN AMQPLAIN", "en_US"))


def handle(session: Session, method: Any) -> None:
    """One method on channel 0. Raises AmqpError, which ends the connection whatever its code."""
    if isinstance(method, commands.Connection.Close):
        session.drop_all()
        session.send(0, commands.Connection.CloseOk())
        session.finish()
    elif session.state == "start" and isinstance(method, commands.Connection.StartOk):
        _authenticate(session, method)
    elif session.state == "tune" and isinstance(method, commands.Connection.TuneOk):
        _tuned(session, method)
    elif session.state == "open" and isinstance(method, commands.Connection.Open):
        _open(session, method.virtual_host)
    else:
        text = f"CHANNEL_ERROR - unexpected method in connection state {session.state}"
        raise AmqpError(504, text, method.index >> 16, method.index & 0xFFFF)


def _authenticate(session: Session, method: Any) -> None:
    session.client_properties = dict(method.client_properties or {})
    capabilities = session.client_properties.get("capabilities")
    told = capabilities if isinstance(capabilities, dict) else {}
    session.wants_cancel_notice = bool(told.get("consumer_cancel_notify"))
    session.wants_blocked_notice = bool(told.get("connection.blocked"))
    name, password = credentials(method.mechanism, method.response)
    user = session.broker.users.get(name)
    if user is None or not user.accepts(password):
        session.broker.log.warning("login of user %r from %s refused", name, session.name)
        if not told.get("authentication_failure_close"):
            session.give_up()
            return
        text = f"ACCESS_REFUSED - Login was refused using authentication mechanism {method.mechanism}. "
        raise AmqpError(403, text + "For details see the broker logfile.")
    session.user = user
    session.state = "tune"
    settings = session.broker.settings
    session.send(0, commands.Connection.Tune(settings.channel_max, settings.frame_max, settings.heartbeat_s))


def _tuned(session: Session, method: Any) -> None:
    settings = session.broker.settings
    if method.frame_max and not amqp.FRAME_MIN <= method.frame_max <= settings.frame_max:
        text = f"NOT_ALLOWED - negotiated frame_max = {method.frame_max} is outside "
        raise AmqpError(530, f"{text}{amqp.FRAME_MIN}..{settings.frame_max}", 10, 31)
    session.set_frame_max(method.frame_max or settings.frame_max)
    session.channel_max = min(method.channel_max or settings.channel_max, settings.channel_max)
    session.heartbeat_s = method.heartbeat
    session.state = "open"


def _open(session: Session, name: str) -> None:
    vhost = session.broker.vhosts.get(name)
    user = session.user
    assert user is not None
    if vhost is None:
        raise AmqpError(530, f"NOT_ALLOWED - vhost {name} not found", 10, 40)
    refused = f"NOT_ALLOWED - access to vhost '{name}' refused for user '{user.name}'"
    if name not in user.permissions:
        raise AmqpError(530, refused, 10, 40)
    running = [other for other in session.broker.sessions if other.state == "running"]
    if vhost.max_connections is not None and sum(other.vhost is vhost for other in running) >= vhost.max_connections:
        raise AmqpError(530, f"{refused}: connection limit ({vhost.max_connections}) is reached", 10, 40)
    if user.max_connections is not None and sum(other.user is user for other in running) >= user.max_connections:
        text = f"NOT_ALLOWED - connection refused for user '{user.name}': user connection limit "
        raise AmqpError(530, f"{text}({user.max_connections}) is reached", 10, 40)
    session.vhost = vhost
    session.permissions_changed()
    session.state = "running"
    session.send(0, commands.Connection.OpenOk())
