"""`GET /limits`: what a project may use, and what it uses."""

from typing import Any

from harness.emulator.http import require
from harness.emulator.nova import quota
from harness.emulator.nova.compute_api import ComputeApi

_MAXIMA = {
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxTotalKeypairs": "key_pairs",
    "maxServerMeta": "metadata_items",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}
_UNTIL_35 = {
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}
_UNTIL_38 = {"maxImageMeta": "metadata_items"}
_UNTIL_56 = {"maxPersonality": "injected_files", "maxPersonalitySize": "injected_file_content_bytes"}


class LimitsResource:
    """Absolute limits; there are no rate limits since long."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any) -> None:
        caller = req.context.caller
        project_id = req.get_param("tenant_id") or caller.project_id
        if project_id != caller.project_id:
            require(caller.is_admin, "os_compute_api:limits:other_project")
        allowed = await quota.limits(self.api.cells, self.api.settings, project_id)
        used = await quota.usage(self.api.cells, project_id)
        groups = await self.api.cells.api.fetch_value(quota.COUNT_GROUPS, project=project_id)
        minor = req.context.version[1]
        names = dict(_MAXIMA)
        absolute: dict[str, int] = {}
        if minor < 36:
            names.update(_UNTIL_35)
            absolute.update(totalFloatingIpsUsed=0, totalSecurityGroupsUsed=0)
        if minor < 39:
            names.update(_UNTIL_38)
        if minor < 57:
            names.update(_UNTIL_56)
        absolute.update({shown: allowed[name] for shown, name in names.items()})
        absolute.update(
            totalRAMUsed=used["ram"],
            totalCoresUsed=used["cores"],
            totalInstancesUsed=used["instances"],
            totalServerGroupsUsed=groups,
        )
        self.api.app.json(resp, {"limits": {"rate": [], "absolute": absolute}})
