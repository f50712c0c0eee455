"""Base of placement's API resources: answers by microversion, policy, request bodies."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from falcon.asgi import Request, Response

from harness.emulator.http import ServiceApp
from harness.emulator.placement import faults, validation
from harness.emulator.placement.service import Placement

__all__ = ["Request", "Resource", "Response", "query"]


class Resource:
    """One URL of the API; handlers are Falcon's `on_get` and so on."""

    def __init__(self, app: ServiceApp, placement: Placement) -> None:
        self.app = app
        self.placement = placement

    def show(self, req: Request, resp: Response, body: Any, status: int = 200) -> None:
        """Answer with a document; from 1.15 on with the headers that forbid to cache it."""
        self.app.json(resp, body, status)
        self.uncached(req, resp)

    def uncached(self, req: Request, resp: Response) -> None:
        if req.context.version >= (1, 15):
            resp.set_header("Last-Modified", formatdate(usegmt=True))
            resp.set_header("Cache-Control", "no-cache")

    def nothing(self, resp: Response, status: int = 204) -> None:
        resp.status = status

    def allow(self, req: Request, rule: str) -> None:
        """Only administrators and services may do this. Raises: ApiError 403."""
        caller = req.context.caller
        if not (caller.is_admin or caller.is_service):
            raise faults.forbidden(f"placement:{rule}")

    def since(self, req: Request, minor: int) -> None:
        """This URL or method came with microversion 1.`minor`. Raises: ApiError 404."""
        if req.context.version < (1, minor):
            raise faults.not_found()

    async def document(self, req: Request, schema: validation.Schema) -> Any:
        """The request's body, valid by `schema`. Raises: ApiError 400."""
        body = await self.app.body(req)
        validation.check(body, schema)
        return body


def query(req: Request, schema: Mapping[str, validation.Schema], *, required: str = "") -> dict[str, str]:
    """Query parameters; a repeated one has its last value, but `member_of` and `required` are joined by newlines.

    Args: required: the one that must be there.
    Raises: ApiError 400 for a parameter the schema does not have, or a value it does not allow.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(req.query_string, keep_blank_values=True):
        if name in found and name.startswith(("member_of", "required")):
            found[name] += "\n" + value
        else:
            found[name] = value
    whole = {"properties": schema, "required": (required,) if required else (), "additionalProperties": False}
    problem = validation.find_problem(found, whole)
    if problem:
        raise faults.bad_request(f"Invalid query string parameters: {problem}")
    return found
