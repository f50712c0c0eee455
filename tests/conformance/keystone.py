"""Identity v3."""

from typing import Any

from tests.conformance.play import PASSWORD, Play

DEFAULT = {"id": "default"}
PROJECT = {"project": {"name": "conformance", "domain": DEFAULT}}


def _auth(user: Any = None, scope: Any = None, methods: Any = ("password",), **identity: Any) -> dict[str, Any]:
    """The body of a token request; by default the member's password."""
    if user is None and not identity:
        user = {"name": "conformance-member", "domain": DEFAULT, "password": PASSWORD}
    if user is not None:
        identity["password"] = {"user": user}
    body: dict[str, Any] = {"identity": {"methods": list(methods), **identity}}
    if scope is not None:
        body["scope"] = scope
    return {"auth": body}


def discovery(play: Play) -> None:
    ask = play.nobody.keystone
    for path in ("/", "/v3", "/v3/", "/v2.0", "/nonsense", "/v3/nonsense"):
        ask("GET", path)
    ask("HEAD", "/v3")
    ask("POST", "/v3", {})
    ask("DELETE", "/")
    ask("PUT", "/v3/auth/tokens", {})
    ask("PATCH", "/v3/users", {})
    play.admin.keystone("PUT", "/v3/projects", {})
    play.admin.keystone("OPTIONS", "/v3/users")


def token_bodies(play: Play) -> None:
    def ask(body: Any, **headers: Any) -> None:
        play.nobody.keystone("POST", "/v3/auth/tokens", body, shape=True, **headers)

    ask({})
    ask([])
    ask(b"")
    ask(b"{not json")
    ask(b"42")
    ask(_auth(), Content_Type="text/plain")
    ask(_auth(), Content_Type=None)
    ask(_auth(), Accept="text/html")
    ask({"auth": {}})
    ask({"auth": []})
    ask({"auth": {"identity": {}}})
    ask({"auth": {"identity": []}})
    ask({"auth": {"identity": {"methods": []}}})
    ask({"auth": {"identity": {"methods": "password"}}})
    ask({"auth": {"identity": {"methods": ["password"]}}})
    ask({"auth": {"identity": {"methods": ["nonsense"], "nonsense": {}}}})
    ask({"auth": {"identity": {"methods": [1]}}})
    ask({"auth": {"identity": {"methods": ["password"], "password": {}}}})
    ask({"auth": {"identity": {"methods": ["password"], "password": []}}})
    ask(_auth({}))
    ask(_auth({"name": "conformance-member", "password": PASSWORD}))
    ask(_auth({"name": "conformance-member", "domain": {}, "password": PASSWORD}))
    ask(_auth({"name": "conformance-member", "domain": DEFAULT}))
    ask(_auth({"name": "conformance-member", "domain": DEFAULT, "password": "wrong"}))
    ask(_auth({"name": "conformance-nobody", "domain": DEFAULT, "password": "wrong"}))
    ask(_auth({"name": "conformance-member", "domain": {"name": "nonsense"}, "password": PASSWORD}))
    ask(_auth({"id": "0" * 32, "password": PASSWORD}))
    ask(_auth({"id": 1, "password": PASSWORD}))
    ask(_auth({"id": play.member.id, "password": 1}))
    ask(_auth(methods=("token",), token={}))
    ask(_auth(methods=("token",), token={"id": "nonsense"}))
    ask(_auth(methods=("password", "token"), **{"password": {"user": {"id": play.member.id, "password": PASSWORD}}}))
    ask(_auth(methods=("application_credential",), application_credential={}))
    ask(_auth(methods=("application_credential",), application_credential={"id": "0" * 32, "secret": "x"}))
    ask(_auth(methods=("application_credential",), application_credential={"id": "0" * 32}))
    ask(_auth(methods=("totp",), totp={"user": {"id": play.member.id, "passcode": "123456"}}))
    ask(_auth(methods=("external",), external={}))


