# ruff: noqa: E501 (tables of requests)
"""Compute v2.1 to 2.104."""

from typing import Any

from tests.conformance.play import Play, User

NOWHERE = "00000000-0000-4000-8000-000000000000"
LATEST = "2.104"
IMAGE = "cirros-fake"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf236+POLibqM5km1lPkeTQH9xX+clJPfQ7XlCpmHNn conformance"


def discovery(play: Play) -> None:
    nobody, ask = play.nobody.nova, play.member.nova
    for path in (
        "/",
        "/v2",
        "/v2/",
        "/v2.1",
        "/v2.1/",
        "/v3",
        "/nonsense",
        "/v2.1/servers",
        "/v2.1/nonsense",
        "/v2/servers",
    ):
        nobody("GET", path)
    nobody("GET", "/v2.1/servers", X_Auth_Token="nonsense")
    nobody("GET", "/v2.1", at="2.99")
    for at in ("2.1", "2.100", LATEST, "latest", "2.105", "2.0", "1.1", "3.0", "x", "2", "2.x", "2.1.1", "2.01", ""):
        ask("GET", "/v2.1/os-keypairs", at=at)
    ask("GET", "/v2.1/os-keypairs", X_OpenStack_Nova_API_Version="2.10")
    ask("GET", "/v2.1/os-keypairs", X_OpenStack_Nova_API_Version="2.999")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="volume 3.1, compute 2.50")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="volume 3.1")
    ask("GET", "/v2.1/os-keypairs", OpenStack_API_Version="compute")
    for path in ("/v2.1/nonsense", "/v2.1/servers/", "/v2.1/servers/detail/", f"/v2.1/{play.member.project_id}/os-keypairs",
                 f"/v2.1/{play.other.project_id}/os-keypairs", "/v2.1/nonsense/os-keypairs", "/v2/os-keypairs",
                 f"/v2/{play.member.project_id}/os-keypairs", "/v2.1//os-keypairs", "/v2.1/os-keypairs.json"):  # fmt: skip
        ask("GET", path)
    ask("PUT", "/v2.1/servers", {})
    ask("DELETE", "/v2.1/os-keypairs")
    ask("PATCH", f"/v2.1/servers/{NOWHERE}", {})
    ask("POST", "/v2.1/limits", {})
    ask("HEAD", "/v2.1/servers")
    ask("GET", "/v2.1/os-keypairs", Accept="text/html")
    ask("GET", "/v2.1/os-keypairs", Accept="application/xml")
    ask("GET", "/v2.1/os-keypairs", Content_Type="text/html")
    for path in ("extensions", "extensions/os-keypairs", "extensions/nonsense"):
        ask("GET", f"/v2.1/{path}", shape=True)


def gone(play: Play) -> None:
    """Proxies and services of old, admin-only lists, and what the cloud of this project does not have."""
    for user in (play.member, play.admin):
        for path in ("os-networks", "os-floating-ips", "os-floating-ip-pools", "os-security-groups", "os-fping", "images",
                     "os-volumes", "os-snapshots", "os-cells", "os-certificates/root", "os-cloudpipe", "os-agents",
                     "os-tenant-networks", "os-baremetal-nodes", "os-virtual-interfaces", "os-fixed-ips/1.2.3.4",
                     "os-hosts", "os-migrations", "os-assisted-volume-snapshots", "os-aggregates", "os-console-auth-tokens/x",
                     "os-instance_usage_audit_log", "os-quota-class-sets/default", "os-server-password"):  # fmt: skip
            user.nova("GET", f"/v2.1/{path}", at="2.104", only="x")
    for path in ("os-agents", "os-fping", "os-cells", "os-networks", "os-hosts", "os-quota-class-sets/default"):
        play.admin.nova("GET", f"/v2.1/{path}", shape=True)


