"""Projects, users, roles and application credentials."""

from typing import Any

from tests.conformance.keystone.common import DEFAULT, PROJECT, auth
from tests.conformance.play import Play


def projects(play: Play) -> None:
    ask, default = play.admin.keystone, "default"
    for body in (
        {},
        [],
        {"project": {}},
        {"project": []},
        {"project": {"name": ""}},
        {"project": {"name": " "}},
        {"project": {"name": "x" * 65}},
        {"project": {"name": 1}},
        {"project": {"name": None}},
        {"project": {"name": "conformance-p", "enabled": "yes"}},
        {"project": {"name": "conformance-p", "domain_id": "nonsense"}},
        {"project": {"name": "conformance-p", "domain_id": 1}},
        {"project": {"name": "conformance-p", "parent_id": "0" * 32}},
        {"project": {"name": "conformance-p", "is_domain": "x"}},
        {"project": {"name": "conformance-p", "tags": "x"}},
        {"project": {"name": "conformance-p", "tags": ["a,b"]}},
        {"project": {"name": "conformance-p", "options": {"nonsense": True}}},
        {"project": {"name": "conformance-p", "description": 1}},
    ):
        ask("POST", "/v3/projects", body)
    made = ask("POST", "/v3/projects", {"project": {"name": "conformance-p", "domain_id": default, "extra": "more"}})
    project = play.name("p", made["project"]["id"])
    ask("POST", "/v3/projects", {"project": {"name": "conformance-p", "domain_id": default}})
    ask("GET", f"/v3/projects/{project}")
    ask("HEAD", f"/v3/projects/{project}")
    ask("GET", "/v3/projects?name=conformance-p")
    ask("GET", "/v3/projects?name=conformance-p&domain_id=default&enabled=false")
    ask("GET", "/v3/projects?name__contains=mance-p")
    ask("GET", "/v3/projects?nonsense=1&name=conformance-p")
    ask("GET", f"/v3/projects/{project}?parents_as_list")
    ask("GET", f"/v3/projects/{project}?subtree_as_ids")
    ask("GET", f"/v3/projects/{project}?parents_as_list&parents_as_ids")
    ask("PATCH", f"/v3/projects/{project}", {"project": {"description": "new", "tags": ["b", "a"]}})
    ask("PATCH", f"/v3/projects/{project}", {"project": {}})
    ask("PATCH", f"/v3/projects/{project}", {})
    ask("PATCH", f"/v3/projects/{project}", {"project": {"domain_id": "nonsense"}})
    ask("PATCH", f"/v3/projects/{project}", {"project": {"name": "conformance"}})
    ask("PATCH", f"/v3/projects/{'0' * 32}", {"project": {"name": "conformance-q"}})
    ask("GET", f"/v3/projects/{project}/tags")
    ask("PUT", f"/v3/projects/{project}/tags", {"tags": ["one", "two"]})
    ask("PUT", f"/v3/projects/{project}/tags/three")
    ask("GET", f"/v3/projects/{project}/tags/three")
    ask("GET", f"/v3/projects/{project}/tags/four")
    ask("DELETE", f"/v3/projects/{project}/tags/three")
    ask("DELETE", f"/v3/projects/{project}/tags/three")
    ask("GET", "/v3/projects?tags=one&name=conformance-p", only="projects.0.tags")
    ask("DELETE", f"/v3/projects/{project}/tags")
    child = ask("POST", "/v3/projects", {"project": {"name": "conformance-c", "parent_id": project}})
    child_id = play.name("c", child["project"]["id"])
    ask("DELETE", f"/v3/projects/{project}")
    ask("DELETE", f"/v3/projects/{child_id}")
    ask("DELETE", f"/v3/projects/{project}")
    ask("DELETE", f"/v3/projects/{project}")
    ask("GET", f"/v3/projects/{project}")
    ask("GET", "/v3/domains/nonsense")
    ask("DELETE", "/v3/domains/default")
    ask("GET", "/v3/domains?name=Default")
    ask("POST", "/v3/domains", {"domain": {}})


