"""When is a server usable, and when is it gone? One watcher per project asks by lists, for everybody.

Levels: `active` (Nova says ACTIVE and has no task left), `port_active` (and Neutron says that all its ports are). One
list of servers per tick, only of what changed; the tick adapts to what a list costs, and its length is stored with
every finding as its resolution. A poll that failed is a failed poll: it says nothing about any server.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from harness.cloud import compute, network
from harness.cloud.api import Api, RequestFailed
from harness.core.clock import S

LEVELS = ("active", "port_active")
SHORTEST_TICK_S = 0.2
LONGEST_TICK_S = 5.0
COST_SHARE = 4.0  # a tick is at least so many times as long as its lists took
MARGIN_S = 5  # Nova stamps 'updated' in whole seconds, before the commit that lets us see it
REFRESH_S = 15.0  # how often everything is listed: what a late commit hid, what vanished without a trace
PORTS_BY_ID = 40


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tick found out about one operation.

    event: reached (what was waited for is so), gone, error. at_ns: when the list that says so had arrived; it was so at
    most resolution_ns before.
    """

    operation_id: int
    event: str
    at_ns: int
    resolution_ns: int
    server_id: str
    status: str
    detail: str | None = None


@dataclass(slots=True)
class _Waiting:
    operation_id: int
    until: str  # "ready", "gone", or a status such as "SHUTOFF"
    since_ns: int


@dataclass(slots=True)
class _Server:
    name: str
    server_id: str | None = None
    status: str = "REQUESTED"
    task: str | None = None
    detail: str | None = None
    gone: bool = False
    ports_active: bool = False
    waiting: list[_Waiting] = field(default_factory=list)


