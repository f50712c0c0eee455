"""The other resources of the compute API, compared with Nova 34.0.0 on 2026-11-22."""

import pytest

from .asking import User


def test_versions_and_microversions(demo: User) -> None:
    _, answer, _ = demo.ask("nova", "GET", "/")
    assert [(v["id"], v["version"], v["min_version"]) for v in answer["versions"]] == [
        ("v2.0", "", ""), ("v2.1", "2.104", "2.1"),
    ]  # fmt: skip
    _, answer, headers = demo.ask("nova", "GET", "/v2.1/")
    assert answer["version"]["media-types"][0]["type"] == "application/vnd.openstack.compute+json;version=2.1"
    assert headers["OpenStack-API-Version"] == "compute 2.1"
    _, _, headers = demo.ask("nova", "GET", "/v2.1/servers", version="latest")
    assert headers["OpenStack-API-Version"] == "compute 2.104"
    assert headers["X-OpenStack-Nova-API-Version"] == "2.104"
    assert headers["x-openstack-request-id"] == headers["x-compute-request-id"]
    assert demo("GET", "/servers", version="2.999") == (
        406,
        {"computeFault": {"code": 406, "message": "Version 2.999 is not supported by the API. "
                          "Minimum is 2.1 and maximum is 2.104."}},
    )  # fmt: skip
    assert demo.message("GET", "/servers", version="abc")[0] == 400
    status, answer = demo("GET", "/nonsense")
    assert (status, answer["title"]) == (404, "Not Found")


def test_flavors(demo: User, admin: User) -> None:
    names = {flavor["name"]: flavor["id"] for flavor in demo.get("/flavors")["flavors"]}
    assert (names["m1.tiny"], names["m1.small"], names["m1.medium"]) == ("1", "2", "3")
    body = {"flavor": {"name": "kept", "id": "kept", "ram": 1, "vcpus": 1, "disk": 1}}
    assert demo.message("POST", "/flavors", body) == (
        403, "Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed.",
    )  # fmt: skip
    status, answer = admin("POST", "/flavors", body, "2.95")
    assert (status, answer["flavor"]["swap"], answer["flavor"]["extra_specs"]) == (200, 0, {})
    assert admin.message("POST", "/flavors", body) == (409, "Flavor with ID kept already exists.")
    bad = {"flavor": {"name": "bad", "ram": "a", "vcpus": 1, "disk": 1}}
    text = "Invalid input for field/attribute ram. Value: a. 'a' does not match '^[0-9]+$'"
    assert admin.message("POST", "/flavors", bad) == (400, text)
    specs = {"extra_specs": {"hw:cpu_policy": "shared"}}
    assert admin("POST", "/flavors/kept/os-extra_specs", specs) == (200, specs)
    assert admin.get("/flavors/kept/os-extra_specs/hw:cpu_policy") == {"hw:cpu_policy": "shared"}
    assert admin.message("GET", "/flavors/kept/os-extra_specs/foo") == (
        404, "Flavor kept has no extra specs with key foo.",
    )  # fmt: skip
    assert admin.get("/flavors/kept", "2.61")["flavor"]["extra_specs"] == {"hw:cpu_policy": "shared"}
    assert admin("DELETE", "/flavors/kept")[0] == 202
    assert admin.message("DELETE", "/flavors/kept") == (404, "Flavor kept could not be found.")
    page = demo.get("/flavors?limit=1")
    assert page["flavors_links"][0]["href"].endswith("/v2.1/flavors?limit=1&marker=1")


