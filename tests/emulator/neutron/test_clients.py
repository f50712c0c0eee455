"""The stock clients against the emulator: openstacksdk, and the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from harness.emulator.cloud import EmbeddedCloud


@pytest.fixture(scope="module")
def connection(cloud: EmbeddedCloud) -> Iterator[Any]:
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)])
    connection = openstack.connection.Connection(config=config.get_one(cloud="demo"))
    yield connection
    connection.close()


def test_the_sdk_makes_finds_changes_and_deletes(connection: Any) -> None:
    net = connection.network
    network = net.create_network(name="sdk-net")
    subnet = net.create_subnet(network_id=network.id, ip_version=4, cidr="198.51.100.0/24", name="sdk-subnet")
    group = net.create_security_group(name="sdk-group")
    rule = net.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    port = net.create_port(network_id=network.id, name="sdk-port", security_groups=[group.id])
    assert net.find_network("sdk-net").subnet_ids == [subnet.id]
    assert net.find_port("sdk-port").fixed_ips == port.fixed_ips
    assert [one.id for one in net.ports(device_id="", network_id=network.id)] == [port.id]
    assert net.update_port(port, name="renamed").name == "renamed"
    net.set_tags(network, ["mark"])
    assert [one.id for one in net.networks(tags="mark")] == [network.id]
    assert net.get_quota(connection.current_project_id).ports == -1
    assert net.find_extension("standard-attr-tag").alias == "standard-attr-tag"
    assert net.find_extension("qos", ignore_missing=True) is None
    net.delete_port(port, ignore_missing=False)
    net.delete_security_group_rule(rule, ignore_missing=False)
    net.delete_security_group(group, ignore_missing=False)
    net.delete_subnet(subnet, ignore_missing=False)
    net.delete_network(network, ignore_missing=False)
    with pytest.raises(openstack.exceptions.NotFoundException):
        net.get_network(network.id)


def test_the_sdk_walks_the_pages(connection: Any) -> None:
    net = connection.network
    network = net.create_network(name="sdk-pages")
    made = net.create_ports([{"network_id": network.id, "name": f"p{n}"} for n in range(5)])
    names = {port.name for port in net.ports(network_id=network.id, limit=2)}
    assert names == {f"p{n}" for n in range(5)}
    for port in made:
        net.delete_port(port)
    net.delete_network(network)


def test_the_command_line_works(cloud: EmbeddedCloud) -> None:
    def run(*arguments: str) -> Any:
        tool = Path(sys.executable).with_name("openstack")
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "demo"}
        done = subprocess.run(
            [str(tool), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    made = run("network", "create", "cli-net", "-f", "json")
    assert "cli-net" in [network["Name"] for network in run("network", "list", "-f", "json")]
    run("network", "delete", made["id"])
