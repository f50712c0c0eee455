"""Every truth switch, turned on live in every process of one small cloud, trips exactly its own invariant.

The traffic is the smallest that a swarm could be: two servers of one request, two of their own, a read, a deletion. It
keeps the rows that a load worker would; what is judged are these and three snapshots, as in a run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.checkers.history import History, Intent
from harness.checkers.registry import ask_all
from harness.checkers.snapshot import Snapshot
from harness.cloud import compute, image, janitor, network, snapshot
from harness.cloud.api import Api, RequestFailed
from harness.cloud.session import Cloud, connect
from harness.core.clock import RunClock, S, monotonic_ns
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings, TruthSettings
from tests.checkers.worlds import frame
from tests.emulator.nova.asking import set_truth
from tests.faults.server import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

STUCK_AFTER_S = 3.0
SETTLED_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    """Not under pytest's own directory: the user that the database runs as must get through."""
    state = Path(tempfile.mkdtemp(prefix="squall-truth-"))
    settings = Settings(time_scale=0.1, hypervisors=HypervisorSettings(count=20))
    settings.database.fsync = False
    try:
        with EmbeddedCloud(settings, state) as running:
            yield running
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="module")
def accounts(cloud: EmbeddedCloud) -> Iterator[tuple[Cloud, Cloud]]:
    """Of the tenant and of the administrator."""
    with ExitStack() as stack:
        found = [connect(name, clouds_file=str(cloud.clouds_yaml)) for name in ("demo", "admin")]
        for each in found:
            stack.callback(each.close)
        yield found[0], found[1]


