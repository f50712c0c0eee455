"""Parts of the identity API of which this cloud has nothing, answered as keystone does where nothing is.

Checked against keystone 30.0.0: trusts, credentials, limits, inherited grants, options of domains.
"""

from typing import Any

from harness.emulator.keystone import faults
from harness.emulator.keystone.resource import Request, Resource, Response, query

_FLAT = "Limit enforcement and validation does not take project hierarchy into consideration."


class Trusts(Resource):
    """`GET /v3/OS-TRUST/trusts`: one's own; all of them for administrators."""

    async def on_get(self, req: Request, resp: Response) -> None:
        caller = await self.keystone.caller(req)
        params = query(req)
        is_own = caller.user_id in (params.get("trustor_user_id"), params.get("trustee_user_id"))
        if not (caller.is_admin or caller.is_system_reader or is_own):
            raise faults.forbidden("identity:list_trusts")
        self.show_list(req, resp, "trusts", [])


class InheritedRoles(Resource):
    """`GET /v3/OS-INHERIT/domains/{id}/users/{id}/roles/inherited_to_projects`."""

    async def on_get(self, req: Request, resp: Response, **_path: str) -> None:
        await self.keystone.reader(req, "list_grants")
        self.show_list(req, resp, "roles", [])


class LimitModel(Resource):
    """`GET /v3/limits/model`."""

    async def on_get(self, req: Request, resp: Response) -> None:
        await self.keystone.caller(req)
        self.show(resp, {"model": {"name": "flat", "description": _FLAT}})


class Nowhere(Resource):
    """One of something of which there is none. Args: message: with `{}` for the id. action: needs a reader's rights."""

    def __init__(self, message: str, action: str, *shared: Any) -> None:
        super().__init__(*shared)
        self.message = message
        self.action = action

    async def on_get(self, req: Request, resp: Response, **path: str) -> None:
        if self.action:
            await self.keystone.reader(req, self.action)
        else:
            await self.keystone.caller(req)
        raise faults.token_not_found(self.message.format(*path.values()))
