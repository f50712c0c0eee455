"""Builds that fail on their host, and requests that race for a quota: what remains is what Nova 34.0.0 leaves.

Three of the six hosts cannot spawn anything. Which hosts may be chosen is set by disabling the others.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.nova.compute import Compute
from harness.emulator.nova.compute_build import Builder
from harness.emulator.nova.errors import SpawnFailed
from harness.emulator.runtime import Runtime
from harness.emulator.settings import HypervisorSettings, NovaSettings, Settings, SpawnFailureSettings

from .asking import User, wait

BAD = ("compute-00001", "compute-00002", "compute-00003")
GOOD = ("compute-00004", "compute-00005", "compute-00006")
REASON = "internal error: qemu unexpectedly closed the monitor"


@pytest.fixture(scope="module")
def unlucky() -> Iterator[EmbeddedCloud]:
    settings = Settings(
        time_scale=0.1,
        hypervisors=HypervisorSettings(count=6),
        nova=NovaSettings(spawn_failure=SpawnFailureSettings(hosts=list(BAD))),
    )
    settings.database.fsync = False
    state = Path(tempfile.mkdtemp(prefix="squall-test-"))
    try:
        with EmbeddedCloud(settings, state) as running:
            yield running
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def boss(unlucky: EmbeddedCloud) -> User:
    return User(unlucky, "admin")


@pytest.fixture
def user(unlucky: EmbeddedCloud) -> Iterator[User]:
    user = User(unlucky, "demo")
    yield user
    user.delete(*(shown["id"] for shown in user.get("/servers")["servers"]))


def allow(boss: User, *hosts: str) -> None:
    """Let the scheduler choose among these hosts only."""
    for row in boss.get("/os-services?binary=nova-compute", "2.53")["services"]:
        status = "enabled" if row["host"] in hosts else "disabled"
        if row["status"] != status:
            assert boss("PUT", f"/os-services/{row['id']}", {"status": status}, "2.53")[0] == 200
    time.sleep(0.25)  # the scheduler believes what it read of hosts for a (scaled) second


def forget_failures(cloud: EmbeddedCloud, boss: User) -> None:
    """As for real only a restart of a nova-compute, or a build that succeeds there, takes its count back to 0."""
    cloud.restart("compute")
    wait(lambda: {row["state"] for row in boss.get("/os-services?binary=nova-compute")["services"]} == {"up"})


def attempts(boss: User, uuid: str, count: int) -> list[dict[str, Any]]:
    """The events of a server's builds, oldest first, once there are that many."""
    path = f"/servers/{uuid}/os-instance-actions"
    [action] = [action for action in boss.get(path)["instanceActions"] if action["action"] == "create"]
    assert action["message"] is None

    def events() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = boss.get(f"{path}/{action['request_id']}", "2.62")["instanceAction"]["events"]
        return found[::-1]

    wait(lambda: len(events()) >= count)
    return events()


def holders(boss: User, uuid: str) -> list[str]:
    """Names of the providers that hold allocations of a server."""
    _, answer, _ = boss.ask("placement", "GET", "/resource_providers", version="1.28")
    names = {provider["uuid"]: provider["name"] for provider in answer["resource_providers"]}
    return [names[provider] for provider in boss.allocations(uuid)]


def is_nowhere(user: User, boss: User, uuid: str) -> dict[str, Any]:
    """A server in ERROR that no host has; the administrator's view of it."""
    shown = user.wait(uuid, "ERROR", "ACTIVE")
    assert shown["status"] == "ERROR"
    assert (shown["fault"]["code"], "details" in shown["fault"]) == (500, False)
    seen = boss.server(uuid)
    assert seen["fault"]["details"]
    assert (seen["OS-EXT-SRV-ATTR:host"], seen["OS-EXT-SRV-ATTR:hypervisor_hostname"]) == (None, None)
    assert (seen["hostId"], seen["host_status"], seen["OS-EXT-AZ:availability_zone"]) == ("", "", "")
    assert (seen["OS-EXT-STS:power_state"], seen["OS-EXT-STS:vm_state"]) == (0, "error")
    assert (seen["OS-SRV-USG:launched_at"], seen["addresses"]) == (None, {})
    wait(lambda: boss.allocations(uuid) == {})
    return seen