def test_key_pairs(demo: User) -> None:
    status, answer = demo("POST", "/os-keypairs", {"keypair": {"name": "made"}})
    assert status == 200
    assert answer["keypair"]["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    public = answer["keypair"]["public_key"]
    message = demo.message("POST", "/os-keypairs", {"keypair": {"name": "made"}})
    assert message == (409, "Key pair 'made' already exists.")
    status, answer = demo("POST", "/os-keypairs", {"keypair": {"name": "brought", "public_key": public}}, "2.92")
    assert (status, answer["keypair"]["type"]) == (201, "ssh")
    bad = {"keypair": {"name": "bad", "public_key": "bad"}}
    text = "Keypair data is invalid: failed to generate fingerprint"
    assert demo.message("POST", "/os-keypairs", bad, "2.92") == (400, text)
    shown = demo.get("/os-keypairs/made", "2.10")["keypair"]
    assert set(shown) == {
        "name", "public_key", "fingerprint", "user_id", "created_at", "deleted", "deleted_at", "id", "updated_at",
        "type",
    }  # fmt: skip
    assert [entry["keypair"]["name"] for entry in demo.get("/os-keypairs")["keypairs"]] == ["brought", "made"]
    assert demo("DELETE", "/os-keypairs/made")[0] == 202
    assert demo("DELETE", "/os-keypairs/brought", version="2.10")[0] == 204
    text = f"Keypair made not found for user {demo.user_id}"
    assert demo.message("DELETE", "/os-keypairs/made") == (404, text)


def test_quotas_hold_and_are_counted(demo: User, admin: User) -> None:
    path = f"/os-quota-sets/{demo.project_id}"
    before = demo.get(f"{path}/detail", "2.96")["quota_set"]
    assert before["instances"]["limit"] == -1
    used = before["instances"]["in_use"]
    assert demo.get("/limits")["limits"]["absolute"]["totalInstancesUsed"] == used
    text = "Policy doesn't allow os_compute_api:os-quota-sets:update to be performed."
    assert demo.message("PUT", path, {"quota_set": {"instances": 1}}) == (403, text)
    status, answer = admin("PUT", path, {"quota_set": {"instances": used + 1}}, "2.96")
    assert (status, answer["quota_set"]["instances"]) == (200, used + 1)
    try:
        status, message = demo.message("POST", "/servers", demo.body(min_count=2))
        assert (status, message) == (
            403,
            f"Quota exceeded for instances: Requested 2, but already used {used} of {used + 1} instances",
        )
        uuid = demo.create(name="last", networks="none")
        demo.wait(uuid, "ACTIVE")
        text = f"Quota limit 0 for instances must be greater than or equal to already used and reserved {used + 1}."
        assert admin.message("PUT", path, {"quota_set": {"instances": 0}}) == (400, text)
        demo.delete(uuid)
    finally:
        assert admin("DELETE", path)[0] == 202
    assert admin.get(f"{path}/defaults")["quota_set"]["instances"] == -1
    assert demo.message("GET", f"/os-quota-sets/{admin.project_id}")[0] == 403


def test_services_hypervisors_and_zones(demo: User, admin: User) -> None:
    services = admin.get("/os-services", "2.53")["services"]
    assert sorted({service["binary"] for service in services}) == ["nova-compute", "nova-conductor", "nova-scheduler"]
    assert {service["state"] for service in services} == {"up"}
    computes = [service for service in services if service["binary"] == "nova-compute"]
    assert len(computes) == 20
    path = f"/os-services/{computes[-1]['id']}"
    status, answer = admin("PUT", path, {"status": "disabled", "disabled_reason": "test"}, "2.53")
    assert (status, answer["service"]["status"], answer["service"]["disabled_reason"]) == (200, "disabled", "test")
    status, answer = admin("PUT", path, {"status": "enabled"}, "2.53")
    assert answer["service"]["disabled_reason"] is None
    status, answer = admin("PUT", path, {"forced_down": True}, "2.53")
    assert answer["service"]["state"] == "down"
    assert admin("PUT", path, {"forced_down": False}, "2.53")[1]["service"]["state"] == "up"
    text = "No updates were requested. Fields 'status' or 'forced_down' should be specified."
    assert admin.message("PUT", path, {}, "2.53") == (400, text)
    hypervisors = admin.get("/os-hypervisors/detail", "2.53")["hypervisors"]
    assert len(hypervisors) == 20
    assert hypervisors[0]["vcpus"] == 64
    assert admin.get("/os-hypervisors/statistics")["hypervisor_statistics"]["count"] == 20
    assert admin.message("GET", "/os-hypervisors/statistics", version="2.88")[0] == 404
    assert admin.message("GET", "/os-hypervisors/1", version="2.53") == (400, "Invalid uuid 1")
    shown = admin.get(f"/os-hypervisors/{hypervisors[0]['id']}?with_servers=1", "2.88")["hypervisor"]
    assert "servers" in shown
    assert demo.get("/os-availability-zone") == {
        "availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]
    }
    assert len(admin.get("/os-availability-zone/detail")["availabilityZoneInfo"]) == 2


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/os-services", "os-services:list"),
        ("/os-hypervisors", "os-hypervisors:list"),
        ("/os-aggregates", "os-aggregates:index"),
        ("/os-simple-tenant-usage", "os-simple-tenant-usage:list"),
    ],
)
def test_what_only_administrators_may_see(demo: User, admin: User, path: str, rule: str) -> None:
    assert demo.message("GET", path) == (403, f"Policy doesn't allow os_compute_api:{rule} to be performed.")
    assert admin("GET", path)[0] == 200


def test_usage_groups_and_events(demo: User, admin: User, server: str) -> None:
    usage = demo.get(f"/os-simple-tenant-usage/{demo.project_id}?start=2026-01-01T00:00:00")["tenant_usage"]
    assert server in [entry["instance_id"] for entry in usage["server_usages"]]
    body = {"server_group": {"name": "g", "policy": "anti-affinity"}}
    status, answer = demo("POST", "/os-server-groups", body, "2.64")
    assert status == 200
    group = answer["server_group"]["id"]
    body = demo.body(name="grouped", networks="none")
    body["os:scheduler_hints"] = {"group": group}
    status, answer = demo("POST", "/servers", body, "2.96")
    uuid = answer["server"]["id"]
    assert demo.wait(uuid, "ACTIVE")["server_groups"] == [group]
    assert demo.get(f"/os-server-groups/{group}")["server_group"]["members"] == [uuid]
    demo.delete(uuid)
    assert demo("DELETE", f"/os-server-groups/{group}")[0] == 204
    unknown = "11111111-1111-1111-1111-111111111111"
    event = {"events": [{"name": "network-vif-plugged", "server_uuid": unknown}]}
    assert demo.message("POST", "/os-server-external-events", event)[0] == 403
    status, answer = admin("POST", "/os-server-external-events", event)
    assert (status, answer["events"][0]["code"]) == (207, 404)
