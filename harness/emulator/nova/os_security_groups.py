"""`/servers/{server_id}/os-security-groups`, and the actions that put a server into a group and take it out."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from harness.emulator.http import ApiError, Caller, Response, require
from harness.emulator.nova import instances
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


async def add_to_server(api: ComputeApi, req: Any, cell_id: int, row: Mapping[str, Any], name: str) -> None:
    """Put every port of a server into a group as well. Raises: ApiError 400, 404, 409."""
    group, ports = await _group_and_ports(api, req.context.caller, row, name)
    for port in ports:
        if not port.get("fixed_ips") or not port.get("port_security_enabled", True):
            raise ApiError(400, "Network requires port_security_enabled and subnet associated in order to apply "
                                "security groups.")  # fmt: skip
        response = await _set_groups(api, req, port, [*port["security_groups"], group["id"]])
        if response.status in (400, 409):
            message = response.json()["NeutronError"]["message"]
            request_id = response.headers.get("x-openstack-request-id", "")
            raise ApiError(response.status, f"{message}\nNeutron server returns request_ids: ['{request_id}']")
        _expect(response, "update a port")
    await _remember(api, cell_id, row, lambda names: [*names, group["name"]])


async def remove_from_server(api: ComputeApi, req: Any, cell_id: int, row: Mapping[str, Any], name: str) -> None:
    """Take a server's ports out of a group. Raises: ApiError 404, 409."""
    group, ports = await _group_and_ports(api, req.context.caller, row, name)
    inside = [port for port in ports if group["id"] in port["security_groups"]]
    if not inside:
        raise ApiError(404, f"Security group {name} not associated with the instance {row['uuid']}")
    for port in inside:
        left = [one for one in port["security_groups"] if one != group["id"]]
        _expect(await _set_groups(api, req, port, left), "update a port")
    await _remember(api, cell_id, row, lambda names: [one for one in names if one != group["name"]])


async def _group_and_ports(
    api: ComputeApi, caller: Caller, row: Mapping[str, Any], name: str
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    async def found(collection: str, **query: str) -> list[Mapping[str, Any]]:
        response = await api.neutron.get(f"/v2.0/{collection}", query=query, user_token=caller.token)
        listed: list[Mapping[str, Any]] = _expect(response, f"list {collection}")[collection.replace("-", "_")]
        return listed

    groups = await found("security-groups", id=name)
    groups = groups or await found("security-groups", name=name, tenant_id=caller.project_id)
    if not groups:
        raise ApiError(404, f"Security group {name} is not found for project {caller.project_id}")
    if len(groups) > 1:
        raise ApiError(409, f"Multiple security_group matches found for name '{name}', use an ID to be more specific.")
    ports = await found("ports", device_id=row["uuid"])
    if not ports:
        raise ApiError(404, f"instance_id {row['uuid']} could not be found as device id on any ports")
    return groups[0], ports


async def _set_groups(api: ComputeApi, req: Any, port: Mapping[str, Any], ids: list[str]) -> Response:
    body = {"port": {"security_groups": ids}}
    return await api.neutron.put(f"/v2.0/ports/{port['id']}", json=body, user_token=req.context.caller.token)


async def _remember(
    api: ComputeApi, cell_id: int, row: Mapping[str, Any], change: Callable[[list[str]], list[str]]
) -> None:
    """Nova asks neutron whenever it shows a server; here the names are shown from the info cache."""
    vifs = orjson.loads(row["network_info"] or "[]")
    for vif in vifs:
        vif["security_groups"] = change(vif["security_groups"])
    await instances.save(api.cells.by_id[cell_id], row["uuid"], {}, network_info=orjson.dumps(vifs).decode())


def _expect(response: Response, what: str) -> Any:
    if not response.ok:
        raise RuntimeError(f"neutron answered {response.status} when asked to {what}")
    return response.json()


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
