"""The stock clients on identity, images and placement: openstacksdk, and python-openstackclient as its users run it."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack import exceptions

from harness.emulator.cloud import EmbeddedCloud


def connect(cloud: EmbeddedCloud, name: str) -> Any:
    return openstack.connection.Connection(
        config=openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)]).get_one(name)
    )


def run(cloud: EmbeddedCloud, user: str, *arguments: str) -> Any:
    """Run `openstack ... -f json`. Returns its answer."""
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": user}
    command = [str(Path(sys.executable).with_name("openstack")), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_sdk_walks_through_identity(cloud: EmbeddedCloud) -> None:
    admin, name = connect(cloud, "admin"), f"sdk-{uuid.uuid4().hex[:8]}"
    project = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(name=name, password="secret", default_project_id=project.id)
    member = admin.identity.find_role("member")
    admin.identity.assign_project_role_to_user(project, user, member)
    assert admin.identity.validate_user_has_project_role(project, user, member)
    assert [one.id for one in admin.identity.users(name=name)] == [user.id]
    assert admin.identity.find_project(name).id == project.id
    mine = connect(cloud, "demo")
    with pytest.raises(exceptions.ForbiddenException):
        list(mine.identity.projects())
    admin.identity.delete_user(user)
    admin.identity.delete_project(project)
    assert admin.identity.find_user(name) is None


def test_the_sdk_walks_through_images(cloud: EmbeddedCloud, tmp_path: Path) -> None:
    demo, name = connect(cloud, "demo"), f"sdk-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "image"
    file.write_bytes(b"x" * 10_000)
    image = demo.create_image(name, filename=str(file), disk_format="raw", container_format="bare", wait=True)
    assert image.status == "active"
    assert demo.image.download_image(image).content == b"x" * 10_000
    demo.image.update_image(image, name=f"{name}-2")
    assert demo.image.find_image(f"{name}-2").id == image.id
    demo.image.deactivate_image(image)
    demo.image.reactivate_image(image)
    demo.image.add_tag(image, "t")
    demo.image.delete_image(image)
    assert demo.image.find_image(f"{name}-2") is None


def test_the_sdk_walks_through_placement(cloud: EmbeddedCloud) -> None:
    admin, name = connect(cloud, "admin"), f"sdk-{uuid.uuid4().hex[:8]}"
    provider = admin.placement.create_resource_provider(name=name)
    admin.placement.create_resource_provider_inventory(provider, "VCPU", total=4, resource_provider_generation=0)
    found = list(admin.placement.resource_provider_inventories(provider))
    assert [(one.resource_class, one.total) for one in found] == [("VCPU", 4)]
    assert [one.id for one in admin.placement.resource_providers(name=name)] == [provider.id]
    admin.placement.delete_resource_provider(provider)


def test_the_command_line_client(cloud: EmbeddedCloud, tmp_path: Path) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    issued = run(cloud, "demo", "token", "issue", "-f", "json")
    assert issued["project_id"] == run(cloud, "admin", "project", "show", "demo", "-f", "json")["id"]
    file = tmp_path / "image"
    file.write_bytes(b"y" * 100)
    made = run(cloud, "demo", "image", "create", "--file", str(file), "--disk-format", "raw", name, "-f", "json")
    assert run(cloud, "demo", "image", "show", made["id"], "-f", "json")["status"] == "active"
    assert run(cloud, "demo", "application", "credential", "create", name, "-f", "json")["Name"] == name
    roles = run(cloud, "admin", "role", "assignment", "list", "--names", "--user", "demo", "-f", "json")
    assert ("member", "demo@Default") in {(one["Role"], one["Project"]) for one in roles}
    catalog = run(cloud, "admin", "catalog", "list", "-f", "json")
    assert {one["Type"] for one in catalog} >= {"identity", "image", "placement", "compute", "network"}
