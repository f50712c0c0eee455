"""Every finding code is tripped by a minimal history, and not by its healthy twin."""

import random
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.checkers.finding import Answer
from harness.checkers.registry import ask_all, checkers
from harness.checkers.verdict import DAMAGE, PASS, UNKNOWN, verdict_of
from harness.core.clock import S
from tests.checkers.worlds import HELD, MARK, NETWORK, PROJECT, World


def findings(world: World) -> dict[str, list[str]]:
    """Damage by code, with the ids of what is damaged."""
    answers = ask_all(world.history())
    return {
        each.code: [affected.id for affected in each.objects]
        for answer in answers
        for each in answer.findings
        if each.is_damage
    }


def answers(world: World) -> dict[str, Answer]:
    return {answer.checker: answer for answer in ask_all(world.history())}


def test_a_healthy_run_passes_every_question_and_each_looked_at_something() -> None:
    world = World()
    deleted_server(world, "s9")
    found = answers(world)
    assert {name: answer.verdict for name, answer in found.items()} == {checker.name: "pass" for checker in checkers()}
    assert all(answer.checked for answer in found.values())


def lost(world: World) -> None:
    world.drop_server("s1")
    world.recount()


def resurrected(world: World) -> None:
    world.operation(9, None, "s1", kind="server.delete", gone_ns=20 * S)


def duplicated(world: World) -> None:
    world.row("s1").update(accepted_ns=None, effect="unknown", ending="timeout", resource_id=None)
    world.add_server("twin", f"{MARK}-1", "host-1", 7, operation=False)
    world.recount()


def unexpected_after_500(world: World) -> None:
    world.row("s1").update(accepted_ns=None, effect="unknown", ending="answered", resource_id=None, error="HTTP 500")


def unexpected_without_intent(world: World) -> None:
    world.add_server("x", f"{MARK}-77", "host-1", 7, operation=False)
    world.recount()


def failed_after_it_was_built(world: World) -> None:
    world.server("s1").update(status="ERROR", vm_state="error")


def ignored_delete(world: World) -> None:
    world.operation(9, f"{MARK}-1", "s1", kind="server.delete", ready_ns=None)


def read_as_missing(world: World) -> None:
    world.read(9, "s1", "NOT_FOUND")


def read_as_it_was_before(world: World) -> None:
    world.operation(9, f"{MARK}-1", "s1", kind="server.stop", status="SHUTOFF", ready_ns=12 * S)
    world.server("s1").update(status="SHUTOFF", vm_state="stopped")
    world.read(13, "s1", "ACTIVE")


def stuck_build(world: World) -> None:
    world.strand("s1", holds=False)
    world.recount()


def stuck_task(world: World) -> None:
    world.server("s1").update(task_state="deleting")


def stuck_port(world: World) -> None:
    world.port("s1")["status"] = "DOWN"


def allocation_missing(world: World) -> None:
    world.allocations("host-1").pop("s1")
    world.after["project_usages"] = {key: value * 3 for key, value in HELD.items()}


def allocation_of_another_size(world: World) -> None:
    world.allocations("host-1")["s1"] = {**HELD, "DISK_GB": 20}


def allocation_on_another_host(world: World) -> None:
    world.allocations("host-0")["s1"] = world.allocations("host-1").pop("s1")


def allocation_on_two_hosts(world: World) -> None:
    world.allocations("host-0")["s1"] = {"DISK_GB": 1}


def deleted_server(world: World, identity: str) -> None:
    world.ask(f"{MARK}-9", 9)
    world.operation(9, f"{MARK}-9", identity, gone_ns=20 * S)
    world.operation(10, f"{MARK}-9", identity, kind="server.delete", gone_ns=20 * S)


def leak_of_a_deleted_server(world: World) -> None:
    deleted_server(world, "s9")
    world.allocations("host-0")["s9"] = dict(HELD)
    world.after["project_usages"] = {key: value * 4 for key, value in HELD.items()}


