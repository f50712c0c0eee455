"""Request slots of one service: as many requests at a time as uwsgi would have workers x threads, the rest in line.

A slot is held from before the request is looked at until the answer is handed to the socket, so a hung database starves
reads too; a client that takes its time to send a body holds none (`bodies`). A client that goes away while its request
waits is taken out of the line; one that goes away later is not noticed (as under uwsgi: the work is done all the same).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[Any]]
BUFFERED_BODY_MAX = 256 * 1024  # bytes read ahead for a waiting request; after that its disconnect goes unnoticed


class QueueFull(Exception):
    """The line is as long as it may be."""


class ClientGone(Exception):
    """The client hung up while its request waited; nothing was done for it."""


class Slots:
    """A counting gate with a bounded FIFO line."""

    def __init__(self, slots: int, queue: int) -> None:
        self.max = slots
        self.queue_max = queue
        self.used = 0
        self.used_peak = 0  # since `take_peaks`
        self.queued_peak = 0
        self.refused = 0
        self.abandoned = 0
        self.served = 0
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        return len(self._line)

    def take_now(self) -> bool:
        """A slot at once, when one is free and nobody waits."""
        if self.used < self.max and not self._line:
            self.used += 1
            self.used_peak = max(self.used_peak, self.used)
            return True
        return False

    async def take(self, receive: Receive) -> Receive:
        """Wait for a slot. Returns the `receive` to go on with: what arrived meanwhile comes first.

        Raises: QueueFull; ClientGone.
        """
        if len(self._line) >= self.queue_max:
            self.refused += 1
            raise QueueFull
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._line.append(turn)
        self.queued_peak = max(self.queued_peak, len(self._line))
        early: deque[Any] = deque()
        listener = loop.create_task(_until_gone(receive, early))
        try:
            await asyncio.wait((turn, listener), return_when=asyncio.FIRST_COMPLETED)
            if not turn.done() and listener.result():
                self.abandoned += 1
                raise ClientGone
            await turn
        except BaseException:
            self._leave(turn)
            raise
        finally:
            listener.cancel()

        async def replay() -> Any:
            return early.popleft() if early else await receive()

        return replay

    def give(self) -> None:
        """Hand a slot back: to the first in line, or to nobody."""
        self.served += 1
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.used -= 1

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():
            self.give()  # it was our turn already: the next one's now
            self.served -= 1
        else:
            turn.cancel()
            self._line.remove(turn)

    def take_peaks(self) -> tuple[int, int]:
        """Most slots used and most requests waiting since the last call."""
        peaks = (self.used_peak, self.queued_peak)
        self.used_peak, self.queued_peak = self.used, len(self._line)
        return peaks


async def _until_gone(receive: Receive, early: deque[Any]) -> bool:
    """Read ahead until the client hangs up (True) or enough is buffered (False)."""
    size = 0
    while size <= BUFFERED_BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
        early.append(message)
        size += len(message.get("body", b""))
    return False
