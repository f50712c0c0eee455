"""`/v3/auth/...`: tokens issued, checked and revoked; the catalog and the scopes open to the bearer of a token."""

from typing import Any

import falcon

from harness.emulator.keystone import faults
from harness.emulator.keystone.auth import authenticate
from harness.emulator.keystone.grants import SYSTEM
from harness.emulator.keystone.projects import domain_view, project_view
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.service import Principal


class Tokens(Resource):
    """`/v3/auth/tokens`. Checked against keystone 30.0.0 on 2026-11-22."""

    async def on_post(self, req: Request, resp: Response) -> None:
        text, principal = await authenticate(self.keystone, await self.app.body(req))
        await self._answer(req, resp, text, principal, falcon.HTTP_201)

    async def on_get(self, req: Request, resp: Response) -> None:
        caller, text, principal = await self._subject(req, "validate_token")
        if not (caller.is_admin or caller.is_system_reader or "service" in caller.roles):
            self._own(caller, principal, "validate_token")
        await self._answer(req, resp, text, principal, falcon.HTTP_200)

    async def on_head(self, req: Request, resp: Response) -> None:
        caller, text, principal = await self._subject(req, "check_token")
        if not (caller.is_admin or caller.is_system_reader):
            self._own(caller, principal, "check_token")
        await self._answer(req, resp, text, principal, falcon.HTTP_200)

    async def on_delete(self, req: Request, resp: Response) -> None:
        caller, _text, principal = await self._subject(req, "revoke_token")
        if not caller.is_admin:
            self._own(caller, principal, "revoke_token")
        token = principal.token
        await self.keystone.revocations.add(self.keystone.now_us(), audit_id=token.audit_ids[0])
        self.nothing(resp)

    async def _subject(self, req: Request, action: str) -> tuple[Principal, str, Principal]:
        caller = await self.keystone.caller(req)
        text = req.get_header("X-Subject-Token")
        if not text and not caller.is_admin:
            raise faults.forbidden(f"identity:{action}")
        return caller, text or "", await self.keystone.validate(text, fresh=True)

    def _own(self, caller: Principal, subject: Principal, action: str) -> None:
        if caller.user_id != subject.user_id:
            raise faults.forbidden(f"identity:{action}")

    async def _answer(self, req: Request, resp: Response, text: str, principal: Principal, status: str) -> None:
        resp.status = status
        resp.set_header("X-Subject-Token", text)
        resp.content_type = "application/json"
        resp.data = await self.keystone.rendered(text, principal, "nocatalog" not in query(req))


class AuthCatalog(Resource):
    """`GET /v3/auth/catalog`: needs a scoped token."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        if not caller.token.is_scoped:
            raise faults.refused("You are not authorized to perform the requested action.")
        catalog = await self.keystone.catalog.for_token(caller.user_id, caller.token.project_id)
        self.show(resp, {"catalog": catalog, "links": self.link("auth", "catalog")})


class AuthProjects(Resource):
    """`GET /v3/auth/projects`: enabled projects on which the bearer has a role."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        project_ids, _domains = await self.keystone.grants.targets(caller.user_id)
        views = await views_of_projects(self, project_ids)
        self.show_list(req, resp, "projects", [view for view in views if view["enabled"]])


class AuthDomains(Resource):
    """`GET /v3/auth/domains`: enabled domains on which the bearer has a role."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        _projects, domain_ids = await self.keystone.grants.targets(caller.user_id)
        rows = [await self.keystone.projects.get(domain_id) for domain_id in sorted(domain_ids)]
        views = [domain_view(row, self.base) for row in rows if row is not None and row["enabled"]]
        self.show_list(req, resp, "domains", views)


class AuthSystem(Resource):
    """`GET /v3/auth/system`: whether the bearer has a role on the system."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        has_role = bool(await self.keystone.grants.effective(caller.user_id, SYSTEM))
        self.show(resp, {"system": [{"all": True}] if has_role else [], "links": {"self": f"{self.base}/auth/system"}})


async def views_of_projects(resource: Resource, project_ids: list[str]) -> list[dict[str, Any]]:
    """Views of the projects that exist, sorted by id."""
    rows = [await resource.keystone.projects.get(project_id) for project_id in sorted(set(project_ids))]
    return [project_view(row, resource.base) for row in rows if row is not None]
