"""What there is in a cloud, whoever's it is, asked as an admin through the public APIs: to compare before and after."""

from __future__ import annotations

from typing import Any

import openstack

World = dict[str, dict[str, Any]]  # kind -> id -> what it is like


class Onlooker:
    """Stock openstacksdk as the cloud's admin, and as the tenant for what has no owner to ask about."""

    def __init__(self) -> None:
        self.admin = openstack.connect(cloud="admin")
        self.tenant = openstack.connect(cloud="demo")

    def close(self) -> None:
        self.admin.close()
        self.tenant.close()

    def look(self) -> World:
        """Everything of every project; what changes by itself (a service's report time, a revision) is left out."""
        admin = self.admin
        world: World = {
            "server": _by_id(_all(admin.compute, "/servers/detail?all_tenants=1&limit=500", "servers")),
            "image": _by_id(_all(admin.image, "/images?limit=500", "images")),
            "keypair": {
                each["keypair"]["name"]: each["keypair"]["fingerprint"]
                for each in _get(self.tenant.compute, "/os-keypairs")["keypairs"]
            },
            "allocation": {},
        }
        for kind in ("networks", "subnets", "ports", "security-groups"):
            found = _get(admin.network, f"/{kind}")[kind.replace("-", "_")]
            world[kind.removesuffix("s").replace("-", " ")] = _by_id(found)
        for provider in _get(admin.placement, "/resource_providers")["resource_providers"]:
            answer = _get(admin.placement, f"/resource_providers/{provider['uuid']}/allocations")
            for consumer, allocation in answer["allocations"].items():
                world["allocation"][f"{consumer} on {provider['name']}"] = allocation["resources"]
        return world

    def plant(self) -> None:
        """Foreign resources beside the load's: in its own project and in another, of names that look like ours."""
        for owner, cloud, cidr in (("tenant", self.tenant, "192.168.7.0/24"), ("admin", self.admin, "192.168.8.0/24")):
            net = cloud.network.create_network(name=f"foreign-{owner}")
            cloud.network.create_subnet(network_id=net.id, ip_version=4, cidr=cidr, name=f"foreign-{owner}")
            cloud.network.create_security_group(name=f"not-squall-{owner}", description="squall was not here")
            cloud.network.create_port(network_id=net.id, name=f"foreign-{owner}")
            flavor = cloud.compute.find_flavor("m1.tiny")
            image = next(iter(cloud.image.images()))
            for name in ("foreign", "squalls"):  # the mark's prefix is "squall-"
                server = cloud.compute.create_server(
                    name=f"{name}-{owner}", flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": net.id}]
                )
                cloud.compute.wait_for_server(server, interval=0.2, wait=60)

    def is_usable(self) -> None:
        """A tenant gets a server and loses it again.  Raises openstacksdk's exceptions when not."""
        cloud = self.tenant
        image = next(iter(cloud.image.images()))
        flavor = cloud.compute.find_flavor("m1.tiny")
        net = cloud.network.find_network("private")
        server = cloud.compute.create_server(
            name="foreign-trial", flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": net.id}]
        )
        cloud.compute.wait_for_server(server, interval=0.2, wait=60)
        cloud.compute.delete_server(server)
        cloud.compute.wait_for_delete(server, interval=0.2, wait=60)


def differences(before: World, after: World) -> list[str]:
    """In words, one line each."""
    lines = []
    for kind, were in before.items():
        are = after[kind]
        lines += [f"{kind} {key} is new: {are[key]}" for key in sorted(are.keys() - were.keys())]
        lines += [f"{kind} {key} is gone: {were[key]}" for key in sorted(were.keys() - are.keys())]
        lines += [
            f"{kind} {key} was {were[key]}, is {are[key]}"
            for key in sorted(are.keys() & were.keys())
            if are[key] != were[key]
        ]
    return lines


def _all(service: Any, path: str, collection: str) -> list[dict[str, Any]]:
    found = _get(service, path)[collection]
    assert len(found) < 500, "more than a page; the drills are not made for that"
    return list(found)


def _get(service: Any, path: str) -> Any:
    answer = service.get(path)
    assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:300]}"
    return answer.json()


def _by_id(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["id"]: each for each in found}
