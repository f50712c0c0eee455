"""Plain HTTP to the emulated cloud, so that tests see every byte of an answer."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.emulator.cloud import EmbeddedCloud

JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, and body of one answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Asker:
    """One user on one service."""

    def __init__(self, cloud: EmbeddedCloud, service: str, token: str = "", **headers: str) -> None:
        self._base = urlsplit(cloud.settings.url(service))
        self._headers = {"X-Auth-Token": token} if token else {}
        self._headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = dict(self._headers)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = JSON
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self._base.hostname or "", self._base.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()


def password_of(cloud: EmbeddedCloud, user: str) -> str:
    return cloud.settings.admin_password if user == "admin" else cloud.settings.demo_password


def authentication(user: dict[str, Any], scope: Any = None) -> dict[str, Any]:
    """The body of a password authentication."""
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def token(cloud: EmbeddedCloud, user: str) -> Answer:
    """A token of `admin` or `demo`, scoped to the project of the same name."""
    who = {"name": user, "domain": {"id": "default"}, "password": password_of(cloud, user)}
    scope = {"project": {"name": user, "domain": {"id": "default"}}}
    answer = Asker(cloud, "keystone")("POST", "/v3/auth/tokens", authentication(who, scope))
    assert answer.status == 201, answer
    return answer


def asker(cloud: EmbeddedCloud, service: str, user: str, **headers: str) -> Asker:
    """Ask a service as `admin` or `demo`."""
    return Asker(cloud, service, token(cloud, user).headers["x-subject-token"], **headers)
