"""Security groups over plain HTTP. Words were taken from neutron 29.0.0 on 2026-11-22."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.neutron.client import Client
from tests.emulator.neutron.test_networks import MISSING, message

RULES = "/v2.0/security-group-rules"


@pytest.fixture
def group(demo: Client) -> Iterator[Any]:
    made = demo.make("security_group", name="web", description="x")
    yield made
    assert demo.delete(f"/v2.0/security-groups/{made['id']}")[0] == 204


def rule(demo: Client, group: Any, **values: Any) -> tuple[int, Any]:
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **values}}
    return demo.post(RULES, body)


def test_a_project_has_a_default_group_with_four_rules(demo: Client) -> None:
    (default,) = demo.get("/v2.0/security-groups?name=default")[1]["security_groups"]
    rules = default["security_group_rules"]
    assert sorted(
        (r["direction"], r["ethertype"], r["remote_group_id"]) for r in rules if r["direction"] == "egress"
    ) == [
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    ]
    ingress = [r for r in rules if r["direction"] == "ingress"]
    assert {(r["ethertype"], r["remote_group_id"]) for r in ingress} == {
        ("IPv4", default["id"]),
        ("IPv6", default["id"]),
    }
    refused = message(demo.post("/v2.0/security-groups", {"security_group": {"name": "default"}}))
    assert refused == (409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")


def test_the_default_group_of_a_project_is_made_when_it_is_asked_for(admin: Client) -> None:
    groups = admin.get("/v2.0/security-groups?project_id=a-new-project")[1]["security_groups"]
    assert [(group["name"], len(group["security_group_rules"])) for group in groups] == [("default", 4)]


def test_a_new_group_lets_everything_out(group: Any) -> None:
    rules = group["security_group_rules"]
    assert {(r["direction"], r["ethertype"]) for r in rules} == {("egress", "IPv4"), ("egress", "IPv6")}


def test_a_rule_exists_once(demo: Client, group: Any) -> None:
    ssh = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "10.0.0.1/24"}
    status, body = rule(demo, group, **ssh)
    made = body["security_group_rule"]
    assert (status, made["remote_ip_prefix"], made["normalized_cidr"]) == (201, "10.0.0.1/24", "10.0.0.0/24")
    refused = message(rule(demo, group, **ssh))
    text = f"Security group rule already exists. Rule id is {made['id']}."
    assert refused == (409, "SecurityGroupRuleExists", text)
    assert demo.get(f"{RULES}/{made['id']}")[1]["security_group_rule"]["protocol"] == "tcp"
    assert demo.delete(f"{RULES}/{made['id']}")[0] == 204
    assert demo.get(f"{RULES}/{made['id']}")[0] == 404


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"protocol": "tcp", "port_range_min": 23, "port_range_max": 22}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "bogus"}, "SecurityGroupRuleInvalidProtocol"),
        ({"port_range_min": 22, "port_range_max": 22}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"remote_ip_prefix": "bogus"}, "InvalidCIDR"),
        ({"remote_ip_prefix": "2001:db8::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": MISSING}, "SecurityGroupMultipleRemoteEntites"),
        ({"protocol": "tcp", "port_range_min": 70000, "port_range_max": 70000}, "SecurityGroupInvalidPortValue"),
    ],
)
def test_a_wrong_rule_is_refused(demo: Client, group: Any, values: Any, kind: str) -> None:
    assert message(rule(demo, group, **values))[:2] == (400, kind)


def test_rules_come_in_bulk(demo: Client, group: Any) -> None:
    wanted = [
        {
            "security_group_id": group["id"],
            "direction": "egress",
            "protocol": "udp",
            "port_range_min": n,
            "port_range_max": n,
        }
        for n in (1, 2)
    ]
    status, body = demo.post(RULES, {"security_group_rules": wanted})
    assert status == 201
    assert len(body["security_group_rules"]) == 2
    shown = demo.get(f"/v2.0/security-groups/{group['id']}")[1]["security_group"]
    assert len(shown["security_group_rules"]) == 4


def test_a_group_of_a_port_is_in_use(demo: Client, network: Any) -> None:
    group = demo.make("security_group", name="used")
    port = demo.make("port", network_id=network["id"], security_groups=[group["id"]])
    refused = message(demo.delete(f"/v2.0/security-groups/{group['id']}"))
    assert refused == (409, "SecurityGroupInUse", f"Security Group {group['id']} in use.")
    found = demo.get(f"/v2.0/ports?security_groups={group['id']}")[1]["ports"]
    assert [one["id"] for one in found] == [port["id"]]
    assert demo.put(f"/v2.0/ports/{port['id']}", {"port": {"security_groups": []}})[0] == 200
    assert demo.delete(f"/v2.0/security-groups/{group['id']}")[0] == 204
