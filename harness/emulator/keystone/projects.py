"""Projects and domains; a domain is a project that acts as one, in the same table.

Checked against keystone 30.0.0 on 2026-11-22: views, messages, who may do what.
"""

from typing import Any
from uuid import uuid4

import falcon

from harness.emulator.database import DBDuplicateEntry
from harness.emulator.http import ApiError
from harness.emulator.keystone import faults, validation
from harness.emulator.keystone.resource import Request, Resource, Response, query
from harness.emulator.keystone.rows import Row, dumps, flag, loads
from harness.emulator.keystone.validation import BOOLEAN, ID_OR_NONE, TEXT_OR_NONE

_OWN = (
    "id", "name", "domain_id", "description", "enabled", "parent_id", "is_domain", "tags", "options", "links", "extra",
)  # fmt: skip
_PROPERTIES = {
    "name": validation.PROJECT_NAME,
    "description": TEXT_OR_NONE,
    "domain_id": ID_OR_NONE,
    "enabled": BOOLEAN,
    "is_domain": validation.ANY_BOOLEAN,
    "parent_id": TEXT_OR_NONE,
    "tags": validation.TAGS,
    "options": validation.IMMUTABLE,
}


def project_view(row: Row, base: str) -> dict[str, Any]:
    """A project as keystone shows it."""
    return {
        **loads(row["extra"]),
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"] or None,
        "description": row["description"],
        "enabled": bool(row["enabled"]),
        "parent_id": row["parent_id"],
        "is_domain": bool(row["is_domain"]),
        "tags": sorted(loads(row["tags"])),
        "options": loads(row["options"]),
        "links": {"self": f"{base}/projects/{row['id']}"},
    }


def domain_view(row: Row, base: str) -> dict[str, Any]:
    """A domain as keystone shows it."""
    return {
        **loads(row["extra"]),
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "enabled": bool(row["enabled"]),
        "tags": loads(row["tags"]),
        "options": loads(row["options"]),
        "links": {"self": f"{base}/domains/{row['id']}"},
    }


