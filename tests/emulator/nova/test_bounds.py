"""Requests far out of the ordinary, and what only the scripts of real answers cannot show."""

from .asking import User


def test_more_servers_than_one_message_can_tell_of_are_refused_before_anything_is_written(demo: User) -> None:
    for counts in ({"min_count": 10**9}, {"min_count": 1, "max_count": 10**9}):
        status, message = demo.message("POST", "/servers", demo.body(name="throng", networks="none", **counts), "2.96")
        assert status == 500
        assert message.endswith("<class 'oslo_messaging.exceptions.MessageDeliveryFailure'>")
    assert demo.get("/servers?name=throng")["servers"] == []


def test_a_server_joins_and_leaves_a_security_group(demo: User) -> None:
    uuid = demo.create(name="grouped")
    demo.wait(uuid, "ACTIVE")
    body = {"security_group": {"name": "second", "description": ""}}
    _, answer, _ = demo.ask("neutron", "POST", "/v2.0/security-groups", body)
    group = answer["security_group"]["id"]
    path = f"/servers/{uuid}/action"
    try:
        assert demo("POST", path, {"addSecurityGroup": {"name": "second"}})[0] == 202
        assert group in demo.ports(uuid)[0]["security_groups"]
        names = {shown["name"] for shown in demo.server(uuid)["security_groups"]}
        assert names == {"default", "second"}
        assert {shown["name"] for shown in demo.get(f"/servers/{uuid}/os-security-groups")["security_groups"]} == names
        assert demo("POST", path, {"removeSecurityGroup": {"name": group}})[0] == 202
        assert demo.server(uuid)["security_groups"] == [{"name": "default"}]
        text = f"Security group second not associated with the instance {uuid}"
        assert demo.message("POST", path, {"removeSecurityGroup": {"name": "second"}}) == (404, text)
    finally:
        demo.delete(uuid)
        demo.ask("neutron", "DELETE", f"/v2.0/security-groups/{group}")


def test_the_first_direction_holds_for_keys_without_one(demo: User, server: str) -> None:
    other = demo.create(name="aaa", networks="none")
    demo.wait(other, "ACTIVE")  # what is in no cell yet comes first in every order
    try:
        paths = [
            f"/servers?sort_key=user_id&sort_key=display_name&sort_dir={direction}" for direction in ("asc", "desc")
        ]
        rising, falling = ([one["name"] for one in demo.get(path)["servers"]] for path in paths)
        assert rising == sorted(rising)
        assert falling == sorted(falling, reverse=True)
        text = "Invalid input received: Sort direction size exceeds sort key size"
        assert demo.message("GET", "/servers?sort_dir=asc&sort_dir=desc") == (400, text)
    finally:
        demo.delete(other)


def test_diagnostics_are_for_administrators_and_not_supported(admin: User, server: str) -> None:
    assert admin.message("GET", f"/servers/{server}/diagnostics") == (
        501,
        "The requested functionality is not supported.",
    )
    assert admin.get(f"/servers/{server}/migrations", "2.23") == {"migrations": []}
    assert admin.message("GET", f"/servers/{server}/topology?x=1", version="2.102")[0] == 400
