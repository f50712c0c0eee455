"""Allocation candidates, microversions, policy. Bodies are those of placement 16.0.0."""

import uuid

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.keystone.asking import Asker, asker
from tests.emulator.placement.test_claims import VERSION, claim, detail, new_provider

FULL = "/allocation_candidates?resources=VCPU:1,MEMORY_MB:64"


def test_a_candidate_names_the_claim_to_make_and_what_is_there(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider = new_provider(admin)
    traits = {"resource_provider_generation": 1, "traits": ["COMPUTE_NODE", "HW_CPU_X86_AVX2"]}
    assert admin("PUT", f"/resource_providers/{provider}/traits", traits).status == 200
    admin("PUT", f"/allocations/{uuid.uuid4()}", claim(provider, VCPU=3))
    assert admin("GET", f"{FULL}&in_tree={provider}").json == {
        "allocation_requests": [
            {
                "allocations": {provider: {"resources": {"VCPU": 1, "MEMORY_MB": 64}}},
                "mappings": {"": [provider]},
            }
        ],
        "provider_summaries": {
            provider: {
                "resources": {
                    "VCPU": {"capacity": 16, "used": 3},
                    "MEMORY_MB": {"capacity": 3584, "used": 0},
                    "DISK_GB": {"capacity": 100, "used": 0},
                },
                "traits": ["COMPUTE_NODE", "HW_CPU_X86_AVX2"],
                "parent_provider_uuid": None,
                "root_provider_uuid": provider,
            }
        },
    }
    old = admin("GET", "/allocation_candidates?resources=VCPU:1", OpenStack_API_Version="placement 1.10").json
    assert {"resource_provider", "resources"} == set(old["allocation_requests"][0]["allocations"][0])
    assert set(old["provider_summaries"][provider]) == {"resources"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("required=COMPUTE_NODE", True),
        ("required=!COMPUTE_NODE", False),
        ("required=in:OWNER_NOVA,COMPUTE_NODE", True),
        ("required=OWNER_NOVA", False),
        ("root_required=!COMPUTE_STATUS_DISABLED", True),
        ("root_required=COMPUTE_STATUS_DISABLED", False),
        ("member_of=in:{aggregate},{other}", True),
        ("member_of={other}", False),
        ("member_of=!{other}", True),
        ("resources1=VCPU:1&group_policy=none", True),
        ("resources1=VCPU:1&group_policy=isolate", False),
        ("resources1=VCPU:16&group_policy=none", False),
    ],
)
def test_filters(cloud: EmbeddedCloud, query: str, found: bool) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider, aggregate = new_provider(admin), str(uuid.uuid4())
    path = f"/resource_providers/{provider}"
    admin("PUT", f"{path}/traits", {"resource_provider_generation": 1, "traits": ["COMPUTE_NODE"]})
    admin("PUT", f"{path}/aggregates", {"resource_provider_generation": 2, "aggregates": [aggregate]})
    asked = query.format(aggregate=aggregate, other=uuid.uuid4())
    answer = admin("GET", f"{FULL}&in_tree={provider}&{asked}")
    assert answer.status == 200, answer.text
    assert bool(answer.json["allocation_requests"]) is found


def test_a_full_provider_is_no_candidate_and_the_limit_holds(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider = new_provider(admin, {"VCPU": {"total": 1}, "MEMORY_MB": {"total": 1024}})
    admin("PUT", f"/allocations/{uuid.uuid4()}", claim(provider, VCPU=1))
    assert admin("GET", f"{FULL}&in_tree={provider}").json["allocation_requests"] == []
    page = admin("GET", f"{FULL}&limit=2").json
    assert len(page["allocation_requests"]) == len(page["provider_summaries"]) == 2


def test_bad_queries_are_named(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    none = admin("GET", "/allocation_candidates")
    assert none.json["errors"][0]["code"] == "placement.query.missing_value"
    assert detail(admin("GET", "/allocation_candidates?resources=VCPU:x")) == (
        "Requested resource VCPU expected positive integer amount. Got: x."
    )
    assert detail(admin("GET", "/allocation_candidates?resources=BAD:1")) == (
        "Invalid resource class in resources parameter: No such resource class BAD."
    )


def test_microversions_are_negotiated(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin")
    path = "/resource_providers?name=nope"
    plain = admin("GET", path)
    assert plain.headers["openstack-api-version"] == "placement 1.0"
    latest = admin("GET", path, OpenStack_API_Version="placement latest")
    assert latest.headers["openstack-api-version"] == "placement 1.39"
    assert latest.headers["cache-control"] == "no-cache"
    beyond = admin("GET", path, OpenStack_API_Version="placement 1.99")
    error = beyond.json["errors"][0]
    assert (beyond.status, error["max_version"], error["min_version"]) == (406, "1.39", "1.0")
    assert "code" not in error
    assert admin("GET", path, OpenStack_API_Version="placement abc").status == 400
    assert admin("GET", "/usages?project_id=x", OpenStack_API_Version="placement 1.8").status == 404


def test_only_administrators_and_services_come_in(cloud: EmbeddedCloud) -> None:
    demo = asker(cloud, "placement", "demo", **VERSION)
    answer = demo("GET", "/resource_providers")
    assert answer.status == 403
    assert detail(answer) == "Policy does not allow placement:resource_providers:list to be performed."
    anonymous = Asker(cloud, "placement")
    assert anonymous("GET", "/").json["versions"][0]["max_version"] == "1.39"
    refused = anonymous("GET", "/resource_providers")
    assert refused.status == 401
    assert refused.json["error"]["message"] == "The request you have made requires authentication."


def test_names_of_providers_are_unique(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "placement", "admin", **VERSION)
    provider = new_provider(admin)
    same_name = admin("POST", "/resource_providers", {"name": provider})
    assert detail(same_name) == f"Conflicting resource provider name: {provider} already exists."
    assert same_name.json["errors"][0]["code"] == "placement.duplicate_name"
    same_id = admin("POST", "/resource_providers", {"name": f"{provider}-2", "uuid": provider})
    assert detail(same_id) == f"Conflicting resource provider uuid: {provider} already exists."
    assert [one["uuid"] for one in admin("GET", f"/resource_providers?name={provider}").json["resource_providers"]] == [
        provider
    ]
    assert admin("DELETE", f"/resource_providers/{provider}").status == 204
    assert admin("GET", f"/resource_providers/{provider}").status == 404
