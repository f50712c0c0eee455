"""The serving side of RPC: messages in, endpoint methods run, replies out."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from harness.emulator.messaging import envelope
from harness.emulator.messaging.errors import NoSuchMethod, UnsupportedVersion

log = logging.getLogger("squall.messaging")

DUPLICATES_REMEMBERED = 16
"""Unique ids kept per listener, as oslo.messaging keeps them."""
BACKLOG_MAX = 8192
"""Requests taken from the broker that wait for a free slot; above it acknowledgements are held back."""

Reply = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Sends a reply: queue name and message."""

Method = Callable[..., Awaitable[Any]]


class RpcServer:
    """Runs the methods of one endpoint, at most `concurrency` at once.

    Requests are acknowledged before they run, so their work dies with the process, as in the real services.
    Args:  endpoint: public coroutine methods are the RPC methods; an attribute `rpc_version` ("6.4"), when it has one,
           is the highest version it offers. reply: sends a reply.
    """

    def __init__(self, endpoint: object, *, concurrency: int, reply: Reply) -> None:
        self.running = 0
        self.handled = 0
        self.on_room: Callable[[], None] | None = None
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._reply = reply
        self._methods: dict[str, Method] = {}
        self._backlog: deque[tuple[str, dict[str, Any]]] = deque()
        self._seen: deque[str] = deque(maxlen=DUPLICATES_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def backlog(self) -> int:
        """Requests that wait for a free slot."""
        return len(self._backlog)

    @property
    def is_full(self) -> bool:
        """True while no further request should be acknowledged."""
        return len(self._backlog) >= BACKLOG_MAX

    def take(self, server: str, body: bytes) -> bool:
        """A request arrived for `server`. Returns False when it is unreadable and must be rejected."""
        try:
            message = envelope.unwrap(body)
        except envelope.BadEnvelope as error:
            log.error("request for %s dropped: %s", server, error)
            return False
        unique_id = message.get("_unique_id")
        if unique_id is not None:
            if unique_id in self._seen:
                log.info("duplicate request %s for %s dropped", unique_id, server)
                return True
            self._seen.append(unique_id)
        if self.running < self._concurrency:
            self._run(server, message)
        else:
            self._backlog.append((server, message))
        return True

    async def stop(self) -> None:
        """Cancel what runs and forget what waits: the process is ending."""
        self._backlog.clear()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _run(self, server: str, message: dict[str, Any]) -> None:
        self.running += 1
        task = self._loop.create_task(self._handle(server, message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.running -= 1
        self.handled += 1
        if not task.cancelled() and task.exception() is not None:
            log.error("reply was not sent", exc_info=task.exception())
        if self._backlog:
            self._run(*self._backlog.popleft())
            if self.on_room is not None and len(self._backlog) == BACKLOG_MAX // 2:
                self.on_room()

    async def _handle(self, server: str, message: dict[str, Any]) -> None:
        msg_id = message.get("_msg_id")
        reply_to = message.get("_reply_q")
        name = message.get("method")
        result: Any = None
        failure: str | None = None
        try:
            method = self._method(name)
            self._check_version(str(message.get("version", "1.0")), str(name))
            result = await method(envelope.unpack_context(message, server), **(message.get("args") or {}))
        except Exception as error:
            log.warning("%s %s failed: %s: %s", server, name, type(error).__name__, error)
            failure = envelope.failure(error)
        if msg_id and reply_to:
            await self._reply(reply_to, {"result": result, "failure": failure, "ending": True, "_msg_id": msg_id})

    def _method(self, name: object) -> Method:
        if not isinstance(name, str) or not name or name.startswith("_"):
            raise NoSuchMethod(str(name))
        method = self._methods.get(name)
        if method is None:
            found = getattr(self._endpoint, name, None)
            if not inspect.iscoroutinefunction(found):
                raise NoSuchMethod(name)
            method = self._methods[name] = found
        return method

    def _check_version(self, wanted: str, method: str) -> None:
        offered = getattr(self._endpoint, "rpc_version", None)
        if offered is not None and not _is_offered(str(offered), wanted):
            raise UnsupportedVersion(wanted, method)


@lru_cache(maxsize=256)
def _is_offered(offered: str, wanted: str) -> bool:
    """Same major version, and a minor one no higher than what is offered. Raises ValueError for what is no version."""
    have, need = [[int(part) for part in f"{text}.0".split(".")[:2]] for text in (offered, wanted)]
    return have[0] == need[0] and need[1] <= have[1]
