"""Users of the session's cloud, and a network of their own for each test."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.neutron.client import Client


@pytest.fixture(scope="session")
def demo(cloud: EmbeddedCloud) -> Client:
    return Client(cloud, "demo", cloud.settings.demo_password, "demo")


@pytest.fixture(scope="session")
def admin(cloud: EmbeddedCloud) -> Client:
    return Client(cloud, "admin", cloud.settings.admin_password, "admin")


@pytest.fixture(scope="session")
def nova(cloud: EmbeddedCloud) -> Client:
    """Nova's service user, as nova calls neutron."""
    return Client(cloud, "nova", cloud.settings.service_password, "service")


@pytest.fixture
def network(demo: Client, admin: Client) -> Iterator[Any]:
    """A network of project demo with subnet 192.0.2.0/28: addresses .2 to .14."""
    made = demo.make("network", name="test")
    subnet = demo.make("subnet", network_id=made["id"], ip_version=4, cidr="192.0.2.0/28", name="test")
    yield {**made, "subnet_id": subnet["id"]}
    admin.wipe(made["id"])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