def leak_of_a_failed_server(world: World) -> None:
    world.server("s1").update(status="ERROR", vm_state="error", host=None, addresses=[], launched=None)
    world.row("s1").update(ready_ns=None, status="ERROR")
    world.after["ports"] = [each for each in world.after["ports"] if each["device_id"] != "s1"]


def over_capacity(world: World) -> None:
    world.after["providers"][0]["inventories"]["VCPU"].update(total=3, reserved=2)


def nova_drift(world: World) -> None:
    world.after["limits"]["totalInstancesUsed"] += 1


def placement_drift(world: World) -> None:
    world.after["project_usages"]["VCPU"] -= 1


def two_servers_on_one_port(world: World) -> None:
    world.server("s1")["addresses"] = world.server("s0")["addresses"]
    world.after["ports"] = [each for each in world.after["ports"] if each["device_id"] != "s1"]


def address_not_shown(world: World) -> None:
    world.server("s1")["addresses"] = []


def address_without_port(world: World) -> None:
    world.server("s1")["addresses"].append({"network": "private", "ip": "10.0.0.99", "mac": "fa:16:3e:00:00:99"})


def port_on_another_host(world: World) -> None:
    world.port("s1")["host"] = "host-0"


def orphan_port(world: World) -> None:
    deleted_server(world, "s9")
    world.after["ports"].append({**world.port("s1"), "id": "port-s9", "device_id": "s9", "mac": "", "fixed_ips": []})


def duplicate_address(world: World) -> None:
    shared = world.port("s0")["fixed_ips"]
    world.port("s1")["fixed_ips"] = shared
    world.server("s1")["addresses"][0]["ip"] = shared[0]["ip"]


def duplicate_mac(world: World) -> None:
    world.port("s1")["mac"] = world.server("s1")["addresses"][0]["mac"] = world.port("s0")["mac"]


def left_over_server(world: World) -> None:
    world.cleaned["servers"].append(world.server("s1"))
    world.cleaned["providers"][1]["allocations"]["s1"] = dict(HELD)
    world.recount()


def left_over_network(world: World) -> None:
    world.cleaned["networks"].append({"id": "n9", "name": f"{MARK}-net", "project_id": PROJECT})


def left_over_consumer(world: World) -> None:
    world.cleaned["providers"][0]["allocations"]["s1"] = dict(HELD)


def left_over_usage(world: World) -> None:
    world.cleaned["limits"]["totalCoresUsed"] = 1


DAMAGE_BY_CODE: dict[Callable[[World], None], dict[str, list[str]]] = {
    lost: {"lost_server": ["s1"]},
    resurrected: {"resurrected_server": ["s1"]},
    duplicated: {"duplicate_server": ["s1", "twin"]},
    unexpected_after_500: {"unexpected_server": ["s1"]},
    unexpected_without_intent: {"unexpected_server": ["x"]},
    failed_after_it_was_built: {"built_server_failed": ["s1"]},
    ignored_delete: {"ignored_delete": ["s1"]},
    read_as_missing: {"stale_read": ["s1"]},
    read_as_it_was_before: {"stale_read": ["s1"]},
    stuck_build: {"stuck_build": ["s1"]},
    stuck_task: {"stuck_task": ["s1"]},
    stuck_port: {"stuck_port": ["port-s1"]},
    allocation_missing: {"allocation_missing": ["s1"]},
    allocation_of_another_size: {"allocation_mismatch": ["s1"]},
    allocation_on_another_host: {"allocation_mismatch": ["s1"]},
    allocation_on_two_hosts: {"allocation_mismatch": ["s1"]},
    leak_of_a_deleted_server: {"leaked_allocation": ["s9"]},
    leak_of_a_failed_server: {"leaked_allocation": ["s1"]},
    over_capacity: {"over_capacity": ["rp-host-0"]},
    nova_drift: {"usage_drift": ["nova:instances"]},
    placement_drift: {"usage_drift": ["placement:VCPU"]},
    two_servers_on_one_port: {"nic_mismatch": ["s1"]},
    address_not_shown: {"nic_mismatch": ["s1"]},
    address_without_port: {"nic_mismatch": ["s1"]},
    port_on_another_host: {"nic_mismatch": ["s1"]},
    orphan_port: {"orphan_port": ["port-s9"]},
    duplicate_address: {"duplicate_address": ["port-s0", "port-s1"]},
    duplicate_mac: {"duplicate_mac": ["port-s0", "port-s1"]},
    left_over_server: {"not_conserved": ["s1", "s1"]},  # the server, and the consumer
    left_over_network: {"not_conserved": ["n9"]},
    left_over_consumer: {"not_conserved": ["s1"]},
    left_over_usage: {"not_conserved": ["nova:VCPU"]},
}