def keypairs(play: Play) -> None:
    ask = play.member.nova
    path = "/v2.1/os-keypairs"
    for body in (
        b"",
        b"{",
        [],
        {},
        {"keypair": {}},
        {"keypair": []},
        {"keypair": {"name": ""}},
        {"keypair": {"name": 1}},
        {"keypair": {"name": "a/b"}},
        {"keypair": {"name": " x "}},
        {"keypair": {"name": "x" * 256}},
        {"keypair": {"name": "k", "public_key": "nonsense"}},
        {"keypair": {"name": "k", "public_key": 1}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "type": "ssh"}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "nonsense": 1}},
        {"keypair": {"name": "k", "public_key": PUBLIC_KEY}, "nonsense": 1},
    ):
        ask("POST", path, body)
    ask("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "type": "nonsense"}}, at="2.2")
    ask("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY, "user_id": play.other.id}}, at="2.10")
    ask("POST", path, {"keypair": {"name": "k"}}, at="2.92")
    ask("POST", path, {"keypair": {"name": "k@k", "public_key": PUBLIC_KEY}}, at="2.91")
    ask("DELETE", f"{path}/k@k", quiet=True)
    play.reader.nova("POST", path, {"keypair": {"name": "k", "public_key": PUBLIC_KEY}})
    play.reader.nova("DELETE", f"{path}/k")
    ask("POST", path, {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}})
    ask("POST", path, {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}})
    ask("POST", path, {"keypair": {"name": "k2", "public_key": PUBLIC_KEY}}, at="2.2")
    ask("POST", path, {"keypair": {"name": "k3", "public_key": PUBLIC_KEY, "type": "ssh"}}, at=LATEST)
    made = ask("POST", path, {"keypair": {"name": "made"}}, at="2.91", shape=True)
    play.name("made key", made["keypair"]["public_key"])
    ask("DELETE", f"{path}/made")
    for at in ("2.1", "2.2", "2.10", "2.35", LATEST):
        ask("GET", path, at=at)
        ask("GET", f"{path}/k1", at=at)
    for query in ("limit=1", "limit=2&marker=k1", "marker=nonsense", "limit=0", "limit=-1", "limit=x", "nonsense=1",
                  f"user_id={play.other.id}", "limit=1&limit=2"):  # fmt: skip
        ask("GET", f"{path}?{query}", at="2.35")
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"{path}?limit=1&marker=nonsense", at="2.34")
    play.admin.nova("GET", f"{path}?user_id={play.member.id}", at="2.10")
    play.admin.nova("GET", f"{path}/k1?user_id={play.member.id}", at="2.10", only="keypair.name")
    ask("GET", f"{path}/nonsense")
    ask("DELETE", f"{path}/nonsense")
    ask("DELETE", f"{path}/k1")
    ask("DELETE", f"{path}/k2", at="2.2")
    ask("DELETE", f"{path}/k3", at="2.10")
    play.admin.nova("PUT", f"/v2.1/os-quota-sets/{play.member.project_id}", {"quota_set": {"key_pairs": 0}}, quiet=True)
    ask("POST", path, {"keypair": {"name": "k4", "public_key": PUBLIC_KEY}})
    play.admin.nova("DELETE", f"/v2.1/os-quota-sets/{play.member.project_id}", quiet=True)


def flavors(play: Play) -> None:
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/flavors"
    good = {"name": "conformance", "ram": 64, "vcpus": 1, "disk": 0, "id": "conformance"}
    admin("DELETE", f"{path}/conformance", quiet=True)
    for body in (
        {},
        {"flavor": {}},
        {"flavor": []},
        *({"flavor": {**good, name: value}} for name, value in (
            ("name", ""), ("name", " "), ("name", "x" * 256), ("name", 1), ("ram", -1), ("ram", "x"), ("ram", 0),
            ("vcpus", 0), ("vcpus", None), ("disk", -1), ("disk", 10**12), ("id", "a b/c"), ("id", ""), ("swap", -1),
            ("nonsense", 1), ("rxtx_factor", 0), ("description", "x"), ("os-flavor-access:is_public", "x"))),
    ):  # fmt: skip
        admin("POST", path, body)
    ask("POST", path, {"flavor": good})
    admin("POST", path, {"flavor": {**good, "OS-FLV-EXT-DATA:ephemeral": 1, "swap": 2, "rxtx_factor": 1.5}})
    admin("POST", path, {"flavor": good})
    admin("POST", path, {"flavor": {**good, "id": "other"}})
    admin("POST", path, {"flavor": {**good, "id": "conformance2", "name": "conformance2", "description": 1}}, at="2.55")
    admin(
        "POST", path, {"flavor": {**good, "id": "conformance2", "name": "conformance2", "description": "d"}}, at="2.55"
    )
    for at in ("2.1", "2.46", "2.47", "2.55", "2.61", "2.75", "2.102", LATEST):
        ask("GET", f"{path}/conformance", at=at)
    ask("GET", f"{path}/detail?limit=1", at=LATEST, shape=True)
    ask("GET", f"{path}?limit=1", at="2.55", shape=True)
    for query in ("limit=0", "limit=-1", "limit=x", "marker=nonsense", "sort_key=nonsense", "sort_dir=nonsense", "minRam=x",
                  "minDisk=x", "minRam=4096", "is_public=x", "is_public=none", "nonsense=1", "sort_key=memory_mb&sort_dir=desc",
                  "limit=1", "limit=1&marker=conformance"):  # fmt: skip
        ask("GET", f"{path}?{query}", shape=True)
    ask("GET", f"{path}?nonsense=1", at="2.75", shape=True)
    ask("GET", f"{path}/nonsense")
    ask("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.55")
    admin("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.54")
    admin("PUT", f"{path}/conformance", {"flavor": {"description": "x"}}, at="2.55")
    admin("PUT", f"{path}/conformance", {"flavor": {"name": "x"}}, at="2.55")
    specs = f"{path}/conformance/os-extra_specs"
    ask("GET", specs)
    ask("POST", specs, {"extra_specs": {"hw:cpu_policy": "shared"}})
    admin("POST", specs, {})
    admin("POST", specs, {"extra_specs": {"a b": "x"}})
    admin("POST", specs, {"extra_specs": {"a!": "x"}})
    admin("POST", specs, {"extra_specs": {"hw:cpu_policy": "nonsense"}}, at="2.86")
    admin("POST", specs, {"extra_specs": {"hw:cpu_policy": "shared", "x": "y"}})
    admin("PUT", f"{specs}/x", {"x": "z"})
    admin("PUT", f"{specs}/x", {"y": "z"})
    ask("GET", f"{specs}/x")
    ask("GET", f"{specs}/nonsense")
    ask("GET", f"{path}/conformance", at="2.61")
    admin("DELETE", f"{specs}/x")
    admin("DELETE", f"{specs}/x")
    access = f"{path}/conformance/os-flavor-access"
    ask("GET", access)
    admin("GET", access)
    admin("POST", f"{path}/conformance/action", {"addTenantAccess": {"tenant": play.member.project_id}})
    admin("POST", f"{path}/conformance/action", {"nonsense": {}})
    ask("DELETE", f"{path}/conformance")
    for flavor in ("conformance", "conformance2", "conformance"):
        admin("DELETE", f"{path}/{flavor}")
    ask("GET", f"{path}/conformance")


