"""Neutron's part: paths and bodies in one place. Checked against neutron 29.0.0 (2026.2).

What is made here carries the run's mark as the start of its name, and in its description.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.cloud.api import Answer, Api
from harness.core.marks import bears

PAGE = 1000


def list_networks(api: Api, **filters: Any) -> list[dict[str, Any]]:
    return _list(api, "networks", filters)


def create_network(api: Api, *, name: str, mark: str) -> dict[str, Any]:
    return _create(api, "networks", {"name": name, "description": mark, "admin_state_up": True})


def delete_network(api: Api, network_id: str) -> Answer:
    return _delete(api, "networks", network_id)


def create_subnet(api: Api, *, name: str, mark: str, network_id: str, cidr: str) -> dict[str, Any]:
    body = {"name": name, "description": mark, "network_id": network_id, "cidr": cidr, "ip_version": 4}
    return _create(api, "subnets", body)


def delete_subnet(api: Api, subnet_id: str) -> Answer:
    return _delete(api, "subnets", subnet_id)


def list_ports(api: Api, **filters: Any) -> list[dict[str, Any]]:
    return _list(api, "ports", filters)


def create_port(
    api: Api, *, name: str, mark: str, network_id: str, security_groups: Sequence[str] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "description": mark, "network_id": network_id, "admin_state_up": True}
    if security_groups is not None:
        body["security_groups"] = list(security_groups)
    return _create(api, "ports", body)


def delete_port(api: Api, port_id: str) -> Answer:
    return _delete(api, "ports", port_id)


def create_security_group(api: Api, *, name: str, mark: str) -> dict[str, Any]:
    return _create(api, "security-groups", {"name": name, "description": mark})


def delete_security_group(api: Api, group_id: str) -> Answer:
    return _delete(api, "security-groups", group_id)


def create_security_group_rule(api: Api, *, group_id: str, port: int, mark: str) -> dict[str, Any]:
    """Let TCP in to one port, from anywhere."""
    body = {"security_group_id": group_id, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    return _create(
        api, "security-group-rules", body | {"port_range_min": port, "port_range_max": port, "description": mark}
    )


def quota(api: Api, project_id: str) -> dict[str, Any]:
    """Limits, used and reserved per resource of a project; -1 means unlimited."""
    path = f"/quotas/{project_id}/details.json"
    return dict(api.call("network", "GET", "/quotas/{project_id}/details", path).body["quota"])


def list_agents(api: Api) -> list[dict[str, Any]]:
    """Admin only."""
    return _list(api, "agents", {})


def all_of(api: Api, collection: str, page: int = PAGE, **filters: Any) -> Iterator[dict[str, Any]]:
    """Every object of a collection ("ports"), page by page, until a page is empty or does not move on."""
    marker: str | None = None
    while True:
        paging: dict[str, Any] = {"limit": page, "sort_key": "id", "sort_dir": "asc"}
        if marker:
            paging["marker"] = marker
        rows = _list(api, collection, filters | paging)
        yield from rows
        # Neutron without a pagination limit of its own answers with all we asked for: less than a page is the end.
        if len(rows) < page or rows[-1]["id"] == marker:
            return
        marker = rows[-1]["id"]


def carries(resource: dict[str, Any], mark: str) -> bool:
    """Whether a network resource carries the mark: in its name, description or tags."""
    texts = (resource.get("name"), resource.get("description"), *(resource.get("tags") or ()))
    return any(bears(text, mark) for text in texts)


def _list(api: Api, collection: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
    body = api.call("network", "GET", f"/{collection}", params=filters or None).body
    return list(body[collection.replace("-", "_")])


def _create(api: Api, collection: str, body: dict[str, Any]) -> dict[str, Any]:
    single = collection.replace("-", "_")[:-1]
    return dict(api.call("network", "POST", f"/{collection}", json={single: body}).body[single])


def _delete(api: Api, collection: str, resource_id: str) -> Answer:
    return api.call("network", "DELETE", f"/{collection}/{{id}}", f"/{collection}/{resource_id}", accept=(404,))
