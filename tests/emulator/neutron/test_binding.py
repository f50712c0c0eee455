"""The way of a port from nova's binding to ACTIVE: agent notification, L2 agent, plugin, and when a part is missing."""

import time
from typing import Any

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.neutron.client import Client
from tests.emulator.waiting import wait_until

DEVICE = "22222222-2222-2222-2222-222222222222"
STAYS_DOWN_FOR_S = 0.5  # many times what the way takes


def bind(nova: Client, port: Any, host: str) -> Any:
    body = {"port": {"binding:host_id": host, "device_owner": "compute:nova", "device_id": DEVICE}}
    status, answer = nova.put(f"/v2.0/ports/{port['id']}", body)
    assert status == 200, answer
    return answer["port"]


def status_of(client: Client, port: Any) -> str:
    found: str = client.get(f"/v2.0/ports/{port['id']}")[1]["port"]["status"]
    return found


def test_every_hypervisor_has_a_live_agent(cloud: EmbeddedCloud, admin: Client, demo: Client) -> None:
    hosts = set(cloud.settings.hypervisors.hosts())
    wait_until(lambda: {agent["host"] for agent in admin.get("/v2.0/agents")[1]["agents"]} == hosts)
    (agent,) = admin.get("/v2.0/agents?host=compute-00001")[1]["agents"]
    assert agent["alive"] is True
    assert (agent["agent_type"], agent["binary"]) == ("Open vSwitch agent", "neutron-openvswitch-agent")
    assert demo.get("/v2.0/agents")[1] == {"agents": []}


def test_an_agent_reports_again_and_again(admin: Client) -> None:
    def heartbeat() -> str:
        (agent,) = admin.get("/v2.0/agents?host=compute-00001&fields=heartbeat_timestamp")[1]["agents"]
        found: str = agent["heartbeat_timestamp"]
        return found

    first = heartbeat()
    wait_until(lambda: heartbeat() > first, within_s=10.0)  # every 3 s at this time scale


def test_a_bound_port_is_brought_up_by_the_agent_of_its_host(demo: Client, nova: Client, network: Any) -> None:
    port = demo.make("port", network_id=network["id"])
    bound = bind(nova, port, "compute-00002")
    assert (bound["binding:vif_type"], bound["binding:host_id"]) == ("ovs", "compute-00002")
    assert bound["binding:vif_details"]["bound_drivers"] == {"0": "openvswitch"}
    wait_until(lambda: status_of(demo, port) == "ACTIVE")
    status, answer = nova.put(f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": ""}})
    assert (status, answer["port"]["binding:vif_type"], answer["port"]["status"]) == (200, "unbound", "DOWN")


def test_a_host_without_an_agent_fails_the_binding(demo: Client, nova: Client, network: Any) -> None:
    bound = bind(nova, demo.make("port", network_id=network["id"]), "nowhere")
    assert (bound["binding:vif_type"], bound["status"]) == ("binding_failed", "DOWN")


def test_a_lost_notification_leaves_the_port_down(
    cloud: EmbeddedCloud, demo: Client, nova: Client, network: Any
) -> None:
    port = demo.make("port", network_id=network["id"])
    cloud.stop("network")
    try:
        assert bind(nova, port, "compute-00003")["binding:vif_type"] == "ovs"  # its last report is young enough
    finally:
        cloud.restart("network")
    witness = demo.make("port", network_id=network["id"])
    bind(nova, witness, "compute-00003")
    wait_until(lambda: status_of(demo, witness) == "ACTIVE")
    end = time.monotonic() + STAYS_DOWN_FOR_S
    wait_until(lambda: time.monotonic() > end)
    assert status_of(demo, port) == "DOWN"
