"""The clients that users have: openstacksdk and python-openstackclient."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openstack
import pytest

from harness.emulator.cloud import EmbeddedCloud


@pytest.fixture(scope="module")
def connection(cloud: EmbeddedCloud) -> Any:
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)])
    return openstack.connection.Connection(config=config.get_one("demo"))


def test_openstacksdk_creates_waits_finds_and_deletes(connection: Any) -> None:
    image = connection.image.find_image("cirros-fake")
    flavor = connection.compute.find_flavor("m1.tiny")
    network = connection.network.find_network("private")
    server = connection.compute.create_server(
        name="sdk", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
    )
    server = connection.compute.wait_for_server(server, interval=0.1, wait=30)
    assert server.status == "ACTIVE"
    assert connection.compute.find_server("sdk").id == server.id
    assert [found.id for found in connection.compute.servers(name="^sdk$")] == [server.id]
    connection.compute.stop_server(server)
    server = connection.compute.wait_for_server(server, status="SHUTOFF", interval=0.1, wait=30)
    connection.compute.delete_server(server)
    connection.compute.wait_for_delete(server, interval=0.1, wait=30)
    assert connection.compute.find_server("sdk") is None


def test_openstackclient_creates_lists_and_deletes(cloud: EmbeddedCloud) -> None:
    command = Path(sys.executable).with_name("openstack")
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "demo"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(command), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ("--image", "cirros-fake", "--flavor", "m1.tiny", "--network", "private", "--wait", "-f", "json")
    created = json.loads(run("server", "create", *options, "cli"))
    assert created["status"] == "ACTIVE"
    assert "cli" in [row["Name"] for row in json.loads(run("server", "list", "-f", "json"))]
    run("server", "delete", "--wait", "cli")
