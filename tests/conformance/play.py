"""Plays scripts of API calls against a cloud and writes down every answer in a form that two clouds have in common.

A script is a function that takes a `Play`. `play.member.nova("POST", "/servers", {...})` sends one request, records its
answer under the next label of the script and returns it raw, so that the script can take ids out of it. What is kept is
normalised: an id that the script named becomes `<its name>`, any other id, time, address or host one word.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.conformance.normal import Normal

SERVICES = {
    "keystone": "identity",
    "glance": "image",
    "placement": "placement",
    "nova": "compute",
    "neutron": "network",
}
_MICROVERSIONED = {"nova": "compute", "placement": "placement"}
PROJECTS = ("conformance", "conformance-other")
USERS = {"member": ("conformance", "member"), "reader": ("conformance", "reader"), "other": (PROJECTS[1], "member")}
PASSWORD = "conformance-secret"
LABEL_MAX = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; `body` is parsed where it is JSON, text elsewhere."""

    status: int
    headers: dict[str, str]
    body: Any

    def __getitem__(self, key: Any) -> Any:
        return self.body[key]


@dataclass(frozen=True, slots=True)
class Access:
    """Where a cloud is and who may do everything in it."""

    auth_url: str
    password: str
    user: str = "admin"
    project: str = "admin"


@dataclass
class Recording:
    """The answers of one script, by label, in the order of the calls."""

    answers: dict[str, Any] = field(default_factory=dict)
    broke_off: str = ""


class User:
    """One user of a play; `.nova(...)` and so on ask a service as that user."""

    def __init__(self, play: "Play", name: str, token: str | None) -> None:
        self.play, self.name, self.token = play, name, token
        self.id = self.project_id = ""

    def __getattr__(self, service: str) -> Callable[..., Answer]:
        if service not in SERVICES:
            raise AttributeError(service)
        return lambda method, path, body=None, at=None, **more: self.play.ask(
            self, service, method, path, body, at, **more
        )


