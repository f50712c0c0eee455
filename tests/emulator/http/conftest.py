"""A cloud of its own for bad input: nothing that other tests do shows in its logs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings
from tests.emulator.http.raw import SERVICES, Wire


@pytest.fixture(scope="package")
def own_wire() -> Iterator[Wire]:
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=2), head_timeout_s=2, body_timeout_s=2)
    settings.database.fsync = False
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    try:
        with EmbeddedCloud(settings, state) as cloud:
            yield Wire.to(cloud)
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def wire(own_wire: Wire) -> Iterator[Wire]:
    """The cloud, in bytes. Afterwards no log of it holds a traceback, and every service answers."""
    yield own_wire
    assert own_wire.tracebacks() == []
    for service in SERVICES:
        assert own_wire.get(service, "/").status in (200, 300), service
