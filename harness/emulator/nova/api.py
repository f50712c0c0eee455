"""The ASGI application of nova-api, and which resource answers which path."""

from typing import TYPE_CHECKING, Any

import falcon.asgi
import orjson

from harness.emulator.database import DBError
from harness.emulator.http import ApiError, Microversions, ServiceApp
from harness.emulator.messaging import MessagingError
from harness.emulator.nova import os_retired, paths, server_absent
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.flavors import FlavorResource, FlavorSpecsResource, FlavorsResource
from harness.emulator.nova.limits import LimitsResource
from harness.emulator.nova.os_aggregates import AggregatesResource
from harness.emulator.nova.os_availability_zone import ZonesResource
from harness.emulator.nova.os_hypervisors import HypervisorResource, HypervisorsResource
from harness.emulator.nova.os_instance_actions import InstanceActionResource, InstanceActionsResource
from harness.emulator.nova.os_interface import InterfacesResource
from harness.emulator.nova.os_keypairs import KeyPairResource, KeyPairsResource
from harness.emulator.nova.os_quota_sets import QuotaSetResource
from harness.emulator.nova.os_security_groups import ServerSecurityGroupsResource
from harness.emulator.nova.os_server_external_events import ExternalEventsResource
from harness.emulator.nova.os_server_groups import ServerGroupResource, ServerGroupsResource
from harness.emulator.nova.os_services import ServiceResource, ServicesResource
from harness.emulator.nova.os_simple_tenant_usage import TenantUsageResource
from harness.emulator.nova.os_volume_attachments import VolumeAttachmentsResource
from harness.emulator.nova.server_actions import ServerActionResource
from harness.emulator.nova.server_ips import ServerIpsResource
from harness.emulator.nova.server_metadata import ServerMetadataResource
from harness.emulator.nova.server_tags import ServerTagsResource
from harness.emulator.nova.servers import ServerResource, ServersResource
from harness.emulator.nova.versions import VersionResource, VersionsResource, choices

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

MAXIMUM = (2, 104)
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_CONTENT_TYPES = ("application/json", "application/vnd.openstack.compute+json", "text/plain")
_ROOTS = ("/v2", "/v2/", "/v2.1", "/v2.1/")
_UNEXPECTED = (
    "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if "
    "possible.\n<class '{}'>"
)


def error_body(status: int, message: str, request_id: str, **fields: Any) -> bytes:
    """Nova's error document."""
    return orjson.dumps({_NAMES.get(status, "computeFault"): {"code": status, "message": message}})


def _unexpected(error: Exception) -> ApiError:
    kind = type(error)
    module = kind.__module__
    if isinstance(error, DBError | MessagingError):
        module = "oslo_db.exception" if isinstance(error, DBError) else "oslo_messaging.exceptions"
    return ApiError(500, _UNEXPECTED.format(f"{module}.{kind.__name__}"))


def _is_public(path: str) -> bool:
    """Whether a path needs no token: the version documents, and whatever is under no version."""
    return path in _ROOTS or not path.startswith(("/v2/", "/v2.1/"))


def _unrouted(status: int, req: Any) -> ApiError:
    """Nova routes by path and method together: a wrong method is an unknown path."""
    if _is_public(req.path) and req.path not in _ROOTS:
        return ApiError(300, body=orjson.dumps(choices(req.prefix, req.path)))
    req.context.is_unrouted = True
    if req.method == "HEAD":
        return ApiError(404, body=b"", content_type="text/html; charset=UTF-8")
    body = {
        "message": "The resource could not be found.<br /><br />\n\n\n",
        "code": "404 Not Found",
        "title": "Not Found",
    }
    return ApiError(404, body=orjson.dumps(body))


def _malformed(reason: str) -> ApiError:
    return ApiError(400, "None is not of type 'object'" if "empty" in reason else "Malformed request body")


