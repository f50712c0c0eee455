"""What a new server asks of the network service, checked there before anything is written."""

from collections.abc import Mapping
from typing import Any

from harness.emulator.http import ApiError, Caller, Response
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.validation import is_uuid

Requested = list[dict[str, Any]]


async def requested_networks(
    api: ComputeApi, caller: Caller, asked: Any, count: int, minor: int
) -> tuple[Requested, int | None]:
    """The networks and ports of each new instance, and for how many instances the port quota has room (None: all).

    Args: asked: `networks` of the request: a list, "auto", "none" or None.
    Raises: ApiError 400, 403, 404, 409.
    """
    if asked == "none":
        return [], None
    if not asked or asked == "auto":
        found = await _available(api, caller)
        if len(found) > 1:
            raise ApiError(409, "Multiple possible networks found, use a Network ID to be more specific.")
        if not found and asked == "auto" and minor >= 37:
            raise ApiError(400, "Unable to automatically allocate a network for project " + caller.project_id)
        requested: Requested = [{"network_id": network["id"]} for network in found]
    else:
        requested = [_entry(network) for network in asked]
    ports = [entry["port_id"] for entry in requested if entry.get("port_id")]
    twice = next((port for index, port in enumerate(ports) if port in ports[:index]), None)
    if twice is not None:
        raise ApiError(400, f"Port ID '{twice}' was specified twice: you cannot attach a port multiple times.")
    if ports and count > 1:
        raise ApiError(
            400,
            "Failed to launch instances: Unable to launch multiple instances with a single configured port ID. "
            "Please launch your instance one by one with different ports.",
        )
    for entry in requested:
        if entry.get("port_id"):
            entry["network_id"] = await _port_network(api, caller, entry["port_id"])
    await _check_networks(api, caller, [entry["network_id"] for entry in requested if not entry.get("port_id")])
    needed = len(requested) - len(ports)
    return requested, None if needed == 0 else await _room(api, caller, needed)


async def requested_security_groups(api: ComputeApi, caller: Caller, names: list[str]) -> list[str]:
    """Ids of the groups, by name or id; nothing when only the default is meant.

    Raises: ApiError 400.
    """
    wanted = [name for name in dict.fromkeys(names) if name != "default"]
    if not wanted:
        return []
    response = await api.neutron.get(
        "/v2.0/security-groups", query={"tenant_id": caller.project_id}, user_token=caller.token
    )
    groups = _expect(response, "list security groups")["security_groups"]
    found: list[str] = []
    for name in dict.fromkeys(names):
        matching = [group["id"] for group in groups if name in (group["id"], group["name"])]
        if not matching:
            raise ApiError(400, f"Unable to find security_group with name or id '{name}'")
        if len(matching) > 1:
            raise ApiError(
                409,
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific.",
            )
        found.append(matching[0])
    return found


def _entry(network: Any) -> dict[str, Any]:
    if not isinstance(network, dict):
        raise ApiError(400, "Bad networks format")
    port = network.get("port")
    if port is not None:
        if not is_uuid(port):
            raise ApiError(400, f"Bad port format: port uuid is not in proper format ({port})")
        if network.get("fixed_ip") is not None:
            raise ApiError(
                400,
                f"Specified Fixed IP '{network['fixed_ip']}' cannot be used with port '{port}': the two cannot be "
                "specified together.",
            )
        return {"port_id": port}
    if "uuid" not in network:
        raise ApiError(400, "Bad network format: missing 'uuid'")
    uuid = network["uuid"]
    if not is_uuid(uuid):
        raise ApiError(400, f"Bad networks format: network uuid is not in proper format ({uuid})")
    entry = {"network_id": uuid}
    if network.get("fixed_ip"):
        entry["address"] = network["fixed_ip"]
    return entry


async def _available(api: ComputeApi, caller: Caller) -> list[Mapping[str, Any]]:
    own = await api.neutron.get(
        "/v2.0/networks", query={"tenant_id": caller.project_id, "shared": "False"}, user_token=caller.token
    )
    shared = await api.neutron.get("/v2.0/networks", query={"shared": "True"}, user_token=caller.token)
    found = [*_expect(own, "list networks")["networks"], *_expect(shared, "list networks")["networks"]]
    return [network for network in found if network.get("subnets") and not network.get("router:external")]


async def _port_network(api: ComputeApi, caller: Caller, port_id: str) -> str:
    response = await api.neutron.get(f"/v2.0/ports/{port_id}", user_token=caller.token)
    if response.status == 404:
        raise ApiError(400, f"Port id {port_id} could not be found.")
    port = _expect(response, "show a port")["port"]
    if port.get("device_id"):
        raise ApiError(409, f"Port {port_id} is still in use.")
    if not port.get("fixed_ips"):
        raise ApiError(400, f"Port {port_id} requires a FixedIP in order to be used.")
    return str(port["network_id"])


async def _check_networks(api: ComputeApi, caller: Caller, ids: list[str]) -> None:
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return
    response = await api.neutron.get("/v2.0/networks", query={"id": wanted}, user_token=caller.token)
    networks = {network["id"]: network for network in _expect(response, "list networks")["networks"]}
    missing = [uuid for uuid in wanted if uuid not in networks]
    if missing:
        raise ApiError(400, f"Network {', '.join(missing)} could not be found.")
    for network in networks.values():
        if not network.get("subnets"):
            raise ApiError(400, f"Network {network['id']} requires a subnet in order to boot instances on.")
        if network.get("router:external") and not network.get("shared") and not caller.is_admin:
            raise ApiError(403, f"It is not allowed to create an interface on external network {network['id']}")


async def _room(api: ComputeApi, caller: Caller, needed: int) -> int | None:
    quota = _expect(await api.neutron.get(f"/v2.0/quotas/{caller.project_id}"), "show quotas")["quota"]
    limit = int(quota.get("port", -1))
    if limit < 0:
        return None
    response = await api.neutron.get("/v2.0/ports", query={"tenant_id": caller.project_id, "fields": "id"})
    used = len(_expect(response, "list ports")["ports"])
    return max(0, limit - used) // needed


def _expect(response: Response, what: str) -> Any:
    if not response.ok:
        raise RuntimeError(f"neutron answered {response.status} when asked to {what}")
    return response.json()