def quotas(play: Play) -> None:
    ask, admin = play.member.nova, play.admin.nova
    path = f"/v2.1/os-quota-sets/{play.member.project_id}"
    for at in ("2.1", "2.35", "2.36", "2.50", "2.57", LATEST):
        ask("GET", path, at=at, shape=True)
        ask("GET", "/v2.1/limits", at=at, shape=True)
    ask("GET", f"{path}/detail", shape=True)
    ask("GET", f"{path}/defaults", shape=True)
    ask("GET", f"{path}/nonsense")
    ask("GET", f"/v2.1/os-quota-sets/{play.other.project_id}")
    ask("GET", f"{path}?user_id={play.member.id}", shape=True)
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"/v2.1/limits?tenant_id={play.other.project_id}")
    admin("GET", f"/v2.1/limits?tenant_id={play.other.project_id}", shape=True)
    admin("GET", f"/v2.1/os-quota-sets/{NOWHERE}", shape=True)
    ask("PUT", path, {"quota_set": {"instances": 1}})
    for body in (
        {},
        {"quota_set": {}},
        {"quota_set": []},
        {"quota_set": {"instances": "x"}},
        {"quota_set": {"instances": -2}},
        {"quota_set": {"nonsense": 1}},
        {"quota_set": {"instances": 3, "cores": 5, "metadata_items": 2, "server_groups": 1}},
        {"quota_set": {"instances": "3", "force": True}},
        {"quota_set": {"floating_ips": 3}},
    ):
        admin("PUT", path, body, shape=True)
    admin("PUT", path, {"quota_set": {"floating_ips": 3}}, at="2.36")
    admin("PUT", path, {"quota_set": {"injected_files": 3}}, at="2.57")
    admin("PUT", f"/v2.1/os-quota-sets/{'0' * 32}", {"quota_set": {"instances": 1}})
    ask("GET", path, only="quota_set.instances")
    ask("DELETE", path)
    admin("DELETE", path)
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.member.project_id}", shape=True)
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.other.project_id}")
    ask("GET", "/v2.1/os-simple-tenant-usage")
    ask("GET", f"/v2.1/os-simple-tenant-usage/{play.member.project_id}?start=nonsense")
    ask(
        "GET",
        f"/v2.1/os-simple-tenant-usage/{play.member.project_id}?start=2030-01-01T00:00:00&end=2020-01-01T00:00:00",
    )


def hosts(play: Play) -> None:
    """What administrators see of the machines."""
    ask, admin = play.member.nova, play.admin.nova
    for path in ("os-services", "os-hypervisors", "os-hypervisors/detail", "os-hypervisors/statistics", "os-aggregates",
                 "os-availability-zone/detail", f"os-hypervisors/{NOWHERE}"):  # fmt: skip
        ask("GET", f"/v2.1/{path}")
    play.reader.nova("GET", "/v2.1/os-services")
    for at in ("2.1", "2.11", "2.53", "2.69", LATEST):
        admin("GET", "/v2.1/os-services?binary=nova-compute", at=at, shape=True)
    admin("GET", "/v2.1/os-services?binary=nonsense")
    admin("GET", "/v2.1/os-services?nonsense=1", shape=True)
    admin("GET", "/v2.1/os-services?nonsense=1", at="2.75")
    for at in ("2.1", "2.28", "2.33", "2.53", "2.88", LATEST):
        admin("GET", "/v2.1/os-hypervisors/detail", at=at, shape=True)
        admin("GET", "/v2.1/os-hypervisors", at=at, shape=True)
        admin("GET", "/v2.1/os-hypervisors/statistics", at=at, shape=True)
    for query in ("limit=1", "limit=x", "marker=nonsense", f"marker={NOWHERE}", "nonsense=1", "limit=0",
                  "hypervisor_hostname_pattern=nonsense", "hypervisor_hostname_pattern=", "with_servers=x"):  # fmt: skip
        admin("GET", f"/v2.1/os-hypervisors?{query}", at="2.53", shape=True)
    admin("GET", f"/v2.1/os-hypervisors/{NOWHERE}", at="2.53")
    admin("GET", "/v2.1/os-hypervisors/nonsense", at="2.53")
    admin("GET", "/v2.1/os-hypervisors/99999")
    admin("GET", "/v2.1/os-hypervisors/nonsense/search")
    admin("GET", "/v2.1/os-hypervisors/nonsense/servers")
    admin("GET", "/v2.1/os-hypervisors/nonsense/uptime")
    found = admin("GET", "/v2.1/os-hypervisors", at="2.53", quiet=True)["hypervisors"]
    one = play.name("hypervisor", next(one for one in found if one["state"] == "up")["id"])
    for at in ("2.53", "2.88"):
        admin("GET", f"/v2.1/os-hypervisors/{one}", at=at, shape=True)
        admin("GET", f"/v2.1/os-hypervisors/{one}?with_servers=true", at=at, shape=True)
    ask("GET", "/v2.1/os-availability-zone", shape=True)
    admin("GET", "/v2.1/os-availability-zone/detail", only="availabilityZoneInfo.1", shape=True)
    admin("GET", "/v2.1/os-aggregates", shape=True)
    admin("GET", "/v2.1/os-aggregates/1")
    admin("PUT", f"/v2.1/os-services/{NOWHERE}", {"status": "disabled"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{NOWHERE}", {}, at="2.53")
    admin("PUT", "/v2.1/os-services/nonsense", {"status": "disabled"}, at="2.53")
    ask("PUT", f"/v2.1/os-services/{NOWHERE}", {"status": "disabled"}, at="2.53")
    admin("PUT", "/v2.1/os-services/disable", {"host": "nonsense", "binary": "nova-compute"})
    admin("PUT", "/v2.1/os-services/nonsense", {"host": "nonsense", "binary": "nova-compute"})
    admin("PUT", "/v2.1/os-services/disable", {})
    admin("DELETE", f"/v2.1/os-services/{NOWHERE}", at="2.53")
    admin("DELETE", "/v2.1/os-services/99999")
    path = "/v2.1/os-services?binary=nova-compute"
    service = next(one for one in admin("GET", path, at="2.53", quiet=True)["services"] if one["state"] == "up")
    which = play.name("service", service["id"])
    play.name("host", service["host"])
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "disabled", "disabled_reason": "conformance"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "enabled", "disabled_reason": "conformance"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "nonsense"}, at="2.53")
    admin("PUT", f"/v2.1/os-services/{which}", {"status": "enabled"}, at="2.53")


