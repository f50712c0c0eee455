"""What the catalog is made of: `/v3/services`, `/v3/endpoints`, `/v3/regions`.

Checked against keystone 30.0.0 on 2026-11-22.
"""

import re
from typing import Any
from uuid import uuid4

import falcon

from harness.emulator.database import DBDuplicateEntry
from harness.emulator.keystone import faults, validation
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, loads

_SERVICE_OWN = ("id", "type", "enabled", "links")
_SERVICE_PROPERTIES = {"type": validation.NAME, "enabled": validation.BOOLEAN, "name": validation.TEXT}
_ENDPOINT_OWN = (
    "id",
    "interface",
    "service_id",
    "region_id",
    "region",
    "url",
    "enabled",
    "links",
    "legacy_endpoint_id",
)
_ENDPOINT_PROPERTIES = {
    "enabled": validation.BOOLEAN,
    "interface": {"type": "string", "enum": ["admin", "internal", "public"]},
    "region_id": validation.TEXT_OR_NONE,
    "region": validation.TEXT,
    "service_id": validation.TEXT,
    "url": {"type": "string", "minLength": 1},
}
_REGION_PROPERTIES = {
    "id": validation.TEXT,
    "description": validation.TEXT_OR_NONE,
    "parent_region_id": validation.TEXT_OR_NONE,
}
_URL_NAME = re.compile(r"[$%]\((\w+)\)s")
_URL_NAMES = ("tenant_id", "project_id", "user_id", "public_bind_host", "admin_bind_host", "compute_host")


def service_view(row: Row, base: str) -> dict[str, Any]:
    """A service as keystone shows it."""
    return {
        **loads(row["extra"]),
        "id": row["id"],
        "type": row["type"],
        "enabled": bool(row["enabled"]),
        "links": {"self": f"{base}/services/{row['id']}"},
    }


def endpoint_view(row: Row, base: str) -> dict[str, Any]:
    """An endpoint as keystone shows it."""
    return {
        **loads(row["extra"]),
        "id": row["id"],
        "interface": row["interface"],
        "region_id": row["region_id"],
        "service_id": row["service_id"],
        "url": row["url"],
        "enabled": bool(row["enabled"]),
        "region": row["region_id"],
        "links": {"self": f"{base}/endpoints/{row['id']}"},
    }


def region_view(row: Row, base: str) -> dict[str, Any]:
    """A region as keystone shows it."""
    return {
        "id": row["id"],
        "description": row["description"],
        "parent_region_id": row["parent_region_id"],
        "links": {"self": f"{base}/regions/{row['id']}"},
    }


def _check_url(given: dict[str, Any]) -> None:
    """Only names that every token can fill in. Raises: ApiError 400."""
    url = given.get("url")
    if isinstance(url, str) and any(name not in _URL_NAMES for name in _URL_NAME.findall(url)):
        raise faults.bad_request(f"Cannot create an endpoint with an invalid URL: {url}.")


class Services(Resource):
    """`/v3/services`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.reader(req, "list_services")
        views = [service_view(row, self.base) for row in await self.keystone.services.find()]
        self.show_list(req, resp, "services", views, ("type", "name"))

    async def on_post(self, req: Request, resp: Response) -> None:
        await self.keystone.admin(req, "create_service")
        given = validation.members(await self.app.body(req), "service")
        validation.check(given, "service", _SERVICE_PROPERTIES, ("type",))
        identity = uuid4().hex
        extra = {name: value for name, value in given.items() if name not in _SERVICE_OWN}
        await self.keystone.services.add(
            id=identity, type=given["type"], enabled=int(given.get("enabled", True)), extra=dumps(extra)
        )
        self.keystone.forget()
        self.show(resp, {"service": service_view(await _service(self, identity), self.base)}, falcon.HTTP_201)


class Service(Resource):
    """`/v3/services/{service_id}`."""

    async def on_get(self, req: Request, resp: Response, service_id: str) -> None:
        await self.keystone.reader(req, "get_service")
        self.show(resp, {"service": service_view(await _service(self, service_id), self.base)})

    async def on_patch(self, req: Request, resp: Response, service_id: str) -> None:
        await self.keystone.admin(req, "update_service")
        given = validation.members(await self.app.body(req), "service")
        validation.check(given, "service", _SERVICE_PROPERTIES)
        row = await _service(self, service_id)
        extra = {name: value for name, value in given.items() if name not in _SERVICE_OWN}
        await self.keystone.services.change(
            service_id,
            type=given.get("type", row["type"]),
            enabled=int(given["enabled"]) if "enabled" in given else row["enabled"],
            extra=dumps({**loads(row["extra"]), **extra}),
        )
        self.keystone.forget()
        self.show(resp, {"service": service_view(await _service(self, service_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, service_id: str) -> None:
        await self.keystone.admin(req, "delete_service")
        await _service(self, service_id)
        for row in await self.keystone.endpoints.find(service_id=service_id):
            await self.keystone.endpoints.remove(row["id"])
        await self.keystone.services.remove(service_id)
        self.keystone.forget()
        self.nothing(resp)


class Endpoints(Resource):
    """`/v3/endpoints`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.reader(req, "list_endpoints")
        params = query(req)
        equal = {name: params[name] for name in ("interface", "service_id", "region_id") if name in params}
        views = [endpoint_view(row, self.base) for row in await self.keystone.endpoints.find(**equal)]
        self.show_list(req, resp, "endpoints", views, ("interface", "service_id", "region_id"))

    async def on_post(self, req: Request, resp: Response) -> None:
        await self.keystone.admin(req, "create_endpoint")
        given = validation.members(await self.app.body(req), "endpoint")
        _check_url(given)
        validation.check(given, "endpoint", _ENDPOINT_PROPERTIES, ("interface", "service_id", "url"))
        if await self.keystone.services.get(given["service_id"]) is None:
            raise faults.missing("endpoint service_id", "service table")
        region_id = await self._region(given)
        identity = uuid4().hex
        await self.keystone.endpoints.add(
            id=identity,
            interface=given["interface"],
            service_id=given["service_id"],
            region_id=region_id,
            url=given["url"],
            enabled=int(given.get("enabled", True)),
            extra=dumps({name: value for name, value in given.items() if name not in _ENDPOINT_OWN}),
        )
        self.keystone.forget()
        self.show(resp, {"endpoint": endpoint_view(await _endpoint(self, identity), self.base)}, falcon.HTTP_201)

    async def _region(self, given: dict[str, Any]) -> str | None:
        """A region named by `region` is made when it is not there; one named by `region_id` must be there."""
        named = given.get("region")
        region_id: str | None = given.get("region_id") or named
        if region_id is not None and await self.keystone.regions.get(region_id) is None:
            if given.get("region_id"):
                raise faults.missing("endpoint region_id", "region table")
            await self.keystone.regions.add(id=region_id, description="", parent_region_id=None)
        return region_id


