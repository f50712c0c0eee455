"""Targets: what a fault may touch, given explicitly as plain data, never searched for.

    database:
      kind: database                         # database | broker | cloud | service: a word for readers
      link: {control: 127.0.0.1:8474, token: {file: /state/proxy.json, key: token}, name: database}
      process: {pid_file: /run/db.pid, command: mariadbd}     # or pid + start; a JSON pid file with `name`
      restart: {argv: [bash, -c, ...]}       # or {supervisor: 127.0.0.1:9, name: database, token: {file: ...}}
      probe: {protocol: mysql, address: 127.0.0.1:3306}       # user, password, database: log in and SELECT 1
    broker:
      management: {url: "http://127.0.0.1:15672", user: monitor, password: {env: NAME}}     # for gauges only
    cloud:
      emulator: {controls: {api: 127.0.0.1:8471}, token: {file: /state/settings.json, key: control_token}}

Each part is a means; a fault says which it needs. Secrets are named by file or environment variable (`faults.secret`).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from faults.errors import TargetUnfit
from faults.processes import Identity, command_line, identify
from faults.secret import Secret

STALE_S = 5.0  # a server writes its pid file after it has begun; more than clocks and wrappers explain


class LinkMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link of a fault proxy: its control's `host:port`, the token, the link's name there."""

    control: str
    name: str
    token: Secret


class ProcessMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process, with all its children: by `pid` (and `start`, clock ticks since boot), or by `pid_file`.

    A pid file holds the number on its first line, or JSON: `{"pid": 1}`, `{NAME: {"pid": 1}}`,
    `[{"name": NAME, "pid": 1, "start": 5}]`, or one of these under "processes".
    `command`: what its command line must contain; guards against a stale pid file. Without it, and without a start
    time, a file that is older than the process is taken for stale: it was written for one that had the pid before.
    """

    pid: int = 0
    start: int | None = None
    pid_file: str = ""
    name: str = ""
    command: str = ""

    def identity(self) -> Identity:
        """The process as it is now.

        Raises:  TargetUnfit when it is gone or is not the one meant.
        """
        pid, start = (self.pid, self.start) if self.pid else self._from_file()
        found = identify(pid)
        if found is None:
            raise TargetUnfit(f"process {pid}{f' ({self.pid_file})' if self.pid_file else ''} does not run")
        if start is not None and found.start != start:
            raise TargetUnfit(f"process {pid} started at {found.start}, wanted {start}: another one has its pid")
        if self.command and self.command not in command_line(pid):
            raise TargetUnfit(f"process {pid} is '{command_line(pid)[:80]}', wanted '{self.command}' in it")
        if self.pid_file and start is None and not self.command:
            older_s = time.time() - os.stat(self.pid_file).st_mtime - found.age_s()
            if older_s > STALE_S:
                raise TargetUnfit(
                    f"pid file {self.pid_file} is {older_s:.0f} s older than process {pid} "
                    f"('{command_line(pid)[:80]}'), so it means another; if not, say so: command: PART OF ITS COMMAND"
                )
        return found

    def _from_file(self) -> tuple[int, int | None]:
        try:
            text = Path(self.pid_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise TargetUnfit(f"pid file {self.pid_file}: {error.strerror}") from error
        first = text.split("\n", 1)[0].strip()
        if first.isdigit():
            return int(first), None
        try:
            document = json.loads(text)
            if isinstance(document, Mapping) and "processes" in document:
                document = document["processes"]
            if isinstance(document, list):
                document = next(entry for entry in document if entry.get("name") == self.name)
            elif "pid" not in document:
                document = document[self.name]
            if isinstance(document, int):
                return document, None
            start = document.get("start")
            return int(document["pid"]), None if start is None else int(start)
        except (ValueError, KeyError, TypeError, StopIteration, AttributeError):
            named = f" for '{self.name}'" if self.name else ""
            raise TargetUnfit(f"pid file {self.pid_file}: no pid{named} in it") from None


class RestartMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to start the process again: a command, run detached, or the embedded cloud's supervisor.

    The command is kept in the journal (0600), so it should not hold secrets. `within_s`: how long either may take.
    """

    argv: tuple[str, ...] = ()
    supervisor: str = ""
    name: str = ""
    token: Secret | None = None
    within_s: float = 60.0


class ProbeMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to see whether the server answers, at `address` (`host:port`, the server itself rather than a link).

    Without `user` the server's own greeting is asked for, which every protocol here gives before any login; with it, a
    SQL server is logged in to and `SELECT 1` must answer.
    """

    protocol: Literal["postgresql", "mysql", "amqp", "tcp"]
    address: str
    user: str = ""
    password: Secret | None = None
    database: str = ""


class ManagementMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """RabbitMQ's management API: no fault needs it, a run reads its gauges there. `url`: http, without a path."""

    url: str
    user: str
    password: Secret


class EmulatorMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control ports of the bundled cloud's processes, by their names; only that cloud has any."""

    controls: dict[str, str]
    token: Secret


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named target and the means it offers."""

    kind: Literal["database", "broker", "cloud", "service", "proxy_link", "process"] = "service"
    link: LinkMeans | None = None
    process: ProcessMeans | None = None
    restart: RestartMeans | None = None
    probe: ProbeMeans | None = None
    management: ManagementMeans | None = None
    emulator: EmulatorMeans | None = None


def read_target(data: Mapping[str, Any]) -> Target:
    """A target from plain data.

    Raises:  ValueError naming the part that is wrong.
    """
    try:
        target = msgspec.convert(data, Target)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    if target.process is not None and bool(target.process.pid) == bool(target.process.pid_file):
        raise ValueError("process: wanted exactly one of pid and pid_file")
    if target.restart is not None and bool(target.restart.argv) == bool(target.restart.supervisor):
        raise ValueError("restart: wanted exactly one of argv and supervisor")
    if target.restart is not None and target.restart.supervisor and not (target.restart.name and target.restart.token):
        raise ValueError("restart: a supervisor needs name and token as well")
    for part, address in (
        ("link.control", target.link.control if target.link else None),
        ("probe.address", target.probe.address if target.probe else None),
        ("restart.supervisor", target.restart.supervisor or None if target.restart else None),
        *(
            (f"emulator.controls.{name}", each)
            for name, each in (target.emulator.controls if target.emulator else {}).items()
        ),
    ):
        if address is not None and not split_address(address):
            raise ValueError(f"{part}: wanted host:port; got '{address}'")
    if target.emulator is not None and not target.emulator.controls:
        raise ValueError("emulator.controls: wanted at least one process")
    if target.management is not None and not re.fullmatch(r"http://[^/@\s]+/?", target.management.url):
        raise ValueError(f"management.url: wanted http://host:port; got '{target.management.url}'")
    for part, secret in (
        ("link.token", target.link.token if target.link else None),
        ("restart.token", target.restart.token if target.restart else None),
        ("probe.password", target.probe.password if target.probe else None),
        ("management.password", target.management.password if target.management else None),
        ("emulator.token", target.emulator.token if target.emulator else None),
    ):
        if secret is not None and bool(secret.file) == bool(secret.env):
            raise ValueError(f"{part}: wanted exactly one of file and env")
    return target


def split_address(address: str) -> tuple[str, int] | None:
    """`host:port` as a pair, None when it is not one."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return host.strip("[]"), int(port)
