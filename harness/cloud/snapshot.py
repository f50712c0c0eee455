"""What the cloud says of itself, through its public APIs, at one time: the audit's only witness.

What an account may not read is left out and named in `errors`; a snapshot with errors is not `complete`, and the checks
that need the missing part say unknown.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.cloud import compute, image, network, placement
from harness.cloud.api import Api, RequestFailed
from harness.cloud.session import Cloud

CONCURRENCY = 8
REQUEST_S = 60.0


def take(
    cloud: Cloud, admin: Cloud | None = None, *, taken_ns: int = 0, concurrency: int = CONCURRENCY
) -> dict[str, Any]:
    """Read the whole cloud, as far as `admin` may; without one, as far as `cloud` may.

    Args: cloud: of the project under test: whose keypairs, limits and usages these are. taken_ns: stored as it is: the
    run's time. concurrency: requests under way at once for placement; the other services are asked one page after the
    other, all beside each other.
    """
    reader = _Reader(admin or cloud, cloud, concurrency)
    project_id = cloud.project_id
    parts: dict[str, Callable[[], Any]] = {
        "servers": reader.servers,
        "ports": lambda: [_port(port) for port in network.all_of(reader.api, "ports")],
        "networks": lambda: [_network(each) for each in network.all_of(reader.api, "networks")],
        "subnets": lambda: [_subnet(each) for each in network.all_of(reader.api, "subnets")],
        "security_groups": lambda: [_named(each) for each in network.all_of(reader.api, "security-groups")],
        "keypairs": lambda: [{"name": each["name"]} for each in compute.list_keypairs(reader.tenant)],
        "images": lambda: [{"id": each["id"], "name": each["name"]} for each in image.all_images(reader.api)],
        "providers": reader.providers,
        "project_usages": lambda: placement.project_usages(reader.api, project_id),
        "limits": lambda: compute.limits(reader.tenant),
        "services": lambda: [_pick(each, "binary host state status") for each in compute.list_services(reader.api)],
        "agents": lambda: [
            {"type": each["agent_type"], "host": each["host"], "alive": each["alive"]}
            for each in network.list_agents(reader.api)
        ],
    }
    with ThreadPoolExecutor(len(parts), thread_name_prefix="snapshot") as pool:
        found = dict(zip(parts, pool.map(reader.read, parts, parts.values()), strict=True))
    return {
        "taken_ns": taken_ns,
        "cloud": cloud.name,
        "project_id": project_id,
        "complete": not reader.errors,
        "errors": sorted(reader.errors),
        **found,
    }


class _Reader:
    def __init__(self, admin: Cloud, tenant: Cloud, concurrency: int) -> None:
        self.api, self.tenant = Api(admin, timeout_s=REQUEST_S), Api(tenant, timeout_s=REQUEST_S)
        self.errors: list[str] = []
        self._concurrency = concurrency
        self._lock = threading.Lock()

    def read(self, name: str, part: Callable[[], Any]) -> Any:
        """A part, or an empty one and an error.  Once more after a failure: a snapshot follows on faults."""
        for attempt in (1, 2):
            try:
                return part()
            except RequestFailed as error:
                if error.status in (401, 403, 404) or attempt == 2:
                    self.note(f"{name}: {error}")
                    break
        return {} if name in ("limits", "project_usages") else []

    def note(self, text: str) -> None:
        with self._lock:
            self.errors.append(text)

    def servers(self) -> list[dict[str, Any]]:
        try:
            return [_server(each) for each in compute.all_servers(self.api, all_tenants=1)]
        except RequestFailed as error:
            if error.status != 403:
                raise
            self.note("servers: only those of our own project: all_tenants is not allowed to us")
            return [_server(each) for each in compute.all_servers(self.api)]

    def providers(self) -> list[dict[str, Any]]:
        summaries = placement.provider_summaries(self.api)
        providers = placement.list_providers(self.api)
        # Threads of their own: `read` holds one of the outer pool's while these work.
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="placement") as pool:
            return list(pool.map(lambda each: self._provider(each, summaries.get(each["uuid"])), providers))

    def _provider(self, provider: dict[str, Any], summary: dict[str, dict[str, int]] | None) -> dict[str, Any]:
        """One provider: from its summary where there is one, else, as when it is full, by two more requests."""
        uuid = provider["uuid"]
        inventories: dict[str, dict[str, Any]]
        if summary is not None:
            usages = {name: each["used"] for name, each in summary.items()}
            # A summary has the outcome of total, reserved and ratio only; it means the same for every check.
            inventories = {
                name: {"total": each["capacity"], "reserved": 0, "allocation_ratio": 1.0}
                for name, each in summary.items()
            }
        else:
            usages = placement.usages(self.api, uuid)
            inventories = placement.inventories(self.api, uuid)
        # Usages are the sums of allocations: where there is no use there is nothing to fetch.
        allocations = placement.allocations(self.api, uuid) if any(usages.values()) else {}
        return {
            "uuid": uuid,
            "name": provider["name"],
            "inventories": {
                name: _pick(inventory, "total reserved allocation_ratio") for name, inventory in inventories.items()
            },
            "usages": usages,
            "allocations": allocations,
        }


def _server(server: dict[str, Any]) -> dict[str, Any]:
    flavor = server.get("flavor") or {}
    return {
        "id": server["id"],
        "name": server.get("name"),
        "status": server["status"],
        "task_state": server.get("OS-EXT-STS:task_state"),
        "vm_state": server.get("OS-EXT-STS:vm_state"),
        "host": server.get("OS-EXT-SRV-ATTR:host"),
        "project_id": server.get("tenant_id"),
        "flavor": {
            "name": flavor.get("original_name"),
            "vcpus": flavor.get("vcpus"),
            "ram_mb": flavor.get("ram"),
            "disk_gb": flavor.get("disk"),
        },
        "created": server.get("created"),
        "updated": server.get("updated"),
        "launched": server.get("OS-SRV-USG:launched_at"),
        "addresses": [
            {"network": name, "ip": address["addr"], "mac": address.get("OS-EXT-IPS-MAC:mac_addr")}
            for name, addresses in (server.get("addresses") or {}).items()
            for address in addresses
        ],
        "fault": (server.get("fault") or {}).get("message"),
        "metadata": server.get("metadata") or {},
    }


def _port(port: dict[str, Any]) -> dict[str, Any]:
    return {
        **_pick(port, "id name network_id device_id device_owner status"),
        "host": port.get("binding:host_id"),
        "mac": port["mac_address"],
        "fixed_ips": [{"subnet_id": each["subnet_id"], "ip": each["ip_address"]} for each in port["fixed_ips"]],
        "project_id": _project(port),
        "tags": port.get("tags") or [],
    }


def _network(each: dict[str, Any]) -> dict[str, Any]:
    return {**_named(each), "external": bool(each.get("router:external"))}


def _subnet(each: dict[str, Any]) -> dict[str, Any]:
    return {**_named(each), **_pick(each, "network_id cidr")}


def _named(each: dict[str, Any]) -> dict[str, Any]:
    return {"id": each["id"], "name": each["name"], "project_id": _project(each)}


def _project(each: dict[str, Any]) -> Any:
    return each.get("project_id") or each.get("tenant_id")


def _pick(each: dict[str, Any], names: str | Iterable[str]) -> dict[str, Any]:
    return {name: each.get(name) for name in (names.split() if isinstance(names, str) else names)}