class Projects(Resource):
    """`/v3/projects`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        params = query(req)
        if not (caller.is_admin or caller.is_system_reader or caller.may_in_domain("reader", caller.token.domain_id)):
            raise faults.forbidden("identity:list_projects")
        equal: dict[str, Any] = {"is_domain": int(flag(params["is_domain"]) if "is_domain" in params else False)}
        for name in ("name", "domain_id", "parent_id"):
            if name in params:
                equal[name] = params[name]
        if not (caller.is_admin or caller.is_system_reader):
            equal["domain_id"] = caller.token.domain_id
        views = [project_view(row, self.base) for row in await self.keystone.projects.find(**equal)]
        wanted = {tag for tag in params.get("tags", "").split(",") if tag}
        views = [view for view in views if wanted <= set(view["tags"])]
        self.show_list(req, resp, "projects", views, ("name", "domain_id", "parent_id", "enabled"))

    async def on_post(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        body = await self.app.body(req)
        project = validation.members(body, "project")
        validation.check(project, "project", _PROPERTIES, ("name",))
        domain_id = project.get("domain_id") or caller.token.domain_id
        if domain_id is None:
            domain_id = caller.project["domain"]["id"] if caller.project else "default"
        if not (caller.is_admin or caller.may_in_domain("manager", domain_id)):
            raise faults.forbidden("identity:create_project")
        domain = await self.keystone.projects.get(domain_id)
        if domain is None or not domain["is_domain"]:
            raise faults.bad_request(f"Could not find domain: {domain_id}.")
        parent_id = project.get("parent_id") or domain_id
        if await self.keystone.projects.get(parent_id) is None:
            raise faults.bad_request(f"Could not find project: {parent_id}.")
        identity = uuid4().hex
        try:
            await self.keystone.projects.add(
                id=identity,
                name=project["name"],
                domain_id=domain_id,
                parent_id=parent_id,
                is_domain=0,
                enabled=int(project.get("enabled", True)),
                description=project.get("description") or "",
                tags=dumps(project.get("tags", [])),
                options=dumps(project.get("options", {})),
                extra=dumps({name: value for name, value in project.items() if name not in _OWN}),
            )
        except DBDuplicateEntry:
            raise faults.conflict(
                "project",
                "it is not permitted to have two projects with either the same name or same id in the same domain: "
                f"name is {project['name']}, project id {identity}",
            ) from None
        row = await self.keystone.projects.get(identity)
        assert row is not None
        self.show(resp, {"project": project_view(row, self.base)}, falcon.HTTP_201)


class Project(Resource):
    """`/v3/projects/{project_id}`."""

    async def on_get(self, req: Request, resp: Response, project_id: str) -> None:
        caller = await self.keystone.caller(req)
        row = await self.keystone.projects.get(project_id)
        if not (
            caller.is_admin
            or caller.is_system_reader
            or (row is not None and caller.may_in_domain("reader", row["domain_id"]))
            or caller.token.project_id == project_id
        ):
            raise faults.forbidden("identity:get_project")  # also for a project that is not there
        if row is None:
            raise faults.not_found("project", project_id)
        view = project_view(row, self.base)
        params = query(req)
        for kind in ("parents", "subtree"):
            if f"{kind}_as_list" in params and f"{kind}_as_ids" in params:
                raise faults.bad_request(f"Cannot use {kind}_as_list and {kind}_as_ids query params at the same time.")
        if "subtree_as_ids" in params:
            children = await self.keystone.projects.find(parent_id=project_id)
            view["subtree"] = {child["id"]: None for child in children} or None
        if "parents_as_ids" in params:
            view["parents"] = None
        if "parents_as_list" in params:
            view["parents"] = []
        if "subtree_as_list" in params:
            children = await self.keystone.projects.find(parent_id=project_id)
            view["subtree"] = [{"project": project_view(child, self.base)} for child in children]
        self.show(resp, {"project": view})

    async def on_patch(self, req: Request, resp: Response, project_id: str) -> None:
        caller = await self.keystone.caller(req)
        row = await self._row(project_id)
        if not (caller.is_admin or caller.may_in_domain("manager", row["domain_id"])):
            raise faults.forbidden("identity:update_project")
        body = await self.app.body(req)
        project = validation.members(body, "project") if body else {}  # keystone takes an empty document for no change
        validation.check(project, "project", _PROPERTIES)
        for name in ("domain_id", "parent_id", "is_domain"):
            if name in project and project[name] != project_view(row, self.base)[name]:
                if name == "domain_id":
                    raise faults.bad_request("Cannot change Domain ID")
                raise faults.refused(f"Update of `{name}` is not allowed.")
        try:
            await change(self, row, project)
        except DBDuplicateEntry:
            raise faults.conflict(
                "project",
                "it is not permitted to have two projects with either the same name or same id in the same domain: "
                f"name is {project['name']}, project id {project_id}",
            ) from None
        if row["enabled"] and project.get("enabled") is False:
            await self.keystone.revocations.add(self.keystone.now_us(), project_id=project_id)
        changed = await self._row(project_id)
        extra = loads(changed["extra"])
        self.show(resp, {"project": {**project_view(changed, self.base), "extra": extra}})

    async def on_delete(self, req: Request, resp: Response, project_id: str) -> None:
        caller = await self.keystone.caller(req)
        row = await self._row(project_id)
        if not (caller.is_admin or caller.may_in_domain("manager", row["domain_id"])):
            raise faults.forbidden("identity:delete_project")
        if await self.keystone.projects.find(parent_id=project_id):
            raise faults.refused(
                f"Cannot delete the project {project_id} since it is not a leaf in the hierarchy. Use the cascade "
                "option if you want to delete a whole subtree."
            )
        await remove(self, project_id)
        await self.keystone.revocations.add(self.keystone.now_us(), project_id=project_id)
        self.nothing(resp)

    async def _row(self, project_id: str) -> Row:
        row = await self.keystone.projects.get(project_id)
        if row is None:
            raise faults.not_found("project", project_id)
        return row


class Domains(Resource):
    """`/v3/domains`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        rows = await self.keystone.projects.find(is_domain=1)
        if not (caller.is_admin or caller.is_system_reader):
            if not caller.may_in_domain("reader", caller.token.domain_id):
                raise faults.forbidden("identity:list_domains")
            rows = [row for row in rows if row["id"] == caller.token.domain_id]
        views = [domain_view(row, self.base) for row in rows]
        self.show_list(req, resp, "domains", views, ("name", "enabled"))

    async def on_post(self, req: Request, resp: Response) -> None:
        await self.keystone.admin(req, "create_domain")
        domain = validation.members(await self.app.body(req), "domain")
        validation.check(domain, "domain", _PROPERTIES, ("name",))
        identity = uuid4().hex
        try:
            await self.keystone.projects.add(
                id=identity,
                name=domain["name"],
                domain_id="",
                parent_id=None,
                is_domain=1,
                enabled=int(domain.get("enabled", True)),
                description=domain.get("description") or "",
                tags=dumps(domain.get("tags", [])),
                options=dumps(domain.get("options", {})),
                extra=dumps({name: value for name, value in domain.items() if name not in _OWN}),
            )
        except DBDuplicateEntry:
            raise _domain_conflict(domain["name"]) from None
        row = await self.keystone.projects.get(identity)
        assert row is not None
        self.show(resp, {"domain": domain_view(row, self.base)}, falcon.HTTP_201)


