"""Token validation as keystonemiddleware does it: ask keystone once, remember for five minutes.

Checked against keystonemiddleware of 2026.2: valid tokens are cached for `token_cache_time` (300 s), refused ones are
not; 404 from keystone means a bad token (401 to the user); no answer or any other status means 503. A revoked token
therefore works on for up to 300 s, and a dead keystone is not noticed by callers whose token is known.
"""

import time
from typing import TYPE_CHECKING

from harness.emulator import timestamps
from harness.emulator.http.caller import Caller
from harness.emulator.http.client import HTTPClient, HTTPConnectionError
from harness.emulator.http.errors import ApiError
from harness.emulator.http.service import ServiceToken

if TYPE_CHECKING:
    from harness.emulator.settings import Settings

CACHED_MAX = 10_000
UNAUTHORIZED_BODY = (
    b'{"error": {"code": 401, "title": "Unauthorized", '
    b'"message": "The request you have made requires authentication."}}'
)


class Unauthorized(ApiError):
    """No token, or one that keystone does not know."""

    def __init__(self, auth_url: str) -> None:
        super().__init__(
            401,
            "The request you have made requires authentication.",
            headers={"WWW-Authenticate": f'Keystone uri="{auth_url}"'},
            body=UNAUTHORIZED_BODY,
        )


class TokenValidator:
    """The middleware of one service: its cache and its service user."""

    def __init__(self, settings: "Settings", http: HTTPClient, token: ServiceToken) -> None:
        self._auth_url = settings.auth_url
        self._url = f"{settings.auth_url}/auth/tokens"
        self._http = http
        self._token = token
        self._keep_s = settings.scaled(settings.token_cache_s)
        self._known: dict[str, tuple[float, Caller]] = {}
        self.asked = 0  # validations sent to keystone

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was validated a while ago."""
        known = self._known.get(token)
        if known is None:
            return None
        if time.monotonic() >= known[0]:
            del self._known[token]
            return None
        return known[1]

    async def validate(self, token: str) -> Caller:
        """Ask keystone. Raises: Unauthorized; ApiError 503 when keystone gives no usable answer."""
        try:
            for _ in range(2):
                service_token = await self._token.get()
                self.asked += 1
                response = await self._http.request(
                    "GET", self._url, headers={"X-Auth-Token": service_token, "X-Subject-Token": token}
                )
                if response.status != 401:
                    break
                self._token.forget(service_token)
        except HTTPConnectionError as error:
            raise ApiError(503, "The Keystone service is temporarily unavailable.") from error
        if response.status == 404:
            raise Unauthorized(self._auth_url)
        if response.status != 200:
            raise ApiError(503, "The Keystone service is temporarily unavailable.")
        caller = Caller.from_token(token, response.json()["token"])
        self._remember(token, caller)
        return caller

    def _remember(self, token: str, caller: Caller) -> None:
        if self._keep_s <= 0:
            return
        if len(self._known) >= CACHED_MAX:
            self._known.clear()  # a bound only: ten thousand live tokens are out of the ordinary
        keep_s = self._keep_s
        if caller.expires_at:
            keep_s = min(keep_s, (timestamps.parse(caller.expires_at) - timestamps.now()).total_seconds())
        self._known[token] = (time.monotonic() + keep_s, caller)
