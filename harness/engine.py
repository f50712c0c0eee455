"""The life of one run, from the plan to the exit code.

    preflight -> load, phase by phase, with faults -> drain -> heal -> settle -> audit -> clean up -> judge -> report

The engine makes no load and injects no fault: it starts the processes that do, tells them the epoch, listens, and makes
sure that whatever happens every fault is undone and everything the run made is deleted. Its state changes in one thread
only: control links and signal handlers put messages into an inbox, and it listens when it is ready to
(conversation.py).
"""

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faults
from harness import checkers
from harness.children import Children
from harness.control import ControlServer
from harness.conversation import FLUSH_DEADLINE_S, Aborted, Conversation, Interrupted
from harness.core.clock import RunClock, S, monotonic_ns, wall_ns
from harness.core.units import format_ns
from harness.experiment import ExperimentInvalid, Source
from harness.fingerprint import fingerprint
from harness.interrupts import Interrupts
from harness.plan import check_faults
from harness.progress import Progress
from harness.rundir import RunDirectory, RunDirectoryError, SegmentWriter
from harness.telemetry import Sampler
from harness.telemetry.prometheus import Exporter, RunCollector
from harness.unfinished import in_doubt, last_unready_ns, record_lost_operations
from harness.venue import Venue

_READY_DEADLINE_S = 60.0
_HEAL_DEADLINE_S = 60.0
_QUIET_S = 1.0
_LEAD_NS = S  # between "go" and the epoch, so that every worker has its plan in hand


@dataclass(frozen=True)
class Options:
    """What the command line adds to an experiment."""

    attach: Path | None = None  # a Locust that a person started is the swarm; it finds us through this file
    metrics_port: int = 0
    keep: bool = False  # leave the run's resources in the cloud
    control_file: Path | None = None  # where `squall stop` finds us