def token_scopes(play: Play) -> None:
    def ask(scope: Any, **more: Any) -> None:
        play.nobody.keystone("POST", "/v3/auth/tokens", _auth(scope=scope), shape=True, **more)

    ask(None)
    ask("unscoped")
    ask({"unscoped": {}})
    ask("nonsense")
    ask({})
    ask([])
    ask({"project": {}})
    ask({"project": []})
    ask({"project": {"name": "conformance"}})
    ask({"project": {"name": "conformance", "domain": {"name": "Default"}}})
    ask({"project": {"id": play.member.project_id}})
    ask({"project": {"id": play.other.project_id}})
    ask({"project": {"id": "0" * 32}})
    ask({"project": {"id": 1}})
    ask({"project": {"name": "nonsense", "domain": DEFAULT}})
    ask({"domain": {}})
    ask({"domain": DEFAULT})
    ask({"domain": {"name": "nonsense"}})
    ask({"system": {"all": True}})
    ask({"system": {}})
    ask({"system": {"all": False}})
    ask({"project": {"id": play.member.project_id}, "domain": DEFAULT})
    ask({"OS-TRUST:trust": {"id": "0" * 32}})


def tokens(play: Play) -> None:
    nobody, member = play.nobody.keystone, play.member
    made = nobody("POST", "/v3/auth/tokens", _auth(scope=PROJECT), shape=True)
    made = nobody("POST", "/v3/auth/tokens?nocatalog", _auth(scope=PROJECT))
    token = play.name("token", made.headers["x-subject-token"])
    bare = nobody("POST", "/v3/auth/tokens", _auth()).headers["x-subject-token"]
    play.name("bare token", bare)
    ask = member.keystone
    for subject in (token, "nonsense", bare):
        ask("GET", "/v3/auth/tokens?nocatalog", X_Subject_Token=subject)
        ask("HEAD", "/v3/auth/tokens", X_Subject_Token=subject)
    ask("GET", "/v3/auth/tokens", X_Subject_Token=token, shape=True)
    ask("GET", "/v3/auth/tokens")
    ask("GET", "/v3/auth/tokens?allow_expired=1&nocatalog", X_Subject_Token=token)
    play.reader.keystone("GET", "/v3/auth/tokens", X_Subject_Token=token)
    play.admin.keystone("GET", "/v3/auth/tokens?nocatalog", X_Subject_Token=token)
    nobody("GET", "/v3/auth/tokens", X_Subject_Token=token)
    nobody("GET", "/v3/auth/tokens", X_Subject_Token=token, X_Auth_Token="nonsense")
    nobody("GET", "/v3/auth/tokens?nocatalog", X_Subject_Token=token, X_Auth_Token=token)
    nobody("GET", "/v3/projects", X_Auth_Token="nonsense")
    nobody("GET", "/v3/projects", X_Auth_Token=bare)
    for path in ("projects", "domains", "system"):
        nobody("GET", f"/v3/auth/{path}", X_Auth_Token=token)
        nobody("GET", f"/v3/auth/{path}", X_Auth_Token=bare)
        nobody("GET", f"/v3/auth/{path}")
    nobody("GET", "/v3/auth/catalog", X_Auth_Token=token, shape=True)
    nobody("GET", "/v3/auth/catalog", X_Auth_Token=bare)
    nobody("GET", "/v3/auth/catalog")
    again = {"methods": ("token",), "token": {"id": bare}}
    nobody("POST", "/v3/auth/tokens", _auth(**again))
    scoped = nobody("POST", "/v3/auth/tokens?nocatalog", _auth(**again, scope=PROJECT))
    nobody("POST", "/v3/auth/tokens", _auth(**again, scope={"project": {"id": play.other.project_id}}))
    nobody("POST", "/v3/auth/tokens?nocatalog", _auth(methods=("token",), token={"id": token}))
    child = play.name("child token", scoped.headers["x-subject-token"])
    ask("DELETE", "/v3/auth/tokens")
    ask("DELETE", "/v3/auth/tokens", X_Subject_Token="nonsense")
    play.reader.keystone("DELETE", "/v3/auth/tokens", X_Subject_Token=token)
    nobody("DELETE", "/v3/auth/tokens", X_Subject_Token=token)
    ask("DELETE", "/v3/auth/tokens", X_Subject_Token=token)
    ask("DELETE", "/v3/auth/tokens", X_Subject_Token=token)
    ask("GET", "/v3/auth/tokens", X_Subject_Token=token)
    nobody("GET", "/v3/auth/projects", X_Auth_Token=token)
    ask("GET", "/v3/auth/tokens?nocatalog", X_Subject_Token=child)
    for service, path in (("nova", "/v2.1/flavors"), ("neutron", "/v2.0/networks"), ("placement", "/traits")):
        getattr(play.nobody, service)("GET", path, X_Auth_Token=token)


