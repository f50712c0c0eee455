# ruff: noqa: E501 (tables of requests)
"""Network v2.0."""

from typing import Any

from tests.conformance.play import Play

ADDRESS = r"198\.51\.100\.\d+"
NOWHERE = "00000000-0000-4000-8000-000000000000"


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


def networks(play: Play) -> None:
    ask, admin = play.member.neutron, play.admin.neutron
    for body in (
        b"",
        b"{",
        [],
        {},
        {"nonsense": {}},
        {"network": []},
        {"network": "x"},
        {"networks": []},
        {"networks": {}},
        {"networks": [1]},
        {"network": {"name": 1}},
        {"network": {"name": "x" * 256}},
        {"network": {"name": None}},
        {"network": {"nonsense": 1}},
        {"network": {"id": NOWHERE}},
        {"network": {"status": "ACTIVE"}},
        {"network": {"admin_state_up": "x"}},
        {"network": {"shared": True}},
        {"network": {"shared": "x"}},
        {"network": {"router:external": True}},
        {"network": {"provider:network_type": "vxlan"}},
        {"network": {"mtu": -1}},
        {"network": {"mtu": "x"}},
        {"network": {"mtu": 100000}},
        {"network": {"project_id": play.other.project_id}},
        {"network": {"project_id": "x", "tenant_id": "y"}},
        {"network": {"availability_zone_hints": "x"}},
        {"network": {"availability_zone_hints": ["nonsense"]}},
        {"network": {"dns_domain": "x"}},
        {"network": {"port_security_enabled": "x"}},
        {"network": {"description": "x" * 256}},
        {"network": {"subnets": []}},
    ):
        made = ask("POST", "/v2.0/networks", body)
        if made.status == 201:
            for one in made.body.get("networks") or [made["network"]]:
                ask("DELETE", f"/v2.0/networks/{one['id']}", quiet=True)
    play.reader.neutron("POST", "/v2.0/networks", {"network": {}})
    ask("POST", "/v2.0/networks", {"network": {"name": "x"}}, Content_Type="text/plain")
    made = ask("POST", "/v2.0/networks", {"network": {"name": "conformance-net", "description": "d"}})
    net = play.name("net", made["network"]["id"])
    made = ask("POST", "/v2.0/networks", {"networks": [{"name": "conformance-a"}, {"name": "conformance-b"}]})
    a, b = (play.name(name, one["id"]) for name, one in zip("ab", made["networks"], strict=True))
    ask("POST", "/v2.0/networks", {"networks": [{"name": "conformance-c"}, {"name": 1}]})
    ask("GET", "/v2.0/networks?name=conformance-c")
    path = f"/v2.0/networks/{net}"
    ask("GET", path)
    ask("GET", f"{path}.json")
    ask("GET", f"{path}?fields=id&fields=name")
    ask("GET", f"{path}?fields=nonsense")
    admin("GET", path)
    play.other.neutron("GET", path)
    play.reader.neutron("GET", path, only="network.name")
    play.other.neutron("PUT", path, {"network": {"name": "x"}})
    play.other.neutron("DELETE", path)
    play.reader.neutron("PUT", path, {"network": {"name": "x"}})
    play.reader.neutron("DELETE", path)
    for body in (
        {},
        {"network": {}},
        {"network": {"name": 1}},
        {"network": {"nonsense": 1}},
        {"network": {"id": NOWHERE}},
        {"network": {"status": "DOWN"}},
        {"network": {"shared": True}},
        {"network": {"shared": False}},
        {"network": {"router:external": True}},
        {"network": {"project_id": play.other.project_id}},
        {"network": {"mtu": 1400}},
        {"network": {"name": "conformance-new", "admin_state_up": False}},
    ):
        ask("PUT", path, body)
    ask("PUT", f"/v2.0/networks/{NOWHERE}", {"network": {"name": "x"}})
    admin("PUT", path, {"network": {"shared": True}})
    play.other.neutron("GET", path)
    play.other.neutron("PUT", path, {"network": {"name": "x"}})
    admin("PUT", path, {"network": {"shared": False}}, only="network.shared")
    mine = f"/v2.0/networks?project_id={play.member.project_id}&fields=name"
    for query in (
        "sort_key=name&sort_dir=asc&limit=2",
        "sort_key=name&sort_dir=desc",
        f"sort_key=name&sort_dir=asc&limit=2&marker={a}",
        "sort_key=name&sort_dir=asc&limit=1&page_reverse=True",
        "limit=0&sort_key=name",
        "limit=-1",
        "limit=x",
        f"marker={NOWHERE}",
        "marker=nonsense",
        "sort_key=nonsense",
        "sort_key=name&sort_dir=nonsense",
        "sort_key=name",
        "nonsense=1",
        "name=conformance-a",
        "name=conformance-a&name=conformance-b&sort_key=name",
        "name=conformance",
        "name=",
        f"id={a}",
        "id=nonsense",
        "status=ACTIVE&sort_key=name",
        "admin_state_up=False",
        "admin_state_up=nonsense",
        "shared=true&name=conformance-a",
        "router:external=true",
        "mtu=1400",
        "tags=nonsense",
        "not-tags=nonsense&sort_key=name",
        f"tenant_id={play.member.project_id}&sort_key=name",
    ):
        ask("GET", f"{mine}&{query}")
    ask("GET", f"/v2.0/networks?project_id={play.other.project_id}")
    for tag in ("green", "x" * 61, "a,b"):
        ask("PUT", f"{path}/tags/{tag}")
        ask("GET", f"{path}/tags/{tag}")
    ask("GET", f"{path}/tags")
    ask("PUT", f"{path}/tags", {"tags": ["one", "two"]})
    ask("PUT", f"{path}/tags", {"tags": "x"})
    ask("PUT", f"{path}/tags", {})
    ask("DELETE", f"{path}/tags/three")
    ask("PUT", f"/v2.0/networks/{NOWHERE}/tags/green")
    ask("DELETE", f"{path}/tags")
    for one in (net, a, b):
        ask("DELETE", f"/v2.0/networks/{one}")
    ask("DELETE", path)
    ask("GET", path)
    ask("GET", "/v2.0/networks/nonsense")


