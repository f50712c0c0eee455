"""The history of a run, as checkers and targets read it: everything from the run directory, nothing from the cloud.

Loading is linear in the number of rows; a million requests are columns, not objects. What cannot be read is left out
and said in `problems`, so that a run that was killed half-way can still be judged as far as it goes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct

from harness.checkers.snapshot import Missing, Server, Snapshot
from harness.core import marks
from harness.core.clock import S
from harness.rundir import TABLES, RunDirectory, RunDirectoryError

REQUEST_COLUMNS = (
    *("process", "swarm", "route", "intended_ns", "sent_ns", "done_ns"),
    *("status", "ending"),
)
# What operators use; shrunk with every other timer of the control plane.
DEFAULT_STUCK_AFTER_S = 900.0
LOADING = ("baseline", "fault", "recovery", "load")


class PlannedPhase(Struct, frozen=True):
    """A stretch of the run: [start_ns, end_ns)."""

    name: str
    kind: str
    start_ns: int
    end_ns: int

    @property
    def loads(self) -> bool:
        """Whether targets apply here: not while the cloud warms up."""
        return self.kind in LOADING

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / S


class PlannedSwarm(Struct, frozen=True):
    """A stream of arrivals and the time in which it is meant to run."""

    name: str
    scenario: str = ""
    start_ns: int = 0
    end_ns: int = 0
    phases: tuple[str, ...] | None = None

    def loads(self, phase: PlannedPhase) -> bool:
        if self.phases is not None and phase.name not in self.phases:
            return False
        return self.end_ns <= self.start_ns or (self.start_ns < phase.end_ns and self.end_ns > phase.start_ns)


class Intent(Struct, frozen=True):
    """One line of the ledger: what was about to be asked of the cloud, before the request left."""

    name: str
    operation_id: int | None = None
    kind: str = "server"
    count: int = 1
    at_ns: int = 0


@dataclass
class FaultRecord:
    """One fault as the nemesis journalled it. Times in ns of the run; None: did not happen."""

    id: str
    fault: str
    target: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    def at_ns(self, *names: str) -> int | None:
        """When the last of these events happened."""
        times = [int(event["at_ns"]) for event in self.events if event.get("event") in names and "at_ns" in event]
        return max(times) if times else None

    @property
    def injected_ns(self) -> int | None:
        return self.at_ns("injected")

    @property
    def over_ns(self) -> int | None:
        """When it was undone: the undo itself, not the probe that later proved it."""
        return self.at_ns("undone") or self.at_ns("gone")

    @property
    def bit(self) -> bool | None:
        """Whether a probe proved that it bites; None when it was not injected or not probed."""
        names = {event.get("event") for event in self.events}
        if "bites" in names:
            return True
        return False if "no_bite" in names else None

    @property
    def doubt(self) -> str:
        """Why it cannot be said that it bit from injection to undo; "" when it can."""
        if self.bit is not True:
            return "did not bite" if self.bit is False else "was not proved to bite"
        short = next((str(event.get("detail")) for event in self.events if event.get("event") == "cut_short"), None)
        return "" if short is None else f"did not bite over its whole window: {short}"

    @property
    def gone(self) -> bool | None:
        """Whether it is proved to be over; None when it never began."""
        names = [event.get("event") for event in self.events]
        if "gone" in names and "not_gone" not in names[names.index("gone") :]:
            return True
        begun = {"journalled", "injected", "bites", "undoing", "undone", "not_gone"} & set(names)
        return False if begun else None


@dataclass
class History:
    """Everything that is known of one run."""

    run: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    requests: pd.DataFrame = field(default_factory=lambda: empty("requests", REQUEST_COLUMNS))
    operations: pd.DataFrame = field(default_factory=lambda: empty("operations"))
    arrivals: pd.DataFrame = field(default_factory=lambda: empty("arrivals"))
    gauges: pd.DataFrame = field(default_factory=lambda: empty("gauges"))
    health: pd.DataFrame = field(default_factory=lambda: empty("health"))
    faults: list[FaultRecord] = field(default_factory=list)
    ledger: list[Intent] = field(default_factory=list)
    before: Snapshot = field(default_factory=lambda: Snapshot("before", None))
    after: Snapshot = field(default_factory=lambda: Snapshot("after", None))
    cleaned: Snapshot = field(default_factory=lambda: Snapshot("cleaned", None))
    torn: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """The prefix of every name that this run gave.  Raises Missing when it is not known."""
        mark = self.plan.get("mark") or self.run.get("mark")
        if not mark:
            raise Missing("the plan of the run is missing, and with it the mark of its resources")
        return str(mark)

    @cached_property
    def phases(self) -> list[PlannedPhase]:
        return [msgspec.convert(each, PlannedPhase) for each in self.plan.get("phases") or []]

    @cached_property
    def swarms(self) -> list[PlannedSwarm]:
        return [msgspec.convert(each, PlannedSwarm) for each in self.plan.get("swarms") or []]

    @property
    def stuck_after_s(self) -> float:
        """Seconds after which a transient state counts as stuck: as the plan says, else fifteen minutes, scaled."""
        said = self.plan.get("stuck_after_s")
        return float(said) if said is not None else DEFAULT_STUCK_AFTER_S * float(self.plan.get("time_scale") or 1.0)

    def build_limit_s(self, server: Server) -> float:
        """Seconds without a step after which a build counts as stuck: on a host it may first wait for its ports."""
        return self.stuck_after_s + (float(self.plan.get("plug_timeout_s") or 0.0) if server.host else 0.0)

    def build_age_s(self, snapshot: Snapshot, server: Server) -> float | None:
        """Seconds since the build last made a step that can be seen: on a host every step is stamped.

        Before that Nova shows the time of our own question as `updated` (seen with nova 34.0.0: a build request that is
        no instance yet has none of its own), so it is the age since acceptance that counts.
        """
        return self.age_s(snapshot, server, since=server.updated if server.host else None)

    @cached_property
    def creates(self) -> pd.DataFrame:
        """One row per server that the run meant to have."""
        return self.operations[self.operations["kind"] == "server.create"]

    @cached_property
    def accepted_ns(self) -> dict[str, int]:
        """By id of a server that this run asked for: when the cloud accepted it, else when it was sent."""
        rows = self.operations[self.operations["resource_id"].notna() & (self.operations["kind"] == "server.create")]
        times = rows["accepted_ns"].fillna(rows["sent_ns"])
        known = times.notna()
        return {str(each): int(at) for each, at in zip(rows["resource_id"][known], times[known], strict=True)}

    @cached_property
    def our_ids(self) -> frozenset[str]:
        """Ids of every resource that the run's operations or its mark in any snapshot tie to it."""
        ids = {str(each) for each in self.operations["resource_id"].dropna()}
        for snapshot in (self.after, self.cleaned):
            for part in ("servers", "ports", "networks", "subnets", "security_groups"):
                for row in (snapshot.document or {}).get(part) or []:
                    if self.is_marked(row):
                        ids.add(str(row["id"]))
        return frozenset(ids)

    def is_marked(self, row: Mapping[str, Any]) -> bool:
        """Whether an object carries the mark of this run: in its name, its tags or its metadata."""
        mark = self.mark
        named = (row.get("name"), *(row.get("tags") or ()), *(row.get("metadata") or {}).values())
        return any(marks.bears(each, mark) for each in named)

    def is_ours(self, server: Server) -> bool:
        return server.id in self.our_ids or marks.bears(server.name, self.mark)

    def our_servers(self, snapshot: Snapshot) -> list[Server]:
        return [server for server in snapshot.servers.values() if self.is_ours(server)]

    def age_s(self, snapshot: Snapshot, server: Server, *, since: str | None = None) -> float | None:
        """Seconds from `since`, an ISO stamp of the cloud, or else from acceptance, to the snapshot; None if unknown.

        The run's own clock is preferred for acceptance: the cloud's may be wrong, and Nova stamps whole seconds.
        """
        if since is None and (accepted := self.accepted_ns.get(server.id)) is not None:
            return (snapshot.taken_ns - accepted) / S
        anchor, stamp = self.wall_anchor_ns, _wall_ns(since or server.created)
        if anchor is None or stamp is None:
            accepted = self.accepted_ns.get(server.id)
            return None if accepted is None else (snapshot.taken_ns - accepted) / S
        return max(0.0, (anchor + snapshot.taken_ns - stamp) / S)

    @property
    def wall_anchor_ns(self) -> int | None:
        """CLOCK_REALTIME at the epoch of the run."""
        anchor = self.run.get("epoch_wall_ns")
        return None if anchor is None else int(anchor)


