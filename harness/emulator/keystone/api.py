"""The identity API: which path is served by what."""

from typing import Any

import falcon.asgi

from harness.emulator.http import ApiError, ServiceApp
from harness.emulator.keystone import auth_resources as auth
from harness.emulator.keystone import faults, services
from harness.emulator.keystone.application_credentials import ApplicationCredential, ApplicationCredentials
from harness.emulator.keystone.discovery import Version, Versions
from harness.emulator.keystone.groups import Group, Groups, GroupUser, GroupUsers
from harness.emulator.keystone.inference import ImpliedRoles, RoleInferences
from harness.emulator.keystone.outside import InheritedRoles, LimitModel, Nowhere, Trusts
from harness.emulator.keystone.project_tags import ProjectTag, ProjectTags
from harness.emulator.keystone.projects import Domain, Domains, Project, Projects
from harness.emulator.keystone.resource import Request, Resource, Response
from harness.emulator.keystone.role_assignments import RoleAssignments
from harness.emulator.keystone.roles import Role, Roles, TargetRole, TargetRoles
from harness.emulator.keystone.service import Keystone
from harness.emulator.keystone.users import User, UserGroups, UserPassword, UserProjects, Users
from harness.emulator.runtime import Runtime


class IdentityApp(ServiceApp):
    """Keystone judges tokens itself; every answer varies by token, every 401 says where to get one."""

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        await super().process_response(req, resp, resource, req_succeeded)
        resp.append_header("Vary", "X-Auth-Token")
        if req.method == "OPTIONS":
            resp.content_type = "text/html; charset=utf-8"
            resp.set_header("Allow", ", ".join(sorted({*(resp.get_header("Allow") or "").split(", "), "OPTIONS"})))
        if resp.status_code == 401:
            resp.set_header("WWW-Authenticate", f'Keystone uri="{self.runtime.settings.auth_url}"')

    async def body(self, req: falcon.asgi.Request, *, required: bool = True) -> Any:
        """The request's document; an empty body is an empty document, any type but JSON is refused."""
        document = await super().body(req, required=False)
        if document is not None:
            kind = (req.content_type or "").partition(";")[0].strip()
            if kind not in ("", "application/json"):
                raise faults.missing("application/json", "Content-Type header")
            if not isinstance(document, dict):
                raise faults.malformed_body("no object")
        return {} if document is None else document


class Empty(Resource):
    """A collection that is always empty here; args: kind: its name in the answer."""

    def __init__(self, kind: str, *shared: Any) -> None:
        super().__init__(*shared)
        self.kind = kind

    async def on_get(self, req: Request, resp: Response, **_path: str) -> None:
        await self.keystone.caller(req)
        self.show_list(req, resp, self.kind, [])


def application(runtime: Runtime) -> ServiceApp:
    """Keystone as an ASGI application."""

    async def judged_by_handlers(_req: falcon.asgi.Request) -> None:
        return None

    def unexpected(error: Exception) -> ApiError:
        return faults.unexpected(error)

    app = IdentityApp(
        runtime,
        service="keystone",
        error_body=faults.error_body,
        authenticate=judged_by_handlers,
        routing_error=faults.routing_error,
        unexpected=unexpected,
        malformed_body=faults.malformed_body,
    )
    keystone = Keystone(runtime)
    shared = (app, keystone)
    plain: dict[str, type[Resource]] = {
        "/": Versions,
        "/v3": Version,
        "/v3/auth/tokens": auth.Tokens,
        "/v3/auth/catalog": auth.AuthCatalog,
        "/v3/auth/projects": auth.AuthProjects,
        "/v3/auth/domains": auth.AuthDomains,
        "/v3/auth/system": auth.AuthSystem,
        "/v3/projects": Projects,
        "/v3/projects/{project_id}": Project,
        "/v3/domains": Domains,
        "/v3/domains/{domain_id}": Domain,
        "/v3/users": Users,
        "/v3/users/{user_id}": User,
        "/v3/users/{user_id}/password": UserPassword,
        "/v3/users/{user_id}/projects": UserProjects,
        "/v3/users/{user_id}/groups": UserGroups,
        "/v3/users/{user_id}/application_credentials": ApplicationCredentials,
        "/v3/users/{user_id}/application_credentials/{credential_id}": ApplicationCredential,
        "/v3/groups": Groups,
        "/v3/groups/{group_id}": Group,
        "/v3/groups/{group_id}/users": GroupUsers,
        "/v3/groups/{group_id}/users/{user_id}": GroupUser,
        "/v3/roles": Roles,
        "/v3/roles/{role_id}": Role,
        "/v3/roles/{role_id}/implies": ImpliedRoles,
        "/v3/role_inferences": RoleInferences,
        "/v3/role_assignments": RoleAssignments,
        "/v3/projects/{project_id}/tags": ProjectTags,
        "/v3/projects/{project_id}/tags/{tag}": ProjectTag,
        "/v3/OS-TRUST/trusts": Trusts,
        "/v3/limits/model": LimitModel,
        "/v3/services": services.Services,
        "/v3/services/{service_id}": services.Service,
        "/v3/endpoints": services.Endpoints,
        "/v3/endpoints/{endpoint_id}": services.Endpoint,
        "/v3/regions": services.Regions,
        "/v3/regions/{region_id}": services.Region,
    }
    for path, kind in plain.items():
        app.route(path, kind(*shared))
    for target, target_path in (
        ("project", "/v3/projects/{project_id}"),
        ("domain", "/v3/domains/{domain_id}"),
        ("system", "/v3/system"),
    ):
        for actor in ("user", "group"):
            path = f"{target_path}/{actor}s/{{{actor}_id}}/roles"
            app.route(path, TargetRoles(target, actor, *shared))
            app.route(f"{path}/{{role_id}}", TargetRole(target, actor, *shared))
    for path, name in (
        ("/v3/users/{user_id}/access_rules", "access_rules"),
        ("/v3/credentials", "credentials"),
        ("/v3/limits", "limits"),
        ("/v3/registered_limits", "registered_limits"),
    ):
        app.route(path, Empty(name, *shared))
    for path, message, action in (
        ("/v3/OS-TRUST/trusts/{key}", "Could not find trust: {}.", ""),
        ("/v3/credentials/{key}", "Could not find credential: {}.", "get_credential"),
        ("/v3/users/{user_id}/access_rules/{key}", "Could not find Access Rule: {1}.", ""),
        (
            "/v3/domains/{domain_id}/config",
            "Could not find any options in domain configuration for domain {}.",
            "get_domain_config",
        ),
    ):
        app.route(path, Nowhere(message, action, *shared))
    for target in ("projects", "domains"):
        for actor in ("users", "groups"):
            path = f"/v3/OS-INHERIT/{target}/{{target_id}}/{actor}/{{actor_id}}/roles"
            if target == "domains":
                app.route(f"{path}/inherited_to_projects", InheritedRoles(*shared))
            grant = Nowhere(
                "Could not find role assignment with role: {2}, user or group: {1}, project, domain, or system: {0}.",
                "check_grant",
                *shared,
            )
            app.route(f"{path}/{{role_id}}/inherited_to_projects", grant)
    return app
