"""Fixtures: one embedded broker per module, and the parametrised `place` and `stage`. Tests may be coroutines."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from tests.emulator.broker.clients import CLIENTS
from tests.emulator.broker.place import BOTH, Place, real, run, start_embedded, stop_embedded
from tests.emulator.broker.stage import Stage


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine, within a deadline."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An embedded broker that a module's tests share."""
    place = start_embedded(tmp_path_factory.mktemp("broker"))
    yield place
    stop_embedded(place)


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An embedded broker of the test's own, to be ill-treated; heartbeats of 1 s."""
    place = start_embedded(tmp_path_factory.mktemp("broker"), "--heartbeat", "1")
    yield place
    stop_embedded(place)


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest) -> Place:
    """The embedded broker, and a real RabbitMQ when there is one."""
    if request.param == "rabbitmq":
        return real()
    shared: Place = request.getfixturevalue("broker")
    return Place(shared.address, shared.management, shared.process)


@pytest.fixture(params=CLIENTS)
def stage(request: pytest.FixtureRequest, place: Place) -> Stage:
    """Every client library on every broker."""
    return Stage(place, request.param)
