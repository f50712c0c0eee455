"""Servers as users see them. Field sets and messages were taken from Nova 34.0.0 on 2026-11-22."""

import pytest

from .asking import User, wait

_SHOWN = """
    accessIPv4 accessIPv6 addresses created flavor hostId id image links metadata name status tenant_id updated
    user_id OS-DCF:diskConfig progress OS-EXT-AZ:availability_zone config_drive key_name OS-SRV-USG:launched_at
    OS-SRV-USG:terminated_at security_groups OS-EXT-STS:task_state OS-EXT-STS:vm_state OS-EXT-STS:power_state
    os-extended-volumes:volumes_attached"""
_ADMIN_SINCE_3 = "hostname kernel_id launch_index ramdisk_id reservation_id root_device_name user_data"
SHOWN = set(_SHOWN.split())
ADDED = {
    "2.9": {"locked"},
    "2.19": {"description"},
    "2.26": {"tags"},
    "2.63": {"trusted_image_certificates"},
    "2.71": {"server_groups"},
    "2.73": {"locked_reason"},
    "2.90": {"OS-EXT-SRV-ATTR:hostname"},
    "2.96": {"pinned_availability_zone"},
    "2.100": {"scheduler_hints"},
}
ADMIN = {f"OS-EXT-SRV-ATTR:{name}" for name in ("host", "instance_name", "hypervisor_hostname")}
ADMIN_SINCE_3 = {f"OS-EXT-SRV-ATTR:{name}" for name in _ADMIN_SINCE_3.split()}


