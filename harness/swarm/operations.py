"""One user operation while it lasts, and how it becomes a row: intended, sent, accepted, ready, gone."""

from dataclasses import dataclass, field
from typing import Any

from gevent.event import Event

from harness.cloud.api import Exchange, RequestFailed
from harness.cloud.readiness import Seen

COLUMNS = (
    "operation_id", "swarm", "scenario", "kind", "name", "resource_id", "batch", "intended_ns", "sent_ns",
    "accepted_ns", "ready_ns", "gone_ns", "ready_level", "resolution_ns", "status", "effect", "ending", "error",
    "request_id",
)  # fmt: skip


@dataclass(slots=True)
class Operation:
    """What a user wanted, once. Times in ns on the run's clock; None is "never"."""

    operation_id: int
    swarm: str
    scenario: str
    kind: str
    name: str
    intended_ns: int
    sent_ns: int
    resource_id: str | None = None
    batch: int | None = None
    accepted_ns: int | None = None
    ready_ns: int | None = None
    gone_ns: int | None = None
    ready_level: str | None = None
    resolution_ns: int | None = None
    status: str | None = None
    effect: str = "none"
    ending: str = "dropped"
    error: str | None = None
    request_id: str | None = None
    is_watched: bool = False  # its end is found by the watcher, not by an answer
    settled: Event = field(default_factory=Event)

    def accepted(self, exchange: Exchange) -> None:
        self.accepted_ns = exchange.done_ns
        if self.ready_ns is not None:
            # The watcher can see a server before its creator is answered; nobody could use it before that.
            self.ready_ns = max(self.ready_ns, self.accepted_ns)
        self.effect, self.ending = exchange.outcome.effect_name, exchange.outcome.ending_name
        self.request_id = exchange.request_id

    def failed(self, error: RequestFailed) -> None:
        """A request of it failed. With an unknown effect the watcher goes on looking: a server may come up yet."""
        self.effect, self.ending = error.outcome.effect_name, error.outcome.ending_name
        self.request_id, self.error = error.request_id, str(error)[:500]
        self.settled.set()

    def saw(self, seen: Seen, level: str) -> None:
        """The watcher found something."""
        self.status, self.resolution_ns = seen.status, seen.resolution_ns
        self.resource_id = self.resource_id or seen.server_id
        if self.effect == "unknown":
            self.effect = "done"  # it exists, so the request without an answer was carried out
        if seen.event == "gone":
            self.gone_ns = max(seen.at_ns, self.sent_ns)
            if self.kind != "server.delete" and self.ready_ns is None:
                self.error = self.error or "gone before it was ready"
        elif seen.event == "error":
            self.error = self.error or seen.detail or f"status {seen.status}"
        else:
            self.ready_ns, self.ready_level = max(seen.at_ns, self.sent_ns), level
        self.settled.set()

    def row(self) -> tuple[Any, ...]:
        return tuple(getattr(self, column) for column in COLUMNS)