def test_a_failed_spawn_goes_on_elsewhere_and_the_host_is_avoided_from_then_on(
    unlucky: EmbeddedCloud, user: User, boss: User
) -> None:
    allow(boss, BAD[0], GOOD[0])
    moved: list[str] = []
    for _ in range(2):  # the first goes to either of two equal hosts, the second to the emptier one
        uuid = user.create(name="moved")
        assert user.wait(uuid, "ACTIVE", "ERROR")["status"] == "ACTIVE"
        if len(attempts(boss, uuid, 1)) == 2:
            moved.append(uuid)
            break
    [uuid] = moved
    events = attempts(boss, uuid, 2)
    assert [event["host"] for event in events] == [BAD[0], GOOD[0]]
    # Nova's own handling of the failure succeeded, and that is what its event says.
    assert [(event["event"], event["result"]) for event in events] == [
        ("compute__do_build_and_run_instance", "Success")
    ] * 2
    seen = boss.server(uuid)
    assert "fault" not in seen
    assert seen["OS-EXT-SRV-ATTR:host"] == GOOD[0]
    assert holders(boss, uuid) == [GOOD[0]]
    [port] = boss.ports(uuid)
    assert (port["binding:host_id"], port["status"]) == (GOOD[0], "ACTIVE")
    assert port["fixed_ips"][0]["ip_address"] == seen["addresses"]["private"][0]["addr"]

    def counted() -> dict[str, int]:
        return {
            row["hypervisor_hostname"]: row["running_vms"]
            for row in boss.get("/os-hypervisors/detail", "2.53")["hypervisors"]
        }

    servers = len(user.get("/servers")["servers"])
    wait(lambda: (counted()[BAD[0]], counted()[GOOD[0]]) == (0, servers))
    for _ in range(3):
        later = user.create(name="later")
        user.wait(later, "ACTIVE", "ERROR")
        assert [event["host"] for event in attempts(boss, later, 1)] == [GOOD[0]], "the emptier host has failed lately"
    forget_failures(unlucky, boss)
    again = user.create(name="again")
    user.wait(again, "ACTIVE", "ERROR")
    assert [event["host"] for event in attempts(boss, again, 2)] == [BAD[0], GOOD[0]]


def test_after_three_attempts_nova_gives_up(unlucky: EmbeddedCloud, user: User, boss: User) -> None:
    allow(boss, *BAD)
    status, answer, _ = user.ask("neutron", "POST", "/v2.0/ports", {"port": {"network_id": user.network()}})
    assert status == 201
    own = answer["port"]["id"]
    uuid = user.create(name="unlucky", networks=[{"port": own}, {"uuid": user.network()}])
    seen = is_nowhere(user, boss, uuid)
    assert seen["fault"]["message"] == (
        f"Exceeded maximum number of retries. Exceeded max scheduling attempts 3 for instance {uuid}. "
        f"Last exception: {REASON}"
    )
    assert sorted(event["host"] for event in attempts(boss, uuid, 3)) == list(BAD)
    assert boss.ports(uuid) == []
    _, answer, _ = boss.ask("neutron", "GET", f"/v2.0/ports/{own}")
    kept = answer["port"]
    assert (kept["device_id"], kept["device_owner"], kept["binding:host_id"]) == ("", "", ""), "the user's own stays"
    user.delete(uuid, within_s=5)
    assert user.ask("neutron", "DELETE", f"/v2.0/ports/{own}")[0] == 204


def test_without_a_further_host_nova_gives_up_at_once(unlucky: EmbeddedCloud, user: User, boss: User) -> None:
    allow(boss, *BAD[:2])
    uuid = user.create(name="cornered")
    seen = is_nowhere(user, boss, uuid)
    assert seen["fault"]["message"] == (
        "Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures "
        f"for instance {uuid}."
    )
    assert len(attempts(boss, uuid, 2)) == 2


def test_a_burst_over_all_hosts_has_no_alternates(unlucky: EmbeddedCloud, user: User, boss: User) -> None:
    """Nova offers no host as an alternate that it has chosen for anything of the same request."""
    forget_failures(unlucky, boss)
    allow(boss, BAD[0], GOOD[0])
    status, answer = user("POST", "/servers", user.body(name="burst", min_count=4))
    assert status == 202, answer
    ids = [shown["id"] for shown in user.get("/servers?name=^burst-")["servers"]]
    ended = [user.wait(uuid, "ACTIVE", "ERROR") for uuid in ids]
    assert sorted(shown["status"] for shown in ended) == ["ACTIVE", "ACTIVE", "ERROR", "ERROR"]
    for shown in ended:
        if shown["status"] == "ERROR":
            assert "Exhausted all hosts" in shown["fault"]["message"]