def _network(play: Play, name: str = "conformance-net", cidr: str = "198.51.100.0/24") -> tuple[str, str]:
    """A network with a subnet, named `net` and `subnet`."""
    ask = play.member.neutron
    net = ask("POST", "/v2.0/networks", {"network": {"name": name}}, quiet=True)["network"]["id"]
    body = {"subnet": {"network_id": net, "cidr": cidr, "ip_version": 4, "name": f"{name}-subnet"}}
    subnet = ask("POST", "/v2.0/subnets", body, quiet=True)["subnet"]["id"]
    return play.name("net", net), play.name("subnet", subnet)


def subnets(play: Play) -> None:
    ask = play.member.neutron
    net = play.name(
        "net", ask("POST", "/v2.0/networks", {"network": {"name": "conformance-net"}}, quiet=True)["network"]["id"]
    )

    def make(**values: Any) -> Any:
        body = {"network_id": net, "ip_version": 4, "cidr": "198.51.100.0/24"} | values
        made = ask("POST", "/v2.0/subnets", {"subnet": {k: v for k, v in body.items() if v != "-"}})
        if made.status == 201:
            ask("DELETE", f"/v2.0/subnets/{made['subnet']['id']}", quiet=True)

    ask("POST", "/v2.0/subnets", {})
    ask("POST", "/v2.0/subnets", {"subnet": {}})
    make(network_id="-")
    make(network_id="x")
    make(network_id=NOWHERE)
    make(ip_version="-")
    make(ip_version=5)
    make(ip_version=6)
    make(cidr="-")
    make(cidr="x")
    make(cidr="198.51.100.0")
    make(cidr="198.51.100.7/24")
    make(cidr="198.51.100.0/33")
    make(cidr="0.0.0.0/0")
    make(cidr="198.51.100.0/32")
    make(cidr="2001:db8::/64")
    make(cidr="2001:db8::/64", ip_version=6)
    make(cidr="2001:db8::/64", ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    make(cidr="2001:db8::/64", ip_version=6, ipv6_ra_mode="nonsense")
    make(ipv6_ra_mode="slaac")
    make(gateway_ip="x")
    make(gateway_ip=None)
    make(gateway_ip="198.51.100.254")
    make(gateway_ip="203.0.113.1")
    make(allocation_pools="x")
    make(allocation_pools=[{"start": "198.51.100.10"}])
    make(allocation_pools=[{"start": "198.51.100.10", "end": "198.51.100.5"}])
    make(allocation_pools=[{"start": "198.51.100.10", "end": "203.0.113.5"}])
    make(allocation_pools=[{"start": "198.51.100.10", "end": "198.51.100.20"}])
    make(allocation_pools=[{"start": "198.51.100.1", "end": "198.51.100.20"}])
    make(
        allocation_pools=[
            {"start": "198.51.100.10", "end": "198.51.100.20"},
            {"start": "198.51.100.15", "end": "198.51.100.30"},
        ]
    )
    make(dns_nameservers=["x"])
    make(dns_nameservers=["192.0.2.1", "192.0.2.1"])
    make(dns_nameservers=["192.0.2.1"], host_routes=[{"destination": "192.0.2.0/24", "nexthop": "198.51.100.9"}])
    make(host_routes=[{"destination": "x", "nexthop": "198.51.100.9"}])
    make(host_routes="x")
    make(enable_dhcp="x")
    make(nonsense=1)
    make(id=NOWHERE)
    make(project_id=play.other.project_id)
    make(subnetpool_id=NOWHERE)
    play.reader.neutron(
        "POST", "/v2.0/subnets", {"subnet": {"network_id": net, "ip_version": 4, "cidr": "192.0.2.0/24"}}
    )
    play.other.neutron(
        "POST", "/v2.0/subnets", {"subnet": {"network_id": net, "ip_version": 4, "cidr": "192.0.2.0/24"}}
    )
    body = {"network_id": net, "ip_version": 4, "cidr": "198.51.100.0/28", "name": "conformance-subnet"}
    subnet = play.name("subnet", ask("POST", "/v2.0/subnets", {"subnet": body})["subnet"]["id"])
    make(cidr="198.51.100.0/24")
    path = f"/v2.0/subnets/{subnet}"
    ask("GET", path)
    ask("GET", f"/v2.0/networks/{net}", only="network.subnets")
    ask("GET", f"{path}?fields=cidr")
    play.other.neutron("GET", path)
    for query in ("cidr=198.51.100.0/28", "ip_version=6", "ip_version=x", f"network_id={net}", "enable_dhcp=False",
                  "gateway_ip=198.51.100.1", "cidr=x"):  # fmt: skip
        ask("GET", f"/v2.0/subnets?project_id={play.member.project_id}&fields=name&{query}")
    for values in (
        {},
        {"cidr": "198.51.100.0/24"},
        {"network_id": NOWHERE},
        {"gateway_ip": "198.51.100.5"},
        {"gateway_ip": "203.0.113.1"},
        {"allocation_pools": [{"start": "198.51.100.2", "end": "198.51.100.9"}]},
        {"allocation_pools": [{"start": "198.51.100.1", "end": "198.51.100.9"}]},
        {"name": 1},
        {"name": "new", "dns_nameservers": ["192.0.2.2"], "enable_dhcp": False},
        {"ip_version": 6},
    ):
        ask("PUT", path, {"subnet": values})
    ask("DELETE", path)
    ask("DELETE", path)
    ask("GET", path)
    ask("DELETE", f"/v2.0/networks/{net}")


def ports(play: Play) -> None:
    ask, admin = play.member.neutron, play.admin.neutron
    net, subnet = _network(play, cidr="198.51.100.0/29")

    def make(**values: Any) -> Any:
        given = {name: value for name, value in ({"network_id": net} | values).items() if value != "-"}
        blur = "" if "ip_address" in str(values.get("fixed_ips")) else ADDRESS
        made = ask("POST", "/v2.0/ports", {"port": given}, blur=blur)
        if made.status == 201:
            ask("DELETE", f"/v2.0/ports/{made['port']['id']}", quiet=True)

    ask("POST", "/v2.0/ports", {})
    make(network_id="-")
    make(network_id="x")
    make(network_id=NOWHERE)
    make(name=1)
    make(nonsense=1)
    make(mac_address="x")
    make(mac_address="fa:16:3e:00:00:01")
    make(admin_state_up="x")
    make(device_id=1)
    make(device_owner="network:dhcp")
    make(device_owner="x" * 256)
    make(fixed_ips="x")
    make(fixed_ips=[])
    make(fixed_ips=[{"ip_address": "x"}])
    make(fixed_ips=[{"ip_address": "203.0.113.1"}])
    make(fixed_ips=[{"ip_address": "198.51.100.1"}])
    make(fixed_ips=[{"ip_address": "198.51.100.7"}])
    make(fixed_ips=[{"ip_address": "198.51.100.5"}])
    make(fixed_ips=[{"subnet_id": "x"}])
    make(fixed_ips=[{"subnet_id": NOWHERE}])
    make(fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}])
    make(fixed_ips=[{"subnet_id": subnet, "ip_address": "203.0.113.1"}])
    make(fixed_ips=[{"nonsense": 1}])
    make(fixed_ips=[{"subnet_id": subnet}] * 6)
    make(security_groups="x")
    make(security_groups=[])
    make(security_groups=["x"])
    make(security_groups=[NOWHERE])
    make(allowed_address_pairs=[{"ip_address": "192.0.2.1"}])
    make(allowed_address_pairs=[{}])
    make(allowed_address_pairs=[{"ip_address": "x"}])
    make(port_security_enabled=False)
    make(port_security_enabled=False, security_groups=[NOWHERE])
    make(**{"binding:host_id": "x"})
    make(**{"binding:profile": {}})
    make(**{"binding:vnic_type": "nonsense"})
    make(**{"binding:vnic_type": "direct"})
    make(extra_dhcp_opts=[{"opt_name": "x", "opt_value": "y"}])
    make(dns_name="x")
    make(qos_policy_id=NOWHERE)
    make(project_id=play.other.project_id)
    play.reader.neutron("POST", "/v2.0/ports", {"port": {"network_id": net}})
    play.other.neutron("POST", "/v2.0/ports", {"port": {"network_id": net}})
    body = {"network_id": net, "name": "conformance-admin", "fixed_ips": [{"ip_address": "198.51.100.6"}]}
    admin("POST", "/v2.0/ports", {"port": body}, only="port.project_id")
    body = {"network_id": net, "name": "conformance-port", "fixed_ips": [{"ip_address": "198.51.100.4"}]}
    port = play.name("port", ask("POST", "/v2.0/ports", {"port": body})["port"]["id"])
    path = f"/v2.0/ports/{port}"
    ask("POST", "/v2.0/ports", {"port": body})
    mac = ask("GET", path)["port"]["mac_address"]
    make(mac_address=play.name("mac of port", mac))
    ask("GET", f"{path}?fields=fixed_ips&fields=status")
    admin("GET", path)
    play.other.neutron("GET", path)
    mine = f"/v2.0/ports?project_id={play.member.project_id}&fields=name"
    for query in ("fixed_ips=ip_address=198.51.100.4", "fixed_ips=ip_address_substr=51.100.4", f"fixed_ips=subnet_id={NOWHERE}",
                  "fixed_ips=nonsense", f"network_id={net}", "device_id=x", "mac_address=x", "status=DOWN", "ip_address=x",
                  "device_owner=", "security_groups=x", "binding:host_id=x", f"mac_address={mac}"):  # fmt: skip
        ask("GET", f"{mine}&{query}")
    for values in (
        {},
        {"name": "new"},
        {"network_id": NOWHERE},
        {"mac_address": "fa:16:3e:00:00:02"},
        {"fixed_ips": [{"ip_address": "198.51.100.5"}]},
        {"fixed_ips": [{"ip_address": "203.0.113.1"}]},
        {"fixed_ips": []},
        {"security_groups": []},
        {"security_groups": [NOWHERE]},
        {"device_id": "x", "device_owner": "compute:nova"},
        {"binding:host_id": "x"},
        {"admin_state_up": False},
        {"status": "ACTIVE"},
        {"nonsense": 1},
        {"allowed_address_pairs": [{"ip_address": "192.0.2.1"}]},
        {"port_security_enabled": False},
    ):
        ask("PUT", path, {"port": values})
    admin("PUT", path, {"port": {"device_id": "", "device_owner": ""}}, only="port.device_owner")
    many = ask("POST", "/v2.0/ports", {"ports": [{"network_id": net, "name": f"conformance-{n}"} for n in range(2)]},
               blur=ADDRESS)  # fmt: skip
    ask("POST", "/v2.0/ports", {"ports": [{"network_id": net}] * 9})
    ask("GET", f"{mine}&sort_key=name")
    ask("DELETE", f"/v2.0/networks/{net}", blur="<port>|<uuid>")
    ask("DELETE", f"/v2.0/subnets/{subnet}")
    for one in many["ports"]:
        ask("DELETE", f"/v2.0/ports/{one['id']}", quiet=True)
    play.other.neutron("DELETE", path)
    play.reader.neutron("DELETE", path)
    ask("DELETE", path)
    ask("DELETE", path)
    for one in admin("GET", f"/v2.0/ports?network_id={net}", quiet=True)["ports"]:
        admin("DELETE", f"/v2.0/ports/{one['id']}", quiet=True)
    ask("DELETE", f"/v2.0/networks/{net}")


