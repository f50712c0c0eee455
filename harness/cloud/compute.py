"""Nova's part: paths, bodies and microversions in one place. Checked against nova 34.0.0 (2026.2).

Servers carry the run's mark in their name and in metadata `squall_mark`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.cloud.api import Answer, Api
from harness.cloud.errors import CloudError
from harness.core.marks import bears

MARK_KEY = "squall_mark"
PAGE = 1000
_NEVER_CUT = 50
# 2.69 shows servers of an unreachable cell as UNKNOWN instead of leaving them out, and embeds the flavor.
MICROVERSION = "2.69"


def microversion(api: Api) -> str | None:
    return api.cloud.microversion("compute", MICROVERSION)


def create_servers(
    api: Api,
    *,
    name: str,
    flavor_id: str,
    image_id: str,
    network_id: str | None,
    mark: str,
    count: int = 1,
    key_name: str | None = None,
    security_group: str | None = None,
) -> Answer:
    """POST one request for `count` servers; with more than one, Nova names them `name-1` ... `name-N`.

    The answer's body["server"] is the first of them.
    """
    server: dict[str, Any] = {
        "name": name,
        "flavorRef": flavor_id,
        "imageRef": image_id,
        "networks": [{"uuid": network_id}] if network_id else "none",
        "metadata": {MARK_KEY: mark},
    }
    if count > 1:
        server |= {"min_count": count, "max_count": count}
    if key_name:
        server["key_name"] = key_name
    if security_group:
        server["security_groups"] = [{"name": security_group}]
    return api.call("compute", "POST", "/servers", json={"server": server}, microversion=microversion(api))


def server_names(name: str, count: int) -> list[str]:
    """The names Nova gives to the servers of one request."""
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]


def find_server(api: Api, server_id: str) -> dict[str, Any] | None:
    """The server, or None when the cloud says that there is none."""
    path = f"/servers/{server_id}"
    answer = api.call("compute", "GET", "/servers/{id}", path, microversion=microversion(api), accept=(404,))
    return None if answer.exchange.status == 404 else dict(answer.body["server"])


def list_servers(api: Api, *, detail: bool = True, limit: int | None = None, **filters: Any) -> list[dict[str, Any]]:
    """One page. Filters as Nova takes them: `name` (a regular expression), `changes_since`, `all_tenants`, ..."""
    route = "/servers/detail" if detail else "/servers"
    params = {key.replace("_", "-") if key == "changes_since" else key: value for key, value in filters.items()}
    if limit is not None:
        params["limit"] = limit
    body = api.call("compute", "GET", route, params=params, microversion=microversion(api)).body
    return list(body["servers"])


def all_servers(api: Api, *, detail: bool = True, page: int = PAGE, **filters: Any) -> Iterator[dict[str, Any]]:
    """Every server that fits, page by page, until a page is empty: a cloud may page shorter than we ask."""
    marker: str | None = None
    while True:
        servers = list_servers(api, detail=detail, limit=page, **filters, **({"marker": marker} if marker else {}))
        yield from servers
        # A first page far below any max_limit cannot have been cut by one: it saves the request for the empty page.
        if not servers or (marker is None and len(servers) < min(page, _NEVER_CUT)):
            return
        if servers[-1]["id"] == marker:
            raise CloudError(f"GET /servers ignores its marker {marker}: paging would never end")
        marker = servers[-1]["id"]


def delete_server(api: Api, server_id: str) -> Answer:
    """202 or 204; a server that is gone already (404) is an answer too."""
    return api.call("compute", "DELETE", "/servers/{id}", f"/servers/{server_id}", accept=(404,))


def start_server(api: Api, server_id: str) -> Answer:
    return _action(api, server_id, "os-start", None)


def stop_server(api: Api, server_id: str) -> Answer:
    return _action(api, server_id, "os-stop", None)


def reboot_server(api: Api, server_id: str, kind: str = "SOFT") -> Answer:
    return _action(api, server_id, "reboot", {"type": kind})


def list_flavors(api: Api, *, detail: bool = True) -> list[dict[str, Any]]:
    return list(api.call("compute", "GET", "/flavors/detail" if detail else "/flavors").body["flavors"])


def limits(api: Api) -> dict[str, Any]:
    """What the project may have and has: Nova's absolute limits."""
    return dict(api.call("compute", "GET", "/limits").body["limits"]["absolute"])


def quotas(api: Api, project_id: str) -> dict[str, Any]:
    path = f"/os-quota-sets/{project_id}"
    return dict(api.call("compute", "GET", "/os-quota-sets/{project_id}", path).body["quota_set"])


def list_services(api: Api) -> list[dict[str, Any]]:
    """Admin only."""
    return list(api.call("compute", "GET", "/os-services").body["services"])


def list_keypairs(api: Api) -> list[dict[str, Any]]:
    return [entry["keypair"] for entry in api.call("compute", "GET", "/os-keypairs").body["keypairs"]]


def delete_keypair(api: Api, name: str) -> Answer:
    return api.call("compute", "DELETE", "/os-keypairs/{name}", f"/os-keypairs/{name}", accept=(404,))


def carries(server: Mapping[str, Any], mark: str) -> bool:
    """Whether a server carries the mark, in its name or its metadata."""
    return bears(server.get("name"), mark) or bears((server.get("metadata") or {}).get(MARK_KEY), mark)


def _action(api: Api, server_id: str, action: str, argument: Any) -> Answer:
    route = f"/servers/{{id}}/action {action}"
    return api.call("compute", "POST", route, f"/servers/{server_id}/action", json={action: argument})
