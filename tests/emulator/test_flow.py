"""What a tenant does in a day, through openstacksdk, and what is seen of it, on each stack a cloud can stand on."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import openstack
import pytest

from harness.emulator.cloud import EmbeddedCloud
from harness.telemetry import Gauge
from harness.telemetry.broker import Management
from harness.telemetry.database import MariaDB, PostgreSQL
from tests.emulator.waiting import wait_until

SERVERS = 20


def connect(cloud: EmbeddedCloud, user: str) -> Any:
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(user))


@pytest.fixture
def demo(cloud: EmbeddedCloud) -> Iterator[Any]:
    connection = connect(cloud, "demo")
    yield connection
    connection.close()


@pytest.fixture
def admin(cloud: EmbeddedCloud) -> Iterator[Any]:
    connection = connect(cloud, "admin")
    yield connection
    connection.close()


def test_twenty_servers_on_an_own_network_come_and_go_and_leave_nothing(demo: Any, admin: Any) -> None:
    name = f"flow-{uuid.uuid4().hex[:8]}"
    network = demo.network.create_network(name=name)
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="198.51.100.0/24", name=name)
    image = demo.create_image(name, data=b"x" * 1000, disk_format="raw", container_format="bare", wait=True)
    flavor = demo.compute.find_flavor("m1.tiny", ignore_missing=False)
    usage = admin.placement.get("/usages?project_id=" + demo.current_project_id, microversion="1.9").json()["usages"]

    demo.compute.create_server(
        name=name, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], min_count=SERVERS
    )

    def servers() -> list[Any]:
        return list(demo.compute.servers(name=f"^{name}"))

    wait_until(lambda: [one.status for one in servers()] == ["ACTIVE"] * SERVERS, within_s=60)
    made = servers()
    assert {one.name for one in made} == {f"{name}-{number}" for number in range(1, SERVERS + 1)}
    ports = list(demo.network.ports(network_id=network.id))
    assert {port.device_id for port in ports} == {one.id for one in made}
    assert len({port.fixed_ips[0]["ip_address"] for port in ports}) == SERVERS
    wait_until(lambda: {port.status for port in demo.network.ports(network_id=network.id)} == {"ACTIVE"}, within_s=30)
    for one in made:
        allocations = admin.placement.get(f"/allocations/{one.id}").json()["allocations"]
        assert [held["resources"]["VCPU"] for held in allocations.values()] == [flavor.vcpus]
        assert {seen["addr"] for seen in one.addresses[name]} <= {port.fixed_ips[0]["ip_address"] for port in ports}

    for one in made:
        demo.compute.delete_server(one, ignore_missing=False)
    wait_until(lambda: not servers(), within_s=60)
    assert list(demo.network.ports(network_id=network.id)) == []
    after = admin.placement.get("/usages?project_id=" + demo.current_project_id, microversion="1.9").json()["usages"]
    assert after == usage
    demo.network.delete_network(network, ignore_missing=False)
    demo.image.delete_image(image, ignore_missing=False)


def test_database_and_broker_under_the_cloud_show_their_gauges(cloud: EmbeddedCloud) -> None:
    where, broker = cloud.settings.database, cloud.settings.broker
    kind = MariaDB if where.dialect == "mysql" else PostgreSQL
    database = kind(where.server_host, where.server_port, where.user, where.password)
    management = Management(f"http://{broker.server_host}:{broker.management_port}", broker.user, broker.password)

    async def read() -> dict[tuple[str, str], Gauge]:
        try:
            return {(one.source, one.name): one for one in [*await database.read(), *await management.read()]}
        finally:
            await database.close()
            await management.close()

    def shown() -> bool:
        """RabbitMQ counts every five seconds."""
        gauges = asyncio.run(read())
        connections, queues = gauges["database", "connections"], gauges["broker", "queues"]
        assert connections.capacity is not None
        assert 1 < connections.value < connections.capacity
        assert gauges["broker", "alarms"].value == 0
        # One queue at least for each simulated hypervisor.
        return gauges["broker", "connections"].value >= 4 and queues.value > cloud.settings.hypervisors.count

    wait_until(shown, within_s=15)
    assert asyncio.run(read())["database", "commits"].value > 100