class Play:
    """A cloud with two projects and four users of our own in it, for as long as the `with` block."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.normal = Normal()
        self.recording: Recording | None = None
        self.urls: dict[str, str] = {"keystone": access.auth_url.removesuffix("/").removesuffix("/v3")}
        self.nobody = User(self, "nobody", None)
        self.users: dict[str, User] = {}

    def __enter__(self) -> "Play":
        admin, catalog = self._login("admin", self.access.user, self.access.project, self.access.password)
        self.admin = admin
        for entry in catalog:
            for endpoint in entry["endpoints"]:
                name = {kind: service for service, kind in SERVICES.items()}.get(entry["type"])
                if endpoint["interface"] == "public" and name is not None and name not in self.urls:
                    parts = urlsplit(endpoint["url"])
                    self.urls[name] = f"{parts.scheme}://{parts.netloc}"
        for service, url in self.urls.items():
            self.normal.name(service, url)
        self._remove()
        roles = {role["name"]: role["id"] for role in admin.keystone("GET", "/v3/roles")["roles"]}
        for name, identity in roles.items():
            self.normal.name(f"role {name}", identity)
        self.projects = {name: self._make("project", {"name": name, "description": ""}) for name in PROJECTS}
        for name, (project, role) in USERS.items():
            identity = self._make("user", {"name": f"conformance-{name}", "password": PASSWORD})
            path = f"/v3/projects/{self.projects[project]}/users/{identity}/roles/{roles[role]}"
            admin.keystone("PUT", path)
            user, _ = self._login(name, f"conformance-{name}", project, PASSWORD)
            setattr(self, name, user)
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    member: User
    reader: User
    other: User
    admin: User

    @contextmanager
    def record(self) -> Iterator[Recording]:
        """Record the calls made inside; a script that breaks off says so in the recording."""
        self.recording = Recording()
        known = self.normal.copy()
        try:
            yield self.recording
        except (KeyError, IndexError, TypeError, AttributeError, StopIteration, TimeoutError) as error:
            self.recording.broke_off = f"{type(error).__name__}: {error}"
        finally:
            self.recording, self.normal = None, known

    def name(self, name: str, identity: str) -> str:
        """Call an id by a name from here on. Returns the id."""
        self.normal.name(name, identity)
        return identity

    def ask(
        self,
        user: User,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        at: str | None = None,
        *,
        only: str | None = None,
        quiet: bool = False,
        shape: bool = False,
        blur: str = "",
        **headers: str | None,
    ) -> Answer:
        """Send one request and record the answer.

        Args:
            body: JSON; bytes go as they are.
            at: microversion.
            only: record only this part of the body (a path of keys, `servers.0.name`).
            quiet: send it, record nothing.
            shape: record types instead of values, and one merged element of each list.
            blur: replace what this matches in the recorded body, since the cloud may choose it freely.
            headers: more, or others (`X_Auth_Token="bad"`; None: none at all).
        """
        sent = {"Accept": "application/json"}
        if user.token:
            sent["X-Auth-Token"] = user.token
        if at is not None and service in _MICROVERSIONED:
            sent["OpenStack-API-Version"] = f"{_MICROVERSIONED[service]} {at}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        for name, value in headers.items():
            key = next((known for known in sent if known.lower() == name.replace("_", "-").lower()), None)
            if key is not None:
                del sent[key]
            if value is not None:
                sent[name.replace("_", "-")] = value
        answer = self._send(service, method, path, body, sent)
        if self.recording is not None and not quiet:
            label = self._label(user, service, method, path, body, at, headers)
            self.recording.answers[label] = self.normal.answer(answer, only=only, shape=shape, blur=blur)
        return answer

    def wait(self, condition: Callable[[], Any], within_s: float = 90.0) -> Any:
        """Ask (quietly!) until it holds. Raises: TimeoutError."""
        deadline = time.monotonic() + within_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within_s} s")
            time.sleep(0.05)
        return found

    def _label(
        self, user: User, service: str, method: str, path: str, body: Any, at: str | None, headers: dict[str, Any]
    ) -> str:
        assert self.recording is not None
        text = f"{user.name}: {method} {service}{self.normal.text(path)}"
        if at is not None:
            text += f" @{at}"
        if body is not None:
            shown = f"{len(body)} bytes" if isinstance(body, bytes) else json.dumps(self.normal.value(body))
            text += f" {shown}"
        text += "".join(f" {name}={self.normal.text(str(value))}" for name, value in headers.items())
        label = text if len(text) <= LABEL_MAX else text[: LABEL_MAX - 3] + "..."
        count = 1
        while (unique := label if count == 1 else f"{label} #{count}") in self.recording.answers:
            count += 1
        return unique

    def _send(self, service: str, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        parts = urlsplit(self.urls[service])
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
        except http.client.RemoteDisconnected:
            return Answer(0, {}, "closed without an answer")
        finally:
            connection.close()
        received: dict[str, str] = {}
        for name, value in response.getheaders():
            key = name.lower()
            received[key] = f"{received[key]}, {value}" if key in received else value
        try:
            parsed = json.loads(raw) if raw else None
        except ValueError:
            parsed = raw.decode("utf-8", "replace")
        return Answer(response.status, received, parsed)

    def _login(self, name: str, user: str, project: str, password: str) -> tuple[User, list[Any]]:
        default = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": default, "password": password}},
        }
        body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": default}}}}
        answer = self.nobody.keystone("POST", "/v3/auth/tokens", body)
        assert answer.status == 201, answer
        made = User(self, name, answer.headers["x-subject-token"])
        made.id, made.project_id = answer["token"]["user"]["id"], answer["token"]["project"]["id"]
        self.users[name] = made
        self.normal.name(f"user {name}", made.id)
        self.normal.name(f"project {project}", made.project_id)
        return made, answer["token"]["catalog"]

    def _make(self, kind: str, values: dict[str, Any]) -> str:
        answer = self.admin.keystone("POST", f"/v3/{kind}s", {kind: {"domain_id": "default", **values}})
        assert answer.status == 201, answer
        return str(answer[kind]["id"])

    def _remove(self) -> None:
        """Users and projects of this and of earlier plays."""
        for kind in ("user", "project"):
            for one in self.admin.keystone("GET", f"/v3/{kind}s")[f"{kind}s"]:
                if one["name"].startswith("conformance"):
                    self.admin.keystone("DELETE", f"/v3/{kind}s/{one['id']}")