def _flavor(play: Play, name: str, **values: int) -> str:
    """A flavor with the same id in every cloud."""
    flavor = {"name": name, "id": name, "ram": 64, "vcpus": 1, "disk": 1} | values
    play.admin.nova("POST", "/v2.1/flavors", {"flavor": flavor}, quiet=True)
    return name


class Place:
    """What servers need: an image, a flavor, a network; and asking for one."""

    def __init__(self, play: Play) -> None:
        self.play = play
        ask = play.member
        images = ask.glance("GET", f"/v2/images?name={IMAGE}", quiet=True)["images"]
        self.image = play.name("image", images[0]["id"])
        self.tiny = _flavor(play, "conformance-tiny")
        self.medium = _flavor(play, "conformance-medium", ram=4096, vcpus=2, disk=40)
        self.net = play.name("net", self._net("conformance-net", "198.51.100.0/24"))

    def _net(self, name: str, cidr: str) -> str:
        ask = self.play.member.neutron
        net = str(ask("POST", "/v2.0/networks", {"network": {"name": name}}, quiet=True)["network"]["id"])
        ask("POST", "/v2.0/subnets", {"subnet": {"network_id": net, "cidr": cidr, "ip_version": 4}}, quiet=True)
        return net

    def body(self, **values: Any) -> dict[str, Any]:
        """A body of POST /servers; `"-"` leaves a member out."""
        server = {
            "name": "conformance",
            "imageRef": self.image,
            "flavorRef": self.tiny,
            "networks": [{"uuid": self.net}],
        }
        return {"server": {name: value for name, value in (server | values).items() if value != "-"}}

    def settled(self, server: str) -> Any:
        def there() -> bool:
            shown = self.play.admin.nova("GET", f"/v2.1/servers/{server}", quiet=True)
            return shown.status == 404 or (
                shown["server"]["status"] in ("ACTIVE", "ERROR", "SHUTOFF")
                and shown["server"]["OS-EXT-STS:task_state"] is None
            )

        self.play.wait(there)

    def close(self) -> None:
        """Delete every server of ours, then the networks."""
        for user in (self.play.member, self.play.other):
            path = "/v2.1/servers"
            for server in user.nova("GET", path, quiet=True)["servers"]:
                user.nova("DELETE", f"{path}/{server['id']}", quiet=True)
            self.play.wait(lambda user=user: not user.nova("GET", "/v2.1/servers", quiet=True)["servers"])
            for port in user.neutron("GET", f"/v2.0/ports?project_id={user.project_id}", quiet=True)["ports"]:
                user.neutron("DELETE", f"/v2.0/ports/{port['id']}", quiet=True)
            for net in user.neutron("GET", f"/v2.0/networks?project_id={user.project_id}", quiet=True)["networks"]:
                user.neutron("DELETE", f"/v2.0/networks/{net['id']}", quiet=True)
        for flavor in (self.tiny, self.medium):
            self.play.admin.nova("DELETE", f"/v2.1/flavors/{flavor}", quiet=True)


