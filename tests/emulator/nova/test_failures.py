"""What faults leave behind. Each test's cloud is its own; what must remain was seen on Nova 34.0.0 on 2026-11-22."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, NovaSettings, Settings

from .asking import User, set_truth, wait

BURST = 150


@pytest.fixture(scope="module")
def fragile() -> Iterator[EmbeddedCloud]:
    """A cloud whose parts are killed; each test heals what it broke. Reports and timeouts run ten times as fast."""
    settings = Settings(
        time_scale=0.1,
        hypervisors=HypervisorSettings(count=10),
        nova=NovaSettings(vif_plugging_timeout_s=60.0),
    )
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    try:
        with EmbeddedCloud(settings, state) as running:
            yield running
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def user(fragile: EmbeddedCloud) -> Iterator[User]:
    user = User(fragile, "demo")
    yield user
    for process in ("api", "conductor", "compute"):
        set_truth(fragile, process, lost_cast=0.0, created_500=0.0, leaked_allocation=0.0)
    wait(lambda: user("GET", "/servers")[0] == 200)
    user.delete(*(shown["id"] for shown in user.get("/servers")["servers"]))


@pytest.fixture
def boss(fragile: EmbeddedCloud) -> User:
    return User(fragile, "admin")


def burst(user: User, count: int = BURST) -> list[str]:
    """Ask for many at once; their ids."""
    status, answer = user("POST", "/servers", user.body(name="burst", min_count=count, return_reservation_id=True))
    assert status == 202, answer
    found = [shown["id"] for shown in user.get("/servers?name=^burst-")["servers"]]
    assert len(found) == count
    return found


def by_status(user: User) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for shown in user.get("/servers/detail?name=^burst-", "2.96")["servers"]:
        found.setdefault(shown["status"], []).append(shown)
    return found


def left_unscheduled(user: User) -> list[dict[str, Any]]:
    """Those in BUILD without a host, once nothing has changed for so long that nobody will ever take them up."""
    seen: list[tuple[str, str]] = []
    since = time.monotonic()

    def settled() -> bool:
        nonlocal seen, since
        building = by_status(user).get("BUILD", [])
        now = [(shown["id"], shown["OS-EXT-STS:task_state"]) for shown in building]
        if now != seen:
            seen, since = now, time.monotonic()
        # One that a host has may still wait for its port, until `vif_plugging_timeout` (6 s).
        return time.monotonic() - since > (8.0 if any(shown["hostId"] for shown in building) else 2.0)

    wait(settled, 60)
    return [shown for shown in by_status(user).get("BUILD", []) if not shown["hostId"]]


def all_have_reported(boss: User) -> bool:
    services = boss.get("/os-services")["services"]
    _, answer, _ = boss.ask("neutron", "GET", "/v2.0/agents")
    return all(row["state"] == "up" for row in services) and all(agent["alive"] for agent in answer["agents"])


def is_well(user: User, boss: User) -> None:
    """Build one server, once everybody has reported again.

    The clocks of this cloud run ten times as fast, its database recovers no faster than others: on a busy machine it is
    away for longer than services (6 s) and agents (7.5 s) may be silent, and until their next report nothing goes to
    them, as on a real cloud after a minute without a database.
    """

    wait(lambda: all_have_reported(boss))
    shown = user.wait(user.create(name="after"), "ACTIVE", "ERROR")
    assert shown["status"] == "ACTIVE", f"nothing needs a restart, but: {shown.get('fault')}"


def test_a_killed_conductor_leaves_build_with_allocations_for_ever(
    fragile: EmbeddedCloud, user: User, boss: User
) -> None:
    burst(user)
    wait(lambda: len(boss.allocations(user.get("/servers?name=^burst-")["servers"][0]["id"])) == 1, 10)
    fragile.kill("conductor", signal.SIGKILL)
    fragile.restart("conductor")
    stuck = left_unscheduled(user)
    assert stuck, "the kill came too late"
    for shown in stuck[:20]:
        seen = boss.server(shown["id"])
        assert seen["OS-EXT-SRV-ATTR:host"] is None
        assert "fault" not in seen
        assert len(boss.allocations(shown["id"])) == 1
    ids = [shown["id"] for shown in stuck]
    user.delete(*ids, within_s=5)
    assert [uuid for uuid in ids if boss.allocations(uuid)] == []
    is_well(user, boss)


def test_a_killed_database_leaves_build_without_error_and_deletion_frees_everything(
    fragile: EmbeddedCloud, user: User, boss: User
) -> None:
    ids = burst(user)
    wait(lambda: any(boss.allocations(uuid) for uuid in ids[:3]), 10)
    fragile.kill("database", signal.SIGKILL)
    # Its backends see only after a moment that their parent is dead, and answer until then.
    wait(lambda: user("GET", "/servers/detail")[0] == 500, 10)
    _, answer = user("GET", "/servers/detail")
    assert answer["computeFault"]["message"].startswith("Unexpected API Error.")
    fragile.restart("database")
    wait(lambda: user("GET", "/servers/detail")[0] == 200)
    stuck = left_unscheduled(user)
    assert stuck, "the kill came too late"
    assert all("fault" not in shown for shown in stuck)
    held = [shown["id"] for shown in stuck if boss.allocations(shown["id"])]
    assert held, "the claims were made before the database went"
    user.delete(*(shown["id"] for shown in stuck), within_s=5)
    assert [uuid for uuid in held if boss.allocations(uuid)] == []
    is_well(user, boss)


def test_a_lost_cast_leaves_a_server_without_a_host_in_build(fragile: EmbeddedCloud, user: User, boss: User) -> None:
    set_truth(fragile, "conductor", lost_cast=1.0)
    uuid = user.create(name="lost")
    wait(lambda: user.server(uuid)["OS-EXT-AZ:availability_zone"] == "nova")
    wait(lambda: len(boss.allocations(uuid)) == 1)
    seen = boss.server(uuid)
    assert (seen["status"], seen["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")
    assert seen["OS-EXT-SRV-ATTR:host"] is None
    user.delete(uuid)
    assert boss.allocations(uuid) == {}


def test_created_and_answered_with_500(fragile: EmbeddedCloud, user: User) -> None:
    set_truth(fragile, "api", created_500=1.0)
    # Without ports: the switch makes neutron's creates, in the same process, answer 500 too.
    assert user("POST", "/servers", user.body(name="ghost", networks="none"), "2.37")[0] == 500
    [shown] = user.get("/servers?name=^ghost$")["servers"]
    ended = user.wait(shown["id"], "ACTIVE", "ERROR")
    assert ended["status"] == "ACTIVE", ended


def test_a_leaked_allocation_outlives_its_server(fragile: EmbeddedCloud, user: User, boss: User) -> None:
    uuid = user.create(name="leaky")
    user.wait(uuid, "ACTIVE")
    set_truth(fragile, "compute", leaked_allocation=1.0)
    user.delete(uuid)
    assert len(boss.allocations(uuid)) == 1


def test_a_server_whose_port_is_never_wired_ends_in_error(fragile: EmbeddedCloud, user: User, boss: User) -> None:
    fragile.stop("network")
    try:
        uuid = user.create(name="unwired")
        shown = user.wait(uuid, "ERROR", "ACTIVE", within_s=30)
        assert shown["status"] == "ERROR"
        text = f"Build of instance {uuid} aborted: Failed to allocate the network(s), not rescheduling."
        assert shown["fault"]["message"] == text
        wait(lambda: boss.allocations(uuid) == {})
        assert user.ports(uuid) == []
    finally:
        fragile.restart("network")
    # Until its agent has reported again a host binds no port, as for real.
    wait(lambda: all_have_reported(boss))


def test_a_dead_host_is_no_obstacle_to_deletion(fragile: EmbeddedCloud, user: User, boss: User) -> None:
    uuid = user.create(name="orphan")
    user.wait(uuid, "ACTIVE")
    fragile.stop("compute")
    try:
        wait(lambda: boss.server(uuid)["host_status"] == "UNKNOWN", 20)
        computes = "/os-services?binary=nova-compute"
        wait(lambda: {row["state"] for row in boss.get(computes)["services"]} == {"down"}, 20)
        status, message = user.message("POST", f"/servers/{uuid}/action", {"foo": None})
        assert (status, message) == (400, "There is no such action: foo")
        user.delete(uuid, within_s=3)
        assert boss.allocations(uuid) == {}
        assert user.ports(uuid) == []
    finally:
        fragile.restart("compute")
    wait(lambda: {row["state"] for row in boss.get("/os-services")["services"]} == {"up"})


def test_a_restarted_compute_ends_interrupted_builds_in_error(fragile: EmbeddedCloud, user: User, boss: User) -> None:
    fragile.stop("network")  # so that the build waits for its port
    try:
        uuid = user.create(name="interrupted")
        wait(lambda: user.server(uuid)["OS-EXT-STS:task_state"] == "spawning")
        fragile.restart("compute")
        assert user.wait(uuid, "ERROR", "ACTIVE")["status"] == "ERROR"
    finally:
        fragile.restart("network")
