"""One service as another calls it: base URL, a service user's token, microversion headers.

Takes keystoneauth's place: the token is asked for with the user's password, kept until shortly before it expires, and
asked for anew once when the service answers 401.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from harness.emulator import timestamps
from harness.emulator.http.client import HTTPClient, HTTPConnectionError, Response
from harness.emulator.settings import Settings

RENEW_BEFORE_S = 120.0  # keystoneauth's BEST_BEFORE_SECONDS is 30; a short-lived token is renewed at half its life
_VERSION_HEADERS = {
    "nova": ("OpenStack-API-Version", "compute {}"),
    "placement": ("OpenStack-API-Version", "placement {}"),
}


class ServiceToken:
    """The token of one service user in project `service`; one request to keystone at a time."""

    def __init__(self, settings: Settings, http: HTTPClient, user: str) -> None:
        self.user = user
        self._settings = settings
        self._http = http
        self._token = ""
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """A token that is good for a while yet.

        Raises: HTTPConnectionError, also when keystone answers anything but 201.
        """
        if time.monotonic() < self._good_until:
            return self._token
        async with self._lock:
            if time.monotonic() < self._good_until:
                return self._token
            response = await self._http.request(
                "POST", f"{self._settings.auth_url}/auth/tokens", json=self._credentials()
            )
            if response.status != 201:
                raise HTTPConnectionError(f"keystone gave user {self.user} no token: status {response.status}")
            expires = timestamps.parse(response.json()["token"]["expires_at"])
            left_s = (expires - timestamps.now()).total_seconds()
            self._good_until = time.monotonic() + max(left_s / 2, left_s - RENEW_BEFORE_S)
            self._token = response.headers["x-subject-token"]
            return self._token

    def forget(self, token: str) -> None:
        """Drop a token that was refused."""
        if token == self._token:
            self._good_until = 0.0

    def _credentials(self) -> dict[str, Any]:
        default = {"name": "Default"}
        user = {"name": self.user, "domain": default, "password": self._settings.service_password}
        return {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "service", "domain": default}},
            }
        }


class ServiceClient:
    """Calls to one service under one service user's name."""

    def __init__(self, settings: Settings, http: HTTPClient, service: str, token: ServiceToken) -> None:
        self.service = service
        self.base_url = settings.url(service)
        self._http = http
        self._token = token
        self._version = _VERSION_HEADERS.get(service)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        microversion: str | None = None,
        request_id: str | None = None,
        user_token: str | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Send a request; every status comes back as a Response.

        Args:
            path: from the service's root, "/v2.0/ports"; already escaped where it needs to be (`quoted`).
            query: added to the path; lists repeat the name.
            user_token: act with this token instead of the service user's (nova passes its caller's on).
            request_id: sent as X-Openstack-Request-Id, the global request id.
        Raises: HTTPTimeout; HTTPConnectionError.
        """
        url = f"{self.base_url}{path}"
        if query:
            url = f"{url}{'&' if '?' in path else '?'}{urlencode(query, doseq=True)}"
        sent = dict(headers or {})
        if microversion and self._version:
            sent[self._version[0]] = self._version[1].format(microversion)
        if request_id:
            sent["X-Openstack-Request-Id"] = request_id
        token = user_token or await self._token.get()
        sent["X-Auth-Token"] = token
        response = await self._http.request(method, url, json=json, body=body, headers=sent, timeout_s=timeout_s)
        if response.status != 401 or user_token:
            return response
        self._token.forget(token)
        sent["X-Auth-Token"] = await self._token.get()
        return await self._http.request(method, url, json=json, body=body, headers=sent, timeout_s=timeout_s)

    async def get(self, path: str, **options: Any) -> Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Response:
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Response:
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Response:
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        return await self.request("DELETE", path, **options)


def quoted(segment: str) -> str:
    """One path segment, escaped."""
    return quote(segment, safe="")