def users(play: Play) -> None:
    ask = play.admin.keystone
    for body in (
        {},
        {"user": {}},
        {"user": []},
        {"user": {"name": ""}},
        {"user": {"name": "x" * 256}},
        {"user": {"name": 1}},
        {"user": {"name": "conformance-u", "enabled": "yes"}},
        {"user": {"name": "conformance-u", "password": 1}},
        {"user": {"name": "conformance-u", "domain_id": "nonsense"}},
        {"user": {"name": "conformance-u", "default_project_id": 1}},
        {"user": {"name": "conformance-u", "options": {"nonsense": 1}}},
        {"user": {"name": "conformance-u", "options": {"ignore_password_expiry": "x"}}},
    ):
        ask("POST", "/v3/users", body)
    made = ask("POST", "/v3/users", {"user": {"name": "conformance-u", "password": "one", "email": "u@example.org"}})
    user = play.name("u", made["user"]["id"])
    ask("POST", "/v3/users", {"user": {"name": "conformance-u"}})
    ask("GET", f"/v3/users/{user}")
    ask("GET", "/v3/users?name=conformance-u")
    ask("GET", "/v3/users?name=conformance-u&enabled=0")
    ask("GET", "/v3/users?name=conformance-nobody")
    ask("GET", "/v3/users?name__startswith=conformance-u&limit=1")
    ask("GET", "/v3/users?limit=nonsense&name=conformance-u")
    ask("PATCH", f"/v3/users/{user}", {"user": {"description": "d", "default_project_id": play.member.project_id}})
    ask("PATCH", f"/v3/users/{user}", {"user": {"name": "conformance-member"}})
    ask("PATCH", f"/v3/users/{user}", {"user": {"domain_id": "nonsense"}})
    ask("PATCH", f"/v3/users/{user}", {"user": {}})
    ask("PATCH", f"/v3/users/{user}", {})
    change = {"user": {"original_password": "one", "password": "two"}}
    path = f"/v3/users/{user}/password"
    nobody = play.nobody.keystone
    nobody("POST", path, {})
    nobody("POST", path, {"user": {}})
    nobody("POST", path, {"user": {"original_password": "wrong", "password": "two"}})
    nobody("POST", path, change)
    nobody("POST", path, change)
    nobody("POST", f"/v3/users/{'0' * 32}/password", change)
    mine = auth({"id": user, "password": "two"})
    nobody("POST", "/v3/auth/tokens", mine)
    ask("GET", f"/v3/users/{user}/projects")
    ask("GET", f"/v3/users/{user}/groups")
    ask("PATCH", f"/v3/users/{user}", {"user": {"enabled": False}})
    nobody("POST", "/v3/auth/tokens", mine)
    group = play.name("group", ask("POST", "/v3/groups", {"group": {"name": "conformance-g"}})["group"]["id"])
    ask("POST", "/v3/groups", {"group": {"name": "conformance-g"}})
    ask("POST", "/v3/groups", {"group": {}})
    ask("PUT", f"/v3/groups/{group}/users/{user}")
    ask("HEAD", f"/v3/groups/{group}/users/{user}")
    ask("GET", f"/v3/groups/{group}/users/{play.member.id}")
    ask("PUT", f"/v3/groups/{group}/users/{'0' * 32}")
    ask("PUT", f"/v3/groups/{'0' * 32}/users/{user}")
    ask("GET", f"/v3/groups/{group}/users")
    ask("GET", f"/v3/users/{user}/groups")
    ask("DELETE", f"/v3/groups/{group}/users/{user}")
    ask("DELETE", f"/v3/groups/{group}/users/{user}")
    ask("DELETE", f"/v3/groups/{group}")
    ask("DELETE", f"/v3/users/{user}")
    ask("DELETE", f"/v3/users/{user}")
    ask("GET", f"/v3/users/{user}")


