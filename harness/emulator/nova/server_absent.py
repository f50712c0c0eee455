"""What hangs on a server in nova and has nothing in it here: diagnostics, migrations, password, topology, shares.

The instance is looked up first, then the policy asked, as nova does; consoles and virtual interfaces are gone for all.
"""

from typing import Any

from harness.emulator.http import ApiError, require
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import ComputeApi

GONE = ("consoles", "consoles/{key}", "os-virtual-interfaces")
NOT_SUPPORTED = "The requested functionality is not supported."


class Nothing:
    """A document that is the same for every server.

    Args: document: of the answer. rule: of the policy; for readers, or for administrators with `admin`. since: the
    minor version that brought it.
    """

    def __init__(
        self, api: ComputeApi, document: dict[str, Any], rule: str, *, since: int = 1, admin: bool = False
    ) -> None:
        self.api, self.document, self.rule, self.since, self.admin = api, document, rule, since, admin

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        caller = req.context.caller
        if req.context.version < (2, self.since):
            raise ApiError(404, "The resource could not be found.")
        validation.check_query(req, {}, strict_since=102)
        await self.api.instance(caller, server_id)
        require(caller.is_admin if self.admin else caller.is_reader, self.rule)
        self.api.app.json(resp, self.document)


class DiagnosticsResource:
    """`GET /servers/{server_id}/diagnostics`: for administrators, and the hypervisors here give none."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        validation.check_query(req, {}, strict_since=102)
        await self.api.instance(req.context.caller, server_id)
        require(req.context.caller.is_admin, "os_compute_api:os-server-diagnostics")
        raise ApiError(501, NOT_SUPPORTED)


class PasswordResource(Nothing):
    """`/servers/{server_id}/os-server-password`: nothing here ever sets one, so there is none to clear."""

    def __init__(self, api: ComputeApi) -> None:
        super().__init__(api, {"password": ""}, "os_compute_api:os-server-password:show")

    async def on_delete(self, req: Any, resp: Any, server_id: str) -> None:
        await self.api.instance(req.context.caller, server_id)
        require(req.context.caller.is_member, "os_compute_api:os-server-password:clear")
        resp.status = 204


def resources(api: ComputeApi) -> dict[str, Any]:
    """What answers which path below `/servers/{server_id}/`."""
    topology: dict[str, Any] = {"nodes": [], "pagesize_kb": None}
    migrations = "os_compute_api:servers:migrations:index"
    return {
        "diagnostics": DiagnosticsResource(api),
        "migrations": Nothing(api, {"migrations": []}, migrations, since=23, admin=True),
        "os-server-password": PasswordResource(api),
        "topology": Nothing(api, topology, "compute:server:topology:index", since=78),
        "shares": Nothing(api, {"shares": []}, "os_compute_api:os-server-shares:index", since=97),
    }
