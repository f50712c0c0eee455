"""`/servers/{server_id}/os-security-groups`."""

from collections.abc import Mapping
from typing import Any

from harness.emulator.http import require
from harness.emulator.nova.compute_api import ComputeApi


class ServerSecurityGroupsResource:
    """The groups on the ports of a server, asked of neutron."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        caller = req.context.caller
        require(caller.is_reader, "os_compute_api:os-security-groups:list")
        await self.api.instance(caller, server_id)
        ports = await self._get(req, "ports", {"device_id": server_id})
        ids = sorted({group for port in ports for group in port.get("security_groups") or ()})
        groups = await self._get(req, "security-groups", {"id": ids}) if ids else []
        self.api.app.json(resp, {"security_groups": [_group(group) for group in groups]})

    async def _get(self, req: Any, collection: str, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        response = await self.api.neutron.get(f"/v2.0/{collection}", query=query, user_token=req.context.caller.token)
        if not response.ok:
            raise RuntimeError(f"neutron answered {response.status} when asked for {collection}")
        found: list[Mapping[str, Any]] = response.json()[collection.replace("-", "_")]
        return found


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": group["id"],
        "description": group["description"],
        "name": group["name"],
        "tenant_id": group["tenant_id"],
        "rules": [
            _rule(rule, group) for rule in group.get("security_group_rules", []) if rule["direction"] == "ingress"
        ],
    }


def _rule(rule: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    remote = rule.get("remote_group_id")
    cidr = rule.get("remote_ip_prefix")
    return {
        "id": rule["id"],
        "parent_group_id": rule["security_group_id"],
        "ip_protocol": rule["protocol"],
        "from_port": rule["port_range_min"],
        "to_port": rule["port_range_max"],
        "group": {"name": group["name"], "tenant_id": group["tenant_id"]} if remote == group["id"] else {},
        "ip_range": {"cidr": cidr} if cidr else {},
    }
