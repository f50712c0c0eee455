"""What servers need, and constants of all scripts."""

from typing import Any

from tests.conformance.play import Play

NOWHERE = "00000000-0000-4000-8000-000000000000"
LATEST = "2.104"
IMAGE = "cirros-fake"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf236+POLibqM5km1lPkeTQH9xX+clJPfQ7XlCpmHNn conformance"


def flavor_of(play: Play, name: str, **values: int) -> str:
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
        self.tiny = flavor_of(play, "conformance-tiny")
        self.medium = flavor_of(play, "conformance-medium", ram=4096, vcpus=2, disk=40)
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
