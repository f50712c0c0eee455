"""What the engine and the processes of its run tell each other: who is there, what they report, what they are told.

The swarm and the nemesis connect over control links; signals and `squall stop` speak up in the same inbox. Nothing is
handled until the engine listens, in its own thread; a message that ends the load is raised there.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.children import Children
from harness.control import ControlServer, Link, Message
from harness.experiment import Limits
from harness.progress import Live, Progress

FLUSH_DEADLINE_S = 15.0  # for a process to write out what it holds


class Interrupted(Exception):
    """Ctrl-C, SIGTERM, `squall stop` or Stop in the web UI: no new load; faults are undone, resources deleted."""


class Aborted(Exception):
    """A safety limit was passed, or a process of the run died; the message says which. Wound up like Interrupted."""


class Conversation:
    """The engine's side of it. Processes go by their roles: "swarm" and "nemesis".

    Args:       logs: where the processes log, for messages to people. now_ns: the time of the run.
    Attributes: live: the newest figures. interrupted: whether anybody asked for an early end. workers_lost: `name` and
                `at_ns` of every load worker that died.
    """

    def __init__(
        self,
        plan: dict[str, Any],
        limits: Limits,
        progress: Progress,
        *,
        logs: Path,
        now_ns: Callable[[], int],
    ) -> None:
        self._plan, self._limits, self._progress, self._logs, self._now_ns = plan, limits, progress, logs, now_ns
        # Simple, because a signal handler may put into it while its own thread is in the middle of a get.
        self._inbox: queue.SimpleQueue[tuple[Link | None, Message]] = queue.SimpleQueue()
        self._links: dict[str, Link] = {}
        self._ready: set[str] = set()
        self._finished: set[str] = set()
        self._bad_seconds = 0
        self.live = Live()
        self.interrupted = False
        self.workers_lost: list[dict[str, Any]] = []

    def control_server(self) -> ControlServer:
        """Opens it to processes, until that server is closed."""
        return ControlServer(
            lambda link, message: self._inbox.put((link, message)),
            lambda link: self._inbox.put((link, {"type": "closed"})),
        )

    def interrupt(self) -> None:
        """For signal handlers: whoever listens next is interrupted."""
        self._inbox.put((None, {"type": "interrupt"}))

    def is_connected(self, role: str) -> bool:
        return role in self._links

    def has_finished(self, role: str) -> bool:
        return role in self._finished

    # What is heard.

    def listen(self, wait_s: float) -> None:
        """Handles what comes in within `wait_s`, at least what is there already.  Raises Interrupted, Aborted."""
        deadline = time.monotonic() + wait_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                link, message = self._inbox.get(timeout=left_s) if left_s > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return
            self._handle(link, message)

    def listen_calmly(self, wait_s: float) -> bool:
        """`listen` once the load is over: an interrupt is only noted. Returns whether there was any."""
        try:
            self.listen(wait_s)
        except Interrupted:
            self.interrupted = True
            return True
        except Aborted:  # limits are limits of the load, and there is none any more
            pass
        return False

    def await_ready(self, roles: set[str], children: Children, deadline_s: float) -> None:
        """Raises Interrupted, and Aborted when one is late or ends first."""
        deadline = time.monotonic() + deadline_s
        while not roles <= self._ready:
            late = ", ".join(sorted(roles - self._ready))
            if time.monotonic() > deadline:
                raise Aborted(f"{late} not ready within {deadline_s:.0f} s; see {self._logs}")
            for name, code in children.ended().items():
                if name in roles - self._ready:
                    raise Aborted(f"{name} ended with code {code} before it was ready; see {self._logs}")
            self.listen(0.2)

    def await_finished(self, role: str, deadline_s: float) -> None:
        """Waits for it to finish or to go away; a second interrupt only cuts the waiting short."""
        deadline = time.monotonic() + deadline_s
        while self.is_connected(role) and not self.has_finished(role) and time.monotonic() < deadline:
            if self.listen_calmly(0.2):
                deadline = min(deadline, time.monotonic() + FLUSH_DEADLINE_S)

    def _handle(self, link: Link | None, message: Message) -> None:
        match message:
            case {"type": "interrupt"} | {"type": "stop_request"}:
                self.interrupted = True
                raise Interrupted
            case {"type": "hello", "role": role} if link is not None:
                self._links[role] = link
                if role == "nemesis":
                    self._ready.add(role)
            case {"type": "ready"}:
                self._ready.add("swarm")
            case {"type": "second"}:
                self._second(message)
            case {"type": "fault"}:
                self._fault(message)
            case {"type": "accepted"}:
                self.tell("nemesis", message)
            case {"type": "worker_lost", "name": name}:
                self.workers_lost.append({"name": name, "at_ns": self._now_ns()})
                self._progress.step(f"load worker {name} was lost; the run is marked")
            case {"type": "finished"}:
                role = next((role for role, other in self._links.items() if other is link), "")
                self._finished.add(role)
            case {"type": "closed"}:
                for role, other in list(self._links.items()):
                    if other is link:
                        del self._links[role]

    def _second(self, message: Message) -> None:
        live = self.live
        live.rate, live.started = message.get("intended", 0), message.get("sent", 0)
        live.done = message.get("done", 0)
        live.errors += message.get("errors", 0)
        live.in_flight, live.p95_ms = message.get("in_flight", 0), message.get("p95_ms")
        live.servers = message.get("servers", {})
        live.client_limited = bool(message.get("client_limited"))
        self._progress.figures(live)
        limits = self._limits
        done = live.done or 1
        self._bad_seconds = self._bad_seconds + 1 if message.get("errors", 0) / done > limits.abort_error_ratio else 0
        if self._bad_seconds * 1e9 > self._plan["abort_after_ns"]:
            raise Aborted(
                f"more than {limits.abort_error_ratio:.0%} errors for {limits.abort_after} (limits.abort_error_ratio)"
            )
        if sum(live.servers.values()) > limits.max_servers:
            raise Aborted(
                f"{sum(live.servers.values())} servers are more than limits.max_servers = {limits.max_servers}"
            )

    def _fault(self, message: Message) -> None:
        event = message.get("event")
        planned = next((f for f in self._plan["faults"] if f["id"] == message.get("id")), None)
        if planned is None:
            return
        key = (planned["fault"], planned["target"])
        if event == "injected" and key not in self.live.faults:
            self.live.faults.append(key)
        elif event in ("undone", "gone") and key in self.live.faults:
            self.live.faults.remove(key)
        self._progress.step(
            f"{planned['fault']} on {planned['target']}: {event} {message.get('detail') or ''}".rstrip()
        )
        self.tell("swarm", {**message, "type": "fault"})

    # What is said.

    def tell(self, role: str, message: Message) -> None:
        """Nothing happens when it is not there."""
        link = self._links.get(role)
        if link is not None:
            with contextlib.suppress(OSError):  # its end is noticed by "closed"
                link.send(message)

    def tell_all(self, message: Message) -> None:
        for role in list(self._links):
            self.tell(role, message)