def test_a_server_goes_from_build_to_active_and_away_with_port_and_allocation(demo: User, admin: User) -> None:
    uuid = demo.create(name="alone", user_data="aGVsbG8=")
    shown = demo.server(uuid)
    assert shown["status"] in ("BUILD", "ACTIVE")
    shown = demo.wait(uuid, "ACTIVE", "ERROR")
    assert shown["status"] == "ACTIVE"
    assert shown["OS-EXT-STS:power_state"] == 1
    [address] = shown["addresses"]["private"]
    [port] = demo.ports(uuid)
    assert (port["status"], port["device_owner"]) == ("ACTIVE", "compute:nova")
    assert port["fixed_ips"][0]["ip_address"] == address["addr"]
    host = admin.server(uuid)["OS-EXT-SRV-ATTR:host"]
    assert port["mac_address"] == address["OS-EXT-IPS-MAC:mac_addr"]
    [taken] = admin.allocations(uuid).values()
    assert taken["resources"] == {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
    _, provider, _ = admin.ask("placement", "GET", f"/resource_providers?name={host}", version="1.28")
    assert len(provider["resource_providers"]) == 1
    demo.delete(uuid)
    wait(lambda: admin.allocations(uuid) == {})
    assert demo.ports(uuid) == []
    assert demo.message("GET", f"/servers/{uuid}") == (404, f"Instance {uuid} could not be found.")


def test_each_microversion_shows_the_fields_that_nova_shows(demo: User, admin: User, server: str) -> None:
    expected = set(SHOWN)
    assert set(demo.server(server, "2.1")) == expected
    assert set(admin.server(server, "2.1")) == expected | ADMIN
    assert set(admin.server(server, "2.3")) == expected | ADMIN | ADMIN_SINCE_3
    for version, added in ADDED.items():
        expected |= added
        assert set(demo.server(server, version)) == expected, version
    assert set(admin.server(server, "2.104")) == expected | ADMIN | ADMIN_SINCE_3 | {"host_status"}
    [listed] = demo.get("/servers/detail?limit=1&name=^shared$", "2.100")["servers"]
    assert set(listed) == expected - {"server_groups"}
    assert demo.server(server, "2.46")["flavor"]["id"] == "1"
    assert demo.server(server, "2.47")["flavor"] == {
        "vcpus": 1, "ram": 64, "disk": 1, "ephemeral": 0, "swap": 0, "original_name": "m1.tiny", "extra_specs": {},
    }  # fmt: skip
    assert demo.server(server, "2.98")["image"]["properties"] == {}


def test_several_servers_are_numbered_and_share_a_reservation(demo: User, admin: User) -> None:
    body = demo.body(name="many", min_count=3, return_reservation_id=True, networks="none")
    status, answer = demo("POST", "/servers", body, "2.37")
    assert status == 202
    path = f"/servers/detail?all_tenants=1&reservation_id={answer['reservation_id']}"
    wait(lambda: [s["status"] for s in admin.get(path)["servers"]] == ["ACTIVE"] * 3)
    found = admin.get(path, "2.96")["servers"]
    by_name = sorted((s["name"], s["OS-EXT-SRV-ATTR:hostname"], s["OS-EXT-SRV-ATTR:launch_index"]) for s in found)
    assert by_name == [(f"many-{i}", f"many-{i}", i - 1) for i in (1, 2, 3)]
    assert [s["addresses"] for s in found] == [{}] * 3
    assert len({s["OS-EXT-SRV-ATTR:host"] for s in found}) == 3
    demo.delete(*(s["id"] for s in found))
    gone = admin.get(f"{path}&changes-since=2026-01-01T00:00:00Z")["servers"]
    assert {s["status"] for s in gone} == {"DELETED"}


@pytest.mark.parametrize(
    ("fields", "version", "status", "message"),
    [
        ({"name": ""}, "2.1", 400, "Invalid input for field/attribute name. Value: . '' should be non-empty"),
        ({"flavorRef": "zz"}, "2.1", 400, "Flavor zz could not be found."),
        ({"imageRef": "11111111-1111-1111-1111-111111111111"}, "2.1", 400, "Can not find requested image"),
        ({"imageRef": "zz"}, "2.1", 400, "Invalid input for field/attribute imageRef. Value: zz. "
         "'zz' is not valid under any of the given schemas"),
        ({"imageRef": None}, "2.1", 400, "Missing imageRef attribute"),
        ({"networks": [{"uuid": "11111111-1111-1111-1111-111111111111"}]}, "2.1", 400,
         "Network 11111111-1111-1111-1111-111111111111 could not be found."),
        ({"networks": [{"uuid": "zz"}]}, "2.1", 400,
         "Bad networks format: network uuid is not in proper format (zz)"),
        ({"networks": [{"port": "11111111-1111-1111-1111-111111111111"}]}, "2.1", 400,
         "Port id 11111111-1111-1111-1111-111111111111 could not be found."),
        ({"networks": "none"}, "2.1", 400,
         "Invalid input for field/attribute networks. Value: none. 'none' is not of type 'array'"),
        ({"min_count": 3, "max_count": 2}, "2.1", 400, "min_count must be <= max_count"),
        ({"min_count": 0}, "2.1", 400,
         "Invalid input for field/attribute min_count. Value: 0. 0 is less than the minimum of 1"),
        ({"max_count": "x"}, "2.1", 400,
         "Invalid input for field/attribute max_count. Value: x. 'x' does not match '^[0-9]*$'"),
        ({"key_name": "nokey"}, "2.1", 400, "Invalid key_name provided."),
        ({"availability_zone": "foo"}, "2.1", 400, "The requested availability zone is not available"),
        ({"security_groups": [{"name": "zz"}]}, "2.1", 400, "Unable to find security_group with name or id 'zz'"),
        ({"metadata": {"a": 1}}, "2.1", 400,
         "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string'"),
        ({"hostname": "a b"}, "2.90", 400, "Invalid input for field/attribute hostname. Value: a b. "
         "'a b' does not match '^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$'"),
        ({"host": "x"}, "2.74", 403,
         "Policy doesn't allow compute:servers:create:requested_destination to be performed."),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_in_novas_words(
    demo: User, fields: dict[str, object], version: str, status: int, message: str
) -> None:
    assert demo.message("POST", "/servers", demo.body(**fields), version) == (status, message)


def test_fields_that_a_microversion_does_not_know_are_refused(demo: User) -> None:
    status, message = demo.message("POST", "/servers", demo.body(tags=["a"]), "2.51")
    assert status == 400
    assert message.endswith("Additional properties are not allowed ('tags' was unexpected)")
    status, message = demo.message("POST", "/servers", demo.body(networks=None), "2.37")
    assert message.endswith("'networks' is a required property")
    assert demo.message("POST", "/servers", {"servers": 1}) == (400, "'server' is a required property")
    assert demo.message("POST", "/servers", b"{") == (400, "Malformed request body")


def test_pages_follow_each_other_in_every_order(demo: User) -> None:
    body = demo.body(name="page", min_count=7, networks="none")
    assert demo("POST", "/servers", body, "2.37")[0] == 202
    wait(lambda: len(demo.get("/servers?name=^page-&status=ACTIVE")["servers"]) == 7)
    whole = [s["id"] for s in demo.get("/servers?name=^page-")["servers"]]
    for order in (
        "",
        "&sort_key=display_name&sort_dir=asc",
        "&sort_key=launched_at&sort_key=uuid&sort_dir=desc&sort_dir=asc",
    ):
        collected: list[str] = []
        path = f"/servers?name=^page-&limit=3{order}"
        while path:
            answer = demo.get(path)
            collected += [s["id"] for s in answer["servers"]]
            links = answer.get("servers_links")
            path = links[0]["href"].partition("/v2.1")[2] if links else ""
            if path and order.count("sort_key") > 1:  # nova's link keeps only the last of them: a page in another order
                path = f"/servers?name=^page-&limit=3{order}&marker={collected[-1]}"
        assert sorted(collected) == sorted(whole)
        assert len(collected) == 7
    names = [s["name"] for s in demo.get("/servers?name=^page-&sort_key=display_name&sort_dir=asc")["servers"]]
    assert names == [f"page-{i}" for i in range(1, 8)]
    demo.delete(*whole)


def test_bad_pages_are_refused(demo: User) -> None:
    assert demo.message("GET", "/servers?limit=x") == (
        400, "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]*$'",
    )  # fmt: skip
    assert demo.message("GET", "/servers?marker=xyz") == (400, "marker [xyz] not found")
    assert demo.message("GET", "/servers?changes-since=zz") == (
        400, "Invalid input for query parameters changes-since. Value: zz. 'zz' is not a 'date-time'",
    )  # fmt: skip
    status, message = demo.message("GET", "/servers?sort_key=zz")
    assert status == 400
    assert message.startswith("Invalid input for query parameters sort_key. Value: zz. 'zz' is not one of [")
    assert demo.message("GET", "/servers?all_tenants=1") == (
        403, "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.",
    )  # fmt: skip


def test_filters_choose(demo: User, admin: User, server: str) -> None:
    def names(query: str, user: User = demo, version: str = "2.96") -> list[str]:
        return [s["name"] for s in user.get(f"/servers?{query}", version)["servers"]]

    address = demo.server(server)["addresses"]["private"][0]["addr"]
    host = admin.server(server)["OS-EXT-SRV-ATTR:host"]
    assert names("name=^shar&status=ACTIVE") == ["shared"]
    assert names("name=^shared$&status=foo", version="2.37") == []
    assert demo.message("GET", "/servers?status=foo", version="2.38") == (400, "Invalid status value")
    assert names("tags=t1&name=^shared$") == ["shared"]
    assert names("not-tags=t1&name=^shared$") == []
    assert names(f"ip={address}&name=^shared$") == ["shared"]
    assert names("name=^shared$&locked=true") == []
    assert "shared" in names(f"all_tenants=1&host={host}", admin)
    assert names("all_tenants=1&host=nohost", admin) == []
    assert names("all_tenants=1&project_id=x", admin) == []
    assert names("name=^shared$") == ["shared"]
    assert "shared" in names("host=nohost"), "a filter for administrators is ignored, as in nova"
    assert names("name=^shared$", admin) == [], "another project's"


def test_a_project_sees_only_its_own(admin: User, demo: User, server: str) -> None:
    uuid = admin.create(name="admins", networks="none")
    assert demo("GET", f"/servers/{uuid}")[0] == 404
    assert demo("DELETE", f"/servers/{uuid}")[0] == 404
    assert uuid not in [s["id"] for s in demo.get("/servers")["servers"]]
    assert admin("GET", f"/servers/{server}")[0] == 200
    admin.wait(uuid, "ACTIVE")
    admin.delete(uuid)


def test_rename_metadata_and_tags(demo: User, server: str) -> None:
    status, answer = demo("PUT", f"/servers/{server}", {"server": {"name": "renamed"}}, "2.96")
    assert (status, answer["server"]["name"]) == (200, "renamed")
    assert demo("PUT", f"/servers/{server}", {"server": {"name": "shared"}})[0] == 200
    assert demo.message("PUT", f"/servers/{server}", {"server": {"zzz": ""}})[0] == 400
    path = f"/servers/{server}/metadata"
    assert demo("POST", path, {"metadata": {"k": "v"}}) == (200, {"metadata": {"a": "b", "k": "v"}})
    assert demo("PUT", f"{path}/k", {"meta": {"k": "v2"}}) == (200, {"meta": {"k": "v2"}})
    assert demo("DELETE", f"{path}/k")[0] == 204
    assert demo.message("GET", f"{path}/k") == (404, "Metadata item was not found")
    assert demo.server(server)["metadata"] == {"a": "b"}
    path = f"/servers/{server}/tags"
    assert demo("PUT", f"{path}/foo", version="2.26")[0] == 201
    assert demo("PUT", f"{path}/foo", version="2.26")[0] == 204
    assert demo.server(server)["tags"] == ["foo", "t1"]
    assert demo("DELETE", f"{path}/foo", version="2.26")[0] == 204
    assert demo.message("DELETE", f"{path}/foo", version="2.26") == (404, f"Instance {server} has no tag 'foo'")
    assert demo("GET", path)[0] == 404, "tags came with 2.26"


def test_actions_move_the_server_and_refuse_what_its_state_forbids(demo: User, admin: User) -> None:
    uuid = demo.create(name="acted", networks="none")
    demo.wait(uuid, "ACTIVE")
    path = f"/servers/{uuid}/action"
    for action, status in (
        ({"os-stop": None}, "SHUTOFF"),
        ({"os-start": None}, "ACTIVE"),
        ({"reboot": {"type": "SOFT"}}, "ACTIVE"),
        ({"reboot": {"type": "HARD"}}, "ACTIVE"),
        ({"pause": None}, "PAUSED"),
        ({"unpause": None}, "ACTIVE"),
        ({"suspend": None}, "SUSPENDED"),
        ({"resume": None}, "ACTIVE"),
    ):
        assert demo("POST", path, action)[0] == 202
        demo.wait(uuid, status)
    assert demo.message("POST", path, {"os-start": None}) == (
        409, f"Cannot 'start' instance {uuid} while it is in vm_state active",
    )  # fmt: skip
    assert demo.message("POST", path, {"foo": None}) == (400, "There is no such action: foo")
    assert demo.message("POST", path, {"reboot": {"type": "X"}})[0] == 400
    assert demo.message("POST", path, {"os-resetState": {"state": "error"}})[0] == 403
    assert admin("POST", path, {"os-resetState": {"state": "error"}})[0] == 202
    assert demo.server(uuid)["status"] == "ERROR"
    assert admin("POST", path, {"os-resetState": {"state": "active"}})[0] == 202
    assert demo("POST", path, {"lock": None})[0] == 202
    assert demo("POST", path, {"unlock": None})[0] == 202
    done = [action["action"] for action in demo.get(f"/servers/{uuid}/os-instance-actions")["instanceActions"]]
    assert done[-1] == "create"
    assert {"stop", "start", "reboot", "pause", "suspend"} <= set(done)
    assert demo("POST", path, {"forceDelete": None})[0] == 202
    wait(lambda: demo("GET", f"/servers/{uuid}")[0] == 404)


def test_what_hangs_on_a_server(demo: User, admin: User, server: str) -> None:
    [interface] = demo.get(f"/servers/{server}/os-interface")["interfaceAttachments"]
    assert interface["port_state"] == "ACTIVE"
    assert set(interface) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips"}
    assert list(demo.get(f"/servers/{server}/ips")["addresses"]) == ["private"]
    assert demo.get(f"/servers/{server}/os-volume_attachments") == {"volumeAttachments": []}
    [group] = demo.get(f"/servers/{server}/os-security-groups")["security_groups"]
    assert group["name"] == "default"
    [action] = demo.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert action["action"] == "create"
    path = f"/servers/{server}/os-instance-actions/{action['request_id']}"

    def events() -> list[dict[str, object]]:
        found: list[dict[str, object]] = admin.get(path, "2.84")["instanceAction"]["events"]
        return found

    wait(events)
    [event] = events()
    assert (event["event"], event["result"]) == ("compute__do_build_and_run_instance", "Success")


def test_a_port_that_was_brought_along_is_used_and_kept(demo: User) -> None:
    body = {"port": {"network_id": demo.network()}}
    _, answer, _ = demo.ask("neutron", "POST", "/v2.0/ports", body)
    port = answer["port"]["id"]
    uuid = demo.create(name="ported", networks=[{"port": port}])
    assert demo.wait(uuid, "ACTIVE", "ERROR")["status"] == "ACTIVE"
    assert [found["id"] for found in demo.ports(uuid)] == [port]
    status, message = demo.message("POST", "/servers", demo.body(networks=[{"port": port}]))
    assert (status, message) == (409, f"Port {port} is still in use.")
    demo.delete(uuid)
    _, answer, _ = demo.ask("neutron", "GET", f"/v2.0/ports/{port}")
    assert answer["port"]["device_id"] == ""
    assert demo.ask("neutron", "DELETE", f"/v2.0/ports/{port}")[0] == 204


def test_what_no_host_can_hold_ends_in_error_with_a_fault(demo: User, admin: User) -> None:
    flavor = {"name": "huge", "id": "huge", "ram": 64, "vcpus": 10_000, "disk": 1}
    assert admin("POST", "/flavors", {"flavor": flavor})[0] == 200
    uuid = demo.create(name="huge", flavorRef="huge")
    shown = demo.wait(uuid, "ERROR")
    assert shown["fault"]["message"] == "No valid host was found. There are not enough hosts available."
    assert shown["fault"]["code"] == 500
    assert shown["hostId"] == ""
    assert admin.allocations(uuid) == {}
    demo.delete(uuid)
    assert admin("DELETE", "/flavors/huge")[0] == 202