class ApiApp(ServiceApp):
    """Paths in all the ways that nova takes them; errors of its own have another content type than its documents."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(paths.plain(scope) if scope["type"] == "http" else scope, receive, send)

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await super().process_request(req, resp)
        caller = req.context.caller
        if caller is None:
            return
        project_id = req.scope.get(paths.PROJECT)
        if project_id is not None and project_id != caller.project_id:
            raise ApiError(
                400,
                f"Malformed request URL: URL's project_id '{project_id}' doesn't match Context's project_id "
                f"'{caller.project_id}'",
            )
        kind = req.content_type
        if kind and kind.partition(";")[0].strip() not in _CONTENT_TYPES:
            raise ApiError(415, "Unsupported Content-Type")

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        await super().process_response(req, resp, resource, req_succeeded)
        is_outside = _is_public(req.path) and req.path not in _ROOTS
        if is_outside or paths.LEGACY in req.scope or "is_unrouted" in req.context or req.path in _ROOTS[:2]:
            for name in paths.VERSION_HEADERS + (self.request_id_headers if is_outside else ()):
                resp.delete_header(name)
        if resp.status_code in (202, 204) and not resp.content_type:
            resp.content_type = "application/json"

    async def _on_exception(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        await super()._on_exception(req, resp, error, params)
        if isinstance(error, ApiError) and error.body is None:
            resp.content_type = "application/json; charset=UTF-8"


def application(runtime: "Runtime") -> ServiceApp:
    """nova-api, without a port."""
    app = ApiApp(
        runtime,
        service="nova",
        error_body=error_body,
        public=_is_public,
        request_id_headers=("x-openstack-request-id", "x-compute-request-id"),
        versions=Microversions(
            "compute",
            (2, 1),
            MAXIMUM,
            legacy_header="X-OpenStack-Nova-API-Version",
            echo_refused=True,
            on_unrouted=False,
        ),
        malformed_body=_malformed,
        bad_query=lambda: ApiError(400, "Query string is not UTF-8 encoded"),
        trailing_slash=False,
        routing_error=_unrouted,
        unexpected=_unexpected,
    )
    api = ComputeApi(runtime)
    api.app = app
    app.route("/", VersionsResource(app))
    for slash in ("", "/"):
        app.route(f"/v2{slash}", VersionResource(app, "v2.0"))
        app.route(f"/v2.1{slash}", VersionResource(app, "v2.1"))
    _route(app, api, "/v2.1")
    return app


def _route(app: ServiceApp, api: ComputeApi, prefix: str) -> None:
    servers = ServersResource(api)
    app.route(f"{prefix}/servers", servers)
    app.route(f"{prefix}/servers/detail", servers, suffix="detail")
    server = f"{prefix}/servers/{{server_id}}"
    app.route(server, ServerResource(api))
    app.route(f"{server}/action", ServerActionResource(api))
    metadata = ServerMetadataResource(api)
    app.route(f"{server}/metadata", metadata)
    app.route(f"{server}/metadata/{{key}}", metadata, suffix="key")
    tags = ServerTagsResource(api)
    app.route(f"{server}/tags", tags)
    app.route(f"{server}/tags/{{tag}}", tags, suffix="tag")
    ips = ServerIpsResource(api)
    app.route(f"{server}/ips", ips)
    app.route(f"{server}/ips/{{label}}", ips, suffix="network")
    interfaces = InterfacesResource(api)
    app.route(f"{server}/os-interface", interfaces)
    app.route(f"{server}/os-interface/{{port_id}}", interfaces, suffix="port")
    app.route(f"{server}/os-instance-actions", InstanceActionsResource(api))
    app.route(f"{server}/os-instance-actions/{{request_id}}", InstanceActionResource(api))
    app.route(f"{server}/os-security-groups", ServerSecurityGroupsResource(api))
    app.route(f"{server}/os-volume_attachments", VolumeAttachmentsResource(api))
    for path, resource in server_absent.resources(api).items():
        app.route(f"{server}/{path}", resource)
    for path in server_absent.GONE:
        app.route(f"{server}/{path}", os_retired.Gone())
    flavors = FlavorsResource(api)
    app.route(f"{prefix}/flavors", flavors)
    app.route(f"{prefix}/flavors/detail", flavors, suffix="detail")
    app.route(f"{prefix}/flavors/{{flavor_id}}", FlavorResource(api))
    specs = FlavorSpecsResource(api)
    app.route(f"{prefix}/flavors/{{flavor_id}}/os-flavor-access", FlavorResource(api), suffix="access")
    app.route(f"{prefix}/flavors/{{flavor_id}}/action", FlavorResource(api), suffix="action")
    app.route(f"{prefix}/flavors/{{flavor_id}}/os-extra_specs", specs)
    app.route(f"{prefix}/flavors/{{flavor_id}}/os-extra_specs/{{key}}", specs, suffix="key")
    app.route(f"{prefix}/os-keypairs", KeyPairsResource(api))
    app.route(f"{prefix}/os-keypairs/{{name}}", KeyPairResource(api))
    app.route(f"{prefix}/limits", LimitsResource(api))
    quotas = QuotaSetResource(api)
    app.route(f"{prefix}/os-quota-sets/{{project_id}}", quotas)
    app.route(f"{prefix}/os-quota-sets/{{project_id}}/detail", quotas, suffix="detail")
    app.route(f"{prefix}/os-quota-sets/{{project_id}}/defaults", quotas, suffix="defaults")
    app.route(f"{prefix}/os-services", ServicesResource(api))
    app.route(f"{prefix}/os-services/{{service_id}}", ServiceResource(api))
    hypervisors = HypervisorsResource(api)
    app.route(f"{prefix}/os-hypervisors", hypervisors)
    app.route(f"{prefix}/os-hypervisors/detail", hypervisors, suffix="detail")
    app.route(f"{prefix}/os-hypervisors/statistics", hypervisors, suffix="statistics")
    hypervisor = HypervisorResource(api)
    app.route(f"{prefix}/os-hypervisors/{{hypervisor_id}}", hypervisor)
    for word in ("search", "servers", "uptime"):
        app.route(f"{prefix}/os-hypervisors/{{hypervisor_id}}/{word}", hypervisor, suffix=word)
    zones = ZonesResource(api)
    app.route(f"{prefix}/os-availability-zone", zones)
    app.route(f"{prefix}/os-availability-zone/detail", zones, suffix="detail")
    app.route(f"{prefix}/os-aggregates", AggregatesResource(api))
    usage = TenantUsageResource(api)
    app.route(f"{prefix}/os-simple-tenant-usage", usage)
    app.route(f"{prefix}/os-simple-tenant-usage/{{project_id}}", usage, suffix="project")
    app.route(f"{prefix}/os-server-groups", ServerGroupsResource(api))
    app.route(f"{prefix}/os-server-groups/{{group_id}}", ServerGroupResource(api))
    app.route(f"{prefix}/os-server-external-events", ExternalEventsResource(api))
    for path in os_retired.GONE:
        app.route(f"{prefix}/{path}", os_retired.Gone())
    for path in os_retired.NOT_FOUND:
        app.route(f"{prefix}/{path}", os_retired.Absent())
    app.route(f"{prefix}/os-migrations", os_retired.Nothing(api, "migrations", "os_compute_api:os-migrations:index"))
    app.route(
        f"{prefix}/os-console-auth-tokens/{{key}}",
        os_retired.Missing("os_compute_api:os-console-auth-tokens", "Token not found"),
    )
    app.route(
        f"{prefix}/os-aggregates/{{key}}",
        os_retired.Missing("os_compute_api:os-aggregates:show", "Aggregate {} could not be found."),
    )
    app.route(f"{prefix}/os-quota-class-sets/{{name}}", os_retired.QuotaClassResource(api))
