"""`/servers/{server_id}/os-interface`: the ports of a server, as neutron has them."""

from collections.abc import Mapping
from typing import Any

from harness.emulator.http import ApiError, require
from harness.emulator.nova.compute_api import ComputeApi


class InterfacesResource:
    """List and show; attaching and detaching are not offered."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        require(req.context.caller.is_reader, "os_compute_api:os-attach-interfaces:list")
        await self.api.instance(req.context.caller, server_id)
        ports = await self._ports(req, server_id)
        self.api.app.json(resp, {"interfaceAttachments": [_interface(req, port) for port in ports]})

    async def on_get_port(self, req: Any, resp: Any, server_id: str, port_id: str) -> None:
        require(req.context.caller.is_reader, "os_compute_api:os-attach-interfaces:show")
        await self.api.instance(req.context.caller, server_id)
        for port in await self._ports(req, server_id):
            if port["id"] == port_id:
                self.api.app.json(resp, {"interfaceAttachment": _interface(req, port)})
                return
        raise ApiError(404, f"Instance {server_id} does not have a port with id {port_id}")

    async def _ports(self, req: Any, server_id: str) -> list[Mapping[str, Any]]:
        response = await self.api.neutron.get(
            "/v2.0/ports", query={"device_id": server_id}, user_token=req.context.caller.token
        )
        if not response.ok:
            raise RuntimeError(f"neutron answered {response.status} when asked to list ports of {server_id}")
        ports: list[Mapping[str, Any]] = response.json()["ports"]
        return ports


def _interface(req: Any, port: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "net_id": port["network_id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": port["status"],
        "fixed_ips": [
            {"subnet_id": fixed["subnet_id"], "ip_address": fixed["ip_address"]} for fixed in port["fixed_ips"]
        ],
    }
    if req.context.version >= (2, 70):
        shown["tag"] = None
    return shown