def test_a_build_on_a_forced_host_is_tried_once(unlucky: EmbeddedCloud, boss: User) -> None:
    allow(boss, *BAD, *GOOD)
    uuid = boss.create(name="forced", networks="none", availability_zone=f"nova:{BAD[1]}")
    try:
        shown = boss.wait(uuid, "ERROR", "ACTIVE")
        assert (shown["status"], shown["fault"]["message"]) == ("ERROR", REASON)
        assert [event["host"] for event in attempts(boss, uuid, 1)] == [BAD[1]]
        wait(lambda: boss.allocations(uuid) == {})
    finally:
        boss.delete(uuid)


def test_two_requests_that_race_for_the_last_core(unlucky: EmbeddedCloud, user: User, boss: User) -> None:
    """Both pass the API, which counts what is in the cells; the conductor counts again and refuses."""
    allow(boss, *GOOD)
    quota = f"/os-quota-sets/{user.project_id}"
    assert boss("PUT", quota, {"quota_set": {"cores": 1}})[0] == 200
    try:
        unlucky.stop("conductor")
        racers = [user.create(name="racer", tags=["a"]) for _ in range(2)]
        unlucky.restart("conductor")
        ended = {uuid: user.wait(uuid, "ACTIVE", "ERROR") for uuid in racers}
        refused = [uuid for uuid, shown in ended.items() if shown["status"] == "ERROR"]
        assert refused, "one core was given twice"
        for uuid in refused:
            fault = ended[uuid]["fault"]
            text = "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores"
            assert (fault["code"], fault["message"], "details" in fault) == (413, text, False)
            seen = boss.server(uuid)
            assert (seen["OS-EXT-SRV-ATTR:host"], seen["OS-EXT-STS:power_state"]) == (None, 0)
            assert seen["tags"] == ["a"]
            assert boss.get(f"/servers/{uuid}/os-instance-actions")["instanceActions"] == []
            assert len(boss.allocations(uuid)) == 1, "Nova keeps the claim of a refused server until its deletion"
            assert user.ports(uuid) == []
        user.delete(*refused, within_s=5)
        assert [uuid for uuid in refused if boss.allocations(uuid)] == []
        if len(refused) == 2:  # both were counted before either was refused
            user.wait(user.create(name="alone"), "ACTIVE")
        status, message = user.message("POST", "/servers", user.body(name="late"))
        assert (status, message) == (
            403, "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores",
        )  # fmt: skip
    finally:
        unlucky.restart("conductor")
        assert boss("DELETE", quota)[0] == 202


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"spawn_failure": {"probability": 1.5}}, "<= 1.0"),
        ({"spawn_failure": {"probability": -0.1}}, ">= 0.0"),
        ({"spawn_failure": {"probabilty": 0.1}}, "probabilty"),
        ({"spawn_failure": {"hosts": ["compute-00001", "compute-00001"]}}, "named twice"),
        ({"spawn_failure": {"hosts": ["compute-00002", "compute-99999"]}}, "no hypervisor is named compute-99999"),
        ({"spawn_failure": {"hosts": "compute-00001"}}, "array"),
    ],
)
def test_a_wrong_spawn_failure_is_refused(document: dict[str, Any], text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert({"nova": document}, Settings)


def test_spawns_fail_at_the_given_rate_and_alike_with_the_same_seed() -> None:
    def outcomes(seed: int) -> list[bool]:
        nova = NovaSettings(spawn_failure=SpawnFailureSettings(probability=0.25))
        compute = Compute(Runtime(Settings(seed=seed, nova=nova), "compute"))
        builder, host = Builder(compute), compute.hosts.of(GOOD[0])
        found = []
        for _ in range(400):
            try:
                builder._may_fail(host)
                found.append(True)
            except SpawnFailed:
                found.append(False)
        return found

    assert outcomes(1) == outcomes(1) != outcomes(2)
    assert 60 <= outcomes(1).count(False) <= 140