class Traffic:
    """A tenant of one mark, and the rows that a worker would write of it."""

    def __init__(self, mark: str, accounts: tuple[Cloud, Cloud]) -> None:
        self.mark = mark
        self.tenant, self.admin = accounts
        self.clock = RunClock(monotonic_ns())
        self.wall_ns = time.time_ns()
        self.api = Api(self.tenant, clock=self.clock, timeout_s=30)
        self.operations: list[dict[str, Any]] = []
        self.ledger: list[Intent] = []
        self.snapshots = {"before": self.look()}
        networks = {each["name"]: each["id"] for each in network.list_networks(self.api)}
        (image_id,) = [each["id"] for each in image.all_images(self.api, status="active")]
        self.what = {"flavor_id": "1", "image_id": image_id, "network_id": networks["private"]}

    def look(self) -> dict[str, Any]:
        return snapshot.take(self.tenant, self.admin, taken_ns=self.clock.now_ns())

    def create(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        name = f"{self.mark}-{name}"
        made = [self._operation("server.create", each) for each in compute.server_names(name, count)]
        for row in made:
            row["batch"] = made[0]["operation_id"] if count > 1 else None
        self.ledger.append(Intent(name, made[0]["operation_id"], "server", count, made[0]["sent_ns"]))
        try:
            answer = compute.create_servers(self.api, name=name, mark=self.mark, count=count, **self.what)
        except RequestFailed as failed:
            for row in made:
                row.update(effect=failed.outcome.effect_name, ending=failed.outcome.ending_name, error=str(failed))
            return made
        for row in made:
            row.update(accepted_ns=answer.exchange.done_ns, effect="done", ending="answered")
        if count == 1:
            made[0]["resource_id"] = answer.body["server"]["id"]
        return made

    def follow(self) -> None:
        """Until every server is at rest, or has been accepted for so long that nobody waits for it any more."""
        accepted_ns = [row["accepted_ns"] or row["sent_ns"] for row in self.operations]
        give_up_ns = max(accepted_ns) + round(STUCK_AFTER_S * S)
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not self._note() and not (self.clock.now_ns() > give_up_ns and not self._is_moving()):
            assert time.monotonic() < deadline, [row for row in self.operations if row["ready_ns"] is None]
            time.sleep(0.05)

    def read(self, row: dict[str, Any]) -> None:
        read = self._operation("server.read", row["name"], row["resource_id"])
        found = compute.find_server(self.api, row["resource_id"])
        read["accepted_ns"] = read["ready_ns"] = self.clock.now_ns()
        read.update(status="NOT_FOUND" if found is None else found["status"], effect="done", ending="answered")

    def delete(self, row: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait until it is gone or has plainly been forgotten."""
        deletion = self._operation("server.delete", row["name"], row["resource_id"])
        answer = compute.delete_server(self.api, row["resource_id"])
        deletion.update(accepted_ns=answer.exchange.done_ns, effect="done", ending="answered")
        give_up_ns = answer.exchange.done_ns + round(STUCK_AFTER_S * S)
        while row["resource_id"] in (live := self.live()):
            if self.clock.now_ns() > give_up_ns and live[row["resource_id"]].get("OS-EXT-STS:task_state") is None:
                return deletion
            time.sleep(0.05)
        row["gone_ns"] = deletion["gone_ns"] = self.clock.now_ns()
        return deletion

    def live(self) -> dict[str, dict[str, Any]]:
        listed = compute.all_servers(self.api, name=self.mark)
        return {server["id"]: server for server in listed if server["status"] != "DELETED"}

    def audit(self, name: str) -> dict[str, set[str]]:
        """Take a snapshot and ask every checker: finding codes with the ids of what is damaged."""
        self.snapshots[name] = self.look()
        assert self.snapshots[name]["complete"], self.snapshots[name]["errors"]
        history = History(
            run={"epoch_wall_ns": self.wall_ns, "ended_wall_ns": time.time_ns()},
            plan={"mark": self.mark, "stuck_after_s": STUCK_AFTER_S},
            operations=frame("operations", self.operations),
            ledger=self.ledger,
            **{each: Snapshot(each, document) for each, document in self.snapshots.items()},
        )
        answers = ask_all(history)
        unsure = {each.checker for each in answers if each.verdict == "unknown"}
        assert unsure == (set() if "cleaned" in self.snapshots else {"conservation"}), [each.reason for each in answers]
        damage = [each for answer in answers for each in answer.findings if each.is_damage]
        return {each.code: {affected.id for affected in each.objects} for each in damage}

    def clean(self) -> list[str]:
        """As a run does, with less patience. Returns the kinds of what would not go."""
        report = janitor.sweep(self.tenant, [self.mark], quiet_s=0.1, deadline_s=5)
        return [each.kind for each in report.left]

    def _operation(self, kind: str, name: str, resource_id: str | None = None) -> dict[str, Any]:
        now_ns = self.clock.now_ns()
        row = {"operation_id": len(self.operations) + 1, "kind": kind, "name": name, "resource_id": resource_id}
        row |= {"swarm": "tenant", "scenario": "tenant", "intended_ns": now_ns, "sent_ns": now_ns, "accepted_ns": None}
        row |= {"ready_ns": None, "gone_ns": None, "status": None, "effect": "unknown", "ending": "dropped"}
        self.operations.append(row)
        return row

    def _note(self) -> bool:
        """Look at the list, as the watcher does; whether nothing is waited for any more."""
        servers = {server["name"]: server for server in self.live().values()}
        creates = [row for row in self.operations if row["kind"] == "server.create"]
        for row in creates:
            server = servers.get(row["name"])
            if server is None or server["OS-EXT-STS:task_state"]:
                continue
            row.update(resource_id=server["id"], status=server["status"])
            if server["status"] == "ACTIVE" and row["ready_ns"] is None:
                row["ready_ns"] = self.clock.now_ns()
        return all(row["status"] in ("ACTIVE", "ERROR") for row in creates)

    def _is_moving(self) -> bool:
        """Whether a host has one of them in hand."""
        return any(server["OS-EXT-STS:task_state"] not in (None, "scheduling") for server in self.live().values())


# What each switch is on for, what the audit must find, and whether it outlasts the clean-up: no tenant can mend it.
CASES: dict[str, tuple[str, set[str], bool]] = {
    "": ("everything", set(), False),
    "lost_cast": ("everything", {"stuck_build"}, False),
    "leaked_allocation": ("everything", {"leaked_allocation"}, True),
    "duplicate_fixed_address": ("everything", {"duplicate_address"}, False),
    "shared_port": ("everything", {"nic_mismatch"}, False),
    "failed_batch": ("everything", {"built_server_failed"}, False),
    "created_500": ("everything", {"unexpected_server"}, False),
    "accepted_never_done": ("everything", {"lost_server"}, False),
    "accepted_never_done of a delete": ("deletion", {"ignored_delete"}, False),
    "quota_drift": ("everything", {"usage_drift"}, True),
    "orphan_port": ("everything", {"orphan_port"}, True),
    "stale_read": ("everything", {"stale_read"}, False),
    "resurrected_server": ("everything", {"resurrected_server"}, False),
}


def test_every_switch_has_its_case() -> None:
    assert {name.split(" ", 1)[0] for name in CASES} - {""} == set(TruthSettings.__struct_fields__)


@pytest.fixture
def turn(cloud: EmbeddedCloud) -> Iterator[Callable[[str, float], None]]:
    """Turns one switch in every process; all are off at the end."""

    def every(switch: str, probability: float) -> None:
        for process in cloud.settings.control_ports:
            set_truth(cloud, process, **{switch: probability})

    yield every
    for process in cloud.settings.control_ports:
        set_truth(cloud, process, **dict.fromkeys(TruthSettings.__struct_fields__, 0.0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case or "none")
def test_the_audit_finds_exactly_what_the_switch_does(
    case: str, accounts: tuple[Cloud, Cloud], turn: Callable[[str, float], None]
) -> None:
    switch = case.split(" ", 1)[0]
    during, wanted, lasts = CASES[case]
    traffic = Traffic(f"squall-{switch.replace('_', '-') or 'none'}-{during}", accounts)
    if switch and during == "everything":
        turn(switch, 1)
    two = traffic.create("two", count=2)
    traffic.follow()
    (one,), (last,) = traffic.create("one"), traffic.create("last")
    traffic.follow()
    if switch and during == "deletion":
        turn(switch, 1)
    if one["ready_ns"] is not None:
        traffic.read(one)
        traffic.delete(one)
    if switch == "resurrected_server":
        wait_for(lambda: one["resource_id"] in traffic.live(), 20, "the server is back")
    assert set(traffic.audit("after")) == wanted
    if switch:
        turn(switch, 0)
    # A server's port is nova's: no tenant may delete it, by neutron's policy.
    assert traffic.clean() == (["port"] if switch == "orphan_port" else [])
    assert set(traffic.audit("cleaned")) == wanted | ({"not_conserved"} if lasts else set())
    if lasts:
        repair(traffic, one)
    assert {row["ending"] for row in (*two, one, last)} == {"answered"}


def repair(traffic: Traffic, server: dict[str, Any]) -> None:
    """What an administrator does about it."""
    admin = Api(traffic.admin)
    compute.delete_server(admin, server["resource_id"])
    path = f"/allocations/{server['resource_id']}"
    admin.call("placement", "DELETE", "/allocations/{id}", path, accept=(404,))
    for port in network.list_ports(admin, device_id=server["resource_id"]):
        network.delete_port(admin, port["id"])
    before = traffic.snapshots["before"]["limits"]["totalInstancesUsed"]
    wait_for(lambda: compute.limits(traffic.api)["totalInstancesUsed"] == before, 20, "the usage is right again")
