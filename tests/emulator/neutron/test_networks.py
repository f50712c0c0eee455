"""Networks and subnets over plain HTTP. Bodies and words were taken from neutron 29.0.0 on 2026-11-22."""

from typing import Any

import pytest

from tests.emulator.neutron.client import Client

MISSING = "00000000-0000-0000-0000-000000000001"


def message(answer: tuple[int, Any]) -> tuple[int, str, str]:
    status, body = answer
    error = body["NeutronError"]
    assert set(error) == {"type", "message", "detail"}
    return status, error["type"], error["message"]


def test_a_network_shows_the_fields_of_the_real_one(demo: Client, admin: Client, network: Any) -> None:
    status, body = demo.get(f"/v2.0/networks/{network['id']}")
    shown = body["network"]
    assert status == 200
    assert list(shown) == [
        "id", "name", "tenant_id", "project_id", "admin_state_up", "mtu", "status", "subnets", "shared",
        "availability_zone_hints", "availability_zones", "ipv4_address_scope", "ipv6_address_scope", "router:external",
        "qinq", "vlan_transparent", "description", "port_security_enabled", "tags", "created_at", "updated_at",
        "revision_number",
    ]  # fmt: skip
    assert shown["subnets"] == [network["subnet_id"]]
    assert shown["mtu"] == 1450
    provider = admin.get(f"/v2.0/networks/{network['id']}")[1]["network"]
    assert provider["provider:network_type"] == "vxlan"
    assert provider["provider:segmentation_id"] > 0


def test_the_first_networks_are_those_of_the_real_cloud(demo: Client) -> None:
    networks = {n["name"]: n for n in demo.get("/v2.0/networks?name=private&name=public")[1]["networks"]}
    assert networks["private"]["project_id"] == demo.project_id
    assert networks["public"]["router:external"] is True
    subnets = {s["name"]: s["cidr"] for s in demo.get("/v2.0/subnets")[1]["subnets"]}
    assert subnets["private-subnet"] == "10.0.0.0/16"
    assert subnets["public-subnet"] == "203.0.0.0/16"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"bogus": {}}, "Unable to find 'network' in request body"),
        ({"network": {"bogus": 1}}, "Unrecognized attribute(s) 'bogus'"),
        ({"network": {"name": 5}}, "Invalid input for name. Reason: '5' is not a valid string."),
        ({"network": {"status": "ACTIVE"}}, "Attribute 'status' not allowed in POST"),
        ({"networks": []}, "Resources required"),
        (
            {"network": {"project_id": "other"}},
            "Specifying 'project_id' other than the authenticated project in request is not allowed for the current "
            "user.",
        ),
    ],
)
def test_a_wrong_body_is_refused_in_neutrons_words(demo: Client, body: Any, wanted: str) -> None:
    assert message(demo.post("/v2.0/networks", body)) == (400, "HTTPBadRequest", wanted)


def test_a_body_that_is_no_json_is_refused(demo: Client) -> None:
    answer = demo.session.post(demo.base + "/v2.0/networks", data=b"{bad", timeout=10)
    assert answer.status_code == 400
    assert answer.json()["NeutronError"]["message"] == "Body contains invalid data"


def test_what_is_not_there_is_404(demo: Client) -> None:
    for path, kind, text in (
        ("networks", "NetworkNotFound", f"Network {MISSING} could not be found."),
        ("subnets", "SubnetNotFound", f"Subnet {MISSING} could not be found."),
        ("ports", "PortNotFound", f"Port {MISSING} could not be found."),
        ("security-groups", "SecurityGroupNotFound", f"Security group {MISSING} does not exist"),
    ):
        assert message(demo.get(f"/v2.0/{path}/{MISSING}")) == (404, kind, text)
        assert message(demo.delete(f"/v2.0/{path}/{MISSING}")) == (404, kind, text)


def test_only_an_administrator_may_set_what_is_the_operators(demo: Client, admin: Client, network: Any) -> None:
    wanted = "(rule:create_network and rule:create_network:shared) is disallowed by policy"
    assert message(demo.post("/v2.0/networks", {"network": {"shared": True}}))[::2] == (403, wanted)
    path = f"/v2.0/networks/{network['id']}"
    assert demo.put(path, {"network": {"provider:network_type": "vlan"}})[0] == 403
    status, body = admin.put(path, {"network": {"shared": True}})
    assert (status, body["network"]["shared"]) == (200, True)


