"""What neutron-server tells the L2 agents: fanout casts on `q-agent-notifier-*`, awaited inside the request.

Source: neutron.plugins.ml2.rpc.AgentNotifierApi (29.0.0).
"""

from typing import Any

from harness.emulator.runtime import Runtime

EXCHANGE = "neutron"
PORT_UPDATE = "q-agent-notifier-port-update"
PORT_DELETE = "q-agent-notifier-port-delete"
NETWORK_DELETE = "q-agent-notifier-network-delete"
SECURITY_GROUP_UPDATE = "q-agent-notifier-security_group-update"


class AgentNotifier:
    """Casts to every agent. While the broker hangs, so does the caller, as with the real driver."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def port_update(self, port: dict[str, Any], segment: dict[str, Any]) -> None:
        """A bound port is new or has changed. Args: port: its view; segment: type, id and physical network."""
        await self._cast(PORT_UPDATE, "port_update", {"port": port, **segment})

    async def port_delete(self, port_id: str) -> None:
        await self._cast(PORT_DELETE, "port_delete", {"port_id": port_id})

    async def network_delete(self, network_id: str) -> None:
        await self._cast(NETWORK_DELETE, "network_delete", {"network_id": network_id})

    async def security_groups_rule_updated(self, group_ids: list[str]) -> None:
        await self._cast(SECURITY_GROUP_UPDATE, "security_groups_rule_updated", {"security_groups": group_ids})

    async def _cast(self, topic: str, method: str, args: dict[str, Any]) -> None:
        await self._runtime.bus.cast(topic, method, args, fanout=True, exchange=EXCHANGE, version="1.0")