class Watcher:
    """Follows the servers whose names were expected. Call `tick` again after `wait_s` each time.

    Args: api: whose requests are recorded as this watcher's. mark: the start of all names. level: of "ready".
    """

    def __init__(self, api: Api, *, mark: str, level: str) -> None:
        assert level in LEVELS, level
        self.level = level
        self.wait_s = SHORTEST_TICK_S
        self.failed_polls = 0
        self._api, self._mark = api, mark
        self._servers: dict[str, _Server] = {}  # by the name that they were asked for by
        self._by_id: dict[str, _Server] = {}
        self._newest: datetime | None = None
        self._refreshed_ns: int | None = None
        self._listed_ns: int | None = None
        self._was_idle = True
        self._costs_s: deque[float] = deque(maxlen=5)

    def expect(self, name: str, operation_id: int, *, until: str = "ready") -> None:
        """Follow a server until it is `ready`, `gone`, or has a status such as SHUTOFF and no task; reported once.

        By its name (Nova gives ids late and not for all of a burst), and once a list has shown it by its id: whatever
        it is called then, as long as the new name begins with the mark too.
        """
        server = self._servers.setdefault(name, _Server(name))
        server.waiting.append(_Waiting(operation_id, until, self._api.clock.now_ns()))

    def forget(self, operation_id: int) -> None:
        """Stop waiting for an operation."""
        for server in self._servers.values():
            server.waiting = [waiting for waiting in server.waiting if waiting.operation_id != operation_id]

    @property
    def is_idle(self) -> bool:
        """Nothing is waited for: `tick` would ask nothing."""
        return not any(server.waiting for server in self._servers.values())

    def statuses(self) -> dict[str, int]:
        """How many servers are in which state now, as far as seen; gone ones are left out."""
        return dict(Counter(server.status for server in self._servers.values() if not server.gone))

    def tick(self) -> list[Seen]:
        """Ask once, if anything is waited for, and say what was found."""
        if self.is_idle:
            self._was_idle, self.wait_s = True, SHORTEST_TICK_S
            return []
        started_ns = self._api.clock.now_ns()
        if self._was_idle:
            # What happened while nobody looked is no finding of this tick's length.
            self._was_idle, self._listed_ns = False, None
        try:
            self._list_servers(started_ns)
            if self.level == "port_active":
                self._list_ports()
        except RequestFailed:
            self.failed_polls += 1
            self._adapt(started_ns)
            return []
        done_ns = self._api.clock.now_ns()
        found = [
            seen
            for server in self._servers.values()
            if server.waiting
            for seen in self._settle(server, started_ns, done_ns)
        ]
        self._listed_ns = started_ns
        self._adapt(started_ns)
        return found

    def _adapt(self, started_ns: int) -> None:
        # The median: one list that hung with the cloud says nothing about what the next one will cost.
        self._costs_s.append((self._api.clock.now_ns() - started_ns) / S)
        self.wait_s = min(LONGEST_TICK_S, max(SHORTEST_TICK_S, median(self._costs_s) * COST_SHARE))

    def _list_servers(self, now_ns: int) -> None:
        whole = self._newest is None or self._refreshed_ns is None or now_ns - self._refreshed_ns > round(REFRESH_S * S)
        filters: dict[str, Any] = {"name": self._mark}
        if not whole and self._newest is not None:
            filters["changes_since"] = (self._newest - timedelta(seconds=MARGIN_S)).strftime("%Y-%m-%dT%H:%M:%SZ")
        listed = set()
        for row in compute.all_servers(self._api, **filters):
            listed.add(row["id"])
            self._note(row)
        if whole:
            for server in self._servers.values():
                if server.server_id is not None and server.server_id not in listed:
                    server.gone, server.status = True, "GONE"
            self._refreshed_ns = now_ns

    def _note(self, row: dict[str, Any]) -> None:
        updated = datetime.fromisoformat(row.get("updated") or row["created"]).astimezone(UTC)
        if self._newest is None or updated > self._newest:
            self._newest = updated
        server = self._by_id.get(row["id"]) or self._servers.get(row["name"])
        if server is None or (row["status"] == "DELETED" and server.server_id not in (None, row["id"])):
            return
        if row["status"] == "UNKNOWN":
            return  # its cell does not answer: no news of it
        server.server_id = row["id"]
        self._by_id[row["id"]] = server
        server.status, server.task = row["status"], row.get("OS-EXT-STS:task_state")
        server.gone = row["status"] in ("DELETED", "SOFT_DELETED")
        fault = row.get("fault")
        server.detail = str(fault.get("message")) if isinstance(fault, dict) else None

    def _list_ports(self) -> None:
        pending = {
            server.server_id
            for server in self._servers.values()
            if server.status == "ACTIVE"
            and not server.ports_active
            and server.server_id
            and any(waiting.until == "ready" for waiting in server.waiting)
        }
        if not pending:
            return
        # A few by name; many at once are cheaper as one list of the project's ports than as a URL full of ids.
        filters: dict[str, Any] = {"fields": ["id", "device_id", "status"]}
        if len(pending) <= PORTS_BY_ID:
            filters["device_id"] = sorted(pending)
        states: dict[str, list[str]] = {}
        for port in network.all_of(self._api, "ports", **filters):
            if port["device_id"] in pending:
                states.setdefault(port["device_id"], []).append(port["status"])
        for server in self._servers.values():
            found = states.get(server.server_id or "")
            if found and all(status == "ACTIVE" for status in found):
                server.ports_active = True

    def _settle(self, server: _Server, listed_ns: int, done_ns: int) -> list[Seen]:
        found, left = [], []
        for waiting in server.waiting:
            # A list that was asked for before the wait began may show what was before.
            event = self._event(server, waiting.until) if waiting.since_ns <= listed_ns else None
            if event is None or server.server_id is None:
                left.append(waiting)
                continue
            since_ns = max(waiting.since_ns, self._listed_ns if self._listed_ns is not None else waiting.since_ns)
            found.append(
                Seen(
                    waiting.operation_id,
                    event,
                    done_ns,
                    done_ns - min(since_ns, done_ns),
                    server.server_id,
                    server.status,
                    server.detail,
                )
            )
        server.waiting = left
        return found

    def _event(self, server: _Server, until: str) -> str | None:
        if server.gone:
            return "gone"
        if until == "gone":
            # Nova puts a server whose deletion failed to ERROR: it is not going anywhere by itself.
            return "error" if server.status == "ERROR" and server.task is None and server.detail else None
        if server.status == "ERROR":
            return "error"
        if until != "ready":
            return "reached" if server.status == until and not server.task else None
        is_up = server.status == "ACTIVE" and not server.task
        return "reached" if is_up and (self.level == "active" or server.ports_active) else None
