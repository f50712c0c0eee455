"""What the service says of itself: versions, collections and extensions."""

import orjson
from falcon.asgi import Request, Response

from harness.emulator.http import ApiError, ServiceApp
from harness.emulator.neutron.extensions import EXTENSIONS

_COLLECTIONS = (("network", "networks"), ("subnet", "subnets"), ("port", "ports"))


class Versions:
    """`/`: the versions there are; needs no token."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        links = [{"rel": "self", "href": f"{_base(req)}/v2.0/"}]
        self._app.json(resp, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


class Root:
    """`/v2.0/`: the core collections. Without its slash neutron does not know the path."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        if not req.scope["path"].endswith("/"):
            raise ApiError(404)
        base = f"{_base(req)}/v2.0"
        resources = [
            {"name": name, "collection": many, "links": [{"rel": "self", "href": f"{base}/{many}"}]}
            for name, many in _COLLECTIONS
        ]
        self._app.json(resp, {"resources": resources})


class Extensions:
    """`/v2.0/extensions`."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response) -> None:
        self._app.json(resp, {"extensions": EXTENSIONS})

    async def on_put(self, req: Request, resp: Response) -> None:
        raise ApiError(404)

    on_post = on_delete = on_put


class Extension:
    """`/v2.0/extensions/{alias}`."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app

    async def on_get(self, req: Request, resp: Response, alias: str) -> None:
        found = next((extension for extension in EXTENSIONS if extension["alias"] == alias), None)
        if found is None:
            text = f"The resource could not be found.<br /><br />\nExtension with alias {alias} does not exist\n\n"
            body = orjson.dumps({"message": text, "code": "404 Not Found", "title": "Not Found"})
            raise ApiError(404, body=body)
        self._app.json(resp, {"extension": found})


def _base(req: Request) -> str:
    return f"{req.scheme}://{req.netloc}"