def who_may(play: Play) -> None:
    """Everything an ordinary user may not do, and what a reader may."""
    for user in (play.reader, play.member):
        ask = user.keystone
        for kind in ("users", "projects", "domains", "groups", "services", "endpoints", "roles", "regions"):
            ask("GET", f"/v3/{kind}", shape=True)
        ask("GET", "/v3/role_assignments")
        ask("GET", f"/v3/role_assignments?user.id={user.id}")
        ask("GET", f"/v3/users/{user.id}")
        ask("GET", f"/v3/users/{play.other.id}")
        ask("GET", f"/v3/users/{'0' * 32}")
        ask("GET", f"/v3/projects/{user.project_id}")
        ask("GET", f"/v3/projects/{play.other.project_id}")
        ask("GET", f"/v3/projects/{'0' * 32}")
        ask("GET", "/v3/domains/default")
        ask("GET", f"/v3/users/{user.id}/projects")
        ask("GET", f"/v3/users/{play.other.id}/projects")
        ask("GET", f"/v3/users/{user.id}/groups")
        ask("POST", "/v3/users", {"user": {"name": "conformance-new"}})
        ask("POST", "/v3/projects", {"project": {"name": "conformance-new"}})
        ask("DELETE", f"/v3/projects/{play.other.project_id}")
        ask("PATCH", f"/v3/users/{user.id}", {"user": {"enabled": False}})
        ask("POST", "/v3/roles", {"role": {"name": "conformance-new"}})
    play.nobody.keystone("GET", "/v3/users")
    play.nobody.keystone("POST", "/v3/users", {})


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
    mine = _auth({"id": user, "password": "two"})
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
        return _auth(methods=method, application_credential=credential)

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
    login("POST", "/v3/auth/tokens?nocatalog", _auth(methods=("token",), token={"id": token}))
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


def catalog(play: Play) -> None:
    ask = play.admin.keystone
    for body in ({}, {"service": {}}, {"service": {"type": ""}}, {"service": {"type": "x", "enabled": "x"}}):
        ask("POST", "/v3/services", body)
    made = ask("POST", "/v3/services", {"service": {"type": "conformance", "name": "conformance"}})
    service = play.name("service", made["service"]["id"])
    ask("GET", f"/v3/services/{service}")
    ask("GET", "/v3/services?type=conformance")
    ask("GET", "/v3/services?type=compute", shape=True)
    for body in (
        {},
        {"endpoint": {}},
        {"endpoint": {"interface": "nonsense", "service_id": service, "url": "http://example.org"}},
        {"endpoint": {"interface": "public", "service_id": "0" * 32, "url": "http://example.org"}},
        {"endpoint": {"interface": "public", "service_id": service, "url": "http://example.org", "region_id": "no"}},
        {"endpoint": {"interface": "public", "service_id": service, "url": "http://example.org/$(nonsense)s"}},
    ):
        ask("POST", "/v3/endpoints", body)
    body = {"interface": "public", "service_id": service, "url": "http://example.org", "region_id": "RegionOne"}
    endpoint = play.name("endpoint", ask("POST", "/v3/endpoints", {"endpoint": body})["endpoint"]["id"])
    ask("GET", f"/v3/endpoints/{endpoint}")
    ask("GET", f"/v3/endpoints?service_id={service}&interface=public")
    ask("GET", f"/v3/endpoints?service_id={service}&interface=admin")
    ask("PATCH", f"/v3/endpoints/{endpoint}", {"endpoint": {"url": "http://example.com"}})
    ask("GET", "/v3/regions/RegionOne")
    ask("GET", "/v3/regions/nonsense")
    ask("DELETE", f"/v3/endpoints/{endpoint}")
    ask("DELETE", f"/v3/endpoints/{endpoint}")
    ask("DELETE", f"/v3/services/{service}")
    ask("GET", f"/v3/services/{service}")


def outside(play: Play) -> None:
    """Parts of keystone that clients ask for though few clouds use them."""
    for user in (play.member, play.admin):
        for path in (
            "/v3/OS-TRUST/trusts",
            f"/v3/OS-TRUST/trusts?trustor_user_id={play.member.id}",
            f"/v3/OS-TRUST/trusts/{'0' * 32}",
            "/v3/credentials",
            f"/v3/credentials/{'0' * 32}",
            "/v3/limits",
            "/v3/limits/model",
            "/v3/registered_limits",
            "/v3/domains/default/config",
        ):
            user.keystone("GET", path)
