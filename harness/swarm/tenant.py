"""What a tenant picks before anything else: a flavor, an image and a network that this cloud has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.cloud import compute, image, network
from harness.cloud.api import Api
from harness.swarm.scenario import ScenarioError


@dataclass(frozen=True, slots=True)
class Choice:
    """Ids for POST /servers."""

    flavor_id: str
    image_id: str
    network_id: str

    def server(self) -> dict[str, Any]:
        return {"flavor_id": self.flavor_id, "image_id": self.image_id, "network_id": self.network_id}


def choose(api: Api, option: Mapping[str, Any]) -> Choice:
    """By the names in `option` (flavor, image, network); where one is None: the smallest flavor, the first active
    image, the first network of ours that has a subnet.

    Raises: ScenarioError with what there is instead; RequestFailed.
    """
    flavors = sorted(compute.list_flavors(api), key=lambda flavor: (flavor["ram"], flavor["vcpus"], flavor["disk"]))
    images = sorted(image.all_images(api, status="active"), key=lambda each: str(each["name"]))
    networks = [each for each in network.list_networks(api) if not each.get("router:external") and each["subnets"]]
    return Choice(
        _pick("flavor", flavors, option.get("flavor")),
        _pick("image", images, option.get("image")),
        _pick("network", sorted(networks, key=lambda each: str(each["name"])), option.get("network")),
    )


def _pick(what: str, found: list[dict[str, Any]], name: str | None) -> str:
    for each in found:
        if name is None or name in (each["name"], each["id"]):
            return str(each["id"])
    names = ", ".join(str(each["name"]) for each in found) or "none"
    raise ScenarioError(f"{what}: wanted {name or 'any that can be used'}, the cloud has: {names}")
