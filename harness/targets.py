"""What a cloud of yours lets faults touch: the file given with `squall run --targets`, and the gauges to be had there.

An experiment stays free of addresses; this file has them, and names secrets without holding any.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from faults.errors import TargetUnfit
from faults.targets import Target, read_target, split_address
from harness.experiment import ExperimentInvalid, read_text, read_yaml
from harness.telemetry import Gauge, Source
from harness.telemetry.broker import Management
from harness.telemetry.database import MariaDB, PostgreSQL

_DATABASES = {"mysql": MariaDB, "postgresql": PostgreSQL}


def load_targets(path: Path) -> dict[str, dict[str, Any]]:
    """Fault targets by name, as in docs/faults.md.  Raises ExperimentInvalid when the file does not name any."""
    document, _ = read_yaml(read_text(path), str(path))
    if not isinstance(document, dict) or not all(isinstance(each, dict) for each in document.values()):
        raise ExperimentInvalid(f"{path}: wanted names of targets, each with its means; see docs/real-clouds.md")
    return {str(name): each for name, each in document.items()}


def check_targets(targets: Mapping[str, Mapping[str, Any]], file: Path) -> None:
    """Raises: ExperimentInvalid, naming file and target, when one is not as it must be or a secret cannot be read."""
    for name, each in targets.items():
        try:
            _read_secrets(read_target(each))
        except (ValueError, TargetUnfit) as error:
            raise ExperimentInvalid(f"{file}: target '{name}': {error}") from error


def gauge_sources(targets: Mapping[str, Mapping[str, Any]]) -> list[Source]:
    """What the targets say of themselves: SQL servers whose probe has an account, brokers with `management`.

    Gauges of a target with a name other than its kind carry that name.  Args: targets: checked ones.
    """
    sources: list[Source] = []
    for name, each in targets.items():
        target = read_target(each)
        own: list[Source] = []
        probe, management = target.probe, target.management
        if probe is not None and probe.user and probe.protocol in _DATABASES:
            host, port = split_address(probe.address) or ("", 0)
            password = probe.password.read() if probe.password is not None else ""
            own.append(_DATABASES[probe.protocol](host, port, probe.user, password))
        if management is not None:
            own.append(Management(management.url, management.user, management.password.read()))
        sources += own if name == target.kind else [_Named(source, name) for source in own]
    return sources


class _Named:
    """A source whose gauges carry the target's name, which is not its kind."""

    def __init__(self, source: Source, target: str) -> None:
        self.name, self.period_s = f"{source.name} {target}", source.period_s
        self._source, self._target = source, target

    async def read(self) -> list[Gauge]:
        return [replace(gauge, labels=self._target) for gauge in await self._source.read()]

    async def close(self) -> None:
        await self._source.close()


def _read_secrets(target: Target) -> None:
    for secret in (
        target.link.token if target.link else None,
        target.probe.password if target.probe else None,
        target.emulator.token if target.emulator else None,
        target.management.password if target.management else None,
    ):
        if secret is not None:
            secret.read()
