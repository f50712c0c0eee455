"""kill -9 of any process of a lasting cloud in the middle of a burst: what comes back, and that nothing lies about."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import supervise
from harness.emulator.status import ask, status
from tests.emulator.site import Site, burst, states, works_and_is_emptied
from tests.emulator.waiting import wait_until

KEPT = {"settings.json", "clouds.yaml", "images", "logs", "lock", "pgdata"}
COMES_BACK = ("conductor", "scheduler", "network", "api", "compute", "proxy")
STAYS_DEAD = ("database", "broker")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    top = Path(tempfile.mkdtemp(prefix="squall-test-"))
    top.chmod(0o711)
    site = Site(top / "a state")
    try:
        site.up()
        yield site
        everything = site.everything()
        segment = memory(site.data())
        site.squall("down", "--keep")
        assert supervise.wait_gone(everything, 5.0) == []
        assert left_in(site.state) == set()
        assert not is_there(segment)
    finally:
        site.squall("down")
        assert not site.state.exists()
        shutil.rmtree(top, ignore_errors=True)


def left_in(state: Path) -> set[str]:
    """Files of a state directory that ought not to be there while no cloud runs."""
    return {path.name for path in state.iterdir()} - KEPT


def memory(data: Path) -> list[str]:
    """Key and id of the shared memory segment of a running PostgreSQL."""
    return (data / "postmaster.pid").read_text().splitlines()[6].split()


def is_there(segment: list[str]) -> bool:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return any(line.split()[:2] == segment for line in lines)


@pytest.mark.parametrize("name", COMES_BACK)
def test_a_killed_service_comes_back(site: Site, name: str) -> None:
    before, restarts = site.recorded(name), site.row(name).restarts
    burst(site.user("demo"))
    before.signal(signal.SIGKILL)

    def is_back() -> bool:
        row = site.row(name)
        return bool(row.state == "ready" and row.pid != before.pid and row.restarts == restarts + 1)

    wait_until(is_back, within_s=40)
    assert supervise.wait_gone([before], 1.0) == []
    works_and_is_emptied(site, orphans=name in ("api", "proxy"))


@pytest.mark.parametrize("name", STAYS_DEAD)
def test_a_killed_database_or_broker_stays_dead_until_it_is_restarted(site: Site, name: str) -> None:
    user = site.user("demo")
    burst(user)
    segment = memory(site.data())
    site.recorded(name).signal(signal.SIGKILL)
    wait_until(lambda: site.row(name).state == "dead", within_s=10)
    if name == "database":
        assert user("GET", "/servers/detail")[0] == 500
    assert site.row("api").state == "ready", "nobody else ends with it"
    ask(site.state, {"do": "restart", "name": name})
    works_and_is_emptied(site, orphans=name == "database")
    if name == "database":
        assert not is_there(segment), "its next start takes the old memory away"


def test_a_killed_guardian_is_replaced(site: Site) -> None:
    supervisor = site.recorded("supervisor")

    def guardian() -> supervise.Recorded | None:
        for one in supervise.family([supervisor]):
            with contextlib.suppress(OSError):  # one of the family that has just ended
                if b"guardian" in Path(f"/proc/{one.pid}/cmdline").read_bytes():
                    return one
        return None

    before = guardian()
    assert before is not None
    before.signal(signal.SIGKILL)
    wait_until(lambda: (now := guardian()) is not None and now.pid != before.pid, within_s=10)
    assert site.row("api").state == "ready"


def test_a_killed_supervisor_takes_everything_along_and_the_next_start_finds_its_data(site: Site) -> None:
    user = site.user("demo")
    burst(user)
    accepted = sum(states(user).values())
    everything, segment = site.everything(), memory(site.data())
    assert len(everything) > 12
    os.kill(site.recorded("supervisor").pid, signal.SIGKILL)
    assert supervise.wait_gone(everything, 20.0) == []
    wait_until(lambda: left_in(site.state) == set(), within_s=10)
    assert not is_there(segment)
    assert not status(site.state).running
    site.up()
    assert sum(states(site.user("demo")).values()) == accepted, "what was accepted is still known"
    works_and_is_emptied(site, orphans=True)


def test_down_after_a_kill_leaves_nothing_either(site: Site) -> None:
    """As the first of all: the cloud is wanted by nobody, and its database is dead already."""
    segment, everything = memory(site.data()), site.everything()
    for name in ("database", "proxy"):
        site.recorded(name).signal(signal.SIGKILL)
    site.squall("down", "--keep")
    assert supervise.wait_gone(everything, 10.0) == []
    assert left_in(site.state) == set()
    assert not is_there(segment)
    site.up()
    works_and_is_emptied(site)
