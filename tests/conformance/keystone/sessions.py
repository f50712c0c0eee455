"""Versions and tokens."""

from typing import Any

from tests.conformance.keystone.common import DEFAULT, PROJECT, auth
from tests.conformance.play import PASSWORD, Play


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
    ask(auth(), Content_Type="text/plain")
    ask(auth(), Content_Type=None)
    ask(auth(), Accept="text/html")
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
    ask(auth({}))
    ask(auth({"name": "conformance-member", "password": PASSWORD}))
    ask(auth({"name": "conformance-member", "domain": {}, "password": PASSWORD}))
    ask(auth({"name": "conformance-member", "domain": DEFAULT}))
    ask(auth({"name": "conformance-member", "domain": DEFAULT, "password": "wrong"}))
    ask(auth({"name": "conformance-nobody", "domain": DEFAULT, "password": "wrong"}))
    ask(auth({"name": "conformance-member", "domain": {"name": "nonsense"}, "password": PASSWORD}))
    ask(auth({"id": "0" * 32, "password": PASSWORD}))
    ask(auth({"id": 1, "password": PASSWORD}))
    ask(auth({"id": play.member.id, "password": 1}))
    ask(auth(methods=("token",), token={}))
    ask(auth(methods=("token",), token={"id": "nonsense"}))
    ask(auth(methods=("password", "token"), **{"password": {"user": {"id": play.member.id, "password": PASSWORD}}}))
    ask(auth(methods=("application_credential",), application_credential={}))
    ask(auth(methods=("application_credential",), application_credential={"id": "0" * 32, "secret": "x"}))
    ask(auth(methods=("application_credential",), application_credential={"id": "0" * 32}))
    ask(auth(methods=("totp",), totp={"user": {"id": play.member.id, "passcode": "123456"}}))
    ask(auth(methods=("external",), external={}))


def token_scopes(play: Play) -> None:
    def ask(scope: Any, **more: Any) -> None:
        play.nobody.keystone("POST", "/v3/auth/tokens", auth(scope=scope), shape=True, **more)

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
    made = nobody("POST", "/v3/auth/tokens", auth(scope=PROJECT), shape=True)
    made = nobody("POST", "/v3/auth/tokens?nocatalog", auth(scope=PROJECT))
    token = play.name("token", made.headers["x-subject-token"])
    bare = nobody("POST", "/v3/auth/tokens", auth()).headers["x-subject-token"]
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
    nobody("POST", "/v3/auth/tokens", auth(**again))
    scoped = nobody("POST", "/v3/auth/tokens?nocatalog", auth(**again, scope=PROJECT))
    nobody("POST", "/v3/auth/tokens", auth(**again, scope={"project": {"id": play.other.project_id}}))
    nobody("POST", "/v3/auth/tokens?nocatalog", auth(methods=("token",), token={"id": token}))
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
