"""Fixtures: one embedded broker per module, and the parametrised `place`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulator.broker.place import BOTH, Place, real, start_embedded, stop_embedded


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
