"""The image API: which path is served by what."""

from typing import Any

import orjson

from harness.emulator.glance import faults
from harness.emulator.glance.data import ImageFile
from harness.emulator.glance.images import Fixed, Image, ImageAction, Images, ImageTag, Schema, Versions, versions
from harness.emulator.glance.members import Member, Members
from harness.emulator.glance.service import Glance, Resource
from harness.emulator.http import ApiError, ServiceApp
from harness.emulator.runtime import Runtime

_IMPORT = {
    "import-methods": {
        "description": "Import methods available.",
        "type": "array",
        "value": ["glance-direct", "web-download", "copy-image"],
    }
}
_DATA_MAX = 1 << 40  # bytes of one image: glance's image_size_cap


def application(runtime: Runtime) -> ServiceApp:
    """Glance as an ASGI application."""
    document = versions(runtime.settings.url("glance"))

    def routing_error(status: int, req: Any) -> ApiError:
        if status == 405:
            return faults.method_not_allowed(req.method)
        if not req.path.startswith("/v2/") and req.path != "/v2":
            return _choices(document)
        return faults.not_found()

    def unauthenticated(_req: Any) -> ApiError:
        return faults.unauthenticated(runtime.settings.auth_url)

    app = ServiceApp(
        runtime,
        service="glance",
        error_body=faults.error_body,
        public=lambda path: path in ("/", "/versions"),
        unauthenticated=unauthenticated,
        routing_error=routing_error,
        unexpected=faults.unexpected,
        malformed_body=faults.malformed_body,
        body_max=_DATA_MAX,
    )
    shared = (app, Glance(runtime))
    app.route("/", Versions(document, *shared))
    app.route("/versions", Versions(document, *shared))
    routes: dict[str, type[Resource]] = {
        "/v2/images": Images,
        "/v2/images/{image_id}": Image,
        "/v2/images/{image_id}/file": ImageFile,
        "/v2/images/{image_id}/tags/{tag}": ImageTag,
        "/v2/images/{image_id}/members": Members,
        "/v2/images/{image_id}/members/{member_id}": Member,
        "/v2/schemas/{kind}": Schema,
    }
    for path, kind in routes.items():
        app.route(path, kind(*shared))
    for action in ("deactivate", "reactivate"):
        app.route(f"/v2/images/{{image_id}}/actions/{action}", ImageAction(action, *shared))
    app.route("/v2/info/import", Fixed(_IMPORT, *shared))
    app.route("/v2/info/stores", Fixed({"stores": [{"id": "fs", "default": "true"}]}, *shared))
    app.route("/v2/info/usage", Fixed({"usage": {}}, *shared))
    return app


def _choices(document: dict[str, Any]) -> ApiError:
    """300 Multiple Choices: what glance answers to a path without a version."""

    return ApiError(300, body=orjson.dumps(document))
