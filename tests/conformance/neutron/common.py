"""What several scripts make and know."""

from tests.conformance.play import Play

ADDRESS = r"198\.51\.100\.\d+"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def network_of(play: Play, name: str = "conformance-net", cidr: str = "198.51.100.0/24") -> tuple[str, str]:
    """A network with a subnet, named `net` and `subnet`."""
    ask = play.member.neutron
    net = ask("POST", "/v2.0/networks", {"network": {"name": name}}, quiet=True)["network"]["id"]
    body = {"subnet": {"network_id": net, "cidr": cidr, "ip_version": 4, "name": f"{name}-subnet"}}
    subnet = ask("POST", "/v2.0/subnets", body, quiet=True)["subnet"]["id"]
    return play.name("net", net), play.name("subnet", subnet)
