"""The broker itself: listener, virtual hosts, users, memory ledger and timers."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.emulator.broker.session import Session
from harness.emulator.broker.users import User
from harness.emulator.broker.vhost import VirtualHost
from harness.wire.amqp import FRAME_MAX

RESOURCES = ("memory", "disk")
CONFIRMS_WAIT_S = 0.01
"""How long a confirm that may wait is kept for others to leave with it."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What an operator can set; defaults are RabbitMQ's where it has them."""

    heartbeat_s: int = 60
    frame_max: int = FRAME_MAX
    channel_max: int = 2047
    max_message_bytes: int = 134_217_728
    memory_watermark_bytes: int = 256 * 1024 * 1024
    handshake_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    silent_close_s: float = 3.0
    node: str = "squall@localhost"
    version: str = "0.1.0"


class Ledger:
    """Bytes held by messages, ready or unacknowledged, and the resource alarms under which publishers are blocked.

    Memory is in alarm at the watermark and above; one of 0 stops all publishing, as RabbitMQ's
    `set_vm_memory_high_watermark 0` does. Both alarms can be held on by whoever asks for it: this broker has no disk
    that could fill.
    """

    def __init__(self, watermark_bytes: int, changed: Callable[[bool], None]) -> None:
        self.held = 0
        self.messages = 0
        self.watermark_bytes = watermark_bytes
        self.in_alarm = False
        self.held_on: set[str] = set()
        """Alarms that are on whatever the bytes say: of `memory` and `disk`."""
        self._changed = changed
        self._judge()

    @property
    def alarms(self) -> list[str]:
        """Resources in alarm, in RabbitMQ's words."""
        is_on = {"memory": self.held >= self.watermark_bytes, "disk": False}
        return [resource for resource in RESOURCES if is_on[resource] or resource in self.held_on]

    def hold_alarm(self, resource: str, is_on: bool) -> None:
        """Switch an alarm on, or let it follow its resource again; safe to repeat."""
        if is_on:
            self.held_on.add(resource)
        else:
            self.held_on.discard(resource)
        self._judge()

    def hold(self, size: int) -> None:
        """A message entered a queue."""
        self.held += size
        self.messages += 1
        if self.held >= self.watermark_bytes and not self.in_alarm:
            self._judge()

    def release(self, size: int) -> None:
        """A message left for good."""
        self.held -= size
        self.messages -= 1
        if self.in_alarm:
            self._judge()

    def set_watermark(self, watermark_bytes: int) -> None:
        """Move the watermark; the alarm follows at once."""
        self.watermark_bytes = watermark_bytes
        self._judge()

    def _judge(self) -> None:
        in_alarm = self.held >= self.watermark_bytes or bool(self.held_on)
        if in_alarm != self.in_alarm:
            self.in_alarm = in_alarm
            self._changed(in_alarm)


class Broker:
    """All state of one broker process.

    Args:  settings: limits and timings. user, password: the first user, with all rights on `/`.
    """

    def __init__(self, settings: BrokerSettings, *, user: str, password: str) -> None:
        self.settings = settings
        self.log = logging.getLogger("squall.broker")
        self.clock = time.monotonic
        self.now = self.started_at = self.clock()
        self.sessions: dict[Session, None] = {}
        self.ledger = Ledger(settings.memory_watermark_bytes, self._alarm_changed)
        self.vhosts: dict[str, VirtualHost] = {}
        self.users: dict[str, User] = {user: User(user, password, tags=("administrator",))}
        self.add_vhost("/")
        self.users[user].permissions["/"] = dict(User.ALL)
        self._loop = asyncio.get_running_loop()
        self._dirty: list[Session] = []
        self._confirming: dict[Session, None] = {}
        self._server: asyncio.Server | None = None
        self._local: asyncio.Server | None = None  # on a unix socket
        self._ticker: asyncio.Task[None] | None = None
        self._emptied: asyncio.Event | None = None

    def add_vhost(self, name: str) -> VirtualHost:
        """Create a virtual host, or return the one of that name."""
        if name not in self.vhosts:
            self.vhosts[name] = VirtualHost(name, self.ledger, self.clock)
        return self.vhosts[name]

    def delete_user(self, name: str) -> None:
        """Delete a user; its connections are closed."""
        user = self.users.pop(name)
        for session in list(self.sessions):
            if session.user is user:
                session.close(320, f"CONNECTION_FORCED - user '{name}' is deleted")

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all it holds; its connections are dropped without a word."""
        vhost = self.vhosts.pop(name)
        for session in list(self.sessions):
            if session.vhost is vhost and session.state == "running":
                session.abort()
        for queue in list(vhost.queues.values()):
            vhost.delete_queue(queue)

    async def start(self, host: str, port: int, *, path: str = "") -> int:
        """Listen. Returns the port, which is a free one when 0 was asked for. Raises OSError when it is taken.

        Args: path: of a unix socket to listen on, too; empty for none.
        """
        if path:
            self._local = await self._loop.create_unix_server(lambda: Session(self), path, backlog=1024)
        self._server = await self._loop.create_server(lambda: Session(self), host, port, backlog=1024)
        self._ticker = asyncio.create_task(self._tick())
        bound: int = self._server.sockets[0].getsockname()[1]
        for listener in self._server.sockets:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound

    async def stop(self) -> None:
        """Close all connections as RabbitMQ does on shutdown, then end. Takes at most `close_timeout_s`."""
        for server in (self._server, self._local):
            if server is not None:
                server.close()
        if self._ticker is not None:
            self._ticker.cancel()
        for session in list(self.sessions):
            session.close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
        if self.sessions:
            self._emptied = asyncio.Event()
            try:
                await asyncio.wait_for(self._emptied.wait(), self.settings.close_timeout_s)
            except TimeoutError:
                pass
        for session in list(self.sessions):
            session.abort()

    def forget(self, session: Session) -> None:
        """A connection is gone."""
        self.sessions.pop(session, None)
        if self._emptied is not None and not self.sessions:
            self._emptied.set()

    def flush_later(self, session: Session) -> None:
        """Remember that a session has bytes to send; all are sent in one go at the end of the loop tick."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(session)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` after a delay."""
        self._loop.call_later(delay_s, action)

    def confirm_later(self, session: Session) -> None:
        """Let a session write its confirms within `CONFIRMS_WAIT_S`; all sessions do so in one wake-up."""
        if not self._confirming:
            self._loop.call_later(CONFIRMS_WAIT_S, self._confirm)
        self._confirming[session] = None

    def _confirm(self) -> None:
        sessions, self._confirming = self._confirming, {}
        for session in sessions:
            session.write_confirms()

    def _flush(self) -> None:
        dirty = self._dirty
        self._dirty = []
        self.now = self.clock()
        for session in dirty:
            session.flush()

    def _alarm_changed(self, in_alarm: bool) -> None:
        self.log.warning("alarms: %s", ", ".join(self.ledger.alarms) or "none")
        for session in list(self.sessions):
            if in_alarm:
                session.has_published = False
            else:
                session.unblock()

    async def _tick(self) -> None:
        """Once a second: heartbeats, expired queues, messages past their TTL."""
        while True:
            await asyncio.sleep(1.0)
            self.now = self.clock()
            for session in list(self.sessions):
                session.beat(self.now)
            for vhost in self.vhosts.values():
                for queue in list(vhost.queues.values()):
                    if queue.is_expired(self.now):
                        vhost.delete_queue(queue)
                    elif queue.ready:
                        queue.sweep()
