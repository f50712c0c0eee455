"""Services as several processes each, on each pair of servers: any one may die, and the others go on."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.emulator import schemas
from harness.emulator.settings import load
from harness.emulator.status import status
from tests.emulator.site import Site, burst, states, works_and_is_emptied
from tests.emulator.waiting import wait_until
from tests.servers import mariadb, rabbitmq

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
MANY = (
    "--api",
    "identity=2,compute=2,network=2,placement=2",
    "--conductors",
    "2",
    "--schedulers",
    "2",
    "--agents",
    "2",
)


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("mariadb-rabbitmq", marks=pytest.mark.servers("MariaDB", "RabbitMQ"))],
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    top = Path(tempfile.mkdtemp(prefix="squall-test-"))
    top.chmod(0o711)
    site = Site(top / "state")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, top, ignore_errors=True)
        where: list[str] = []
        if request.param == "mariadb-rabbitmq":
            where = servers("many_", stack.enter_context(rabbitmq.virtual_host()))
        stack.callback(site.squall, "down")
        site.squall("up", "--hypervisors", "6", "--time-scale", "0.1", "--free-ports", *MANY, *where)
        yield site


def servers(prefix: str, virtual_host: str) -> list[str]:
    """Options for the MariaDB and the RabbitMQ of the tests."""
    found = ["--database", f"{os.environ['SQUALL_TEST_MARIADB']}/{prefix}"]
    found += ["--broker", os.environ["SQUALL_TEST_RABBITMQ"].rstrip("/") + f"/{virtual_host}"]
    return [*found, "--broker-management", os.environ["SQUALL_TEST_RABBITMQ_MANAGEMENT"].rpartition(":")[2]]


def test_each_process_that_was_asked_for_is_there(site: Site) -> None:
    names = {process.name for process in status(site.state).processes}
    assert {"api", "nova-api", "nova-api-2", "placement-api-2", "keystone-api-2", "neutron-api-2"} <= names
    assert {"conductor-2", "scheduler-2", "compute-2", "network-2"} <= names
    assert load(site.state).hosting("glance") == ["api"]


def test_what_one_process_wrote_the_other_one_shows_at_once(site: Site) -> None:
    """Each request has a connection of its own, which the kernel gives to one or the other."""
    boss = site.user("admin")
    for number in range(12):
        code, answer, _ = boss.ask("keystone", "POST", "/v3/projects", {"project": {"name": f"project-{number}"}})
        assert code == 201, answer
        path = f"/v3/projects/{answer['project']['id']}"
        for _ in range(3):
            assert boss.ask("keystone", "GET", path)[0] == 200
        assert boss.ask("keystone", "DELETE", path)[0] == 204
        for _ in range(3):
            assert boss.ask("keystone", "GET", path)[0] == 404


def test_no_placement_process_offers_room_that_another_one_gave_away(site: Site) -> None:
    user, boss = site.user("demo"), site.user("admin")
    uuid = user.create(name="burst-one")
    user.wait(uuid, "ACTIVE")
    host = boss.server(uuid)["OS-EXT-SRV-ATTR:host"]
    _, answer, _ = boss.ask("placement", "GET", f"/resource_providers?name={host}", version="1.29")
    provider = answer["resource_providers"][0]["uuid"]
    used = set()
    for _ in range(8):
        path = "/allocation_candidates?resources=VCPU:1"
        _, answer, _ = boss.ask("placement", "GET", path, version="1.29")
        used.add(answer["provider_summaries"][provider]["resources"]["VCPU"]["used"])
    assert used == {1}
    user.delete(uuid)


@pytest.mark.parametrize(
    "name",
    [
        "nova-api-2",
        "conductor-2",
        "scheduler",
        "neutron-api",
        "placement-api-2",
        "compute-2",
        "network",
        "keystone-api",
    ],
)
def test_any_process_may_be_killed_in_a_burst_and_comes_back(site: Site, name: str) -> None:
    before = site.recorded(name)
    user = site.user("demo")
    burst(user)
    before.signal(signal.SIGKILL)
    wait_until(lambda: site.row(name).state == "ready" and site.row(name).pid != before.pid, within_s=40)
    assert sum(states(user).values()) == 60
    works_and_is_emptied(site, orphans=name == "nova-api-2")


def test_a_service_goes_on_while_one_of_its_processes_is_stopped(site: Site) -> None:
    user = site.user("demo")
    site.squall("stop", "nova-api-2")
    assert site.row("nova-api-2").state == "stopped"
    assert [user("GET", "/servers")[0] for _ in range(20)] == [200] * 20
    site.squall("restart", "nova-api-2")
    assert site.row("nova-api-2").state == "ready"


@pytest.mark.servers("MariaDB", "RabbitMQ")
def test_the_end_leaves_nothing_on_servers_of_others(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    with rabbitmq.virtual_host() as virtual_host:
        site.squall("up", "--hypervisors", "2", "--time-scale", "0.1", "--free-ports", *servers("end_", virtual_host))
        database = mariadb.settings(prefix="end_")
        assert all(asyncio.run(schemas.owned(database)).values())
        site.squall("down")
        assert asyncio.run(schemas.owned(database)) == {}
        left = rabbitmq.queues(virtual_host)
    # Those of one process each are given no consumer any more, and expire.
    assert [name for name in left if not name.startswith("reply_") and "_fanout_" not in name] == []
