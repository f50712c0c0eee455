"""Tokens: issued, checked, revoked. Bodies are those of keystone 30.0.0."""

import uuid
from typing import Any

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.keystone.asking import Asker, asker, authentication, password_of, token

UNAUTHORIZED = (
    b'{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}\n'
)


def new_user(admin: Asker, **more: Any) -> tuple[str, str]:
    """Ids of a new user and of a new project on which it is a member; its password is `old`."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    project = admin("POST", "/v3/projects", {"project": {"name": name}}).json["project"]["id"]
    user = admin("POST", "/v3/users", {"user": {"name": name, "password": "old", **more}}).json["user"]["id"]
    member = admin("GET", "/v3/roles?name=member").json["roles"][0]["id"]
    assert admin("PUT", f"/v3/projects/{project}/users/{user}/roles/{member}").status == 204
    return user, project


def sign_in(cloud: EmbeddedCloud, user: str, secret: str, project: str | None = None) -> Any:
    scope = {"project": {"id": project}} if project else None
    return Asker(cloud, "keystone")("POST", "/v3/auth/tokens", authentication({"id": user, "password": secret}, scope))


def test_a_token_says_who_where_and_what_and_carries_the_catalog(cloud: EmbeddedCloud) -> None:
    answer = token(cloud, "demo")
    body = answer.json["token"]
    assert body["user"]["name"] == "demo"
    assert body["project"]["name"] == "demo"
    assert {role["name"] for role in body["roles"]} == {"member", "reader"}
    assert {entry["type"] for entry in body["catalog"]} >= {"identity", "image", "placement", "compute", "network"}
    assert body["methods"] == ["password"]
    assert len(body["audit_ids"]) == 1
    assert answer.headers["vary"] == "X-Auth-Token"
    assert len(answer.headers["x-subject-token"]) < 255


def test_a_token_is_checked_with_and_without_its_catalog(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    text = token(cloud, "demo").headers["x-subject-token"]
    full = admin("GET", "/v3/auth/tokens", X_Subject_Token=text)
    bare = admin("GET", "/v3/auth/tokens?nocatalog", X_Subject_Token=text)
    assert full.headers["x-subject-token"] == text
    assert "catalog" in full.json["token"]
    assert bare.json["token"] == {name: value for name, value in full.json["token"].items() if name != "catalog"}
    head = admin("HEAD", "/v3/auth/tokens", X_Subject_Token=text)
    assert (head.status, head.body) == (200, b"")


def test_what_is_no_token_is_not_found(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    answer = admin("GET", "/v3/auth/tokens", X_Subject_Token="bad")
    assert answer.status == 404
    assert answer.body == b'{"error":{"code":404,"message":"Could not recognize Fernet token","title":"Not Found"}}\n'


def test_a_user_may_check_its_own_token_but_no_other(cloud: EmbeddedCloud) -> None:
    text = token(cloud, "demo").headers["x-subject-token"]
    demo = Asker(cloud, "keystone", text)
    assert demo("GET", "/v3/auth/tokens", X_Subject_Token=text).status == 200
    other = token(cloud, "admin").headers["x-subject-token"]
    answer = demo("GET", "/v3/auth/tokens", X_Subject_Token=other)
    assert answer.status == 403
    assert answer.json["error"]["message"] == (
        "You are not authorized to perform the requested action: identity:validate_token."
    )


def test_a_wrong_password_and_a_foreign_project_are_refused_alike(cloud: EmbeddedCloud) -> None:
    ask = Asker(cloud, "keystone")
    default = {"id": "default"}
    wrong = authentication({"name": "demo", "domain": default, "password": "wrong"})
    right = {"name": "demo", "domain": default, "password": password_of(cloud, "demo")}
    foreign = authentication(right, {"project": {"name": "admin", "domain": default}})
    for body in (wrong, foreign):
        answer = ask("POST", "/v3/auth/tokens", body)
        assert (answer.status, answer.body) == (401, UNAUTHORIZED)
        assert answer.headers["www-authenticate"] == f'Keystone uri="{cloud.settings.auth_url}"'


def test_scopes_domain_system_and_none(cloud: EmbeddedCloud) -> None:
    ask = Asker(cloud, "keystone")
    admin = {"name": "admin", "domain": {"id": "default"}, "password": password_of(cloud, "admin")}
    unscoped = ask("POST", "/v3/auth/tokens", authentication(admin, "unscoped")).json["token"]
    assert "project" not in unscoped
    assert "roles" not in unscoped
    assert "catalog" not in unscoped
    system = ask("POST", "/v3/auth/tokens", authentication(admin, {"system": {"all": True}})).json["token"]
    assert system["system"] == {"all": True}
    assert ask("POST", "/v3/auth/tokens", authentication(admin, {"domain": {"id": "default"}})).status == 401


def test_a_token_made_from_a_token_keeps_its_end_and_its_chain(cloud: EmbeddedCloud) -> None:
    first = token(cloud, "demo")
    identity = {"methods": ["token"], "token": {"id": first.headers["x-subject-token"]}}
    scope = {"project": {"id": first.json["token"]["project"]["id"]}}
    second = Asker(cloud, "keystone")("POST", "/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
    body = second.json["token"]
    assert body["methods"] == ["password", "token"]
    assert body["expires_at"] == first.json["token"]["expires_at"]
    assert body["audit_ids"][1] == first.json["token"]["audit_ids"][0]


def test_a_revoked_token_is_refused_at_once(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    text = token(cloud, "demo").headers["x-subject-token"]
    demo = Asker(cloud, "keystone", text)
    assert demo("GET", "/v3/auth/projects").status == 200
    assert demo("DELETE", "/v3/auth/tokens", X_Subject_Token=text).status == 204
    assert demo("GET", "/v3/auth/projects").body == UNAUTHORIZED
    answer = admin("GET", "/v3/auth/tokens", X_Subject_Token=text)
    assert answer.json["error"]["message"] == "Failed to validate token"


def test_disabling_a_user_or_its_project_ends_its_tokens(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    user, project = new_user(admin)
    text = sign_in(cloud, user, "old", project).headers["x-subject-token"]
    admin("PATCH", f"/v3/projects/{project}", {"project": {"enabled": False}})
    answer = admin("GET", "/v3/auth/tokens", X_Subject_Token=text)
    assert answer.json["error"]["message"] == f"Unable to validate token because project {project} is disabled"
    admin("PATCH", f"/v3/users/{user}", {"user": {"enabled": False}})
    assert sign_in(cloud, user, "old").status == 401


def test_losing_the_last_role_ends_a_token(cloud: EmbeddedCloud) -> None:
    admin = asker(cloud, "keystone", "admin")
    user, project = new_user(admin)
    text = sign_in(cloud, user, "old", project).headers["x-subject-token"]
    assert Asker(cloud, "keystone", text)("GET", f"/v3/users/{user}").status == 200
    member = admin("GET", "/v3/roles?name=member").json["roles"][0]["id"]
    assert admin("DELETE", f"/v3/projects/{project}/users/{user}/roles/{member}").status == 204
    assert Asker(cloud, "keystone", text)("GET", f"/v3/users/{user}").status == 401
    assert admin("GET", "/v3/auth/tokens", X_Subject_Token=text).status == 404


def test_a_user_changes_its_password_without_a_token(cloud: EmbeddedCloud) -> None:
    user, _project = new_user(asker(cloud, "keystone", "admin"))
    ask = Asker(cloud, "keystone")
    wrong = {"user": {"password": "new", "original_password": "bad"}}
    assert ask("POST", f"/v3/users/{user}/password", wrong).status == 401
    right = {"user": {"password": "new", "original_password": "old"}}
    assert ask("POST", f"/v3/users/{user}/password", right).status == 204
    assert sign_in(cloud, user, "old").status == 401
    assert sign_in(cloud, user, "new").status == 201


def test_an_application_credential_stands_for_its_project_and_cannot_make_others(cloud: EmbeddedCloud) -> None:
    user, project = new_user(asker(cloud, "keystone", "admin"))
    mine = Asker(cloud, "keystone", sign_in(cloud, user, "old", project).headers["x-subject-token"])
    path = f"/v3/users/{user}/application_credentials"
    made = mine("POST", path, {"application_credential": {"name": "ac"}})
    assert made.status == 201
    credential = made.json["application_credential"]
    assert mine("POST", path, {"application_credential": {"name": "ac"}}).status == 409
    proof = {"id": credential["id"], "secret": credential["secret"]}
    identity = {"methods": ["application_credential"], "application_credential": proof}
    signed = Asker(cloud, "keystone")("POST", "/v3/auth/tokens", {"auth": {"identity": identity}})
    assert signed.json["token"]["project"]["id"] == project
    restricted = Asker(cloud, "keystone", signed.headers["x-subject-token"])
    assert restricted("POST", path, {"application_credential": {"name": "ac2"}}).status == 403
    assert mine("DELETE", f"{path}/{credential['id']}").status == 204
    assert restricted("GET", "/v3/auth/projects").status == 401
