"""Port binding with the Open vSwitch mechanism driver: a host with a live agent, or `binding_failed`."""

from typing import Any

import orjson
from sqlalchemy import bindparam, select

from harness.emulator import timestamps
from harness.emulator.database import Row, Statement
from harness.emulator.neutron import schema
from harness.emulator.neutron.attributes import Values
from harness.emulator.neutron.service import Neutron

OVS_AGENT = "Open vSwitch agent"
UNBOUND = "unbound"
FAILED = "binding_failed"
BOUND = "ovs"
VIF_DETAILS = orjson.dumps(
    {
        "port_filter": True,
        "connectivity": "l2",
        "bridge_name": "br-int",
        "datapath_type": "system",
        "ovs_hybrid_plug": False,
        "bound_drivers": {"0": "openvswitch"},
    }
).decode()

_AGENT = Statement(
    select(schema.agents.c.heartbeat_timestamp).where(
        schema.agents.c.host == bindparam("host"), schema.agents.c.agent_type == OVS_AGENT
    )
)


def alive_since(neutron: Neutron) -> str:
    """An agent whose heartbeat is not after this is dead (agent_down_time)."""
    oldest_s = neutron.settings.scaled(neutron.settings.neutron.agent_down_time_s)
    return timestamps.plain_micro(timestamps.after(-oldest_s))


async def bind(neutron: Neutron, host: str) -> Values:
    """`bound` for a host whose agent is not known yet."""
    return bound(neutron, host, await neutron.database.fetch_value(_AGENT, host=host) if host else None)


def bound(neutron: Neutron, host: str, heartbeat: str | None) -> Values:
    """The columns of `ports` that bind a port to a host; an empty host takes a binding away.

    The port stays DOWN: the agent brings it up. A dead agent's host fails the binding, as in neutron.

    Args: heartbeat: when the host's agent last reported; None: there is no agent.
    """
    if not host:
        return {"host": "", "vif_type": UNBOUND, "vif_details": "{}", "status": "DOWN"}
    if heartbeat is None or heartbeat <= alive_since(neutron):
        return {"host": host, "vif_type": FAILED, "vif_details": "{}", "status": "DOWN"}
    return {"host": host, "vif_type": BOUND, "vif_details": VIF_DETAILS, "status": "DOWN"}


def segment(row: Row | Values) -> dict[str, Any]:
    """What agents are told of a network, from a row that holds its provider columns."""
    return {
        "network_type": row["network_type"],
        "segmentation_id": row["segmentation_id"],
        "physical_network": row["physical_network"],
    }