def roles(play: Play) -> None:
    ask, member = play.admin.keystone, play.member
    for body in ({}, {"role": {}}, {"role": {"name": ""}}, {"role": {"name": 1}}, {"role": {"name": "member"}}):
        ask("POST", "/v3/roles", body)
    role = play.name("role", ask("POST", "/v3/roles", {"role": {"name": "conformance-r"}})["role"]["id"])
    ask("GET", f"/v3/roles/{role}")
    ask("GET", "/v3/roles?name=conformance-r")
    ask("GET", "/v3/roles?name=member", only="roles.0.name")
    ask("PATCH", f"/v3/roles/{role}", {"role": {"description": "new"}})
    ask("PATCH", f"/v3/roles/{role}", {"role": {"name": "member"}})
    grants = f"/v3/projects/{member.project_id}/users/{member.id}/roles"
    ask("GET", grants)
    ask("PUT", f"{grants}/{role}")
    ask("PUT", f"{grants}/{role}")
    ask("HEAD", f"{grants}/{role}")
    ask("GET", f"{grants}/{role}")
    ask("GET", grants)
    ask("PUT", f"{grants}/{'0' * 32}")
    ask("PUT", f"/v3/projects/{'0' * 32}/users/{member.id}/roles/{role}")
    ask("PUT", f"/v3/projects/{member.project_id}/users/{'0' * 32}/roles/{role}")
    ask("GET", f"/v3/projects/{member.project_id}/users/{'0' * 32}/roles")
    ask("GET", f"/v3/projects/{'0' * 32}/users/{member.id}/roles")
    listing = f"/v3/role_assignments?user.id={member.id}"
    ask("GET", listing)
    ask("GET", f"{listing}&include_names")
    ask("GET", f"{listing}&effective")
    ask("GET", f"{listing}&scope.project.id={play.other.project_id}")
    ask("GET", f"{listing}&group.id={'0' * 32}")
    ask("GET", "/v3/role_assignments?scope.project.id=1&scope.domain.id=2")
    ask("GET", "/v3/role_assignments?include_subtree=1")
    ask("GET", f"/v3/OS-INHERIT/projects/{member.project_id}/users/{member.id}/roles/inherited_to_projects")
    inherited = f"/v3/OS-INHERIT/domains/default/users/{member.id}/roles"
    ask("GET", f"{inherited}/inherited_to_projects")
    ask("HEAD", f"{inherited}/{role}/inherited_to_projects")
    ask("GET", f"/v3/system/users/{member.id}/roles")
    ask("PUT", f"/v3/system/users/{member.id}/roles/{role}")
    ask("GET", f"/v3/system/users/{member.id}/roles/{role}")
    ask("DELETE", f"/v3/system/users/{member.id}/roles/{role}")
    ask("DELETE", f"/v3/system/users/{member.id}/roles/{role}")
    ask("PUT", f"/v3/domains/default/users/{member.id}/roles/{role}")
    ask("GET", f"/v3/domains/default/users/{member.id}/roles")
    ask("DELETE", f"/v3/domains/default/users/{member.id}/roles/{role}")
    ask("DELETE", f"{grants}/{role}")
    ask("DELETE", f"{grants}/{role}")
    ask("HEAD", f"{grants}/{role}")
    ask("GET", f"/v3/roles/{role}/implies")
    ask("GET", "/v3/role_inferences", shape=True)
    ask("DELETE", f"/v3/roles/{role}")
    ask("DELETE", f"/v3/roles/{role}")
    ask("DELETE", f"/v3/roles/{_role(play, 'member')}")
    ask("PATCH", f"/v3/roles/{_role(play, 'member')}", {"role": {"name": "conformance-x"}})
    ask("GET", f"/v3/roles/{_role(play, 'member')}/implies")


def _role(play: Play, name: str) -> str:
    return str(play.admin.keystone("GET", f"/v3/roles?name={name}", quiet=True)["roles"][0]["id"])


