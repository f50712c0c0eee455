"""Everything of ours goes, nothing of anybody else's; what stays is told with the reason."""

import pytest

from harness.cloud import janitor, preflight, snapshot
from harness.cloud.session import Cloud
from harness.core.marks import MarkRefused, bears
from tests.cloud.small_cloud import SmallCloud

MARK = "squall-ab1"


def furnish(small: SmallCloud) -> None:
    """Ours, and others' that look like ours."""
    for name in (f"{MARK}-burst-0-1", f"{MARK}-burst-0-2", "web", "squall-ab12-burst-0", "not-squall-ab1-x"):
        small.add_server(name)
    for name in (f"{MARK}-net-0", "squall-ab12-net-0", "backbone"):
        made = small.add("networks", name)
        small.add("subnets", name, network_id=made["id"], cidr="10.0.0.0/24")
        small.add("ports", name, network_id=made["id"], device_id="", device_owner="", mac_address="m", fixed_ips=[])
        small.add("security-groups", name)
        small.add("images", name, status="active")
        small.add("os-keypairs", name)
    small.add("ports", "", description=f"{MARK}", network_id="n", device_id="", device_owner="", mac_address="m")


def names(small: SmallCloud) -> dict[str, list[str]]:
    found = {kind: sorted(each["name"] for each in things.values()) for kind, things in small.things.items()}
    return found | {"servers": sorted(server["name"] for server in small.servers.values())}


def test_ours_goes_and_foreign_resources_survive(small: SmallCloud, fast: Cloud) -> None:
    furnish(small)
    before = names(small)
    assert janitor.clean(fast, MARK) == []
    after = names(small)
    assert after["servers"] == ["not-squall-ab1-x", "squall-ab12-burst-0", "web"]
    foreign = {"backbone", "squall-ab12-net-0", "private", "cirros"}
    for kind in ("networks", "subnets", "security-groups", "images", "os-keypairs"):
        assert after[kind] == sorted(set(before[kind]) & foreign)
    assert after["ports"] == sorted(["", "", "", "backbone", "squall-ab12-net-0"])  # those of the foreign servers


def test_a_dry_run_names_everything_and_deletes_nothing(small: SmallCloud, fast: Cloud) -> None:
    furnish(small)
    before = names(small)
    lines: list[str] = []
    report = janitor.sweep(fast, [MARK], dry_run=True, say=lines.append)
    assert names(small) == before
    assert not any(method == "DELETE" for method, _ in small.requests)
    assert report.found == {
        "server": 2, "port": 4, "security group": 1, "subnet": 1, "network": 1, "keypair": 1, "image": 1,
    }  # fmt: skip
    assert len(lines) == sum(report.found.values())


def test_a_port_that_a_deleted_server_left_behind_is_found(small: SmallCloud, fast: Cloud) -> None:
    server = small.add_server(f"{MARK}-1")
    for port in small.things["ports"].values():
        port["leaks"] = True
    small.answer("DELETE", f"/v2.1/servers/{server['id']}", None)
    assert len(small.things["ports"]) == 1
    assert janitor.clean(fast, MARK) == []
    assert small.things["ports"] == {}


def test_what_will_not_go_is_reported_with_the_reason(small: SmallCloud, fast: Cloud) -> None:
    small.add_server(f"{MARK}-1")
    small.fail = lambda method, path: 409 if method == "DELETE" else None
    report = janitor.sweep(fast, [MARK], deadline_s=0.3)
    assert (report.left[0].kind, report.left[0].name) == ("server", f"{MARK}-1")
    assert "409 as the test wishes" in str(report.left[0])


def test_a_refusal_that_passes_is_tried_again(small: SmallCloud, fast: Cloud) -> None:
    small.add_server(f"{MARK}-1")
    refusals = iter([503, 500])
    small.fail = lambda method, path: next(refusals, None) if method == "DELETE" else None
    assert janitor.clean(fast, MARK) == []
    assert small.servers == {}


def test_a_list_that_fails_is_asked_again(small: SmallCloud, fast: Cloud) -> None:
    small.add_server(f"{MARK}-1")
    failures = iter([500, 502])
    small.fail = lambda method, path: next(failures, None) if "servers/detail" in path else None
    assert janitor.clean(fast, MARK) == []
    assert small.servers == {}


@pytest.mark.parametrize("mark", ["", "s", "web", "squall"])
def test_a_mark_that_could_be_anybodys_is_refused(small: SmallCloud, fast: Cloud, mark: str) -> None:
    with pytest.raises(MarkRefused, match="squall-"):
        janitor.clean(fast, mark)
    assert not small.requests


def test_what_bears_a_mark() -> None:
    assert bears("squall-ab1", "squall-ab1")
    assert bears("squall-ab1-x", "squall-ab1")
    assert not bears("squall-ab12", "squall-ab1")
    assert bears("squall-ab12", "squall-")
    assert not bears(None, "squall-")


def plan(**swarm: object) -> dict[str, object]:
    burst = {"scenario": "burst", "arrivals": {"kind": "burst", "count": 1}, "servers_each": 3} | swarm
    return {"swarms": [burst], "limits": {"max_servers": 100}}


def test_preflight_says_what_is_missing_where_and_what_to_do(small: SmallCloud, fast: Cloud) -> None:
    assert preflight.check(fast, plan()) == []
    (problem,) = preflight.check(fast, plan(servers_each=7))
    assert "quota of instances" in problem
    assert "wanted 7 free, got 6 of 10" in problem
    (problem,) = preflight.check(fast, plan(options={"flavor": "m9.huge"}))
    assert "m9.huge" in problem
    assert "got m1.tiny" in problem
    small.things["images"].clear()
    (problem,) = preflight.check(fast, plan())
    assert problem.startswith("no image (cloud small)")


def test_preflight_stops_at_a_login_that_fails(small: SmallCloud, fast: Cloud) -> None:
    small.fail = lambda method, path: 401 if "tokens" in path else None
    (problem,) = preflight.check(fast, plan())
    assert problem.startswith("cannot log in (cloud small)")


def test_a_snapshot_names_what_it_may_not_read(small: SmallCloud, fast: Cloud) -> None:
    server = small.add_server("web")
    small.fail = lambda method, path: 403 if "all_tenants" in path else None
    taken = snapshot.take(fast, taken_ns=5)
    assert [each["id"] for each in taken["servers"]] == [server["id"]]
    assert taken["ports"][0]["device_id"] == server["id"]
    assert not taken["complete"]
    assert any(error.startswith("servers: only those of our own project") for error in taken["errors"])
    assert any(error.startswith("providers:") for error in taken["errors"])
    assert taken["taken_ns"] == 5
