"""A plain HTTP client of the emulated cloud: tests see statuses and bodies as they are on the wire."""

from typing import Any

import requests

from harness.emulator.cloud import EmbeddedCloud


class Client:
    """One user in one project, with a token of its own. Calls return status and parsed body (None when empty)."""

    def __init__(self, cloud: EmbeddedCloud, user: str, password: str, project: str) -> None:
        self.base = cloud.url("neutron")
        self.session = requests.Session()
        domain = {"id": "default"}
        answer = requests.post(
            f"{cloud.settings.auth_url}/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {"user": {"name": user, "domain": domain, "password": password}},
                    },
                    "scope": {"project": {"name": project, "domain": domain}},
                }
            },
            timeout=10,
        )
        assert answer.status_code == 201, answer.text
        self.session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        self.project_id = answer.json()["token"]["project"]["id"]

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        answer = self.session.request(method, self.base + path, json=body, timeout=30, **options)
        return answer.status_code, answer.json() if answer.content else None

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> tuple[int, Any]:
        return self.call("DELETE", path)

    def make(self, kind: str, **values: Any) -> Any:
        """Create a resource that must succeed; returns it."""
        status, body = self.post(f"/v2.0/{kind.replace('_', '-')}s", {kind: values})
        assert status == 201, (status, body)
        return body[kind]

    def wipe(self, network_id: str) -> None:
        """Delete a network with all that is on it."""
        for port in self.get(f"/v2.0/ports?network_id={network_id}")[1]["ports"]:
            assert self.delete(f"/v2.0/ports/{port['id']}")[0] == 204
        assert self.delete(f"/v2.0/networks/{network_id}")[0] == 204
