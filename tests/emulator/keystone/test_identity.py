"""Projects, users, roles, catalog: who may do what, filters, conflicts. Bodies are those of keystone 30.0.0."""

import uuid

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.keystone.asking import Asker, asker
from tests.emulator.keystone.test_tokens import new_user

FORBIDDEN_TO_MEMBERS = [
    ("GET", "/v3/projects", "list_projects"),
    ("GET", "/v3/users", "list_users"),
    ("GET", "/v3/roles", "list_roles"),
    ("GET", "/v3/role_assignments", "list_role_assignments"),
    ("GET", "/v3/domains", "list_domains"),
    ("GET", "/v3/services", "list_services"),
    ("GET", "/v3/endpoints", "list_endpoints"),
    ("GET", "/v3/groups", "list_groups"),
]


@pytest.mark.parametrize(("method", "path", "rule"), FORBIDDEN_TO_MEMBERS)
def test_a_member_is_refused_with_the_name_of_the_rule(cloud: EmbeddedCloud, method: str, path: str, rule: str) -> None:
    answer = asker(cloud, "keystone", "demo")(method, path)
    assert answer.status == 403
    assert answer.json == {
        "error": {
            "code": 403,
            "message": f"You are not authorized to perform the requested action: identity:{rule}.",
            "title": "Forbidden",
        }
    }


def test_versions_need_no_token(cloud: EmbeddedCloud) -> None:
    ask = Asker(cloud, "keystone")
    root = ask("GET", "/")
    assert root.status == 300
    assert root.json["versions"]["values"][0]["id"] == "v3.14"
    assert ask("GET", "/v3").json["version"]["status"] == "stable"
    assert ask("GET", "/v3/").json["version"]["status"] == "stable"
    assert ask("GET", "/v3/nope").headers["content-type"] == "text/html; charset=utf-8"


def test_a_project_name_is_taken_once_in_a_domain(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    name = f"p-{uuid.uuid4().hex[:8]}"
    made = admin("POST", "/v3/projects", {"project": {"name": name, "colour": "red"}})
    assert made.status == 201
    project = made.json["project"]
    assert (project["parent_id"], project["domain_id"], project["colour"]) == ("default", "default", "red")
    again = admin("POST", "/v3/projects", {"project": {"name": name}})
    assert again.status == 409
    assert again.json["error"]["message"].startswith(
        "Conflict occurred attempting to store project - it is not permitted to have two projects with either the "
        f"same name or same id in the same domain: name is {name}, project id "
    )
    assert [one["name"] for one in admin("GET", f"/v3/projects?name={name}").json["projects"]] == [name]
    assert admin("DELETE", f"/v3/projects/{project['id']}").status == 204
    gone = admin("GET", f"/v3/projects/{project['id']}")
    assert gone.json["error"]["message"] == f"Could not find project: {project['id']}."


def test_bad_bodies_are_named(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    empty = admin("POST", "/v3/projects", {"project": {}})
    assert empty.json["error"]["message"] == (
        "Invalid input for field/attribute project. Value: {}. 'name' is a required property"
    )
    blank = admin("POST", "/v3/projects", {"project": {"name": ""}})
    assert blank.json["error"]["message"] == "Invalid input for field/attribute name. Value: . '' should be non-empty"
    broken = admin("POST", "/v3/projects", b"{x", Content_Type="application/json")
    assert broken.json["error"]["message"].startswith("Expecting to find valid JSON in request body.")


def test_lists_are_cut_and_continued(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    whole = [one["id"] for one in admin("GET", "/v3/users").json["users"]]
    path: str | None = "/v3/users?limit=2"
    seen: list[str] = []
    while path:
        page = admin("GET", path).json
        seen += [one["id"] for one in page["users"]]
        following = page["links"]["next"]
        path = following and following.removeprefix(cloud.settings.url("keystone"))
    assert seen == whole == sorted(whole)


def test_role_assignments_show_names_and_what_roles_imply(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    user, project = new_user(admin)
    plain = admin("GET", f"/v3/role_assignments?user.id={user}&include_names").json["role_assignments"]
    assert [(one["role"]["name"], one["scope"]["project"]["id"]) for one in plain] == [("member", project)]
    effective = admin("GET", f"/v3/role_assignments?user.id={user}&effective&include_names").json
    assert {one["role"]["name"] for one in effective["role_assignments"]} == {"member", "reader"}


def test_a_group_gives_its_roles_to_its_users(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    user, _project = new_user(admin)
    name = f"g-{uuid.uuid4().hex[:8]}"
    group = admin("POST", "/v3/groups", {"group": {"name": name}}).json["group"]["id"]
    shared = admin("POST", "/v3/projects", {"project": {"name": name}}).json["project"]["id"]
    reader = admin("GET", "/v3/roles?name=reader").json["roles"][0]["id"]
    assert admin("PUT", f"/v3/projects/{shared}/groups/{group}/roles/{reader}").status == 204
    assert admin("PUT", f"/v3/groups/{group}/users/{user}").status == 204
    projects = admin("GET", f"/v3/users/{user}/projects").json["projects"]
    assert shared in {one["id"] for one in projects}


def test_immutable_roles_stay(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    member = admin("GET", "/v3/roles?name=member").json["roles"][0]["id"]
    assert admin("DELETE", f"/v3/roles/{member}").status == 403


def test_a_new_endpoint_is_in_the_next_catalog(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    service = admin("POST", "/v3/services", {"service": {"type": "test", "name": "test"}}).json["service"]["id"]
    given = {"service_id": service, "interface": "public", "url": "http://x/$(project_id)s", "region": "RegionOne"}
    assert admin("POST", "/v3/endpoints", {"endpoint": given}).status == 201
    catalog = admin("GET", "/v3/auth/catalog").json["catalog"]
    project = admin("GET", "/v3/projects?name=admin").json["projects"][0]["id"]
    assert [one["endpoints"][0]["url"] for one in catalog if one["type"] == "test"] == [f"http://x/{project}"]
    assert admin("DELETE", f"/v3/services/{service}").status == 204