def create_refused(play: Play) -> None:
    """Bodies of POST /servers that are refused at once."""
    place = Place(play)
    ask, path = play.member.nova, "/v2.1/servers"

    def make(at: str | None = None, **values: Any) -> None:
        ask("POST", path, place.body(**values), at=at)

    for body in (b"", b"{", [], {}, {"server": {}}, {"server": []}, {"nonsense": {}}):
        ask("POST", path, body)
    ask("POST", path, place.body(), Content_Type="text/plain")
    make(name="-")
    make(name="")
    make(name=" ")
    make(name=" x", at="2.1", flavorRef="nonsense")
    make(name="x" * 256)
    make(name=1)
    make(nonsense=1)
    make(imageRef="-")
    make(imageRef="")
    make(imageRef="nonsense")
    make(imageRef=NOWHERE)
    make(imageRef=1)
    make(flavorRef="-")
    make(flavorRef="nonsense")
    make(flavorRef=1.5)
    make(flavorRef="")
    make(networks="-", at="2.37")
    make(networks="nonsense", at="2.37")
    make(networks="auto", at="2.36")
    make(networks=[{}])
    make(networks=[1])
    make(networks=[{"uuid": "x"}])
    make(networks=[{"uuid": NOWHERE}])
    make(networks=[{"port": NOWHERE}])
    make(networks=[{"port": "x"}])
    make(networks=[{"uuid": place.net, "fixed_ip": "x"}])
    make(networks=[{"uuid": place.net, "fixed_ip": "203.0.113.1"}])
    make(networks=[{"uuid": place.net, "nonsense": 1}])
    make(networks=[{"uuid": place.net, "fixed_ip": "198.51.100.9"}], min_count=2)
    make(networks=[{"uuid": place.net, "tag": "x"}])
    make(networks=[{"uuid": place.net, "tag": "a,b"}], at="2.42")
    make(min_count=0)
    make(min_count="x")
    make(min_count=2, max_count=1)
    make(max_count=-1)
    make(metadata="x")
    make(metadata={"": "x"})
    make(metadata={"a": 1})
    make(metadata={"a": "x" * 256})
    make(metadata={"x" * 256: "a"})
    make(user_data="%%%")
    make(user_data="a" * 65536)
    make(user_data=1)
    make(key_name="nonsense")
    make(key_name=1)
    make(security_groups="x")
    make(security_groups=[{}])
    make(security_groups=[{"name": "nonsense"}])
    make(availability_zone="nonsense")
    make(availability_zone=1)
    make(config_drive="x")
    make(adminPass=1)
    make(accessIPv4="x")
    make(accessIPv6="192.0.2.1")
    make(personality=[{"path": "/x", "contents": "eA=="}], at="2.57")
    make(description="d", at="2.18")
    make(description=1, at="2.19")
    make(description="x" * 256, at="2.19")
    make(tags=["a"], at="2.51")
    make(tags=["a,b"], at="2.52")
    make(tags=["x" * 61], at="2.52")
    make(tags=[str(n) for n in range(51)], at="2.52")
    make(host="nonsense", at="2.73")
    make(host="nonsense", at="2.74")
    make(hostname="x", at="2.89")
    make(hostname="a b", at="2.90")
    make(hostname="x", min_count=2, at="2.90")
    make(trusted_image_certificates=["x"], at="2.62")
    make(block_device_mapping_v2=[{}])
    make(
        block_device_mapping_v2=[
            {"boot_index": 0, "uuid": NOWHERE, "source_type": "volume", "destination_type": "volume"}
        ]
    )
    make(block_device_mapping_v2=[{"boot_index": 0, "source_type": "nonsense", "destination_type": "volume"}])
    make(**{"OS-DCF:diskConfig": "nonsense"})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"group": "nonsense"}})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"group": NOWHERE}})
    ask("POST", path, {**place.body(), "os:scheduler_hints": {"nonsense": 1}, "OS-SCH-HNT:scheduler_hints": 1})
    play.reader.nova("POST", path, place.body())
    play.other.nova("POST", path, place.body())
    quota = f"/v2.1/os-quota-sets/{play.member.project_id}"
    for limits, values in (
        ({"instances": 1, "cores": 99, "ram": 9999}, {"min_count": 2}),
        ({"instances": 9, "cores": 1, "ram": 9999}, {"min_count": 2}),
        ({"instances": 9, "cores": 9, "ram": 100}, {"min_count": 2}),
        ({"instances": 1, "cores": 1, "ram": 1}, {"min_count": 2, "max_count": 3}),
        ({"metadata_items": 1}, {"metadata": {"a": "b", "c": "d"}}),
    ):
        play.admin.nova("PUT", quota, {"quota_set": limits}, quiet=True)
        make(**values)
        play.admin.nova("DELETE", quota, quiet=True)
    _flavor(play, "conformance-small", ram=1)
    image = play.member.glance(
        "POST", "/v2/images", {"name": "conformance-big", "min_ram": 9, "min_disk": 9}, quiet=True
    )
    make(imageRef=play.name("queued", image["id"]))
    big = {"name": "conformance-big", "min_ram": 9, "min_disk": 9, "disk_format": "raw", "container_format": "bare"}
    active = play.name("big", play.member.glance("POST", "/v2/images", big, quiet=True)["id"])
    play.member.glance("PUT", f"/v2/images/{active}/file", b"x", Content_Type="application/octet-stream", quiet=True)
    make(imageRef=active)
    make(imageRef=active, flavorRef="conformance-small")
    play.admin.nova("DELETE", "/v2.1/flavors/conformance-small", quiet=True)
    for one in (image["id"], active):
        play.member.glance("DELETE", f"/v2/images/{one}", quiet=True)
    ask("GET", path)
    place.close()