def empty(table: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """A table without rows, with the column types of the run directory."""
    names = list(columns) if columns else TABLES[table].names
    frame: pd.DataFrame = TABLES[table].empty_table().select(names).to_pandas()
    return frame


def load(run: RunDirectory | Path) -> History:
    """Reads a run directory, whole, torn or killed half-way.  Raises RunDirectoryError when it is none."""
    directory = run if isinstance(run, RunDirectory) else RunDirectory.open(run)
    history = History()
    history.run = _document(directory, "run.json", history)
    history.plan = _document(directory, "plan.json", history)
    try:
        _ = history.phases, history.swarms
    except (msgspec.ValidationError, TypeError) as error:
        history.problems.append(f"plan.json is no plan: {error}")
        history.plan = {}
    if not history.plan:
        history.problems.append("plan.json is missing: phases, targets and the mark of the run are not known")
    for table in ("operations", "arrivals", "gauges", "health"):
        setattr(history, table, _table(directory, table, None, history))
    history.requests = _table(directory, "requests", REQUEST_COLUMNS, history)
    history.faults = fault_records(directory.read_lines("faults.jsonl"))
    for line in directory.ledger_lines():
        try:
            history.ledger.append(msgspec.convert(line, Intent))
        except msgspec.ValidationError as error:
            history.problems.append(f"a line of the ledger was not understood: {error}")
    for name in ("before", "after", "cleaned"):
        setattr(history, name, Snapshot(name, _document(directory, f"snapshots/{name}.json.gz", history) or None))
    try:
        history.torn = directory.torn()
    except (RunDirectoryError, OSError) as error:
        history.problems.append(str(error))
    for segment, kept in history.torn.items():
        history.problems.append(f"{segment} ends in the middle: {kept} whole batches were kept, the last one was lost")
    return history


def fault_records(lines: Iterable[dict[str, Any]]) -> list[FaultRecord]:
    """The journal of the nemesis, one record per fault, in order of first mention."""
    records: dict[str, FaultRecord] = {}
    for line in lines:
        if not isinstance(line, dict) or line.get("id") is None:
            continue
        key = str(line["id"])
        record = records.setdefault(key, FaultRecord(key, str(line.get("fault") or ""), str(line.get("target") or "")))
        record.fault = record.fault or str(line.get("fault") or "")
        record.events.append(line)
    return list(records.values())


def _document(directory: RunDirectory, name: str, history: History) -> dict[str, Any]:
    try:
        document = directory.read_json(name)
    except RunDirectoryError as error:
        history.problems.append(str(error))
        return {}
    return document if isinstance(document, dict) else {}


def _table(directory: RunDirectory, name: str, columns: tuple[str, ...] | None, history: History) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = directory.read(name, columns).to_pandas()
        return frame
    except (OSError, ValueError, RunDirectoryError) as error:  # pyarrow's errors are ValueErrors
        history.problems.append(f"table {name} cannot be read: {error}")
        return empty(name, columns)


_ISO = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")


def _wall_ns(stamp: str | None) -> int | None:
    """An ISO time of a cloud as ns since 1970; clouds leave the zone out and mean UTC."""
    if not stamp or not _ISO.match(stamp):
        return None
    try:
        moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * S)


def limited_seconds(health: pd.DataFrame, threshold_ns: float | None) -> frozenset[tuple[str, int]]:
    """The (worker, second) pairs in which the client, not the cloud, set the pace, for a target with this threshold.

    Client-limited: the p99 of the client's own delay (from the intended start to the real one) above max(5 ms, 5 % of
    the threshold), or fewer than 99 % of the arrivals that were due started. A loop that is held up shows there too.

    Args: threshold_ns: None for a target without a time.
    """
    if not len(health):
        return frozenset()
    intended, started, dropped = (health[name].to_numpy(np.float64) for name in ("intended", "started", "dropped"))
    # One arrival may cross into the next second without anybody being late.
    limited = (dropped > 0.01 * intended) | (intended - started - dropped > np.maximum(1.0, 0.01 * intended))
    if threshold_ns is not None:
        delay = health["start_error_p99_ns"].to_numpy(np.float64)
        limited |= delay > max(5e6, 0.05 * threshold_ns)
    rows = health[limited]
    return frozenset(zip(rows["process"].astype(str), rows["second"].astype(int), strict=True))
