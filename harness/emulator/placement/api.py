"""The placement API: which path is served by what."""

from typing import Any

import falcon.asgi

from harness.emulator.http import ApiError, Microversions, ServiceApp
from harness.emulator.placement import faults
from harness.emulator.placement.allocations import Allocations, ConsumerAllocations, ProviderAllocations
from harness.emulator.placement.candidates import AllocationCandidates
from harness.emulator.placement.inventories import Inventories, Inventory
from harness.emulator.placement.names import (
    ProviderAggregates,
    ProviderTraits,
    ResourceClass,
    ResourceClasses,
    Trait,
    Traits,
)
from harness.emulator.placement.providers import ResourceProvider, ResourceProviders
from harness.emulator.placement.resource import Request, Resource, Response
from harness.emulator.placement.service import Placement
from harness.emulator.placement.usages import ProviderUsages, Usages
from harness.emulator.runtime import Runtime

VERSIONS = Microversions(
    "placement", (1, 0), (1, 39), out_of_range=faults.out_of_range, malformed=faults.malformed_version
)
_READS = ("GET", "HEAD")
_OF_PROVIDER = "/resource_providers/"


class Root(Resource):
    """`GET /`: the version document, for everybody."""

    async def on_get(self, req: Request, resp: Response) -> None:
        version = {
            "id": "v1.0",
            "max_version": "1.39",
            "min_version": "1.0",
            "status": "CURRENT",
            "links": [{"rel": "self", "href": ""}],
        }
        self.show(req, resp, {"versions": [version]})


class Reshaper(Resource):
    """`POST /reshaper` (1.30): for services alone, and not offered to them either."""

    async def on_post(self, req: Request, resp: Response) -> None:
        self.since(req, 30)
        if not req.context.caller.is_service:
            raise faults.forbidden("placement:reshaper:reshape")
        raise faults.not_found()


class PlacementApp(ServiceApp):
    """Bodies must be declared as JSON; error codes belong to microversion 1.23 and later.

    Whatever a request wrote to the provider in its path is told to the stock before it is answered.
    """

    placement: Placement

    async def body(self, req: falcon.asgi.Request, *, required: bool = True) -> Any:
        kind = (req.content_type or "").partition(";")[0].strip()
        if req.content_length and not kind:
            raise faults.bad_request("content-type header required when content-length > 0")
        if kind != "application/json":
            raise ApiError(
                415,
                f"The request media type {kind or None} is not supported by this server. \n\n"
                f" The media type {kind or None} is not supported, use application/json",
            )
        return await super().body(req, required=required)

    async def process_request(self, req: Request, resp: Response) -> None:
        await super().process_request(req, resp)
        accept = req.get_header("Accept")
        if accept and req.method == "GET" and req.path != "/" and not req.client_accepts("application/json"):
            text = (
                "406 Not Acceptable\n\nThe resource could not be generated that was acceptable to your browser "
                f"(content of type {accept}. \n\n Only application/json is provided"
            )
            raise ApiError(406, body=text.encode(), content_type="text/plain; charset=UTF-8")

    async def _on_exception(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        if isinstance(error, ApiError) and getattr(req.context, "version", (1, 0)) < (1, 23):
            error.fields["code"] = ""
        self._tell_stock(req, error)
        await super()._on_exception(req, resp, error, params)

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        if req_succeeded:
            self._tell_stock(req, None)
        await super().process_response(req, resp, resource, req_succeeded)
        if req.method == "HEAD" and resp.status_code == 405:
            resp.content_type = "text/html; charset=UTF-8"
        if _is_early(resp, resource):
            resp.delete_header("Vary")
        elif resp.get_header("Vary"):
            resp.set_header("Vary", "openstack-api-version")

    def _tell_stock(self, req: falcon.asgi.Request, error: Exception | None) -> None:
        if req.method not in _READS and req.path.startswith(_OF_PROVIDER):
            self.placement.stock.written([req.path.split("/")[2]], error)


def _is_early(resp: falcon.asgi.Response, resource: object) -> bool:
    """Whether placement refused before it wrote `Vary`: no route, no right, nothing of that name."""
    if (resource is None and resp.status_code != 406) or resp.status_code == 403:
        return True
    if resp.status_code != 404:
        return False
    text = resp.data or b""
    # Where a handler took it up, its own sentence comes before that of the missing provider.
    raw = text.count(b"No resource provider with uuid") + text.count(b"' not found: ") == 1
    return (raw or b"No such resource class" in text) and b"found for delete" not in text


def application(runtime: Runtime) -> ServiceApp:
    """Placement as an ASGI application."""
    app = PlacementApp(
        runtime,
        service="placement",
        error_body=faults.error_body,
        versions=VERSIONS,
        routing_error=faults.routing_error,
        database_error=faults.database_error,
        unexpected=faults.unexpected,
        malformed_body=faults.malformed_body,
        bad_query=faults.bad_query,
        trailing_slash=False,
        body_max=16 * 1024 * 1024,  # placement has no limit of its own
    )
    app.falcon.resp_options.default_media_type = None  # an empty answer names no type
    app.placement = Placement(runtime)
    shared = (app, app.placement)
    routes: dict[str, type[Resource]] = {
        "/": Root,
        "/resource_classes": ResourceClasses,
        "/resource_classes/{name}": ResourceClass,
        "/resource_providers": ResourceProviders,
        "/resource_providers/{uuid}": ResourceProvider,
        "/resource_providers/{uuid}/inventories": Inventories,
        "/resource_providers/{uuid}/inventories/{resource_class}": Inventory,
        "/resource_providers/{uuid}/usages": ProviderUsages,
        "/resource_providers/{uuid}/aggregates": ProviderAggregates,
        "/resource_providers/{uuid}/allocations": ProviderAllocations,
        "/resource_providers/{uuid}/traits": ProviderTraits,
        "/allocations": Allocations,
        "/allocations/{consumer_uuid}": ConsumerAllocations,
        "/allocation_candidates": AllocationCandidates,
        "/traits": Traits,
        "/traits/{name}": Trait,
        "/usages": Usages,
        "/reshaper": Reshaper,
    }
    for path, kind in routes.items():
        app.route(path, kind(*shared))
    return app
