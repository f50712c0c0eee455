"""Tags of a project: `/v3/projects/{project_id}/tags` and one of them."""

from urllib.parse import quote

from harness.emulator.keystone import faults, validation
from harness.emulator.keystone.resource import Request, Resource, Response
from harness.emulator.keystone.rows import Row, dumps, loads


class ProjectTags(Resource):
    """All of them."""

    async def on_get(self, req: Request, resp: Response, project_id: str) -> None:
        row = await _project(self, req, project_id, "list_project_tags", changes=False)
        self._show(resp, loads(row["tags"]))

    async def on_put(self, req: Request, resp: Response, project_id: str) -> None:
        await _project(self, req, project_id, "update_project_tags", changes=True)
        body = await self.app.body(req)
        validation.check(body, "tags", {"tags": validation.TAGS}, ("tags",))
        await self.keystone.projects.change(project_id, tags=dumps(body["tags"]))
        self._show(resp, body["tags"])

    async def on_delete(self, req: Request, resp: Response, project_id: str) -> None:
        await _project(self, req, project_id, "delete_project_tags", changes=True)
        await self.keystone.projects.change(project_id, tags="[]")
        self.nothing(resp)

    def _show(self, resp: Response, tags: list[str]) -> None:
        self.show(resp, {"links": self.link(), "tags": sorted(tags)})


class ProjectTag(Resource):
    """One tag."""

    async def on_get(self, req: Request, resp: Response, project_id: str, tag: str) -> None:
        row = await _project(self, req, project_id, "get_project_tag", changes=False)
        if tag not in loads(row["tags"]):
            raise faults.not_found("project tag", tag)
        self.nothing(resp)

    async def on_put(self, req: Request, resp: Response, project_id: str, tag: str) -> None:
        row = await _project(self, req, project_id, "create_project_tag", changes=True)
        validation.check({"value": tag}, "tag", {"value": validation.TAG})
        tags = loads(row["tags"])
        if tag not in tags:
            await self.keystone.projects.change(project_id, tags=dumps([*tags, tag]))
        resp.status = 201
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Location", "/".join((self.base, project_id, "tags", quote(tag))))  # keystone forgets /projects

    async def on_delete(self, req: Request, resp: Response, project_id: str, tag: str) -> None:
        row = await _project(self, req, project_id, "delete_project_tag", changes=True)
        tags = loads(row["tags"])
        if tag not in tags:
            raise faults.not_found("project tag", tag)
        await self.keystone.projects.change(project_id, tags=dumps([one for one in tags if one != tag]))
        self.nothing(resp)


async def _project(resource: Resource, req: Request, project_id: str, action: str, *, changes: bool) -> Row:
    """Raises: ApiError 403 for who may not, then 404."""
    caller = await resource.keystone.caller(req)
    row = await resource.keystone.projects.get(project_id)
    role = "manager" if changes else "reader"
    allowed = caller.is_admin or (row is not None and caller.may_in_domain(role, row["domain_id"]))
    if not changes:
        allowed = allowed or caller.is_system_reader or caller.token.project_id == project_id
    if not allowed:
        raise faults.forbidden(f"identity:{action}")
    if row is None:
        raise faults.not_found("project", project_id)
    return row