def test_a_change_raises_the_revision(demo: Client, network: Any) -> None:
    path = f"/v2.0/networks/{network['id']}"
    before = demo.get(path)[1]["network"]["revision_number"]
    status, body = demo.put(path, {"network": {"name": "new", "description": "d"}})
    assert (status, body["network"]["name"], body["network"]["revision_number"]) == (200, "new", before + 1)
    assert message(demo.put(path, {"network": {"id": "x"}}))[2] == "Cannot update read-only attribute id"


def test_another_project_does_not_see_a_network_until_it_is_shared(demo: Client, admin: Client) -> None:
    foreign = admin.make("network", name="foreign")
    path = f"/v2.0/networks/{foreign['id']}"
    assert demo.get(path)[0] == 404
    assert foreign["id"] not in [n["id"] for n in demo.get("/v2.0/networks")[1]["networks"]]
    assert demo.post("/v2.0/ports", {"port": {"network_id": foreign["id"]}})[0] == 404
    admin.put(path, {"network": {"shared": True}})
    assert demo.get(path)[0] == 200
    assert message(demo.delete(path)) == (403, "PolicyNotAuthorized", "rule:delete_network is disallowed by policy")
    admin.wipe(foreign["id"])


@pytest.mark.parametrize(
    ("values", "status", "kind"),
    [
        ({"cidr": "192.0.2.0/29"}, 400, "InvalidInput"),  # overlaps
        ({"cidr": "10.9"}, 400, "InvalidInput"),
        ({"cidr": "10.9.0.0/24", "ip_version": 6}, 400, "InvalidInput"),
        ({}, 400, "BadRequest"),
        (
            {"cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.1", "end": "10.9.0.5"}]},
            409,
            "GatewayConflictWithAllocationPools",
        ),
        (
            {"cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.1.1", "end": "10.9.1.5"}]},
            400,
            "OutOfBoundsAllocationPool",
        ),
        (
            {"cidr": "10.9.0.0/24", "allocation_pools": [{"start": "10.9.0.9", "end": "10.9.0.5"}]},
            400,
            "InvalidAllocationPool",
        ),
        ({"cidr": "10.9.0.0/31"}, 400, "InvalidInput"),
    ],
)
def test_a_wrong_subnet_is_refused(demo: Client, network: Any, values: Any, status: int, kind: str) -> None:
    body = {"subnet": {"network_id": network["id"], "ip_version": 4, **values}}
    assert message(demo.post("/v2.0/subnets", body))[:2] == (status, kind)


def test_the_gateway_is_kept_out_of_the_pools(demo: Client, network: Any) -> None:
    subnet = demo.make(
        "subnet", network_id=network["id"], ip_version=4, cidr="198.51.100.0/28", gateway_ip="198.51.100.5"
    )
    assert subnet["allocation_pools"] == [
        {"start": "198.51.100.1", "end": "198.51.100.4"},
        {"start": "198.51.100.6", "end": "198.51.100.14"},
    ]


def test_pages_follow_each_other_and_end(demo: Client) -> None:
    made = [demo.make("network", name=f"page-{n}")["id"] for n in range(5)]
    path = "/v2.0/networks?" + "&".join(f"name=page-{n}" for n in range(5)) + "&limit=2&sort_key=name&sort_dir=desc"
    seen: list[str] = []
    for _ in range(4):
        status, body = demo.get(path)
        assert status == 200
        seen.extend(network["name"] for network in body["networks"])
        links = {link["rel"]: link["href"] for link in body["networks_links"]}
        if "next" not in links:
            break
        path = links["next"].removeprefix(demo.base)
    assert seen == [f"page-{n}" for n in (4, 3, 2, 1, 0)]
    back = demo.get(
        f"/v2.0/networks?limit=10&page_reverse=True&sort_key=name&sort_dir=asc&marker={made[1]}&name=page-0"
    )
    assert [network["name"] for network in back[1]["networks"]] == ["page-0"]
    for identity in made:
        demo.delete(f"/v2.0/networks/{identity}")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("bogus=1", "['bogus'] is invalid attribute for filtering"),
        ("sort_key=name", "The number of sort_keys and sort_dirs must be same"),
        ("sort_key=bogus&sort_dir=asc", "['bogus'] is invalid attribute for sort_keys"),
        ("limit=x", "Bad limit request: Limit must be an integer 0 or greater and not 'x'."),
        ("shared=bogus", "Invalid input for operation: 'bogus' cannot be converted to boolean."),
    ],
)
def test_a_wrong_query_is_refused(demo: Client, query: str, wanted: str) -> None:
    status, _, text = message(demo.get(f"/v2.0/networks?{query}"))
    assert (status, text) == (400, wanted)