@pytest.mark.parametrize("damage", DAMAGE_BY_CODE, ids=lambda damage: damage.__name__)
def test_each_damage_is_found_and_nothing_else(damage: Callable[[World], None]) -> None:
    world = World()
    damage(world)
    assert findings(world) == DAMAGE_BY_CODE[damage]


def test_every_code_has_a_history_that_trips_it() -> None:
    tripped = {code for wanted in DAMAGE_BY_CODE.values() for code in wanted}
    assert tripped == {code.name for checker in checkers() for code in checker.codes}


def test_a_database_killed_in_a_burst_shows_stuck_builds_and_leaked_allocations_and_nothing_else() -> None:
    """As on a real control plane: 12 of 18 stay in BUILD, 11 of them hold allocations, nobody says a word."""
    world = World(18)
    for number in range(12):
        world.strand(f"s{number}", holds=number > 0)
    world.recount()
    # Nova counts what is in a cell; four of the twelve never got further than their build request.
    world.after["limits"]["totalInstancesUsed"] -= 4
    world.after["limits"]["totalCoresUsed"] -= 4
    world.after["limits"]["totalRAMUsed"] -= 4 * 64
    found = findings(world)
    assert {code: len(ids) for code, ids in found.items()} == {"stuck_build": 12, "leaked_allocation": 11}
    world.plan["expect"] = {"exit": 5, "findings": ["stuck_build", "leaked_allocation"]}
    verdict = verdict_of(world.history())
    assert (verdict.true_exit_code, verdict.exit_code) == (DAMAGE, PASS)
    assert verdict.expect is not None
    assert verdict.expect.as_expected


def test_a_server_that_failed_in_the_middle_of_what_was_asked_of_it_is_no_broken_promise() -> None:
    world = World()
    failed_after_it_was_built(world)
    world.operation(9, f"{MARK}-1", "s1", kind="server.reboot", effect="unknown", ending="timeout", ready_ns=None)
    assert findings(world) == {}


@pytest.mark.parametrize("launched", [None, "2026-01-01T00:00:03.000000"])
def test_a_build_that_failed_is_no_built_server(launched: str | None) -> None:
    world = World()
    leak_of_a_failed_server(world)
    world.server("s1")["launched"] = launched  # its host wrote that, and never learnt that it was written
    world.allocations("host-1").pop("s1")
    world.recount()
    assert findings(world) == {}


def test_a_built_server_need_not_have_been_seen_usable() -> None:
    world = World()
    failed_after_it_was_built(world)
    world.row("s1").update(ready_ns=None)
    assert findings(world) == {"built_server_failed": ["s1"]}


def test_a_built_server_in_error_is_unknown_when_what_the_run_did_is_not_known() -> None:
    world = World()
    failed_after_it_was_built(world)
    world.run["worker_lost"] = [{"name": "worker-1"}]
    assert findings(world) == {}
    assert answers(world)["servers_failed"].verdict == "unknown"


def test_a_young_deletion_is_neither_ignored_nor_a_pass() -> None:
    world = World(stuck_after_s=10_000)
    ignored_delete(world)
    assert findings(world) == {}
    assert "audited too early" in answers(world)["deletions"].reason


