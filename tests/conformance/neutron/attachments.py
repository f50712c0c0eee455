# ruff: noqa: E501 (tables of requests)
"""Ports and security groups."""

from typing import Any

from tests.conformance.neutron.common import ADDRESS, NOWHERE, network_of
from tests.conformance.play import Play


def ports(play: Play) -> None:
    ask, admin = play.member.neutron, play.admin.neutron
    net, subnet = network_of(play, cidr="198.51.100.0/29")

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
    net, _ = network_of(play)
    port = ask(
        "POST", "/v2.0/ports", {"port": {"network_id": net, "security_groups": [group]}}, only="port.security_groups"
    )
    ask("DELETE", path)
    ask("DELETE", f"/v2.0/ports/{port['port']['id']}", quiet=True)
    ask("DELETE", path)
    ask("DELETE", path)
    ask("DELETE", f"/v2.0/networks/{net}", quiet=True)
