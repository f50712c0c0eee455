"""Room ends as it does for real: at once, in Nova's words, and nothing is left of what was refused."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, NovaSettings, PlacementSettings, Settings

from .asking import User, wait

ROOM = 2 * 4  # hosts x virtual CPUs, given away once
QUOTA = 20
AT_ONCE_S = 10.0  # on a busy machine; a build that times out takes 30 s here
NO_VALID_HOST = "No valid host was found. There are not enough hosts available."


@pytest.fixture(scope="module")
def full() -> Iterator[EmbeddedCloud]:
    """A cloud that is soon full."""
    settings = Settings(
        time_scale=0.1,
        hypervisors=HypervisorSettings(count=2, vcpus=4),
        nova=NovaSettings(quota_instances=QUOTA),
        placement=PlacementSettings(cpu_allocation_ratio=1.0),
    )
    settings.database.fsync = False
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    try:
        with EmbeddedCloud(settings, state) as running:
            yield running
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def user(full: EmbeddedCloud) -> Iterator[User]:
    user = User(full, "demo")
    yield user
    user.delete(*(shown["id"] for shown in user.get("/servers")["servers"]))


@pytest.fixture(scope="module")
def boss(full: EmbeddedCloud) -> User:
    return User(full, "admin")


def used(boss: User) -> Counter[str]:
    """What Placement has given away, over all hosts."""
    found: Counter[str] = Counter()
    for provider in boss.ask("placement", "GET", "/resource_providers", version="1.28")[1]["resource_providers"]:
        _, answer, _ = boss.ask("placement", "GET", f"/resource_providers/{provider['uuid']}/usages", version="1.28")
        found.update(answer["usages"])
    return +found


def test_a_burst_beyond_the_quota_is_refused_at_once_and_leaves_nothing(user: User, boss: User) -> None:
    began = time.monotonic()
    status, message = user.message("POST", "/servers", user.body(name="many", min_count=500), "2.96")
    assert time.monotonic() - began < AT_ONCE_S
    assert status == 403
    assert message == f"Quota exceeded for instances: Requested 500, but already used 0 of {QUOTA} instances"
    assert user.get("/servers")["servers"] == []
    assert used(boss) == {}


def test_a_burst_beyond_the_hosts_ends_in_error_at_once_and_holds_nothing(user: User, boss: User) -> None:
    began = time.monotonic()
    status, answer = user("POST", "/servers", user.body(name="many", min_count=ROOM + 1), "2.96")
    assert status == 202, answer
    uuids = [shown["id"] for shown in user.get("/servers?name=many")["servers"]]
    assert len(uuids) == ROOM + 1
    shown = [user.wait(uuid, "ERROR", "ACTIVE", within_s=AT_ONCE_S) for uuid in uuids]
    assert time.monotonic() - began < AT_ONCE_S
    assert {(one["status"], one["fault"]["code"], one["fault"]["message"]) for one in shown} == {
        ("ERROR", 500, NO_VALID_HOST)
    }
    assert used(boss) == {}
    assert user.ports(uuids[0]) == []


def test_a_crowd_gets_what_there_is_and_the_rest_is_told(user: User, boss: User) -> None:
    bodies = [user.body(name=f"one-{number}") for number in range(QUOTA)]
    with ThreadPoolExecutor(QUOTA) as pool:
        asked = list(pool.map(lambda body: user("POST", "/servers", body, "2.96"), bodies))
    assert [status for status, _ in asked] == [202] * QUOTA
    shown = [user.wait(answer["server"]["id"], "ERROR", "ACTIVE") for _, answer in asked]
    assert Counter(one["fault"]["message"] if "fault" in one else one["status"] for one in shown) == {
        "ACTIVE": ROOM,
        NO_VALID_HOST: QUOTA - ROOM,
    }
    assert used(boss)["VCPU"] == ROOM
    status, message = user.message("POST", "/servers", user.body(name="one-more"), "2.96")
    assert (status, message) == (
        403,
        f"Quota exceeded for instances: Requested 1, but already used {QUOTA} of {QUOTA} instances",
    )
    user.delete(*(one["id"] for one in shown))
    wait(lambda: used(boss) == {})
    assert user.wait(user.create(name="after"), "ERROR", "ACTIVE")["status"] == "ACTIVE"
