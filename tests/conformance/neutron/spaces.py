"""Networks and subnets."""

from typing import Any

from tests.conformance.neutron.common import NOWHERE
from tests.conformance.play import Play


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
