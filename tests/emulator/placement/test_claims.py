"""Claims against capacity: conflicts, refusals, and never more than there is. Bodies are those of placement 16.0.0."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.keystone.asking import Asker, asker

VERSION = {"OpenStack_API_Version": "placement 1.39"}
INVENTORY = {
    "VCPU": {"total": 4, "allocation_ratio": 4.0},
    "MEMORY_MB": {"total": 4096, "reserved": 512},
    "DISK_GB": {"total": 100},
}


def new_provider(admin: Asker, inventories: dict[str, Any] | None = None) -> str:
    """The uuid of a new provider with some inventory."""
    identity = str(uuid.uuid4())
    assert admin("POST", "/resource_providers", {"name": identity, "uuid": identity}).status == 200
    body = {"resource_provider_generation": 0, "inventories": inventories or INVENTORY}
    assert admin("PUT", f"/resource_providers/{identity}/inventories", body).status == 200
    return identity


def claim(provider: str, generation: int | None = None, **resources: int) -> dict[str, Any]:
    return {
        "allocations": {provider: {"resources": resources}},
        "consumer_generation": generation,
        "project_id": "p1",
        "user_id": "u1",
        "consumer_type": "INSTANCE",
    }


def detail(answer: Any) -> str:
    """The sentence placement added to webob's."""
    return str(answer.json["errors"][0]["detail"]).partition("\n\n ")[2].rstrip()