def security_groups(play: Play) -> None:
    ask = play.member.neutron
    ask("GET", f"/v2.0/security-groups?project_id={play.member.project_id}&name=default")
    for body in ({}, {"security_group": {}}, {"security_group": {"name": 1}}, {"security_group": {"name": "x" * 256}},
                 {"security_group": {"name": "default"}}, {"security_group": {"name": "x", "nonsense": 1}},
                 {"security_group": {"name": "conformance-x", "stateful": "x"}}):  # fmt: skip
        ask("POST", "/v2.0/security-groups", body)
    made = ask("POST", "/v2.0/security-groups", {"security_group": {"name": "conformance-group", "description": "d"}})
    group = play.name("group", made["security_group"]["id"])
    path = f"/v2.0/security-groups/{group}"
    ask("GET", path)
    ask("PUT", path, {"security_group": {"name": "conformance-new"}}, only="security_group.name")
    ask("PUT", path, {"security_group": {"name": "default"}})
    ask("PUT", path, {"security_group": {"project_id": "x"}})
    play.other.neutron("GET", path)
    play.other.neutron("DELETE", path)
    play.reader.neutron("DELETE", path)
    default = ask("GET", f"/v2.0/security-groups?project_id={play.member.project_id}&name=default", quiet=True)
    mine = play.name("default group", default["security_groups"][0]["id"])
    ask("DELETE", f"/v2.0/security-groups/{mine}")
    ask("PUT", f"/v2.0/security-groups/{mine}", {"security_group": {"name": "x"}})

    def rule(**values: Any) -> Any:
        rule = {"security_group_id": group, "direction": "ingress"} | values
        made = ask(
            "POST", "/v2.0/security-group-rules", {"security_group_rule": {k: v for k, v in rule.items() if v != "-"}}
        )
        if made.status == 201:
            ask("DELETE", f"/v2.0/security-group-rules/{made['security_group_rule']['id']}", quiet=True)

    ask("POST", "/v2.0/security-group-rules", {})
    rule()
    rule(security_group_id="-")
    rule(security_group_id="x")
    rule(security_group_id=NOWHERE)
    rule(direction="-")
    rule(direction="x")
    rule(ethertype="x")
    rule(ethertype="IPv6", protocol="tcp", port_range_min=22, port_range_max=22)
    rule(protocol="nonsense")
    rule(protocol="256")
    rule(protocol="tcp", port_range_min=22)
    rule(protocol="tcp", port_range_max=22)
    rule(protocol="tcp", port_range_min=23, port_range_max=22)
    rule(protocol="tcp", port_range_min=0, port_range_max=22)
    rule(protocol="tcp", port_range_min=1, port_range_max=65536)
    rule(protocol="tcp", port_range_min="x", port_range_max=22)
    rule(port_range_min=22, port_range_max=22)
    rule(protocol="icmp", port_range_min=8, port_range_max=0)
    rule(protocol="icmp", port_range_min=256)
    rule(protocol="icmp", port_range_max=1)
    rule(protocol=6, remote_ip_prefix="192.0.2.0/24")
    rule(remote_ip_prefix="x")
    rule(remote_ip_prefix="192.0.2.1")
    rule(remote_ip_prefix="2001:db8::/64")
    rule(remote_group_id=mine)
    rule(remote_group_id=NOWHERE)
    rule(remote_group_id=mine, remote_ip_prefix="192.0.2.0/24")
    rule(nonsense=1)
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp",
                                    "port_range_min": 22, "port_range_max": 22}}  # fmt: skip
    one = play.name("rule", ask("POST", "/v2.0/security-group-rules", body)["security_group_rule"]["id"])
    ask("POST", "/v2.0/security-group-rules", body)
    ask("GET", f"/v2.0/security-group-rules/{one}")
    ask("GET", f"/v2.0/security-group-rules?security_group_id={group}&direction=ingress&fields=protocol")
    ask("PUT", f"/v2.0/security-group-rules/{one}", {"security_group_rule": {"direction": "egress"}})
    play.other.neutron("GET", f"/v2.0/security-group-rules/{one}")
    play.other.neutron("DELETE", f"/v2.0/security-group-rules/{one}")
    ask("DELETE", f"/v2.0/security-group-rules/{one}")
    ask("DELETE", f"/v2.0/security-group-rules/{one}")
    net, _ = _network(play)
    port = ask(
        "POST", "/v2.0/ports", {"port": {"network_id": net, "security_groups": [group]}}, only="port.security_groups"
    )
    ask("DELETE", path)
    ask("DELETE", f"/v2.0/ports/{port['port']['id']}", quiet=True)
    ask("DELETE", path)
    ask("DELETE", path)
    ask("DELETE", f"/v2.0/networks/{net}", quiet=True)


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
