"""Where a run takes place: the bundled cloud, made for the run and thrown away after it, or a cloud that is there."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from faults.embedded import embedded_targets
from harness import supervise, targets
from harness.cloud import janitor, preflight, snapshot
from harness.cloud.session import Cloud as Connection
from harness.cloud.session import connect
from harness.core.units import duration_ns
from harness.emulator import settings as emulator_settings
from harness.emulator import status as emulator_status
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.errors import CloudError as EmulatorError
from harness.emulator.settings import Settings
from harness.experiment import Cloud, Emulator, Experiment, ExperimentInvalid
from harness.telemetry import Source
from harness.telemetry.broker import Management
from harness.telemetry.compute import Hypervisors
from harness.telemetry.database import MariaDB, PostgreSQL
from harness.telemetry.emulated import processes
from harness.telemetry.machine import Machine

_STATE_PREFIX = "squall-cloud-"
_CONFIG_VARIABLE = "OS_CLIENT_CONFIG_FILE"  # where openstacksdk looks for clouds.yaml first


class VenueUnavailable(Exception):
    """The cloud could not be started or reached, with the reason; nothing of it is left running."""


class Venue:
    """The cloud under test, as a run needs it: entered once, usable while inside.

    Args: cloud: either the bundled cloud or an entry of clouds.yaml. experiment: for seed, time scale, client level and
    the targets that faults may touch. backends: puts the bundled cloud on a database and a broker that are there.
    """

    def __init__(
        self, cloud: Cloud, experiment: Experiment, backends: Callable[[Settings], None] = lambda _: None
    ) -> None:
        self._level = experiment.client.level
        self._given_targets = experiment.targets
        self._settings: Settings | None = None
        if cloud.emulator is not None:
            self._settings = _emulator_settings(cloud.emulator, experiment)
            backends(self._settings)
        self._entry = "demo" if cloud.emulator is not None else cloud.name
        self._admin_entry = "admin" if cloud.emulator is not None else cloud.admin
        self._logs: Path | None = None
        self._state: Path | None = None
        self._connection: Connection
        self._admin: Connection | None = None
        self._stack = ExitStack()

    @property
    def is_disposable(self) -> bool:
        """Whether the cloud goes away with the run, and everything in it."""
        return self._settings is not None

    @property
    def entry(self) -> str | None:
        """Its name in clouds.yaml; None when it goes away with the run, clouds.yaml and all."""
        return None if self.is_disposable else self._entry

    @property
    def clouds_file(self) -> str | None:
        """The clouds.yaml of a cloud that was made for the run; None when processes find theirs as we found it."""
        return str(self._state / "clouds.yaml") if self.is_disposable and self._state is not None else None

    def describe(self) -> str:
        """In one line for people."""
        if self._settings is not None:
            settings = self._settings
            database = "MariaDB" if settings.database.dialect == "mysql" else "PostgreSQL"
            broker = "embedded broker" if settings.broker.embedded else "RabbitMQ"
            count, scale = settings.hypervisors.count, settings.time_scale
            return f"bundled cloud, {count} hypervisors, {database} and {broker}, time scale {scale:g}"
        return f"cloud '{self._entry}'"

    def known_targets(self) -> dict[str, dict[str, Any]]:
        """Fault targets by name, as far as they are known before the cloud is entered: enough to validate a plan."""
        if self._settings is not None:
            return _merged(_promised_targets(self._settings), self._given_targets)
        return self._targets(_running_emulator())

    def keep_logs(self, directory: Path) -> None:
        """Before entering: where the bundled cloud's logs are to stay."""
        self._logs = directory

    def __enter__(self) -> "Venue":
        with ExitStack() as stack:
            if self._settings is not None:
                self._start_emulator(self._settings, stack)
            else:
                self._state = _running_emulator()
            try:
                self._connection = connect(self._entry, level=self._level)
                stack.callback(self._connection.close)
                self._project = self._connection.project_id
                if self._admin_entry is not None:
                    self._admin = connect(self._admin_entry, level=self._level)
                    stack.callback(self._admin.close)
                    self._admin.project_id  # noqa: B018 - logs in: a wrong password shows now, not in the audit
            except Exception as error:
                raise VenueUnavailable(f"cloud '{self._entry}' cannot be used: {error}") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def plan_entries(self) -> dict[str, Any]:
        """`cloud`, `region`, `project` and fault `targets` for the plan."""
        return {
            "cloud": self._entry,
            "region": self._connection.region,
            "project": self._project,
            "targets": self._targets(self._state),
        }

    def preflight(self, plan: Mapping[str, Any]) -> list[str]:
        """What keeps this cloud from carrying the plan; empty when nothing does."""
        return preflight.check(self._connection, plan)

    def snapshot(self, taken_ns: int) -> dict[str, Any]:
        """What the cloud says of itself through its public APIs."""
        return snapshot.take(self._connection, self._admin, taken_ns=taken_ns)

    def gauge_sources(self) -> list[Source]:
        """The parts of the cloud and of this machine that can be watched."""
        sources: list[Source] = [Machine()]
        if self._state is not None:
            sources += _emulator_sources(emulator_settings.load(self._state))
        sources += targets.gauge_sources(self._given_targets)
        if self._admin is not None:
            sources.append(Hypervisors(lambda: asyncio.to_thread(self._hypervisor_statistics)))
        return sources

    def clean(self, mark: str, say: Callable[[str], None], *, quiet_s: float) -> list[str]:
        """Deletes everything that carries the mark, until for `quiet_s` nothing appears; returns what would not go."""
        return janitor.clean(self._connection, mark, say=say, quiet_s=quiet_s)

    def _hypervisor_statistics(self) -> dict[str, Any]:
        assert self._admin is not None
        answer = self._admin.proxy("compute").get("/os-hypervisors/statistics", microversion="2.87")
        return dict(answer.json())

    def _targets(self, state: Path | None) -> dict[str, dict[str, Any]]:
        return _merged(embedded_targets(state) if state is not None else {}, self._given_targets)

    def _start_emulator(self, settings: Settings, stack: ExitStack) -> None:
        _remove_orphans()
        ours = supervise.record("engine", os.getpid())
        state = Path(tempfile.mkdtemp(prefix=f"{_STATE_PREFIX}{ours.pid}-{ours.start}-"))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        try:
            cloud = stack.enter_context(EmbeddedCloud(settings, state, logs=self._logs))
        except EmulatorError as error:
            raise VenueUnavailable(f"the bundled cloud did not start: {error}") from error
        self._state = state
        before = os.environ.get(_CONFIG_VARIABLE)
        os.environ[_CONFIG_VARIABLE] = str(cloud.clouds_yaml)
        stack.callback(_restore, _CONFIG_VARIABLE, before)


