"""Ports of an instance: made, bound, described and deleted in neutron, over its API, as nova's network module does."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from harness.emulator.messaging import CallContext
from harness.emulator.nova.errors import BuildAbortException, NovaError

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

KEPT_S = 60.0  # how long names of networks and security groups are believed


class NetworkError(NovaError):
    """Neutron refused, or gave an answer that nobody expected."""


def cached(info: list[dict[str, Any]], own: Collection[str | None]) -> str:
    """What the info cache keeps of the ports of an instance: which are the user's own, not which are up just now."""
    kept = [{name: vif[name] for name in vif if name != "active"} for vif in info]
    return orjson.dumps([{**vif, "preserve_on_delete": vif["id"] in own} for vif in kept]).decode()


class ComputeNetwork:
    """Neutron, as all simulated computes of a process use it."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._neutron = runtime.service("neutron", user="nova")
        self._kept_s = runtime.scaled(KEPT_S)
        self._names: dict[str, tuple[float, str]] = {}

    async def allocate(
        self,
        context: CallContext,
        instance: Mapping[str, Any],
        requested: list[dict[str, Any]],
        security_groups: list[str],
        host: str,
        expect: Callable[[str], None],
    ) -> list[dict[str, Any]]:
        """Create what is missing, bind all to the host. Returns the network info.

        Args: expect: told the id of a port before it is bound: from then on its vif-plugged event may come.
        Raises: BuildAbortException; what was created is deleted again.
        """
        created: list[str] = []
        ports: list[dict[str, Any]] = []
        try:
            for request in requested:
                port_id = request.get("port_id")
                if not port_id and self._runtime.strikes("shared_port"):
                    port_id = await self._anothers_port(instance, request)
                if not port_id:
                    port_id = await self._create(context, instance, request, security_groups)
                    created.append(port_id)
                ports.append({"id": port_id})
            info = []
            for port in ports:
                expect(port["id"])
                info.append(await self._bind(context, instance["uuid"], port["id"], host))
        except Exception as error:
            for port_id in created:
                await self._neutron.delete(f"/v2.0/ports/{port_id}")
            if isinstance(error, NovaError):
                text = "Failed to allocate the network(s), not rescheduling."
                raise BuildAbortException(instance["uuid"], text) from error
            raise
        return info

    async def describe(self, uuid: str) -> list[dict[str, Any]]:
        """The network info of an instance as neutron has it now."""
        response = await self._neutron.get("/v2.0/ports", query={"device_id": uuid})
        if not response.ok:
            raise NetworkError(f"neutron answered {response.status} when asked to list ports of {uuid}")
        return [await self._vif(port) for port in response.json()["ports"]]

    async def deallocate(self, uuid: str, keep: frozenset[str] = frozenset()) -> None:
        """Delete the ports of an instance; those in `keep` were the user's own and are only unbound."""
        response = await self._neutron.get("/v2.0/ports", query={"device_id": uuid})
        if not response.ok:
            raise NetworkError(f"neutron answered {response.status} when asked to list ports of {uuid}")
        for port in response.json()["ports"]:
            if port["id"] in keep:
                body: dict[str, Any] = {
                    "port": {"device_id": "", "device_owner": "", "binding:host_id": None, "binding:profile": {}}
                }
                await self._neutron.put(f"/v2.0/ports/{port['id']}", json=body)
                continue
            answer = await self._neutron.delete(f"/v2.0/ports/{port['id']}")
            if answer.status not in (204, 404):
                raise NetworkError(f"neutron answered {answer.status} when asked to delete port {port['id']}")

    async def _anothers_port(self, instance: Mapping[str, Any], request: Mapping[str, Any]) -> str | None:
        """The truth switch `shared_port`: a port that a server has already, as two requests for one port race for it.

        Nova looks at `device_id` before either has set it, and Neutron lets the last one have the port.
        """
        query = {"network_id": request["network_id"], "project_id": instance["project_id"]}
        response = await self._neutron.get("/v2.0/ports", query={**query, "device_owner": "compute:nova"})
        if not response.ok:
            raise NetworkError(f"neutron answered {response.status} when asked to list ports")
        taken = sorted(port["id"] for port in response.json()["ports"] if port["status"] == "ACTIVE")
        return taken[0] if taken else None

    async def _create(
        self,
        context: CallContext,
        instance: Mapping[str, Any],
        request: Mapping[str, Any],
        security_groups: list[str],
    ) -> str:
        port: dict[str, Any] = {
            "network_id": request["network_id"],
            "device_id": instance["uuid"],
            "tenant_id": instance["project_id"],
            "admin_state_up": True,
        }
        if request.get("address"):
            port["fixed_ips"] = [{"ip_address": request["address"]}]
        if security_groups:
            port["security_groups"] = security_groups
        response = await self._neutron.post("/v2.0/ports", json={"port": port}, request_id=context.request_id or None)
        if response.status != 201:
            raise NetworkError(f"neutron answered {response.status} to a port: {response.body[:200]!r}")
        return str(response.json()["port"]["id"])

    async def _bind(self, context: CallContext, uuid: str, port_id: str, host: str) -> dict[str, Any]:
        body = {
            "port": {
                "device_id": uuid,
                "device_owner": "compute:nova",
                "binding:host_id": host,
                "binding:profile": {},
            }
        }
        response = await self._neutron.put(f"/v2.0/ports/{port_id}", json=body, request_id=context.request_id or None)
        if response.status != 200:
            raise NetworkError(f"neutron answered {response.status} to a binding: {response.body[:200]!r}")
        port = response.json()["port"]
        if port.get("binding:vif_type") == "binding_failed":
            raise NetworkError(f"Binding failed for port {port_id}")
        return await self._vif(port)

    async def _vif(self, port: Mapping[str, Any]) -> dict[str, Any]:
        groups = [await self._name("security-groups", group) for group in port.get("security_groups") or ()]
        return {
            "id": port["id"],
            "address": port["mac_address"],
            "network_id": port["network_id"],
            "label": await self._name("networks", port["network_id"]),
            "fixed_ips": [
                {"subnet_id": fixed["subnet_id"], "ip_address": fixed["ip_address"]} for fixed in port["fixed_ips"]
            ],
            "security_groups": groups,
            "active": port["status"] == "ACTIVE",
        }

    async def _name(self, collection: str, uuid: str) -> str:
        now = time.monotonic()
        kept = self._names.get(uuid)
        if kept is not None and now < kept[0]:
            return kept[1]
        response = await self._neutron.get(f"/v2.0/{collection}/{uuid}")
        if not response.ok:
            raise NetworkError(f"neutron answered {response.status} when asked for {collection} {uuid}")
        member = next(iter(response.json().values()))
        self._names[uuid] = (now + self._kept_s, member["name"])
        return str(member["name"])
