"""`/os-quota-sets/{project_id}`: limits of one project, with use (`detail`), without its own (`defaults`)."""

from typing import Any

from harness.emulator.http import ApiError, require
from harness.emulator.http.service import quoted
from harness.emulator.nova import quota, validation
from harness.emulator.nova.compute_api import ComputeApi

_LIMIT: validation.Schema = {
    "type": ["integer", "string"],
    "pattern": "^-?[0-9]+$",
    "minimum": -1,
    "maximum": 0x7FFFFFFF,
    "minLength": 1,
}
_NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")  # gone since 2.36
_INJECTED = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")  # gone since 2.57


def _names(minor: int) -> list[str]:
    gone = (_NETWORK if minor >= 36 else ()) + (_INJECTED if minor >= 57 else ())
    return sorted(name for name in quota.DEFAULTS if name not in gone)


class QuotaSetResource:
    """Show, update and delete."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, project_id: str) -> None:
        self._may_see(req, project_id, "show")
        validation.check_query(req, {"user_id": {"type": "string"}})
        await self._exists(req, project_id)
        allowed = await quota.limits(self.api.cells, self.api.settings, project_id)
        self._answer(req, resp, allowed, project_id)

    async def on_get_detail(self, req: Any, resp: Any, project_id: str) -> None:
        self._may_see(req, project_id, "detail")
        allowed = await quota.limits(self.api.cells, self.api.settings, project_id)
        used = await self._used(project_id)
        shown: dict[str, Any] = {"id": project_id}
        for name in _names(req.context.version[1]):
            shown[name] = {"limit": allowed[name], "in_use": used.get(name, 0), "reserved": 0}
        self.api.app.json(resp, {"quota_set": shown})

    async def on_get_defaults(self, req: Any, resp: Any, project_id: str) -> None:
        self._answer(req, resp, quota.defaults(self.api.settings), project_id)

    async def on_put(self, req: Any, resp: Any, project_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-quota-sets:update")
        body = await self.api.app.body(req)
        names = _names(req.context.version[1])
        properties = {**dict.fromkeys(names, _LIMIT), "force": validation.BOOLEAN}
        inner = {"type": "object", "additionalProperties": False, "properties": properties}
        validation.check(body, {"type": "object", "required": ["quota_set"], "properties": {"quota_set": inner}})
        wanted = {name: int(value) for name, value in body["quota_set"].items() if name != "force"}
        if not validation.is_true(body["quota_set"].get("force", False)):
            used = await self._used(project_id)
            for name, limit in wanted.items():
                if 0 <= limit < used.get(name, 0):
                    raise ApiError(
                        400,
                        f"Quota limit {limit} for {name} must be greater than or equal to already used and "
                        f"reserved {used[name]}.",
                    )
        await self._exists(req, project_id)
        rows = [{"project_id": project_id, "resource": name, "hard_limit": limit} for name, limit in wanted.items()]
        await self.api.cells.api.execute_many(quota.SET_LIMIT, rows)
        allowed = await quota.limits(self.api.cells, self.api.settings, project_id)
        self.api.app.json(resp, {"quota_set": {name: allowed[name] for name in names}})

    async def on_delete(self, req: Any, resp: Any, project_id: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-quota-sets:delete")
        await self.api.cells.api.execute(quota.DELETE_LIMITS, project=project_id)
        resp.status = 202

    async def _exists(self, req: Any, project_id: str) -> None:
        """Ask keystone about a project that is not the caller's own. Raises: ApiError 400."""
        if project_id == req.context.caller.project_id:
            return
        found = await self.api.keystone.get(f"/v3/projects/{quoted(project_id)}")
        if found.status == 404:
            raise ApiError(400, f"Project ID {project_id} is not a valid project.")

    def _may_see(self, req: Any, project_id: str, rule: str) -> None:
        require(req.context.caller.owns(project_id), f"os_compute_api:os-quota-sets:{rule}")

    async def _used(self, project_id: str) -> dict[str, int]:
        used = await quota.usage(self.api.cells, project_id)
        used["server_groups"] = int(await self.api.cells.api.fetch_value(quota.COUNT_GROUPS, project=project_id))
        return used

    def _answer(self, req: Any, resp: Any, allowed: dict[str, int], project_id: str) -> None:
        shown: dict[str, Any] = {"id": project_id}
        shown.update({name: allowed[name] for name in _names(req.context.version[1])})
        self.api.app.json(resp, {"quota_set": shown})
