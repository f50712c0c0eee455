"""Ports over plain HTTP: addresses, groups, owners. Words were taken from neutron 29.0.0 on 2026-11-22."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.neutron.client import Client
from tests.emulator.neutron.test_networks import MISSING, message

BINDING = {"binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"}


def address(port: Any) -> str:
    (fixed,) = port["fixed_ips"]
    found: str = fixed["ip_address"]
    return found


def test_a_port_is_born_down_with_an_address_and_the_default_group(demo: Client, admin: Client, network: Any) -> None:
    port = demo.make("port", network_id=network["id"], name="p")
    assert port["status"] == "DOWN"
    assert port["mac_address"].startswith("fa:16:3e:")
    assert port["fixed_ips"] == [{"subnet_id": network["subnet_id"], "ip_address": address(port)}]
    (default,) = demo.get("/v2.0/security-groups?name=default")[1]["security_groups"]
    assert port["security_groups"] == [default["id"]]
    assert BINDING.isdisjoint(port)
    seen = admin.get(f"/v2.0/ports/{port['id']}")[1]["port"]
    assert seen["binding:vif_type"] == "unbound"
    assert set(seen) - set(port) == BINDING


def test_addresses_run_out_and_come_back(demo: Client, network: Any) -> None:
    ports = [demo.make("port", network_id=network["id"]) for _ in range(13)]
    assert {address(port) for port in ports} == {f"192.0.2.{n}" for n in range(2, 15)}
    body = {"port": {"network_id": network["id"]}}
    text = f"No more IP addresses available on network {network['id']}."
    assert message(demo.post("/v2.0/ports", body)) == (409, "IpAddressGenerationFailure", text)
    assert demo.delete(f"/v2.0/ports/{ports[4]['id']}")[0] == 204
    assert address(demo.make("port", network_id=network["id"])) == address(ports[4])


@pytest.mark.parametrize(
    ("fixed_ips", "status", "kind"),
    [
        ([{"ip_address": "192.0.3.3"}], 400, "InvalidIpForNetwork"),
        ([{"ip_address": "192.0.2.0"}], 400, "InvalidIpForNetwork"),
        ([{"subnet_id": MISSING}], 404, "SubnetNotFound"),
        ("x", 400, "HTTPBadRequest"),
        ([{"ip_address": "x"}], 400, "HTTPBadRequest"),
    ],
)
def test_a_wrong_address_is_refused(demo: Client, network: Any, fixed_ips: Any, status: int, kind: str) -> None:
    body = {"port": {"network_id": network["id"], "fixed_ips": fixed_ips}}
    assert message(demo.post("/v2.0/ports", body))[:2] == (status, kind)


def test_an_address_belongs_to_one_port(demo: Client, network: Any) -> None:
    wanted = [{"ip_address": "192.0.2.9"}]
    port = demo.make("port", network_id=network["id"], fixed_ips=wanted)
    body = {"port": {"network_id": network["id"], "fixed_ips": wanted}}
    text = f"IP address 192.0.2.9 already allocated in subnet {network['subnet_id']}"
    assert message(demo.post("/v2.0/ports", body)) == (409, "IpAddressAlreadyAllocated", text)
    status, changed = demo.put(f"/v2.0/ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "192.0.2.7"}]}})
    assert (status, address(changed["port"])) == (200, "192.0.2.7")
    assert address(demo.make("port", network_id=network["id"], fixed_ips=wanted)) == "192.0.2.9"
    found = demo.get(f"/v2.0/ports?network_id={network['id']}&fixed_ips=ip_address%3D192.0.2.7")[1]["ports"]
    assert [one["id"] for one in found] == [port["id"]]


def test_a_mac_address_is_unique_on_its_network(demo: Client, network: Any) -> None:
    mac = "fa:16:3e:00:00:01"
    demo.make("port", network_id=network["id"], mac_address=mac)
    body = {"port": {"network_id": network["id"], "mac_address": mac}}
    assert message(demo.post("/v2.0/ports", body))[:2] == (409, "MacAddressInUse")


def test_what_is_in_use_cannot_be_deleted(demo: Client, network: Any) -> None:
    port = demo.make("port", network_id=network["id"])
    status, kind, text = message(demo.delete(f"/v2.0/networks/{network['id']}"))
    assert (status, kind) == (409, "NetworkInUse")
    assert port["id"] in text
    assert message(demo.delete(f"/v2.0/subnets/{network['subnet_id']}"))[:2] == (409, "SubnetInUse")


def test_only_services_and_administrators_bind(demo: Client, network: Any) -> None:
    port = demo.make("port", network_id=network["id"])
    text = "(rule:update_port and rule:update_port:binding:host_id) is disallowed by policy"
    body = {"port": {"binding:host_id": "compute-00001"}}
    assert message(demo.put(f"/v2.0/ports/{port['id']}", body)) == (403, "PolicyNotAuthorized", text)


def test_a_servers_port_is_novas_to_delete(demo: Client, nova: Client, network: Any) -> None:
    device = "11111111-1111-1111-1111-111111111111"
    port = demo.make("port", network_id=network["id"])
    body = {"port": {"device_owner": "compute:nova", "device_id": device}}
    assert nova.put(f"/v2.0/ports/{port['id']}", body)[0] == 200
    assert [one["id"] for one in demo.get(f"/v2.0/ports?device_id={device}")[1]["ports"]] == [port["id"]]
    refused = message(demo.delete(f"/v2.0/ports/{port['id']}"))
    assert refused == (403, "PolicyNotAuthorized", "rule:delete_port is disallowed by policy")
    assert nova.delete(f"/v2.0/ports/{port['id']}")[0] == 204


def test_500_ports_at_once_get_500_addresses(cloud: EmbeddedCloud, demo: Client, admin: Client) -> None:
    made = demo.make("network", name="crowd")
    demo.make("subnet", network_id=made["id"], ip_version=4, cidr="198.18.0.0/22")
    before = admin.get(f"/v2.0/network-ip-availabilities/{made['id']}")[1]["network_ip_availability"]
    clients = [Client(cloud, "demo", cloud.settings.demo_password, "demo") for _ in range(16)]

    def burst(client: Client) -> list[tuple[int, Any]]:
        return [client.post("/v2.0/ports", {"port": {"network_id": made["id"]}}) for _ in range(32)]

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [answer for answers in pool.map(burst, clients) for answer in answers]
    assert {status for status, _ in answers} == {201}
    assert len({address(body["port"]) for _, body in answers}) == len(answers) == 512
    after = admin.get(f"/v2.0/network-ip-availabilities/{made['id']}")[1]["network_ip_availability"]
    assert (before["used_ips"], after["used_ips"]) == (0, 512)
    assert after["ip_availability_details"]["used_ips_in_allocation_pool"] == 512
    pages = demo.get(f"/v2.0/ports?network_id={made['id']}&fields=id&limit=1000")[1]
    assert len(pages["ports"]) == 512
    with ThreadPoolExecutor(len(clients)) as pool:
        ids = [port["id"] for port in pages["ports"]]
        shares = [ids[n :: len(clients)] for n in range(len(clients))]
        list(pool.map(lambda pair: [pair[0].delete(f"/v2.0/ports/{one}") for one in pair[1]], zip(clients, shares)))  # noqa: B905
    assert demo.delete(f"/v2.0/networks/{made['id']}")[0] == 204
