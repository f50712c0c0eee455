"""A run directory as pandas frames and plain documents; what is missing or torn is said in `missing`, not raised."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harness.core.clock import S
from harness.rundir import TABLES, RunDirectory, RunDirectoryError

_REQUEST_COLUMNS = ("route", "service", "swarm", "intended_ns", "sent_ns", "done_ns", "status", "ending")
_KEPT_COLUMNS = ("route", "intended_ns", "sent_ns", "done_ns", "status", "ending", "request_id")
_SLOWEST = 12


@dataclass(frozen=True)
class Window:
    """A stretch of time in seconds of the run, with what it is called: a phase, or a fault in force."""

    name: str
    kind: str
    start_s: float
    end_s: float
    detail: str = ""


@dataclass
class Run:
    """Everything that the documents are made of."""

    path: Path
    document: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    experiment: str | None = None
    journal: list[dict[str, Any]] = field(default_factory=list)
    requests: pd.DataFrame = field(default_factory=pd.DataFrame)
    kept: pd.DataFrame = field(default_factory=pd.DataFrame)
    operations: pd.DataFrame = field(default_factory=pd.DataFrame)
    gauges: pd.DataFrame = field(default_factory=pd.DataFrame)
    health: pd.DataFrame = field(default_factory=pd.DataFrame)
    clocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    torn: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.plan.get("name") or self.document.get("name") or self.path.name)

    @property
    def title(self) -> str:
        return str(self.plan.get("title") or "")

    @property
    def run_id(self) -> str:
        return str(self.plan.get("run_id") or self.document.get("run_id") or self.path.name)

    @cached_property
    def phases(self) -> list[Window]:
        return [
            Window(str(each["name"]), str(each["kind"]), each["start_ns"] / S, each["end_ns"] / S)
            for each in self.plan.get("phases") or []
        ]

    @cached_property
    def load_end_s(self) -> float:
        """The end of the load: of the plan, or of the last request, whichever is later."""
        ends = [window.end_s for window in self.phases]
        if len(self.requests):
            ends.append(float(self.requests["intended_ns"].max()) / S)
        return max(ends, default=self.end_s) or 1.0

    @cached_property
    def end_s(self) -> float:
        """The end of the time axis: of the plan, or of what was recorded, whichever is later."""
        ends = [window.end_s for window in self.phases]
        for table, column in ((self.requests, "done_ns"), (self.gauges, "at_ns")):
            if len(table):
                ends.append(float(table[column].max()) / S)
        if len(self.operations) and self.operations["ready_ns"].notna().any():
            ends.append(float(self.operations["ready_ns"].max()) / S)
        return max(ends, default=1.0) or 1.0

    @cached_property
    def faults(self) -> list[Window]:
        """When each fault was in force, as far as the journal says; to the end of the run if it was never undone."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.journal:
            if event.get("id") is None or not isinstance(event.get("at_ns"), int | float):
                continue
            entry = found.setdefault(str(event["id"]), {"fault": event.get("fault") or str(event["id"])})
            entry[str(event.get("event"))] = float(event["at_ns"]) / S
            entry["target"] = event.get("target") or entry.get("target") or ""
            entry["detail"] = event.get("detail") or entry.get("detail") or ""
        return [
            Window(
                name=str(entry["fault"]),
                kind=str(entry["target"]),
                start_s=entry["injected"],
                end_s=entry.get("undone", entry.get("gone", self.end_s)),
                detail=str(entry["detail"]),
            )
            for entry in found.values()
            if "injected" in entry
        ]


def load(path: Path) -> Run:
    """Reads a run directory.  Raises RunDirectoryError only when it is none at all."""
    directory = RunDirectory.open(path)
    run = Run(path)
    run.document = _document(run, directory, "run.json")
    run.plan = _document(run, directory, "plan.json")
    run.verdict = _document(run, directory, "verdict.json") or None
    if not run.plan:
        run.missing.append("plan.json: phases, targets and names are not known")
    if run.verdict is None:
        run.missing.append(f"verdict.json: this run has not been judged; run: squall audit '{path}'")
    if "ended_wall_ns" not in run.document:
        run.missing.append("the end of the run: it was killed, or it still runs")
    try:
        run.experiment = (path / "experiment.yaml").read_text(errors="replace")
    except OSError:
        run.missing.append("experiment.yaml")
    run.journal = directory.read_lines("faults.jsonl")
    for table in ("operations", "gauges", "health", "clocks"):
        setattr(run, table, _arrow(run, directory, table).to_pandas())
    _read_requests(run, directory)
    for name, what in (("before", "before the load"), ("after", "after it"), ("cleaned", "after the clean-up")):
        if not (path / "snapshots" / f"{name}.json.gz").is_file():
            run.missing.append(f"the snapshot of the cloud {what}")
    try:
        run.torn = directory.torn()
    except (RunDirectoryError, OSError, ValueError) as error:
        run.missing.append(str(error))
    for name, kept in run.torn.items():
        run.missing.append(f"the end of {name}: {kept} whole batches were kept, the last one was torn and dropped")
    return run


def _read_requests(run: Run, directory: RunDirectory) -> None:
    """All requests as slim columns; whole rows only of those that failed and of the slowest."""
    columns = [*dict.fromkeys((*_REQUEST_COLUMNS, *_KEPT_COLUMNS))]
    table = _arrow(run, directory, "requests", columns)
    if not len(table):
        run.requests = table.select(list(_REQUEST_COLUMNS)).to_pandas()
        run.kept = table.select(list(_KEPT_COLUMNS)).to_pandas()
        run.missing.append("requests: none were recorded")
        return
    failed = pc.or_(
        pc.not_equal(table["ending"].cast(pa.string()), "answered"),
        pc.greater_equal(table["status"], 400),
    )
    time = pc.subtract(table["done_ns"], table["intended_ns"]).to_numpy()
    slowest = np.argpartition(time, -min(_SLOWEST, len(time)))[-min(_SLOWEST, len(time)) :]
    keep = pc.fill_null(failed, False).to_numpy(zero_copy_only=False).copy()
    keep[slowest] = True
    run.kept = table.select(list(_KEPT_COLUMNS)).filter(pa.array(keep)).to_pandas()
    run.requests = table.select(list(_REQUEST_COLUMNS)).to_pandas()


def _document(run: Run, directory: RunDirectory, name: str) -> dict[str, Any]:
    try:
        document = directory.read_json(name)
    except RunDirectoryError as error:
        run.missing.append(str(error))
        return {}
    return document if isinstance(document, dict) else {}


def _arrow(run: Run, directory: RunDirectory, table: str, columns: list[str] | None = None) -> pa.Table:
    try:
        return directory.read(table, columns)
    except (OSError, ValueError, RunDirectoryError) as error:
        run.missing.append(f"table {table}: {error}")
        return TABLES[table].empty_table().select(columns or TABLES[table].names)
