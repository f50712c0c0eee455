"""Base of keystone's API resources: answers, query parameters, and who asks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import falcon
from falcon.asgi import Request, Response

from harness.emulator.http import ServiceApp
from harness.emulator.keystone import rows
from harness.emulator.keystone.service import Keystone

__all__ = ["Request", "Resource", "Response", "query"]


class Resource:
    """One URL of the API; handlers are Falcon's `on_get` and so on."""

    def __init__(self, app: ServiceApp, keystone: Keystone) -> None:
        self.app = app
        self.keystone = keystone
        self.base = keystone.base

    def show(self, resp: Response, body: Mapping[str, Any], status: str = falcon.HTTP_200) -> None:
        resp.status = status
        self.app.json(resp, body)

    def show_list(
        self,
        req: Request,
        resp: Response,
        kind: str,
        views: Sequence[Mapping[str, Any]],
        filters: Iterable[str] = (),
    ) -> None:
        """Answer a list, filtered and paged as the query says, its link made of the request's own path."""
        url = self.base + req.path.removeprefix("/v3")
        limit = self.keystone.settings.max_list_limit
        self.show(resp, rows.listing(kind, views, query(req), url, req.query_string, tuple(filters), limit))

    def nothing(self, resp: Response) -> None:
        resp.status = falcon.HTTP_204

    def link(self, *path: str) -> dict[str, str]:
        return {"self": "/".join((self.base, *path))}


def query(req: Request) -> dict[str, str]:
    """Query parameters; a name without a value has the empty string, a repeated name its last value."""
    return dict(parse_qsl(req.query_string, keep_blank_values=True))
