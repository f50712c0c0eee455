"""`/v2.0/quotas`: limits of projects, and what is used of them."""

from falcon.asgi import Request, Response

from harness.emulator.http import Caller, ServiceApp
from harness.emulator.neutron import errors, policy, quotas
from harness.emulator.neutron.service import Neutron


def _require_reader(caller: Caller, project_id: str) -> None:
    # Neutron's rule asks for a manager, and lets the project's other users read through its older rule.
    if not (policy.is_global(caller) or caller.project_id == project_id):
        raise errors.forbidden("rule:get_quota")


class Quotas:
    """`/v2.0/quotas` and the project of the caller's token."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response) -> None:
        policy.require_admin(req.context.caller, "get_quota")
        self._app.json(resp, {"quotas": await quotas.all_limits(self._neutron)})


class Quota:
    """`/v2.0/quotas/{project_id}` and `.../default`, `.../details`."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response, project_id: str) -> None:
        caller = req.context.caller
        if project_id in ("tenant", "project"):
            self._app.json(resp, {project_id: {f"{project_id}_id": caller.project_id}})
            return
        _require_reader(caller, project_id)
        self._app.json(resp, {"quota": await quotas.limits(self._neutron, project_id)})

    async def on_get_default(self, req: Request, resp: Response, project_id: str) -> None:
        _require_reader(req.context.caller, project_id)
        self._app.json(resp, {"quota": quotas.default_limits(self._neutron.settings.neutron)})

    async def on_get_details(self, req: Request, resp: Response, project_id: str) -> None:
        _require_reader(req.context.caller, project_id)
        self._app.json(resp, {"quota": await quotas.usage(self._neutron, project_id)})

    async def on_put(self, req: Request, resp: Response, project_id: str) -> None:
        policy.require_admin(req.context.caller, "update_quota")
        body = await self._app.body(req, required=False)
        if not isinstance(body, dict) or not isinstance(body.get("quota"), dict):
            raise errors.bad_request("Unable to find 'quota' in request body")
        await self._neutron.retrying(lambda: quotas.change(self._neutron.database, project_id, body["quota"]))
        self._app.json(resp, {"quota": await quotas.limits(self._neutron, project_id)})

    async def on_delete(self, req: Request, resp: Response, project_id: str) -> None:
        policy.require_admin(req.context.caller, "delete_quota")
        if not await self._neutron.retrying(lambda: quotas.drop(self._neutron.database, project_id)):
            raise errors.not_found("quota", project_id)
        resp.status = 204
