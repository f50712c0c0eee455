"""Plain HTTP to a cloud under test: every status comes back, nothing is retried."""

import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from harness.emulator.cloud import EmbeddedCloud


class User:
    """One user of an embedded cloud; `user("GET", "/servers")` asks nova."""

    def __init__(self, cloud: EmbeddedCloud, name: str) -> None:
        self.cloud = cloud
        self.password = getattr(cloud.settings, f"{name}_password")
        self.name = name
        default = {"name": "Default"}
        who = {"user": {"name": name, "domain": default, "password": self.password}}
        scope = {"project": {"name": name, "domain": default}}
        body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
        status, answer, headers = self.ask("keystone", "POST", "/v3/auth/tokens", body)
        assert status == 201, answer
        self.token = headers["X-Subject-Token"]
        self.project_id = answer["token"]["project"]["id"]
        self.user_id = answer["token"]["user"]["id"]

    def ask(
        self, service: str, method: str, path: str, body: Any = None, version: str | None = None
    ) -> tuple[int, Any, Any]:
        """Status, parsed body (text when it is no JSON), headers."""
        parts = urlsplit(self.cloud.url(service))
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        headers = {"Accept": "application/json"}
        if hasattr(self, "token"):
            headers["X-Auth-Token"] = self.token
        if version is not None:
            headers["OpenStack-API-Version"] = f"compute {version}" if service == "nova" else f"placement {version}"
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = raw.decode()
        return response.status, answer, response.headers

    def __call__(self, method: str, path: str, body: Any = None, version: str | None = None) -> tuple[int, Any]:
        status, answer, _ = self.ask("nova", method, f"/v2.1{path}", body, version)
        return status, answer

    def get(self, path: str, version: str | None = None) -> Any:
        status, answer = self("GET", path, version=version)
        assert status == 200, (path, status, answer)
        return answer

    def server(self, uuid: str, version: str = "2.96") -> dict[str, Any]:
        shown: dict[str, Any] = self.get(f"/servers/{uuid}", version)["server"]
        return shown

    def message(self, method: str, path: str, body: Any = None, version: str | None = None) -> tuple[int, str]:
        """Status and message of an error."""
        status, answer = self(method, path, body, version)
        assert isinstance(answer, dict), answer
        return status, next(iter(answer.values()))["message"]

    def image(self) -> str:
        _, answer, _ = self.ask("glance", "GET", "/v2/images?name=cirros-fake")  # other tests leave theirs
        return str(answer["images"][0]["id"])

    def network(self, name: str = "private") -> str:
        _, answer, _ = self.ask("neutron", "GET", "/v2.0/networks")
        return str(next(network["id"] for network in answer["networks"] if network["name"] == name))

    def ports(self, uuid: str) -> list[dict[str, Any]]:
        _, answer, _ = self.ask("neutron", "GET", f"/v2.0/ports?device_id={uuid}")
        found: list[dict[str, Any]] = answer["ports"]
        return found

    def allocations(self, uuid: str) -> dict[str, Any]:
        _, answer, _ = self.ask("placement", "GET", f"/allocations/{uuid}", version="1.28")
        found: dict[str, Any] = answer["allocations"]
        return found

    def body(self, **fields: Any) -> dict[str, Any]:
        """A body of POST /servers; a field that is None is left out."""
        server = {"name": "one", "imageRef": self.image(), "flavorRef": "1", "networks": [{"uuid": self.network()}]}
        server.update(fields)
        return {"server": {name: value for name, value in server.items() if value is not None}}

    def create(self, version: str = "2.96", **fields: Any) -> str:
        status, answer = self("POST", "/servers", self.body(**fields), version)
        assert status == 202, answer
        return str(answer["server"]["id"])

    def wait(self, uuid: str, *statuses: str, within_s: float = 40.0) -> dict[str, Any]:
        """The server, once its status is one of these and nothing is under way."""

        def settled() -> bool:
            shown = self.server(uuid)
            return shown["status"] in statuses and shown["OS-EXT-STS:task_state"] is None

        wait(settled, within_s)
        return self.server(uuid)

    def delete(self, *uuids: str, within_s: float = 20.0) -> None:
        """Delete and wait until gone."""
        for uuid in uuids:
            assert self("DELETE", f"/servers/{uuid}")[0] in (204, 404)
        for uuid in uuids:
            wait(lambda u=uuid: self("GET", f"/servers/{u}")[0] == 404, within_s)  # type: ignore[misc]


def wait(condition: Callable[[], object], within_s: float = 40.0) -> None:
    """Raises: TimeoutError."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s")
        time.sleep(0.03)


def set_truth(cloud: EmbeddedCloud, process: str, **switches: float) -> None:
    """Turn truth switches of one process."""
    url = f"http://127.0.0.1:{cloud.settings.control_ports[process]}/__squall/truth"
    headers = {"X-Squall-Token": cloud.settings.control_token, "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(switches).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
