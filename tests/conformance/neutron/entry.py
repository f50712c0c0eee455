# ruff: noqa: E501 (tables of requests)
"""Extensions, agents and paths; quotas."""

from tests.conformance.neutron.common import NOWHERE
from tests.conformance.play import Play


def discovery(play: Play) -> None:
    nobody = play.nobody.neutron
    for path in ("/", "/v2.0", "/v2.0/", "/v1", "/nonsense", "/v2.0/networks", "/v2.0/extensions", "/v2.0/nonsense"):
        nobody("GET", path)
    nobody("GET", "/v2.0/networks", X_Auth_Token="nonsense")
    ask = play.member.neutron
    for path in ("/v2.0", "/v2.0/"):
        ask("GET", path, shape=True)
    for path in ("/v2.0/nonsense", "/v2.0/networks.json?name=nothing", "/v2.0/networks/?name=nothing", "/v2.0/networks.xml",
                 f"/v2.0/networks/{NOWHERE}.json", "/v2.0/extensions/nonsense", "/v2.0/extensions/quotas"):  # fmt: skip
        ask("GET", path)
    ask("GET", "/v2.0/extensions", shape=True)
    ask("PATCH", "/v2.0/networks", {})
    ask("PUT", "/v2.0/networks", {})
    ask("DELETE", "/v2.0/networks")
    ask("POST", f"/v2.0/networks/{NOWHERE}", {})
    ask("HEAD", "/v2.0/networks")
    ask("PUT", "/v2.0/extensions", {})
    for path in ("agents", "availability_zones", "network-ip-availabilities", "service-providers", "rbac-policies",
                 "address-groups", "subnetpools", "routers", "floatingips", "address-scopes", "qos/policies", "trunks",
                 "flavors", "network-segment-ranges", "segments", "metering/metering-labels", "auto-allocated-topology",
                 "default-security-group-rules", "log/logs", f"network-ip-availabilities/{NOWHERE}"):  # fmt: skip
        ask("GET", f"/v2.0/{path}")


def quotas(play: Play) -> None:
    admin, project = play.admin.neutron, play.other.project_id
    path = f"/v2.0/quotas/{project}"
    ask = play.other.neutron
    ask("GET", path, shape=True)
    ask("GET", f"/v2.0/quotas/{play.member.project_id}", shape=True)
    ask("GET", f"{path}/default", shape=True)
    ask("GET", f"{path}/details.json", shape=True)
    ask("PUT", path, {"quota": {"network": 1}})
    ask("DELETE", path)
    ask("GET", "/v2.0/quotas", shape=True)
    for body in (
        {},
        {"quota": {}},
        {"quota": {"network": "x"}},
        {"quota": {"network": -2}},
        {"quota": {"nonsense": 1}},
    ):
        admin("PUT", path, body, shape=True)
    limits = {"network": 1, "subnet": 1, "port": 1, "security_group": 2, "security_group_rule": 9}
    admin("PUT", path, {"quota": limits}, shape=True)
    admin("GET", "/v2.0/quotas", shape=True)
    net = play.name("net", ask("POST", "/v2.0/networks", {"network": {}}, quiet=True)["network"]["id"])
    ask("POST", "/v2.0/networks", {"network": {}})
    ask("POST", "/v2.0/networks", {"networks": [{}, {}]})
    subnet = {"subnet": {"network_id": net, "cidr": "198.51.100.0/24", "ip_version": 4}}
    ask("POST", "/v2.0/subnets", subnet, quiet=True)
    ask("POST", "/v2.0/subnets", {"subnet": {**subnet["subnet"], "cidr": "192.0.2.0/24"}})
    port = ask("POST", "/v2.0/ports", {"port": {"network_id": net}}, quiet=True)
    ask("POST", "/v2.0/ports", {"port": {"network_id": net}})
    ask("POST", "/v2.0/security-groups", {"security_group": {"name": "one"}}, quiet=True)
    ask("POST", "/v2.0/security-groups", {"security_group": {"name": "two"}})
    ask("DELETE", f"/v2.0/ports/{port['port']['id']}", quiet=True)
    ask("DELETE", f"/v2.0/networks/{net}", quiet=True)
    for group in ask("GET", "/v2.0/security-groups?name=one", quiet=True)["security_groups"]:
        ask("DELETE", f"/v2.0/security-groups/{group['id']}", quiet=True)
    admin("DELETE", path)
    admin("DELETE", path)