class Domain(Resource):
    """`/v3/domains/{domain_id}`."""

    async def on_get(self, req: Request, resp: Response, domain_id: str) -> None:
        caller = await self.keystone.caller(req)
        row = await self._row(domain_id)
        in_domain = caller.token.domain_id == domain_id or (
            caller.project is not None and caller.project["domain"]["id"] == domain_id
        )
        if not (caller.is_admin or caller.token.is_system or in_domain):
            raise faults.forbidden("identity:get_domain")
        self.show(resp, {"domain": domain_view(row, self.base)})

    async def on_patch(self, req: Request, resp: Response, domain_id: str) -> None:
        await self.keystone.admin(req, "update_domain")
        domain = validation.members(await self.app.body(req), "domain")
        validation.check(domain, "domain", _PROPERTIES)
        row = await self._row(domain_id)
        try:
            await change(self, row, domain)
        except DBDuplicateEntry:
            raise _domain_conflict(domain["name"]) from None
        if row["enabled"] and domain.get("enabled") is False:
            await self.keystone.revocations.add(self.keystone.now_us(), domain_id=domain_id)
        self.show(resp, {"domain": domain_view(await self._row(domain_id), self.base)})

    async def on_delete(self, req: Request, resp: Response, domain_id: str) -> None:
        await self.keystone.admin(req, "delete_domain")
        row = await self._row(domain_id)
        if row["enabled"]:
            raise faults.refused("Cannot delete a domain that is enabled, please disable it first.")
        for project in await self.keystone.projects.find(domain_id=domain_id):
            await remove(self, project["id"])
        for user in await self.keystone.users.find(domain_id=domain_id):
            await self.keystone.grants.drop_all("actor_id", user["id"])
            await self.keystone.users.remove(user["id"])
        await remove(self, domain_id)
        self.nothing(resp)

    async def _row(self, domain_id: str) -> Row:
        row = await self.keystone.projects.get(domain_id)
        if row is None or not row["is_domain"]:
            raise faults.not_found("domain", domain_id)
        return row


def _domain_conflict(name: str) -> ApiError:
    return faults.conflict(
        "project", f"it is not permitted to have two projects acting as domains with the same name: {name}"
    )


async def change(resource: Resource, row: Row, given: dict[str, Any]) -> None:
    """Write what a PATCH gives into a project's or domain's row. Raises: DBDuplicateEntry."""
    values: dict[str, Any] = {}
    for name in ("name", "description"):
        if name in given:
            values[name] = given[name] or ""
    if "enabled" in given:
        values["enabled"] = int(given["enabled"])
    for name in ("tags", "options"):
        if name in given:
            values[name] = dumps(given[name])
    extra = {name: value for name, value in given.items() if name not in _OWN}
    if extra:
        values["extra"] = dumps({**loads(row["extra"]), **extra})
    await resource.keystone.projects.change(row["id"], **values)
    resource.keystone.forget()


async def remove(resource: Resource, project_id: str) -> None:
    """Delete a project or domain, and every assignment on it."""
    await resource.keystone.grants.drop_all("target_id", project_id)
    for credential in await resource.keystone.credentials.find(project_id=project_id):
        await resource.keystone.credentials.remove(credential["id"])
    await resource.keystone.projects.remove(project_id)
    resource.keystone.forget()