class Engine:
    """One run.

    Args: source, plan: a checked experiment and its plan. run: a new run directory. venue: the cloud under test, not
    entered yet.
    """

    def __init__(
        self,
        source: Source,
        plan: dict[str, Any],
        run: RunDirectory,
        venue: Venue,
        progress: Progress,
        options: Options,
    ) -> None:
        self._source, self._plan, self._run, self._venue = source, plan, run, venue
        self._progress, self._options = progress, options
        self._clock = RunClock(monotonic_ns())
        limits, logs = source.experiment.limits, run.path / "logs"
        self._conversation = Conversation(plan, limits, progress, logs=logs, now_ns=self._now_ns)
        self._live = self._conversation.live
        self._interrupts = Interrupts(self._conversation.interrupt)
        self._aborted: str | None = None
        self._stopped_ns: int | None = None
        self._unwritten: RunDirectoryError | None = None
        self.has_begun = False  # whether there is load, and so something to judge

    def run(self) -> dict[str, Any]:
        """Runs from preflight to verdict.

        Returns: the verdict document, as in verdict.json.
        Raises:  ExperimentInvalid, VenueUnavailable when the cloud cannot be had or cannot carry this experiment,
                 KeyboardInterrupt when it was interrupted before the load, and RunDirectoryError when the disk takes no
                 more; nothing is left in the cloud.
        """
        self._write_run(started_wall_ns=wall_ns())
        with contextlib.ExitStack() as stack, self._interrupts:
            prepared = False
            try:
                self._prepare(stack)
                prepared = self.has_begun = True
                self._load()
            except Interrupted:
                if not prepared:
                    raise KeyboardInterrupt from None  # nothing was made and nothing can be judged
                self._progress.step("interrupted: undoing faults, then deleting what this run made")
            except Aborted as error:
                self._aborted = str(error)
                self._progress.step(f"ABORTED: {error}")
            if prepared:
                self._wind_down()
                self._conversation.listen_calmly(0)  # Ctrl-C since: that went on to its end, and the run is interrupted
        if self._unwritten is not None:
            raise self._unwritten
        return self._judge()

    # Before the load.

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        self._progress.step(f"run {self._plan['run_id']}: {self._venue.describe()}")
        with self._interrupts.breaking():  # nothing is made yet
            stack.enter_context(self._venue)
            self._plan.update(self._venue.plan_entries())
            check_faults(self._source, self._plan, self._plan["targets"])
            if problems := self._venue.preflight(self._plan):
                raise ExperimentInvalid("the cloud cannot carry this experiment:\n  " + "\n  ".join(problems))
            self._progress.step("preflight passed; taking the snapshot that the audit compares with")
            self._snapshot("before")
        self._conversation.listen(0)
        self._run.write_json("plan.json", self._plan)
        control = self._conversation.control_server()
        stack.callback(control.close)
        files = self._address_files()
        children = stack.enter_context(Children(self._run.path / "logs", files))
        self._publish(control, files, stack)
        plan_path = str(self._run.path / "plan.json")
        environment = control.environment()
        if self._plan["faults"]:
            nemesis = [sys.executable, "-m", "faults.nemesis", "--plan", plan_path]
            children.start("nemesis", nemesis, environment, guarded=False)
        if self._options.attach is None:
            swarm = [sys.executable, "-m", "harness.swarm", "master", "--plan", plan_path]
            children.start("swarm", swarm, environment)
        self._conversation.await_ready(self._expected(), children, _READY_DEADLINE_S)
        writer = SegmentWriter(self._run.path, "gauges", "engine", self._place())
        stack.callback(writer.close)
        self._clock = RunClock(monotonic_ns() + _LEAD_NS)
        self._write_run(epoch_monotonic_ns=self._clock.epoch_ns, epoch_wall_ns=wall_ns() + _LEAD_NS)
        sampler = Sampler(self._venue.gauge_sources(), self._clock, writer.append)
        sampler.start()
        stack.callback(sampler.stop)
        exporter = Exporter(RunCollector(self._metrics, sampler.latest), self._options.metrics_port)
        stack.callback(exporter.close)
        self._progress.step(f"metrics at {exporter.url}")

    def _expected(self) -> set[str]:
        return {"swarm"} | ({"nemesis"} if self._plan["faults"] else set())

    def _address_files(self) -> list[Path]:
        """Where `squall stop` and an attached Locust look for this engine."""
        return [path for path in (self._options.control_file, self._options.attach) if path is not None]

    def _publish(self, control: ControlServer, files: list[Path], stack: contextlib.ExitStack) -> None:
        """Tells, through private files, how to reach this engine."""
        address = {
            "address": control.address,
            "token": control.token,
            "plan": str(self._run.path / "plan.json"),
            "run_dir": str(self._run.path.resolve()),
            "clouds_file": self._venue.clouds_file,
        }
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(path.unlink, missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(json.dumps(address))

    # The load.

    def _load(self) -> None:
        self._conversation.tell_all({"type": "go", "epoch_ns": self._clock.epoch_ns})
        shown: str | None = None
        while (now_ns := self._clock.now_ns()) < self._plan["end_ns"]:
            phase = next((p for p in self._plan["phases"] if p["start_ns"] <= now_ns < p["end_ns"]), None)
            if phase is not None and phase["name"] != shown:
                shown = self._live.phase = phase["name"]
                self._progress.step(
                    f"phase '{shown}' ({phase['kind']}), {format_ns(phase['end_ns'] - phase['start_ns'])}"
                )
            self._conversation.listen(0.5)
            here, finished = self._conversation.is_connected, self._conversation.has_finished
            if not here("swarm"):
                raise Aborted(f"the swarm died; see {self._run.path / 'logs'}")
            if self._plan["faults"] and not (here("nemesis") or finished("nemesis")):
                raise Aborted(f"the nemesis died; its watchdog undoes what it left; see {self._run.path / 'logs'}")

    def _wind_down(self) -> None:
        """From the last arrival to a clean cloud; each step goes on whatever became of the one before."""
        hurried, settled = self._is_ended_early, False
        self._stopped_ns = self._clock.now_ns()
        self._live.phase = "drain"
        self._progress.step("drain: no new arrivals; waiting for what is in flight")
        drain_s = 1.0 if hurried else self._plan["drain_s"]
        reason = "interrupted" if hurried else "end"
        self._conversation.tell("swarm", {"type": "stop", "reason": reason, "drain_s": drain_s})
        self._conversation.tell("nemesis", {"type": "heal"} if hurried else {"type": "stop"})
        self._conversation.await_finished("swarm", drain_s + FLUSH_DEADLINE_S)
        with self._kept_going():
            self._write_run(drained_ns=self._clock.now_ns(), stopped_ns=self._stopped_ns)
            if lost := record_lost_operations(self._run, self._plan):
                self._progress.step(f"{lost} operations were open on a worker that was lost; they are kept as such")
        with self._kept_going():
            self._heal()
        if not hurried:
            with self._kept_going():
                settled = self._settle()
                self._live.phase = "audit"
                self._progress.step("audit: reading the cloud through its public APIs")
                self._snapshot("after")
        if not self._options.keep and not (hurried and self._venue.is_disposable):
            with self._kept_going():
                self._clean(hurried=hurried, settled=settled)

    @contextlib.contextmanager
    def _kept_going(self) -> Iterator[None]:
        """A disk that takes no more must not keep faults from being undone and resources from being deleted."""
        try:
            yield
        except RunDirectoryError as error:
            if self._unwritten is None:
                self._progress.step(str(error))
            self._unwritten = error

    def _heal(self) -> None:
        if not self._plan["faults"]:
            return
        self._conversation.await_finished("nemesis", _HEAL_DEADLINE_S)
        if not self._conversation.has_finished("nemesis"):
            self._progress.step("healing from the journal")
        report = faults.heal(self._plan["run_id"])
        self._write_run(open_faults=report.open)
        for fault in report.open:
            self._progress.step(f"FAULT NOT UNDONE: {fault}; run: squall heal")

    def _settle(self) -> bool:
        """Waits until dead agents and expired calls must have shown: so long after the last fault ended.

        And until a server that is not usable yet is old enough to be called stuck, or the audit could not find it so.
        Returns whether it had that time: an interrupt ends it.
        """
        ends_ns = [fault["start_ns"] + fault["duration_ns"] for fault in self._plan["faults"]]
        untils_ns = [end_ns + round(self._plan["settle_s"] * S) for end_ns in ends_ns]
        if (unready_ns := last_unready_ns(self._run)) is not None:
            untils_ns.append(unready_ns + round(self._plan["stuck_after_s"] * S) + S)
        until_ns = max(untils_ns, default=0)
        left_ns = until_ns - self._clock.now_ns()
        if left_ns > 0:
            self._live.phase = "settle"
            self._progress.step(f"settle: {format_ns(left_ns)} until every timeout of the control plane has passed")
        while self._clock.now_ns() < until_ns:
            if self._conversation.listen_calmly(0.5):
                return False
        return True

    def _clean(self, *, hurried: bool, settled: bool) -> None:
        """Until everything of this run is gone and stays away, or somebody who has asked for its end asks again."""
        self._conversation.listen_calmly(0)  # what was asked for before it was not asked of the clean-up
        mark, again = self._plan["mark"], self._is_ended_early
        self._live.phase = "clean up"
        self._progress.step("clean up: deleting everything that carries this run's mark")
        quiet_s = _QUIET_S  # what was in flight has had all the time of the settling
        doubtful = 0 if settled else in_doubt(self._run)
        if doubtful:
            quiet_s = max(quiet_s, self._plan["stuck_after_s"])
            cut = "; Ctrl-C once more cuts this short" if again else ""
            self._progress.step(
                f"{doubtful} operations were not answered: watching {quiet_s:g} s for what they make{cut}"
            )
        try:
            with self._interrupts.breaking(after=0 if again else 1):
                left = self._venue.clean(mark, self._progress.step, quiet_s=quiet_s)
        except KeyboardInterrupt:
            self._conversation.interrupted = True
            self._tell_left([f"what may still carry the mark {mark}, as this was cut short", *_to_come(doubtful)])
            return
        self._tell_left(left)
        if not hurried:
            self._snapshot("cleaned")

    def _tell_left(self, left: list[str]) -> None:
        if left and not self._venue.is_disposable:  # else it all goes away with the cloud
            for each in left:
                self._progress.step(f"NOT CLEANED UP: {each}")
            self._progress.step(f"to clean up, run: squall clean {shlex.quote(str(self._run.path))}")
        self._write_run(left_behind=left)

    def _snapshot(self, name: str) -> None:
        snapshot = self._venue.snapshot(self._clock.now_ns())
        self._run.write_json(f"snapshots/{name}.json.gz", snapshot)
        for error in snapshot["errors"]:
            self._progress.step(f"snapshot '{name}' is incomplete: {error}")

    def _judge(self) -> dict[str, Any]:
        self._write_run(
            ended_wall_ns=wall_ns(),
            stopped_ns=self._stopped_ns,
            interrupted=self._conversation.interrupted,
            aborted=self._aborted,
            worker_lost=self._conversation.workers_lost,
        )
        self._write_run(torn_segments=self._run.compact())
        verdict = checkers.judge(self._run)
        self._run.write_json("verdict.json", verdict)
        return verdict

    @property
    def _is_ended_early(self) -> bool:
        return self._conversation.interrupted or self._aborted is not None

    def _now_ns(self) -> int:
        return self._clock.now_ns()

    # What others see of a run.

    def _metrics(self) -> dict[str, Any]:
        live = asdict(self._live)
        return {
            "phase": live["phase"],
            "arrivals": {"intended": live["rate"], "started": live["started"]},
            "requests": {"done": live["done"], "in_flight": live["in_flight"]},
            "servers": live["servers"],
            "faults": live["faults"],
        }

    def _place(self) -> dict[str, str | None]:
        return {"cloud": self._plan["cloud"], "region": self._plan["region"], "project": self._plan["project"]}

    def _write_run(self, **entries: Any) -> None:
        """Adds to run.json, which is there from the first moment."""
        document = self._run.read_json("run.json") or {
            "schema_version": 1,
            "run_id": self._plan["run_id"],
            "name": self._plan["name"],
            "seed": self._plan["seed"],
            "level": self._plan["level"],
            "venue": self._venue.describe(),
            "cloud": self._venue.entry,
            **fingerprint(),
        }
        self._run.write_json("run.json", {**document, **entries})


def _to_come(doubtful: int) -> list[str]:
    return [f"what {doubtful} operations that were not answered may yet make"] if doubtful else []


def reports_command(run_dir: Path) -> subprocess.CompletedProcess[bytes]:
    """Writes report.html, junit.xml and summary.md in a process of its own, which gives its memory back at once."""
    return subprocess.run([sys.executable, "-m", "reports", str(run_dir)], check=False, timeout=300)