def test_fields_trims_and_filters_combine(demo: Client, network: Any) -> None:
    status, body = demo.get(f"/v2.0/networks?id={network['id']}&name=test&admin_state_up=true&fields=id&fields=mtu")
    assert (status, body) == (200, {"networks": [{"id": network["id"], "mtu": 1450}]})
    assert demo.get(f"/v2.0/networks?id={network['id']}&name=other")[1] == {"networks": []}


def test_a_bulk_create_is_all_or_nothing(demo: Client) -> None:
    status, body = demo.post("/v2.0/networks", {"networks": [{"name": "bulk-1"}, {"name": "bulk-2"}]})
    assert status == 201
    assert [network["name"] for network in body["networks"]] == ["bulk-1", "bulk-2"]
    for network in body["networks"]:
        demo.delete(f"/v2.0/networks/{network['id']}")
    assert demo.post("/v2.0/networks", {"networks": [{"name": "bulk-1"}, {"name": "x" * 300}]})[0] == 400
    assert demo.get("/v2.0/networks?name=bulk-1")[1] == {"networks": []}


def test_tags_are_found_again(demo: Client, network: Any) -> None:
    path = f"/v2.0/networks/{network['id']}/tags"
    assert demo.put(path, {"tags": ["b", "a"]}) == (200, {"tags": ["b", "a"]})
    assert demo.put(path + "/c") == (201, None)
    assert demo.get(path) == (200, {"tags": ["a", "b", "c"]})
    assert demo.get(path + "/c")[0] == 204
    assert message(demo.delete(path + "/z")) == (404, "TagNotFound", "Tag z could not be found.")
    found = {
        query: len(demo.get(f"/v2.0/networks?id={network['id']}&{query}")[1]["networks"])
        for query in ("tags=a,b", "tags=a,z", "tags-any=a,z", "not-tags=a,b", "not-tags=a,z", "not-tags-any=z")
    }
    assert found == {
        "tags=a,b": 1, "tags=a,z": 0, "tags-any=a,z": 1, "not-tags=a,b": 0, "not-tags=a,z": 1, "not-tags-any=z": 1,
    }  # fmt: skip
    assert demo.delete(path)[0] == 204
    assert demo.get(f"/v2.0/networks/{network['id']}")[1]["network"]["tags"] == []


def test_a_request_without_a_token_is_refused_but_versions_are_open(demo: Client) -> None:
    import requests

    refused = requests.get(demo.base + "/v2.0/networks", timeout=10)
    assert refused.status_code == 401
    assert refused.json()["error"]["title"] == "Unauthorized"
    assert refused.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert requests.get(demo.base + "/", timeout=10).json()["versions"][0]["id"] == "v2.0"


def test_quotas_are_kept(demo: Client, admin: Client) -> None:
    path = f"/v2.0/quotas/{demo.project_id}"
    used = demo.get(path + "/details")[1]["quota"]["network"]["used"]
    assert demo.put(path, {"quota": {"network": used + 1}})[0] == 403
    assert admin.put(path, {"quota": {"network": used + 1}})[1]["quota"]["network"] == used + 1
    made = demo.make("network", name="last")
    refused = message(demo.post("/v2.0/networks", {"network": {"name": "one too many"}}))
    assert refused == (409, "OverQuota", "Quota exceeded for resources: ['network'].")
    assert demo.get(path + "/details")[1]["quota"]["network"] == {"limit": used + 1, "used": used + 1, "reserved": 0}
    assert admin.delete(path)[0] == 204
    assert message(admin.delete(path))[0] == 404
    demo.delete(f"/v2.0/networks/{made['id']}")