def one_server(play: Play) -> None:
    """The life of one server, seen by everybody, at many versions."""
    place = Place(play)
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/servers"
    ask("POST", "/v2.1/os-keypairs", {"keypair": {"name": "k1", "public_key": PUBLIC_KEY}}, quiet=True)
    body = place.body(metadata={"a": "b"}, key_name="k1", description="d", tags=["t1", "t2"], user_data="eA==",
                      networks=[{"uuid": place.net, "fixed_ip": "198.51.100.9", "tag": "n"}])  # fmt: skip
    made = ask("POST", path, body, at="2.52")
    server = play.name("server", made["server"]["id"])
    place.settled(server)
    shown = admin("GET", f"{path}/{server}", quiet=True)["server"]
    play.name("host", shown["OS-EXT-SRV-ATTR:host"])
    play.name("instance name", shown["OS-EXT-SRV-ATTR:instance_name"])
    one = f"{path}/{server}"
    for at in ("2.1", "2.3", "2.9", "2.16", "2.19", "2.26", "2.47", "2.63", "2.69", "2.71", "2.73", "2.75", "2.90", "2.96",
               "2.98", "2.100", LATEST):  # fmt: skip
        ask("GET", one, at=at)
        admin("GET", one, at=at)
    for at in ("2.1", "2.26", "2.75", LATEST):
        ask("GET", f"{path}/detail", at=at)
        ask("GET", path, at=at)
    play.other.nova("GET", one)
    play.reader.nova("GET", one, only="server.name")
    ask("GET", f"{path}/nonsense")
    ask("GET", f"{path}/{NOWHERE}")
    ask("HEAD", one)
    for tail in ("ips", "ips/conformance-net", "ips/nonsense", "os-interface", "os-instance-actions", "os-security-groups",
                 "os-volume_attachments", "metadata", "metadata/a", "metadata/nonsense", "tags", "diagnostics", "migrations",
                 "os-server-password", "consoles", "topology", "shares", "os-virtual-interfaces", "nonsense"):  # fmt: skip
        ask("GET", f"{one}/{tail}")
        ask("GET", f"{one}/{tail}", at=LATEST)
        play.other.nova("GET", f"{one}/{tail}")
    play.reader.nova("GET", f"{one}/os-interface", only="x")
    action = ask("GET", f"{one}/os-instance-actions", quiet=True)["instanceActions"][0]["request_id"]
    for at in ("2.1", "2.51", "2.58", "2.62", "2.84"):
        ask("GET", f"{one}/os-instance-actions/{action}", at=at, shape=True)
        admin("GET", f"{one}/os-instance-actions/{action}", at=at, shape=True)
    ask("GET", f"{one}/os-instance-actions/req-{NOWHERE}")
    for body in ({}, {"metadata": []}, {"metadata": {"a": 1}}, {"metadata": {"b": "c"}}, {"metadata": {"a/": "c"}}):
        ask("POST", f"{one}/metadata", body)
    ask("PUT", f"{one}/metadata", {"metadata": {"x": "y"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {"x": "z"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {"y": "z"}})
    ask("PUT", f"{one}/metadata/x", {"meta": {}})
    ask("DELETE", f"{one}/metadata/x")
    ask("DELETE", f"{one}/metadata/x")
    play.reader.nova("PUT", f"{one}/metadata", {"metadata": {"x": "y"}})
    for tag in ("t3", "t3", "a,b", "x" * 61):
        ask("PUT", f"{one}/tags/{tag}", at="2.26")
    ask("PUT", f"{one}/tags", {"tags": "x"}, at="2.26")
    ask("PUT", f"{one}/tags", {"tags": ["x", "y"]}, at="2.26")
    ask("GET", f"{one}/tags/x", at="2.26")
    ask("GET", f"{one}/tags/nonsense", at="2.26")
    ask("DELETE", f"{one}/tags/nonsense", at="2.26")
    ask("DELETE", f"{one}/tags/x", at="2.26")
    ask("DELETE", f"{one}/tags", at="2.26")
    for body in ({}, {"server": {}}, {"server": {"name": ""}}, {"server": {"nonsense": 1}}, {"server": {"description": "x"}},
                 {"server": {"name": "new"}}, {"server": {"accessIPv4": "192.0.2.9"}}, {"server": {"accessIPv4": "x"}}):  # fmt: skip
        ask("PUT", one, body)
    ask("PUT", one, {"server": {"description": "x"}}, at="2.19")
    ask("PUT", one, {"server": {"hostname": "x"}}, at="2.90")
    play.other.nova("PUT", one, {"server": {"name": "x"}})
    play.reader.nova("PUT", one, {"server": {"name": "x"}})
    _actions(play, one, place)
    play.other.nova("DELETE", one)
    play.reader.nova("DELETE", one)
    ask("DELETE", one)
    play.wait(lambda: ask("GET", one, quiet=True).status == 404)
    ask("GET", one)
    ask("DELETE", one)
    ask("POST", f"{one}/action", {"os-stop": None})
    admin("GET", f"{path}/detail?deleted=true&all_tenants=1&project_id={play.member.project_id}&name=new")
    ask("GET", f"{path}?changes-since=2001-01-01T00:00:00Z", only="servers.0.name")
    ask("DELETE", "/v2.1/os-keypairs/k1", quiet=True)
    place.close()


def _actions(play: Play, one: str, place: Place) -> None:
    """Server actions: bodies that are no action, actions in the wrong state, by the wrong user."""
    ask = play.member.nova

    def act(body: Any, user: User = play.member, at: str | None = None) -> None:
        user.nova("POST", f"{one}/action", body, at=at)

    def settle() -> None:
        place.settled(one.rpartition("/")[2])

    for body in (b"", b"{", [], {}, {"nonsense": None}, {"os-stop": None, "os-start": None}, {"reboot": None}, {"reboot": {}},
                 {"reboot": {"type": "nonsense"}}, {"reboot": {"type": "HARD", "x": 1}}, {"os-start": None},
                 {"os-start": {"x": 1}}, {"resize": {}}, {"resize": {"flavorRef": place.tiny}}, {"resize": {"flavorRef": "nonsense"}},
                 {"confirmResize": None}, {"revertResize": None}, {"unpause": None}, {"resume": None}, {"unlock": None},
                 {"unrescue": None}, {"unshelve": None}, {"restore": None}, {"rebuild": {}}, {"rebuild": {"imageRef": NOWHERE}},
                 {"createImage": {}}, {"changePassword": {}}, {"addSecurityGroup": {"name": "nonsense"}},
                 {"removeSecurityGroup": {"name": "nonsense"}}, {"addSecurityGroup": {}}, {"os-getConsoleOutput": {"length": "x"}},
                 {"addFixedIp": {}}, {"addFloatingIp": {"address": "192.0.2.1"}}):  # fmt: skip
        act(body)
    for body in ({"pause": None}, {"os-resetState": {"state": "active"}}, {"migrate": None}, {"os-migrateLive": {}},
                 {"injectNetworkInfo": None}, {"resetNetwork": None}, {"evacuate": {}}, {"forceDelete": None}):  # fmt: skip
        act(body, play.reader)
        if "os-" in str(body) or "migrate" in str(body):
            act(body)
    act({"os-stop": None}, play.other)
    act({"os-stop": None}, play.reader)
    act({"os-resetState": {"state": "nonsense"}}, play.admin)
    act({"addSecurityGroup": {"name": "default"}})
    act({"os-stop": None})
    settle()
    ask("GET", one)
    act({"os-stop": None})
    act({"reboot": {"type": "SOFT"}})
    act({"pause": None})
    act({"suspend": None})
    act({"os-getConsoleOutput": {}})
    act({"os-start": None})
    settle()
    act({"reboot": {"type": "HARD"}})
    settle()
    ask("GET", one, only="server.status")
    ask("GET", f"{one}/os-instance-actions", shape=True)


def many_servers(play: Play) -> None:
    """Several servers in one request, networks of every kind, and lists of them."""
    place = Place(play)
    ask, admin = play.member.nova, play.admin.nova
    path = "/v2.1/servers"
    port = play.member.neutron("POST", "/v2.0/ports", {"port": {"network_id": place.net, "name": "conformance-port"}},
                               quiet=True)["port"]["id"]  # fmt: skip
    play.name("port", port)
    ask("POST", path, place.body(networks=[{"port": port}], min_count=2))
    made = [ask("POST", path, place.body(name="given", networks=[{"port": port}]))["server"]["id"]]
    place.settled(made[0])
    ask("POST", path, place.body(name="again", networks=[{"port": port}]))
    ask("GET", f"{path}/{made[0]}", only="server.addresses.conformance-net", shape=True)
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.device_owner")
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.binding:vnic_type")
    play.admin.neutron("GET", f"/v2.0/ports/{port}", shape=True)
    made.append(ask("POST", path, place.body(name="none", networks="none"), at="2.37")["server"]["id"])
    ask("POST", path, place.body(name="auto", networks="auto", min_count=2), at="2.37")
    ask("POST", path, place.body(name="many", min_count=2, max_count=3, security_groups=[{"name": "default"}]))
    ask(
        "POST",
        path,
        place.body(name="reservation", max_count=2, return_reservation_id=True, networks="none"),
        at="2.37",
    )
    for server in ask("GET", path, quiet=True)["servers"]:
        place.settled(server["id"])
    ask("GET", f"{path}/{made[1]}", only="server.addresses")
    admin("GET", f"/v2.1/limits?tenant_id={play.member.project_id}", only="limits.absolute.totalInstancesUsed")
    names = f"{path}?sort_key=display_name&sort_dir=asc"
    for query in (
        "limit=2",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=100000",
        "marker=nonsense",
        f"marker={NOWHERE}",
        "name=many",
        "name=^many-1$",
        "name=(",
        "status=ACTIVE&name=many",
        "status=nonsense",
        "status=SHUTOFF",
        "vm_state=active",
        "nonsense=1&name=given",
        "changes-since=nonsense",
        "changes-since=2001-01-01T00:00:00Z&name=given",
        "changes-since=2101-01-01T00:00:00Z",
        "changes-before=2101-01-01T00:00:00Z&name=given",
        "all_tenants=1",
        "all_tenants=x",
        "tenant_id=nonsense",
        f"flavor={place.tiny}&name=given",
        f"flavor={place.medium}",
        "flavor=nonsense",
        "image=nonsense",
        "ip=198.51.100&name=given",
        "ip=(",
        "ip6=2001",
        "host=nonsense",
        "uuid=nonsense",
        "reservation_id=nonsense",
        "locked=true",
        "tags=nonsense",
        "deleted=true&name=given",
        "deleted=x",
        "key_name=x",
        "user_id=nonsense",
        "power_state=1&name=given",
        "limit=1&limit=2",
        "host=",
    ):
        ask("GET", f"{names}&{query}")
    for query, at in (
        ("nonsense=1", "2.75"),
        ("changes-before=2001-01-01T00:00:00Z", "2.66"),
        ("changes-before=x", "2.66"),
        ("changes-since=2020-01-01T00:00:00Z&changes-before=2010-01-01T00:00:00Z", "2.66"),
        ("tags=nonsense", "2.26"),
        ("not-tags=nonsense&name=given", "2.26"),
        ("locked=true", "2.73"),
        ("locked=x", "2.73"),
        ("ip=198.51.100&name=given", "2.103"),
        ("host=nonsense", "2.103"),
    ):
        ask("GET", f"{names}&{query}", at=at)
        admin("GET", f"{names}&{query}&all_tenants=1&project_id={play.member.project_id}", at=at)
    for key in ("nonsense", "host", "created_at", "uuid"):
        ask("GET", f"{path}?sort_key={key}&name=given")
        ask("GET", f"{path}/detail?sort_key={key}&name=given", only="servers.0.name")
    ask("GET", f"{path}?sort_dir=nonsense")
    ask("GET", f"{path}/detail?limit=1&sort_key=display_name&sort_dir=asc", only="servers_links")
    ask("GET", f"{path}?limit=2&sort_key=display_name&sort_dir=desc&marker={made[0]}")
    play.other.nova("GET", f"{path}?marker={made[0]}")
    play.other.nova("GET", f"{path}/detail")
    for body in ({}, {"interfaceAttachment": {"net_id": "x"}}, {"interfaceAttachment": {"net_id": NOWHERE}},
                 {"interfaceAttachment": {"port_id": NOWHERE}}, {"interfaceAttachment": {"port_id": port}},
                 {"interfaceAttachment": {"port_id": port, "net_id": place.net}}):  # fmt: skip
        ask("POST", f"{path}/{made[1]}/os-interface", body, only="x")
    ask("GET", f"{path}/{made[0]}/os-interface/{port}", only="interfaceAttachment.port_state")
    ask("GET", f"{path}/{made[0]}/os-interface/{NOWHERE}")
    ask("DELETE", f"{path}/{made[0]}/os-interface/{NOWHERE}")
    ask("DELETE", f"{path}/{made[0]}")
    play.wait(lambda: ask("GET", f"{path}/{made[0]}", quiet=True).status == 404)
    play.member.neutron("GET", f"/v2.0/ports/{port}", only="port.device_id")
    ask("POST", path, place.body(name="huge", flavorRef=place.medium, networks="none", metadata={"x": "y"}, min_count=1,
                                 availability_zone="nova:nonsense"), at="2.37")  # fmt: skip
    place.close()


def server_groups(play: Play) -> None:
    ask, path = play.member.nova, "/v2.1/os-server-groups"
    for body in (
        {},
        {"server_group": {}},
        {"server_group": {"name": "g"}},
        {"server_group": {"name": "", "policies": ["affinity"]}},
        {"server_group": {"name": "g", "policies": []}},
        {"server_group": {"name": "g", "policies": ["nonsense"]}},
        {"server_group": {"name": "g", "policies": ["affinity", "anti-affinity"]}},
        {"server_group": {"name": "g", "policy": "affinity"}},
        {"server_group": {"name": "g", "policies": ["soft-affinity"]}},
    ):
        ask("POST", path, body)
    for body in (
        {"server_group": {"name": "g", "policies": ["affinity"]}},
        {"server_group": {"name": "g", "policy": "nonsense"}},
        {"server_group": {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 1}}},
        {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}},
        {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"nonsense": 1}}},
    ):
        ask("POST", path, body, at="2.64")
    play.reader.nova("POST", path, {"server_group": {"name": "g", "policies": ["affinity"]}})
    one = play.name(
        "g1", ask("POST", path, {"server_group": {"name": "g1", "policies": ["affinity"]}})["server_group"]["id"]
    )
    body = {"server_group": {"name": "g2", "policy": "anti-affinity", "rules": {"max_server_per_host": 3}}}
    two = play.name("g2", ask("POST", path, body, at="2.64")["server_group"]["id"])
    for at in ("2.1", "2.13", "2.15", "2.64"):
        ask("GET", f"{path}/{two}", at=at)
        ask("GET", path, at=at)
    ask("GET", f"{path}?limit=1&offset=1", only="server_groups.0.name")
    ask("GET", f"{path}?limit=x")
    ask("GET", f"{path}?all_projects=1", only="server_groups.0.name")
    ask("GET", f"{path}?nonsense=1", at="2.75")
    ask("GET", f"{path}/nonsense")
    play.other.nova("GET", f"{path}/{one}")
    play.other.nova("DELETE", f"{path}/{one}")
    play.reader.nova("DELETE", f"{path}/{one}")
    for group in (one, two, one):
        ask("DELETE", f"{path}/{group}")