# What an experiment says elsewhere; here it would be ignored.
_KEYS_OF_THEIR_OWN = {
    ("nova", "build"): "say cloud.emulator.build instead",
    ("hypervisors", "count"): "say cloud.emulator.hypervisors instead",
    ("database", "group_commit"): "say cloud.emulator.group_commit instead",
    ("truth", ""): "say cloud.emulator.truth instead",
    ("seed", ""): "say seed at the top of the experiment instead",
    ("time_scale", ""): "say time_scale at the top of the experiment instead",
}


def _emulator_settings(wanted: Emulator, experiment: Experiment) -> Settings:
    """Raises: ExperimentInvalid when the experiment names an unknown setting, or a value that it cannot have."""
    document: dict[str, Any] = {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in wanted.settings.items()
    }
    for (section, name), instead in _KEYS_OF_THEIR_OWN.items():
        held = document.get(section) if name else document
        if isinstance(held, dict) and (name or section) in held:
            where = f"{section}.{name}" if name else section
            raise ExperimentInvalid(f"cloud.emulator.settings.{where}: {instead}")
    try:
        build = {"low_s": duration_ns(wanted.build.low) / 1e9, "high_s": duration_ns(wanted.build.high) / 1e9}
    except ValueError as error:
        raise ExperimentInvalid(f"cloud.emulator.build: {error}") from error
    document.setdefault("nova", {})["build"] = build
    document.setdefault("hypervisors", {})["count"] = wanted.hypervisors
    document.setdefault("database", {})["group_commit"] = wanted.group_commit
    document |= {"seed": experiment.seed, "time_scale": experiment.time_scale, "truth": wanted.truth}
    try:
        return msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise ExperimentInvalid(f"cloud.emulator.settings: {error}; see docs/emulator.md for what there is") from error


def _running_emulator() -> Path | None:
    """The state directory of the bundled cloud that clouds.yaml belongs to, None when it is another cloud's.

    `squall cloud up` writes clouds.yaml into its state directory and says so in OS_CLIENT_CONFIG_FILE.
    """
    file = os.environ.get(_CONFIG_VARIABLE)
    if not file:
        return None
    state = Path(file).resolve().parent
    return state if emulator_status.status(state).running else None


def _emulator_sources(settings: Settings) -> list[Source]:
    login = (settings.database.server_host, settings.database.server_port)
    user = (settings.database.user, settings.database.password)
    kind = PostgreSQL if settings.database.dialect == "postgresql" else MariaDB
    management = f"http://{settings.broker.server_host}:{settings.broker.management_port}"
    return [
        kind(*login, *user),
        Management(management, settings.broker.user, settings.broker.password),
        *processes(settings.control_ports, settings.control_token),
    ]


def _promised_targets(settings: Settings) -> dict[str, dict[str, Any]]:
    """What the bundled cloud will offer for targets, with addresses that do not exist yet."""
    token = {"env": "SQUALL_TOKEN"}
    protocols = {"database": settings.database.dialect, "broker": "amqp"}
    found: dict[str, dict[str, Any]] = {}
    for name, where in (("database", settings.database), ("broker", settings.broker)):
        found[name] = {
            "kind": name,
            "link": {"control": "127.0.0.1:1", "name": name, "token": token},
            "probe": {"protocol": protocols[name], "address": "127.0.0.1:1"},
        }
        if where.embedded:
            found[name]["process"] = {"pid_file": "pids.json", "name": name}
            found[name]["restart"] = {"supervisor": "127.0.0.1:1", "name": name, "token": token}
    found["cloud"] = {"kind": "cloud", "emulator": {"controls": {"api": "127.0.0.1:1"}, "token": token}}
    return found


def _merged(ours: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Targets of a file complete those that the bundled cloud brings: how a server that is not its own is stopped."""
    return {name: {**ours.get(name, {}), **given.get(name, {})} for name in {**ours, **given}}


def _remove_orphans() -> None:
    """State directories of engines that were killed before their cloud, which removes its own, had a process."""
    for state in Path(tempfile.gettempdir()).glob(f"{_STATE_PREFIX}*-*-*"):
        pid, start = state.name.removeprefix(_STATE_PREFIX).split("-")[:2]
        with contextlib.suppress(OSError, ValueError):
            is_ours = state.stat().st_uid == os.geteuid()
            if (
                is_ours
                and not supervise.Recorded("engine", int(pid), start).alive
                and not (state / "pids.json").exists()
            ):
                shutil.rmtree(state, ignore_errors=True)


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
