"""How the scripts log in."""

from typing import Any

from tests.conformance.play import PASSWORD

DEFAULT = {"id": "default"}
PROJECT = {"project": {"name": "conformance", "domain": DEFAULT}}


def auth(user: Any = None, scope: Any = None, methods: Any = ("password",), **identity: Any) -> dict[str, Any]:
    """The body of a token request; by default the member's password."""
    if user is None and not identity:
        user = {"name": "conformance-member", "domain": DEFAULT, "password": PASSWORD}
    if user is not None:
        identity["password"] = {"user": user}
    body: dict[str, Any] = {"identity": {"methods": list(methods), **identity}}
    if scope is not None:
        body["scope"] = scope
    return {"auth": body}
