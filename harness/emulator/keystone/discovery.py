"""Version discovery: `GET /` (300) and `GET /v3`, as keystone 30.0.0 answers them without a token."""

from typing import Any

import falcon

from harness.emulator.keystone.resource import Request, Resource, Response


def _version(base: str) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


class Versions(Resource):
    """`GET /`: 300 with the one version there is."""

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.set_header("Location", f"{self.base}/")
        self.show(resp, {"versions": {"values": [_version(self.base)]}}, falcon.HTTP_300)


class Version(Resource):
    """`GET /v3`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        self.show(resp, {"version": _version(self.base)})
