"""The image API: which path is served by what."""

import re
from typing import Any

import falcon.asgi
import orjson

from harness.emulator.glance import faults
from harness.emulator.glance.data import ImageFile
from harness.emulator.glance.images import Fixed, Image, ImageAction, Images, ImageTag, Schema, Versions, versions
from harness.emulator.glance.members import Member, Members
from harness.emulator.glance.outside import ImageTasks, Tasks
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
_NAMESPACES: dict[str, Any] = {
    "namespaces": [],
    "first": "/v2/metadefs/namespaces?sort_key=created_at&sort_dir=asc",
    "schema": "/v2/schemas/metadefs/namespaces",
}
_VERSIONED = re.compile(r"^/v2(/|$)")
_MINOR = re.compile(r"^/v2\.(\d+)(?=/)")
_NEWEST = 18  # v2.18
_DATA_MAX = 1 << 40  # bytes of one image: glance's image_size_cap


class ImageApp(ServiceApp):
    """Errors are JSON, a page or plain text, by the request's `Accept`, as webob decides; `/v2.N` is `/v2`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (minor := _MINOR.match(scope["path"])) is not None and int(minor[1]) <= _NEWEST:
            scope = {**scope, "path": f"/v2{scope['path'][minor.end() :]}"}
        await super().__call__(scope, receive, send)

    async def _on_exception(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        if not isinstance(error, ApiError):
            error = self._as_api_error(req, error, getattr(req.context, "request_id", ""))
        await super()._on_exception(req, resp, error, params)
        if not isinstance(error, ApiError) or error.content_type != faults.TEXT or error.body is not None:
            return
        # Who says nothing gets plain text.
        kind = req.client_prefers(("text/html", "application/json")) if req.get_header("Accept") else None
        if kind == "application/json" and req.method != "HEAD":
            resp.data, resp.content_type = faults.error_document(error), kind
        elif kind is not None:
            resp.data, resp.content_type = faults.error_page(error), "text/html; charset=UTF-8"

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        await super().process_response(req, resp, resource, req_succeeded)
        if resp.status_code in (300, 401) or req.path in ("/", "/versions"):  # answered before an id is given
            resp.delete_header("x-openstack-request-id")
        has_no_type = req.method == "GET" or "/members/" in req.path
        if resp.status_code == 204 and not resp.content_type and not has_no_type:
            resp.content_type = "text/html; charset=UTF-8"


def application(runtime: Runtime) -> ServiceApp:
    """Glance as an ASGI application."""
    document = versions(runtime.settings.url("glance"))

    def routing_error(status: int, req: Any) -> ApiError:
        if status == 405:
            return faults.method_not_allowed(req.method)
        if not _VERSIONED.match(req.path):
            return _choices(document)
        if req.path == "/v2":  # routed by its version alone
            there = {"Location": f"{runtime.settings.url('glance')}/v2/"}
            return ApiError(302, body=b"", content_type="text/plain; charset=utf8", headers=there)
        return faults.not_found()

    def unauthenticated(_req: Any) -> ApiError:
        return faults.unauthenticated(runtime.settings.auth_url)

    app = ImageApp(
        runtime,
        service="glance",
        error_body=faults.error_body,
        public=lambda path: not _VERSIONED.match(path),
        unauthenticated=unauthenticated,
        routing_error=routing_error,
        unexpected=faults.unexpected,
        malformed_body=faults.malformed_body,
        bad_query=faults.bad_query,
        trailing_slash=False,
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
    for path, action in (("/v2/tasks", "tasks_api_access"), ("/v2/tasks/{key}", "tasks_api_access")):
        app.route(path, Tasks(action, *shared))
    app.route("/v2/cache", Tasks("cache_list", *shared))
    app.route("/v2/metadefs/namespaces", Fixed(_NAMESPACES, *shared))
    app.route("/v2/images/{image_id}/tasks", ImageTasks(*shared))
    app.route("/v2/images/{image_id}/locations", ImageTasks(*shared), suffix="locations")
    app.route("/v2/images/{image_id}/import", ImageTasks(*shared), suffix="import")
    app.route("/v2/images/{image_id}/stage", ImageTasks(*shared), suffix="stage")
    for action in ("deactivate", "reactivate"):
        app.route(f"/v2/images/{{image_id}}/actions/{action}", ImageAction(action, *shared))
    app.route("/v2/info/import", Fixed(_IMPORT, *shared))
    app.route("/v2/info/stores", Fixed({"stores": [{"id": "fs", "default": "true"}]}, *shared))
    app.route("/v2/info/usage", Fixed({"usage": {}}, *shared))
    return app


def _choices(document: dict[str, Any]) -> ApiError:
    """300 Multiple Choices: what glance answers to a path without a version."""

    return ApiError(300, body=orjson.dumps(document))