def application_credentials(play: Play) -> None:
    member = play.member
    ask, path = member.keystone, f"/v3/users/{member.id}/application_credentials"
    for body in (
        {},
        {"application_credential": {}},
        {"application_credential": []},
        {"application_credential": {"name": ""}},
        {"application_credential": {"name": 1}},
        {"application_credential": {"name": "a", "roles": [{"name": "admin"}]}},
        {"application_credential": {"name": "a", "roles": [{"name": "nonsense"}]}},
        {"application_credential": {"name": "a", "roles": [{}]}},
        {"application_credential": {"name": "a", "roles": "member"}},
        {"application_credential": {"name": "a", "expires_at": "nonsense"}},
        {"application_credential": {"name": "a", "expires_at": "2001-01-01T00:00:00"}},
        {"application_credential": {"name": "a", "unrestricted": "yes"}},
        {"application_credential": {"name": "a", "nonsense": "yes"}},
        {"application_credential": {"name": "a", "access_rules": [{"path": "/x"}]}},
    ):
        ask("POST", path, body)
    made = ask("POST", path, {"application_credential": {"name": "one", "secret": "s3cret"}})
    one = play.name("one", made["application_credential"]["id"])
    ask("POST", path, {"application_credential": {"name": "one"}})
    made = ask("POST", path, {"application_credential": {
        "name": "two", "secret": "s3cret", "description": "d", "unrestricted": True,
        "expires_at": "2101-01-01T00:00:00.000000Z", "roles": [{"name": "reader"}]}})  # fmt: skip
    two = play.name("two", made["application_credential"]["id"])
    ask("GET", path)
    ask("GET", f"{path}?name=one")
    ask("GET", f"{path}/{one}")
    ask("GET", f"{path}/{'0' * 32}")
    ask("PATCH", f"{path}/{one}", {})
    play.other.keystone("GET", path)
    play.other.keystone("GET", f"{path}/{one}")
    play.reader.keystone(
        "POST", f"/v3/users/{play.member.id}/application_credentials", {"application_credential": {"name": "x"}}
    )
    play.admin.keystone("GET", path)
    play.admin.keystone("POST", path, {"application_credential": {"name": "x"}})
    login = play.nobody.keystone
    method = ("application_credential",)

    def by(**credential: Any) -> dict[str, Any]:
        return auth(methods=method, application_credential=credential)

    who = {"name": "conformance-member", "domain": DEFAULT}
    token = login("POST", "/v3/auth/tokens?nocatalog", by(id=one, secret="s3cret")).headers["x-subject-token"]
    free = login("POST", "/v3/auth/tokens?nocatalog", by(name="two", user=who, secret="s3cret")).headers[
        "x-subject-token"
    ]
    play.name("token of one", token)
    play.name("token of two", free)
    login("POST", "/v3/auth/tokens", by(id=one, secret="wrong"))
    login("POST", "/v3/auth/tokens", by(id=one))
    login("POST", "/v3/auth/tokens", by(name="two", secret="s3cret"))
    login("POST", "/v3/auth/tokens", {"auth": {**by(id=one, secret="s3cret")["auth"], "scope": PROJECT}})
    login("POST", "/v3/auth/tokens?nocatalog", auth(methods=("token",), token={"id": token}))
    login("POST", path, {"application_credential": {"name": "three"}}, X_Auth_Token=token)
    login("DELETE", f"{path}/{two}", X_Auth_Token=token)
    login("GET", path, X_Auth_Token=token, only="links")
    made = login("POST", path, {"application_credential": {"name": "three"}}, X_Auth_Token=free)
    ask("GET", f"/v3/users/{member.id}/access_rules")
    ask("GET", f"/v3/users/{member.id}/access_rules/{'0' * 32}")
    play.other.keystone("DELETE", f"{path}/{one}")
    ask("DELETE", f"{path}/{one}")
    ask("DELETE", f"{path}/{one}")
    login("GET", "/v3/auth/projects", X_Auth_Token=token)
    ask("DELETE", f"{path}/{two}")
