"""Keystone's part. Checked against keystone 30.0.0 (2026.2)."""

from types import SimpleNamespace
from typing import Any

from harness.cloud.api import Api


def issue_token(api: Api) -> str:
    """Log in anew, by whatever method clouds.yaml names, beside the token in use; returns the new token.

    What the login says is measured as one request, although a method may need more than one.
    """
    session = api.cloud.sdk.session
    made: list[Any] = []

    def send() -> Any:
        made.append(session.auth.get_auth_ref(session))
        return SimpleNamespace(status_code=201, content=b"", headers={})

    api.measure("identity", "POST", "/auth/tokens", send)
    return str(made[0].auth_token)


def catalog(api: Api) -> list[dict[str, Any]]:
    return list(api.call("identity", "GET", "/auth/catalog").body["catalog"])
