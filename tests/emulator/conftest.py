"""Fixtures of the emulator's tests: a whole cloud once for a session, a PostgreSQL once for a session."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import DatabaseSettings, HypervisorSettings, Settings
from harness.emulator.standalone import StandalonePostgres
from tests.servers import mariadb, rabbitmq


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("mariadb-rabbitmq", marks=pytest.mark.servers("MariaDB", "RabbitMQ"))],
)
def cloud(request: pytest.FixtureRequest) -> Iterator[EmbeddedCloud]:
    """All five services, 20 hypervisors, clocks ten times as fast, on free ports; `.clouds_yaml`, `.url("nova")`."""
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=20))
    settings.database.fsync = False
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        if request.param == "mariadb-rabbitmq":
            settings.database = stack.enter_context(mariadb.databases())
            settings.broker = rabbitmq.settings(virtual_host=stack.enter_context(rabbitmq.virtual_host()))
        yield stack.enter_context(EmbeddedCloud(settings, state))


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseSettings]:
    """How to connect to an empty PostgreSQL; tests make databases of their own in it."""
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    state.chmod(0o711)
    try:
        with StandalonePostgres(state) as server:
            yield server.settings
    finally:
        shutil.rmtree(state, ignore_errors=True)