class Endpoint(Resource):
    """`/v3/endpoints/{endpoint_id}`."""

    async def on_get(self, req: Request, resp: Response, endpoint_id: str) -> None:
        await self.keystone.reader(req, "get_endpoint")
        self.show(resp, {"endpoint": endpoint_view(await _endpoint(self, endpoint_id), self.base)})

    async def on_patch(self, req: Request, resp: Response, endpoint_id: str) -> None:
        await self.keystone.admin(req, "update_endpoint")
        given = validation.members(await self.app.body(req), "endpoint")
        validation.check(given, "endpoint", _ENDPOINT_PROPERTIES)
        row = await _endpoint(self, endpoint_id)
        values: dict[str, Any] = {
            name: given[name] for name in ("interface", "service_id", "url", "region_id") if name in given
        }
        if "region" in given:
            values["region_id"] = given["region"]
        if "enabled" in given:
            values["enabled"] = int(given["enabled"])
        extra = {name: value for name, value in given.items() if name not in _ENDPOINT_OWN}
        if extra:
            values["extra"] = dumps({**loads(row["extra"]), **extra})
        await self.keystone.endpoints.change(endpoint_id, **values)
        self.keystone.forget()
        self.show(resp, {"endpoint": endpoint_view(await _endpoint(self, endpoint_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, endpoint_id: str) -> None:
        await self.keystone.admin(req, "delete_endpoint")
        if not await self.keystone.endpoints.remove(endpoint_id):
            raise faults.not_found("endpoint", endpoint_id)
        self.keystone.forget()
        self.nothing(resp)


class Regions(Resource):
    """`/v3/regions`; everybody with a token may read them."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.caller(req)
        views = [region_view(row, self.base) for row in await self.keystone.regions.find()]
        self.show_list(req, resp, "regions", views, ("parent_region_id",))

    async def on_post(self, req: Request, resp: Response) -> None:
        await self.keystone.admin(req, "create_region")
        given = validation.members(await self.app.body(req), "region")
        validation.check(given, "region", _REGION_PROPERTIES)
        identity = given.get("id") or uuid4().hex
        parent = given.get("parent_region_id")
        if parent is not None and await self.keystone.regions.get(parent) is None:
            raise faults.not_found("region", parent)
        try:
            await self.keystone.regions.add(
                id=identity, description=given.get("description") or "", parent_region_id=parent
            )
        except DBDuplicateEntry:
            raise faults.conflict("region", f"Duplicate ID, {identity}.") from None
        self.show(resp, {"region": region_view(await _region(self, identity), self.base)}, falcon.HTTP_201)


class Region(Resource):
    """`/v3/regions/{region_id}`."""

    async def on_get(self, req: Request, resp: Response, region_id: str) -> None:
        await self.keystone.caller(req)
        self.show(resp, {"region": region_view(await _region(self, region_id), self.base)})

    async def on_patch(self, req: Request, resp: Response, region_id: str) -> None:
        await self.keystone.admin(req, "update_region")
        given = validation.members(await self.app.body(req), "region")
        validation.check(given, "region", _REGION_PROPERTIES)
        await _region(self, region_id)
        values = {name: given[name] for name in ("description", "parent_region_id") if name in given}
        await self.keystone.regions.change(region_id, **values)
        self.show(resp, {"region": region_view(await _region(self, region_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, region_id: str) -> None:
        await self.keystone.admin(req, "delete_region")
        await _region(self, region_id)
        if await self.keystone.endpoints.find(region_id=region_id):
            raise faults.refused(
                f"Unable to delete region {region_id} because it or its child regions have associated endpoints."
            )
        await self.keystone.regions.remove(region_id)
        self.nothing(resp)


async def _service(resource: Resource, identity: str) -> Row:
    row = await resource.keystone.services.get(identity)
    if row is None:
        raise faults.not_found("service", identity)
    return row


async def _endpoint(resource: Resource, identity: str) -> Row:
    row = await resource.keystone.endpoints.get(identity)
    if row is None:
        raise faults.not_found("endpoint", identity)
    return row


async def _region(resource: Resource, identity: str) -> Row:
    row = await resource.keystone.regions.get(identity)
    if row is None:
        raise faults.not_found("region", identity)
    return row
