"""Which roles imply which: `/v3/roles/{role_id}/implies` and `/v3/role_inferences`. Nothing changes them here."""

from typing import Any

from harness.emulator.keystone import faults
from harness.emulator.keystone.resource import Request, Resource, Response


class RoleInferences(Resource):
    """All of them."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.reader(req, "list_role_inference_rules")
        implied = await self.keystone.grants.implied()
        found = [await _inference(self, role_id) for role_id in implied]
        self.show(resp, {"role_inferences": found})


class ImpliedRoles(Resource):
    """Those of one role."""

    async def on_get(self, req: Request, resp: Response, role_id: str) -> None:
        await self.keystone.reader(req, "list_implied_roles")
        if await self.keystone.roles.get(role_id) is None:
            raise faults.not_found("role", role_id)
        inference = await _inference(self, role_id)
        self.show(resp, {"role_inference": inference, "links": self.link("roles", role_id, "implies")})


async def _inference(resource: Resource, role_id: str) -> dict[str, Any]:
    implied = (await resource.keystone.grants.implied()).get(role_id, [])
    return {
        "prior_role": await _short(resource, role_id),
        "implies": [await _short(resource, one) for one in implied],
    }


async def _short(resource: Resource, role_id: str) -> dict[str, Any]:
    row = await resource.keystone.roles.get(role_id)
    return {"id": role_id, "links": resource.link("roles", role_id), "name": row["name"] if row else ""}
