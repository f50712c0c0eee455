"""Users of the shared cloud."""

from collections.abc import Iterator

import pytest

from harness.emulator.cloud import EmbeddedCloud

from .asking import User


@pytest.fixture(scope="session")
def demo(cloud: EmbeddedCloud) -> User:
    return User(cloud, "demo")


@pytest.fixture(scope="session")
def admin(cloud: EmbeddedCloud) -> User:
    return User(cloud, "admin")


@pytest.fixture(scope="module")
def server(demo: User) -> Iterator[str]:
    """An ACTIVE server that a module's tests share."""
    uuid = demo.create(name="shared", metadata={"a": "b"}, tags=["t1"])
    assert demo.wait(uuid, "ACTIVE", "ERROR")["status"] == "ACTIVE"
    yield uuid
    demo.delete(uuid)