def test_a_claim_is_held_counted_and_released(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider, consumer = new_provider(admin), str(uuid.uuid4())
    assert admin("GET", f"/allocations/{consumer}").json == {"allocations": {}}
    assert admin("PUT", f"/allocations/{consumer}", claim(provider, VCPU=1, MEMORY_MB=64)).status == 204
    assert admin("GET", f"/allocations/{consumer}").json == {
        "allocations": {provider: {"generation": 2, "resources": {"VCPU": 1, "MEMORY_MB": 64}}},
        "project_id": "p1",
        "user_id": "u1",
        "consumer_generation": 1,
        "consumer_type": "INSTANCE",
    }
    usages = admin("GET", f"/resource_providers/{provider}/usages").json
    assert usages == {"resource_provider_generation": 2, "usages": {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 0}}
    held = admin("GET", f"/resource_providers/{provider}/allocations").json["allocations"]
    assert held == {consumer: {"resources": {"VCPU": 1, "MEMORY_MB": 64}, "consumer_generation": 1}}
    assert admin("DELETE", f"/allocations/{consumer}").status == 204
    again = admin("DELETE", f"/allocations/{consumer}")
    assert (again.status, detail(again)) == (404, f"No allocations for consumer '{consumer}'")


def test_generations_guard_consumers_and_inventories(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider, consumer = new_provider(admin), str(uuid.uuid4())
    early = admin("PUT", f"/allocations/{consumer}", claim(provider, 1, VCPU=1))
    assert detail(early) == "consumer generation conflict - expected null but got 1"
    assert admin("PUT", f"/allocations/{consumer}", claim(provider, VCPU=1)).status == 204
    late = admin("PUT", f"/allocations/{consumer}", claim(provider, VCPU=2))
    assert late.status == 409
    assert late.json["errors"][0]["code"] == "placement.concurrent_update"
    assert detail(late) == "consumer generation conflict - expected 1 but got None"
    assert admin("PUT", f"/allocations/{consumer}", claim(provider, 1, VCPU=2)).status == 204
    stale = {"resource_provider_generation": 1, "inventories": INVENTORY}
    refused = admin("PUT", f"/resource_providers/{provider}/inventories", stale)
    assert (refused.status, detail(refused)) == (409, "resource provider generation conflict")
    emptied = admin(
        "PUT",
        f"/resource_providers/{provider}/inventories",
        {**stale, "resource_provider_generation": 3, "inventories": {}},
    )
    assert emptied.json["errors"][0]["code"] == "placement.inventory.inuse"


def test_what_cannot_be_had_is_refused_with_the_reason(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider = new_provider(admin, {"VCPU": {"total": 4, "max_unit": 4}, "DISK_GB": {"total": 10, "step_size": 2}})
    path = f"/allocations/{uuid.uuid4()}"
    opening = (
        f"Unable to allocate inventory: Unable to create allocation for '{{}}' on resource provider '{provider}'. "
    )
    units = opening + "The requested amount would violate inventory constraints."
    assert detail(admin("PUT", path, claim(provider, VCPU=5))) == units.format("VCPU")
    assert detail(admin("PUT", path, claim(provider, DISK_GB=3))) == units.format("DISK_GB")
    capacity = opening + "The requested amount would exceed the capacity."
    assert detail(admin("PUT", path, claim(provider, DISK_GB=12))) == capacity.format("DISK_GB")
    missing = str(uuid.uuid4())
    unknown = admin("PUT", f"/allocations/{uuid.uuid4()}", claim(missing, VCPU=1))
    assert (unknown.status, detail(unknown)) == (
        400,
        f"Allocation for resource provider '{missing}' that does not exist.",
    )


def test_a_burst_of_claims_never_exceeds_capacity_and_wastes_none(cloud: EmbeddedCloud) -> None:
    """Forty claims of one VCPU each race for two providers with sixteen: thirty-two are to win."""
    admin = asker(cloud, "placement", "admin", **VERSION)
    providers = [new_provider(admin), new_provider(admin)]
    consumers = [str(uuid.uuid4()) for _ in range(40)]

    def race(index: int) -> int:
        path = f"/allocations/{consumers[index]}"
        for _ in range(20):
            status = 0
            for provider in (providers[index % 2], providers[1 - index % 2]):
                answer = admin("PUT", path, claim(provider, VCPU=1, MEMORY_MB=1))
                status = answer.status
                if status == 204:
                    return status
                if answer.json["errors"][0]["code"] == "placement.concurrent_update":
                    break  # ten tries inside the server met other claims: as a scheduler, try again
            else:
                return status
        return status

    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(race, range(40)))
    assert outcomes == {204: 32, 409: 8}
    used = [admin("GET", f"/resource_providers/{one}/usages").json["usages"]["VCPU"] for one in providers]
    assert used == [16, 16]
    by_project = [len(admin("GET", f"/resource_providers/{one}/allocations").json["allocations"]) for one in providers]
    assert sum(by_project) == 32


def test_several_consumers_change_all_or_none(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider = new_provider(admin, {"VCPU": {"total": 4}})
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    too_much = {first: claim(provider, VCPU=3), second: claim(provider, VCPU=3)}
    assert admin("POST", "/allocations", too_much).status == 409
    assert admin("GET", f"/allocations/{first}").json == {"allocations": {}}
    assert admin("POST", "/allocations", {first: claim(provider, VCPU=3)}).status == 204
    moved = {first: {**claim(provider, 1), "allocations": {}}, second: claim(provider, VCPU=3)}
    assert admin("POST", "/allocations", moved).status == 204
    assert admin("GET", f"/allocations/{first}").json == {"allocations": {}}


def test_usages_of_a_project_by_type_and_by_user(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider, project = new_provider(admin), f"p-{uuid.uuid4().hex[:8]}"
    for user in ("u1", "u1", "u2"):
        body = {**claim(provider, VCPU=1), "project_id": project, "user_id": user}
        assert admin("PUT", f"/allocations/{uuid.uuid4()}", body).status == 204
    assert admin("GET", f"/usages?project_id={project}").json == {
        "usages": {"INSTANCE": {"VCPU": 3, "consumer_count": 3}}
    }
    mine = admin("GET", f"/usages?project_id={project}&user_id=u1", OpenStack_API_Version="placement 1.9")
    assert mine.json == {"usages": {"VCPU": 2}}