@pytest.mark.parametrize("task", ["deleting", None])
def test_a_deletion_that_has_begun_or_failed_for_all_to_see_is_not_ignored(task: str | None) -> None:
    world = World()
    ignored_delete(world)
    world.server("s1").update(task_state=task, status="ACTIVE" if task else "ERROR")
    assert findings(world) == ({"stuck_task": ["s1"]} if task else {})


@pytest.mark.parametrize(
    ("kind", "sent_s", "ready_s"),
    [("server.delete", 8, None), ("server.stop", 8, 40), ("server.stop", 9, None), ("server.stop", 7, 8)],
)
def test_a_read_beside_an_action_may_show_either_state(kind: str, sent_s: int, ready_s: int | None) -> None:
    world = World()
    at_ns = sent_s * S
    world.operation(90, None, "s1", kind=kind, sent_ns=at_ns, status="SHUTOFF", ready_ns=ready_s and ready_s * S)
    world.server("s1").update(status="SHUTOFF", task_state=None if kind == "server.stop" else "deleting")
    world.read(9, "s1", "SHUTOFF")
    if ready_s != 8:
        world.read(9, "s1", "ACTIVE")
    assert "stale_read" not in findings(world)


def test_a_read_after_an_action_that_changes_no_state_shows_the_state_before_it() -> None:
    world = World()
    world.operation(8, None, "s1", kind="server.rename", status=None, ready_level=None, ready_ns=8 * S + S // 10)
    world.read(9, "s1", "ACTIVE")
    world.read(10, "s1", "BUILD")
    assert answers(world)["reads"].findings[0].objects[0].detail == "read as BUILD when it was known to be ACTIVE"
    assert len(answers(world)["reads"].findings[0].objects) == 1


def test_not_found_is_stale_only_between_the_creation_and_a_deletion_of_a_server_that_was_there() -> None:
    world = World()
    world.row("s1").update(accepted_ns=10 * S, ready_ns=11 * S)
    world.read(9, "s1", "NOT_FOUND")  # nobody has said yes by then
    deleted_server(world, "s9")  # asked for after 10 s
    world.read(12, "s9", "NOT_FOUND")
    world.ask(f"{MARK}-20", 20)
    world.operation(20, f"{MARK}-20", "s20", ready_ns=None)
    world.read(22, "s20", "NOT_FOUND")
    assert findings(world) == {"lost_server": ["s20"]}
    deleted_server(world, "s8")
    world.read(9, "s8", "NOT_FOUND")
    world.row("s8")["accepted_ns"] = 8 * S
    assert findings(world) == {"lost_server": ["s20"], "stale_read": ["s8"]}


def test_a_state_that_nobody_saw_before_is_not_an_older_one() -> None:
    world = World()
    world.read(9, "s1", "SHUTOFF")
    world.read(10, "s1", "ERROR")
    assert findings(world) == {}


def test_a_burst_of_one_request_is_one_intent_for_many() -> None:
    world = World(0)
    world.ask(f"{MARK}-burst", 1, count=3)
    for number in range(3):
        name = f"{MARK}-burst-{number + 1}"
        world.add_server(f"b{number}", name, "host-0", number, operation=False)
        world.operation(10 + number, name, f"b{number}", batch=1)
    world.recount()
    assert findings(world) == {}
    world.drop_server("b1")
    world.recount()
    assert findings(world) == {"lost_server": ["b1"]}


def test_a_server_of_an_accepted_burst_that_no_list_ever_showed_is_lost() -> None:
    world = World(0)
    world.ask(f"{MARK}-burst", 1, count=3)
    world.operation(1, f"{MARK}-burst", None, ready_ns=None)
    for number in range(2):
        world.add_server(f"b{number}", f"{MARK}-burst-{number + 1}", "host-0", number, operation=False)
    world.recount()
    (answer,) = [each for each in ask_all(world.history()) if each.checker == "servers_lost"]
    assert answer.findings[0].objects[0].detail == "1 of 3 never appeared in any list"


def test_a_timed_out_create_may_leave_one_server() -> None:
    world = World()
    world.row("s1").update(accepted_ns=None, effect="unknown", ending="timeout", resource_id=None, ready_ns=None)
    assert findings(world) == {}


def test_a_server_that_was_deleted_is_not_lost() -> None:
    world = World()
    world.drop_server("s1")
    world.recount()
    world.operation(9, None, "s1", kind="server.delete", effect="unknown", ending="timeout")
    assert findings(world) == {}


def test_a_server_that_went_by_itself_is_lost() -> None:
    world = World()
    world.drop_server("s1")
    world.recount()
    world.row("s1").update(gone_ns=20 * S, ready_ns=None, error="gone before it was ready")
    assert findings(world) == {"lost_server": ["s1"]}


def test_a_deletion_whose_record_died_with_its_worker_is_unknown_and_not_a_loss() -> None:
    world = World()
    lost(world)
    world.run["worker_lost"] = [{"name": "worker-1"}]
    assert findings(world) == {}
    assert answers(world)["servers_lost"].verdict == "unknown"


def test_requests_under_way_when_the_run_ended_are_unknown() -> None:
    world = World()
    world.row("s1").update(accepted_ns=None, effect="none", ending="dropped", resource_id=None)
    world.drop_server("s2")
    world.recount()
    world.operation(9, f"{MARK}-2", "s2", kind="server.delete", effect="none", ending="dropped")
    assert findings(world) == {}


def test_an_account_that_may_not_see_hosts_leaves_what_needs_them_unknown() -> None:
    world = World()
    for server in world.after["servers"]:
        server["host"] = None
    world.after.update(errors=["servers: only those of our own project: all_tenants is not allowed"], complete=False)
    assert findings(world) == {}
    found = {name: answer.verdict for name, answer in answers(world).items()}
    assert (found["nics"], found["allocations"]) == ("unknown", "unknown")
    assert (found["servers_lost"], found["servers_duplicated"], found["stuck"]) == ("pass", "pass", "pass")


def test_a_build_that_goes_on_slowly_is_not_stuck() -> None:
    """As on an overloaded control plane: minutes old, and the host made a step a moment before the audit looked."""
    world = World()
    world.server("s1").update(status="BUILD", vm_state="building", task_state="spawning")
    assert findings(world) == {"stuck_build": ["s1"]}
    world.server("s1")["updated"] = "2026-01-01T00:03:10Z"
    assert findings(world) == {}
    assert answers(world)["stuck"].verdict == "unknown"


def test_a_build_request_is_stuck_although_nova_shows_it_as_updated_just_now() -> None:
    world = World()
    world.strand("s1", holds=True)
    world.server("s1")["updated"] = "2026-01-01T00:03:20Z"
    world.recount()
    assert findings(world) == {"stuck_build": ["s1"], "leaked_allocation": ["s1"]}


def test_a_host_that_may_still_wait_for_its_ports_is_not_stuck() -> None:
    world = World()
    world.server("s1").update(status="BUILD", vm_state="building", task_state="spawning")
    world.recount()
    assert findings(world) == {"stuck_build": ["s1"]}
    world.plan["plug_timeout_s"] = 300.0
    assert findings(world) == {}
    assert "audited too early" in answers(world)["stuck"].reason


def test_a_young_build_is_neither_stuck_nor_a_pass() -> None:
    world = World(stuck_after_s=10_000)
    world.strand("s1", holds=True)
    world.recount()
    assert findings(world) == {}
    found = answers(world)
    assert found["stuck"].verdict == found["allocations"].verdict == "unknown"
    assert "audited too early" in found["stuck"].reason


def test_residue_that_was_there_before_or_is_not_ours_is_not_held_against_the_run() -> None:
    world = World()
    old = {**world.port("s1"), "id": "old", "device_id": "long-gone", "mac": "fa:16:3e:11:11:11", "fixed_ips": []}
    for document in (world.before, world.after, world.cleaned):
        document["ports"].append(dict(old))
        document["providers"][0]["allocations"]["old-leak"] = dict(HELD)
    world.after["providers"][1]["allocations"]["new-leak"] = dict(HELD)
    world.recount()
    assert findings(world) == {}
    notes = [each for each in answers(world)["allocations"].findings if not each.is_damage]
    assert [(note.code, note.objects[0].id) for note in notes] == [("foreign_residue", "new-leak")]


def test_other_peoples_servers_may_come_and_go() -> None:
    world = World()
    theirs = {**world.server("s0"), "id": "theirs", "name": "web-1", "addresses": []}
    world.before["servers"].append(dict(theirs))
    world.before["providers"][0]["allocations"]["theirs"] = dict(HELD)
    world.recount()
    assert findings(world) == {}


@pytest.mark.parametrize("part", ["servers", "ports", "providers", "limits", "project_usages"])
def test_a_part_of_the_snapshot_that_was_not_read_is_unknown_and_never_damage(part: str) -> None:
    world = World()
    world.after.update({part: None, "complete": False, "errors": [f"{part}: HTTP 503"]})
    assert findings(world) == {}
    assert any(answer.verdict == "unknown" and part in answer.reason for answer in answers(world).values())
    assert verdict_of(world.history()).exit_code == UNKNOWN


def test_without_snapshots_every_question_is_unknown() -> None:
    world = World()
    world.before = world.after = world.cleaned = None
    assert {answer.verdict for answer in answers(world).values()} == {"unknown"}


def test_intents_of_a_lost_worker_are_unknown() -> None:
    world = World()
    world.ask(f"{MARK}-8", 8)
    assert answers(world)["servers_lost"].verdict == "unknown"


def test_a_crashing_checker_is_unknown() -> None:
    world = World()
    world.after["servers"][0].pop("id")
    found = answers(world)
    assert found["nics"].verdict == "unknown"
    assert "crashed: KeyError" in found["nics"].reason


def test_of_two_servers_on_one_port_it_is_said_whose_it_is() -> None:
    world = World()
    two_servers_on_one_port(world)
    (finding,) = answers(world)["nics"].findings
    assert finding.objects[0].detail == "shows 10.0.0.10, which no port of it has; port port-s0 is that of server s0"


def test_findings_carry_ids_names_and_ages() -> None:
    world = World()
    stuck_build(world)
    (finding,) = answers(world)["stuck"].findings
    assert (finding.code, finding.invariant, finding.severity) == ("stuck_build", "I3", "S3")
    assert finding.age_s == pytest.approx(197.9)
    assert finding.objects[0].name == f"{MARK}-1"
    assert finding.objects[0].detail == "scheduling, no host"


@settings(max_examples=25, deadline=None)
@example(seed=1, picks={left_over_consumer})
@given(seed=st.integers(0, 2**32), picks=st.sets(st.sampled_from([*DAMAGE_BY_CODE]), max_size=3))
def test_the_order_of_rows_does_not_matter(seed: int, picks: set[Callable[[World], None]]) -> None:
    world = World(4)
    for damage in sorted(picks, key=lambda each: each.__name__):
        try:
            damage(world)
        except (LookupError, StopIteration):  # one damage took away what another needs
            return
    first = verdict_of(world.history())
    rng = random.Random(seed)
    for rows in (world.operations, world.ledger):
        rng.shuffle(rows)
    for document in (world.before, world.after, world.cleaned):
        for part in ("servers", "ports", "networks", "providers"):
            rng.shuffle(document[part])
    assert verdict_of(world.history()) == first


def test_networks_of_the_run_are_recognised_by_their_mark() -> None:
    world = World()
    world.after["networks"].append({"id": NETWORK, "name": f"{MARK}-net", "project_id": PROJECT})
    assert NETWORK in world.history().our_ids
    assert not world.history().is_marked({"name": f"{MARK}0-net"})
