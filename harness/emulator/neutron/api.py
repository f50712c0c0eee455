"""Neutron's API v2.0: which path is which resource."""

from collections.abc import Sequence
from typing import Any

import falcon.asgi
from sqlalchemy import Select, select

from harness.emulator.database import Row
from harness.emulator.http import ApiError, Caller, ServiceApp
from harness.emulator.neutron import (
    errors,
    networks,
    port_create,
    port_update,
    ports,
    schema,
    security_group_rules,
    security_groups,
    subnets,
)
from harness.emulator.neutron.absent import ABSENT, Absent, AbsentItem
from harness.emulator.neutron.agent_api import Agent, Agents
from harness.emulator.neutron.availability import AvailabilityZones, IpAvailabilities, IpAvailability
from harness.emulator.neutron.discovery import Extension, Extensions, Root, Versions
from harness.emulator.neutron.queries import ListQuery
from harness.emulator.neutron.quota_api import Quota, Quotas
from harness.emulator.neutron.resource_api import Collection, Item, Kind
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.tags import Tag, Tags
from harness.emulator.runtime import Runtime

_BAD_QUERY = (
    b"400 Bad Request\n\nThe server could not comply with the request since it is either malformed or otherwise "
    b"incorrect.\n\n   "
)


class NeutronApp(ServiceApp):
    """Paths may end in `.json`; a wrong method is refused without saying which would be right."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith(".json"):
            scope = {**scope, "path": scope["path"].removesuffix(".json")}
        await super().__call__(scope, receive, send)

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        await super().process_response(req, resp, resource, req_succeeded)
        if resp.status_code == 405:
            resp.delete_header("Allow")
        if _is_public(req.path):
            resp.delete_header("x-openstack-request-id")


def _is_public(path: str) -> bool:
    """What is under no version needs no token."""
    return not path.startswith("/v2.0")


def application(runtime: Runtime) -> ServiceApp:
    """The ASGI application of neutron's port."""
    app = NeutronApp(
        runtime,
        service="neutron",
        error_body=errors.error_body,
        public=_is_public,
        routing_error=_routing_error,
        unexpected=lambda _error: ApiError(500),
        malformed_body=lambda _reason: errors.bad_request("Body contains invalid data"),
        bad_query=lambda: ApiError(400, body=_BAD_QUERY, content_type="text/plain; charset=UTF-8"),
        body_max=16 * 1024 * 1024,  # neutron has no limit of its own
    )
    neutron = Neutron(runtime)
    app.route("/", Versions(app))
    app.route("/v2.0", Root(app))
    app.route("/v2.0/extensions", Extensions(app))
    app.route("/v2.0/extensions/{alias}", Extension(app))
    for kind in (NETWORKS, SUBNETS, PORTS, SECURITY_GROUPS, SECURITY_GROUP_RULES):
        path = f"/v2.0/{kind.resource.collection.replace('_', '-')}"
        app.route(path, Collection(app, neutron, kind))
        app.route(path + "/{identity}", Item(app, neutron, kind))
    for kind in (NETWORKS, SUBNETS, PORTS, SECURITY_GROUPS):
        for name in {kind.resource.collection, kind.resource.collection.replace("_", "-")}:
            app.route(f"/v2.0/{name}/{{identity}}/tags", Tags(app, neutron, kind))
            app.route(f"/v2.0/{name}/{{identity}}/tags/{{tag}}", Tag(app, neutron, kind))
    app.route("/v2.0/agents", Agents(app, neutron))
    app.route("/v2.0/agents/{identity}", Agent(app, neutron))
    app.route("/v2.0/availability_zones", AvailabilityZones(app, neutron))
    app.route("/v2.0/network-ip-availabilities", IpAvailabilities(app, neutron))
    app.route("/v2.0/network-ip-availabilities/{identity}", IpAvailability(app, neutron))
    app.route("/v2.0/quotas", Quotas(app, neutron))
    quota = Quota(app, neutron)
    app.route("/v2.0/quotas/{project_id}", quota)
    for name in ("default", "details"):
        app.route(f"/v2.0/quotas/{{project_id}}/{name}", quota, suffix=name)
    for singular, collection in ABSENT:
        app.route(f"/v2.0/{collection.replace('_', '-')}", Absent(app, singular, collection))
        app.route(f"/v2.0/{collection.replace('_', '-')}/{{identity}}", AbsentItem(singular))
    app.route("/v2.0/service-providers", Absent(app, "service_provider", "service_providers"))
    return app


def _routing_error(status: int, req: falcon.asgi.Request) -> ApiError:
    if status == 404 and _is_public(req.path):
        return ApiError(404, body=b'{"code": 404, "title": "Not Found", "description": null}')
    return ApiError(status)


async def _networks(neutron: Neutron, caller: Caller, rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [networks.view(row, caller) for row in rows]


async def _subnets(neutron: Neutron, caller: Caller, rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [subnets.view(row) for row in rows]


async def _ports(neutron: Neutron, caller: Caller, rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [ports.view(row, caller) for row in rows]


async def _groups(neutron: Neutron, caller: Caller, rows: Sequence[Row]) -> list[dict[str, Any]]:
    rules = await security_groups.rules_of(neutron, [row["id"] for row in rows])
    return [security_groups.view(row, rules[row["id"]]) for row in rows]


async def _rules(neutron: Neutron, caller: Caller, rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [security_groups.rule_view(row) for row in rows]


async def _ensure_default_group(neutron: Neutron, caller: Caller, query: ListQuery) -> None:
    """Listing security groups makes the default group of the project that is asked for."""
    asked = query.filters.get("project_id") or query.filters.get("tenant_id") or [caller.project_id]
    await security_groups.ensure_default(neutron, asked[0])


def _all(table: Any) -> Any:
    def rows() -> Select[Any]:
        return select(table)

    return rows


NETWORKS = Kind(
    networks.RESOURCE,
    _all(schema.networks),
    lambda caller, query: networks.scope(caller),
    _networks,
    networks.get,
    networks.create,
    networks.change,
    networks.remove,
)
SUBNETS = Kind(
    subnets.RESOURCE,
    subnets.rows,
    lambda caller, query: [*subnets.scope(caller), *subnets.network_filters(query.filters)],
    _subnets,
    subnets.get,
    subnets.create,
    subnets.change,
    subnets.remove,
    special=("router:external", "shared"),
)
PORTS = Kind(
    ports.RESOURCE,
    ports.rows,
    lambda caller, query: [*ports.scope(caller), *ports.special_conditions(query.filters)],
    _ports,
    ports.get,
    port_create.create,
    port_update.change,
    port_update.remove,
    special=("fixed_ips", "security_groups"),
)
SECURITY_GROUPS = Kind(
    security_groups.RESOURCE,
    _all(schema.securitygroups),
    lambda caller, query: security_groups.scope(caller),
    _groups,
    security_groups.get,
    security_groups.create,
    security_groups.change,
    security_groups.remove,
    special=("shared",),
    before_list=_ensure_default_group,
)
SECURITY_GROUP_RULES = Kind(
    security_group_rules.RESOURCE,
    security_group_rules.rows,
    lambda caller, query: security_group_rules.scope(caller),
    _rules,
    security_group_rules.get,
    security_group_rules.create,
    security_group_rules.change,
    security_group_rules.remove,
)
