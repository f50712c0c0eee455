"""A cloud small enough to hold in the hand: real HTTP, the few answers the client needs, and a clock that tests turn.

For what the emulator cannot give on demand: a server that is ACTIVE after exactly so many lists, a deletion that is
refused, a list that fails. Bodies have the shape of nova 34.0.0, neutron 29.0.0, keystone 30.0.0 (2026.2).
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

PROJECT = "11111111111111111111111111111111"
NOW = "2026-11-22T15:00:00Z"


class SmallCloud:
    """Its state, to be read and changed by tests; `url` once it serves."""

    def __init__(self) -> None:
        self.url = ""
        self.servers: dict[str, dict[str, Any]] = {}
        self.deleted: dict[str, dict[str, Any]] = {}
        self.things: dict[str, dict[str, dict[str, Any]]] = {
            "networks": {}, "subnets": {}, "ports": {}, "security-groups": {}, "images": {}, "os-keypairs": {},
        }  # fmt: skip
        self.requests: list[tuple[str, str]] = []
        self.lists_until_active = 2
        self.fail: Callable[[str, str], int | None] = lambda method, path: None
        self.token_is_good = True
        self.lock = threading.Lock()
        self.add("networks", "private", subnets=["s"], **{"router:external": False})
        self.add("images", "cirros", status="active")

    def add(self, collection: str, name: str, **fields: Any) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        thing = {"id": identity, "name": name, "project_id": PROJECT, "description": "", "tags": [], **fields}
        self.things[collection][identity] = thing
        return thing

    def add_server(self, name: str, **fields: Any) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        server = {
            "id": identity, "name": name, "status": "BUILD", "OS-EXT-STS:task_state": "scheduling",
            "created": NOW, "updated": NOW, "addresses": {}, "metadata": {}, "tenant_id": PROJECT, "lists": 0,
        } | fields  # fmt: skip
        self.servers[identity] = server
        port = {"device_id": server["id"], "device_owner": "compute:nova", "status": "DOWN", "mac_address": "fa:0"}
        self.add("ports", "", fixed_ips=[], network_id="n", **port)
        return server

    def counted(self, method: str, pattern: str) -> int:
        return sum(1 for m, path in self.requests if m == method and re.search(pattern, path))

    # What it answers: (status, body).

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        split = urlsplit(target)
        path, query = split.path, parse_qs(split.query)
        with self.lock:
            self.requests.append((method, target))
            refused = self.fail(method, target)
            if refused:
                return refused, {"error": {"message": "as the test wishes", "code": refused}}
            for pattern, handle in self._routes:
                match = re.fullmatch(pattern, f"{method} {path}")
                if match:
                    return handle(self, match.groups(), query, body)  # type: ignore[no-any-return]
        return 404, {"itemNotFound": {"message": f"no {method} {path}", "code": 404}}

    def _version(self, *_: Any) -> tuple[int, Any]:
        version = {"id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1"}
        version["links"] = [{"rel": "self", "href": f"{self.url}/v2.1/"}]  # type: ignore[assignment]
        return 200, {"version": version}

    def _keystone(self, *_: Any) -> tuple[int, Any]:
        link = [{"rel": "self", "href": f"{self.url}/v3/"}]
        return 200, {"version": {"id": "v3.14", "status": "stable", "links": link}}

    def _neutron(self, *_: Any) -> tuple[int, Any]:
        link = [{"rel": "self", "href": f"{self.url}/v2.0/"}]
        return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": link}]}

    def _token(self, *_: Any) -> tuple[int, Any]:
        def service(kind: str, path: str) -> dict[str, Any]:
            endpoint = {"interface": "public", "region": "R", "region_id": "R", "url": self.url + path, "id": kind}
            return {"type": kind, "name": kind, "id": kind, "endpoints": [endpoint]}

        kinds = {"compute": "/v2.1", "network": "", "image": "/glance", "identity": "/v3"}
        self.token_is_good = True
        return 201, {
            "token": {
                "methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": NOW,
                "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": PROJECT, "name": "demo", "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "m", "name": "member"}], "catalog": [service(*each) for each in kinds.items()],
            }
        }  # fmt: skip

    def _create_servers(self, _: Any, __: Any, body: Any) -> tuple[int, Any]:
        wanted = body["server"]
        count = wanted.get("min_count", 1)
        names = [wanted["name"]] if count == 1 else [f"{wanted['name']}-{i}" for i in range(1, count + 1)]
        made = [self.add_server(name, metadata=wanted.get("metadata", {})) for name in names]
        return 202, {"server": {"id": made[0]["id"]}}

    def _list_servers(self, _: Any, query: Any, __: Any) -> tuple[int, Any]:
        rows = list(self.servers.values())
        if "changes-since" in query:
            rows += self.deleted.values()
        if "name" in query:
            rows = [row for row in rows if re.search(query["name"][0], row["name"])]
        if "marker" in query:
            ids = [row["id"] for row in rows]
            rows = rows[ids.index(query["marker"][0]) + 1 :] if query["marker"][0] in ids else []
        rows = rows[: min(int(query.get("limit", ["1000"])[0]), 1000)]
        answer = [dict(row) for row in rows]
        for row in rows:
            row["lists"] += 1
            if row["status"] == "BUILD" and row["lists"] >= self.lists_until_active:
                self.activate(row)
        return 200, {"servers": answer}

    def activate(self, server: dict[str, Any]) -> None:
        server |= {"status": "ACTIVE", "OS-EXT-STS:task_state": None}
        server["addresses"] = {"private": [{"addr": "10.0.0.2", "OS-EXT-IPS-MAC:mac_addr": "fa:0"}]}
        for port in self.things["ports"].values():
            if port.get("device_id") == server["id"]:
                port["status"] = "ACTIVE"

    def _show_server(self, ids: Any, *_: Any) -> tuple[int, Any]:
        found = self.servers.get(ids[0])
        return (200, {"server": found}) if found else (404, {"itemNotFound": {"message": "not found", "code": 404}})

    def _delete_server(self, ids: Any, *_: Any) -> tuple[int, Any]:
        gone = self.servers.pop(ids[0], None)
        if gone is None:
            return 404, {"itemNotFound": {"message": "not found", "code": 404}}
        self.deleted[ids[0]] = gone | {"status": "DELETED"}
        ports = self.things["ports"]
        for port_id in [i for i, port in ports.items() if port.get("device_id") == ids[0] and not port.get("leaks")]:
            del ports[port_id]
        return 204, None

    def _act(self, ids: Any, _: Any, body: Any) -> tuple[int, Any]:
        status = {"os-stop": "SHUTOFF", "os-start": "ACTIVE", "reboot": "ACTIVE"}[next(iter(body))]
        self.servers[ids[0]]["status"] = status
        return 202, None

    def _flavors(self, *_: Any) -> tuple[int, Any]:
        return 200, {"flavors": [{"id": "1", "name": "m1.tiny", "ram": 64, "vcpus": 1, "disk": 1}]}

    def _limits(self, *_: Any) -> tuple[int, Any]:
        return 200, {"limits": {"rate": [], "absolute": {"maxTotalInstances": 10, "totalInstancesUsed": 4}}}

    def _quota(self, *_: Any) -> tuple[int, Any]:
        return 200, {"quota_set": {"id": PROJECT, "instances": 10}}

    def _keypairs(self, *_: Any) -> tuple[int, Any]:
        return 200, {"keypairs": [{"keypair": each} for each in self.things["os-keypairs"].values()]}

    def _delete_keypair(self, ids: Any, *_: Any) -> tuple[int, Any]:
        pairs = self.things["os-keypairs"]
        for key in [key for key, each in pairs.items() if each["name"] == ids[0]]:
            del pairs[key]
        return 202, None

    def _list(self, ids: Any, query: Any, _: Any) -> tuple[int, Any]:
        rows = sorted(self.things[ids[0]].values(), key=lambda each: each["id"])
        for field in ("device_id", "name"):
            if field in query:
                rows = [row for row in rows if row.get(field) in query[field]]
        if "marker" in query:
            rows = [row for row in rows if row["id"] > query["marker"][0]]
        return 200, {ids[0].replace("-", "_"): rows[: int(query.get("limit", ["1000"])[0])]}

    def _create(self, ids: Any, _: Any, body: Any) -> tuple[int, Any]:
        single = ids[0].replace("-", "_")[:-1]
        given = dict(body[single])
        if ids[0] == "ports":
            subnets = [s for s in self.things["subnets"].values() if s["network_id"] == given["network_id"]]
            given["fixed_ips"] = [{"subnet_id": s["id"], "ip_address": "10.1.1.2"} for s in subnets]
            given |= {"device_id": "", "device_owner": "", "status": "DOWN", "mac_address": "fa:1"}
        return 201, {single: self.add(ids[0], given.pop("name"), **given)}

    def _create_rule(self, _: Any, __: Any, body: Any) -> tuple[int, Any]:
        return 201, {"security_group_rule": {"id": str(uuid.uuid4()), **body["security_group_rule"]}}

    def _delete(self, ids: Any, *_: Any) -> tuple[int, Any]:
        ports = self.things["ports"].values()
        if ids[0] == "networks" and any(port.get("network_id") == ids[1] for port in ports):
            return 409, {"NeutronError": {"type": "NetworkInUse", "message": "ports are in use", "detail": ""}}
        return (204, None) if self.things[ids[0]].pop(ids[1], None) else (404, {"NeutronError": {"message": "gone"}})

    _routes: ClassVar[list[tuple[str, Any]]] = [
        (r"GET /v3/?", _keystone),
        (r"POST /v3/auth/tokens", _token),
        (r"GET /v2\.1/?", _version),
        (r"GET /", _neutron),
        (r"GET /glance/?", lambda self, *_: (200, {"versions": [
            {"id": "v2.9", "status": "CURRENT", "links": [{"rel": "self", "href": f"{self.url}/glance/v2/"}]}]})),
        (r"POST /v2\.1/servers", _create_servers),
        (r"GET /v2\.1/servers(?:/detail)?", _list_servers),
        (r"GET /v2\.1/servers/([^/]+)", _show_server),
        (r"DELETE /v2\.1/servers/([^/]+)", _delete_server),
        (r"POST /v2\.1/servers/([^/]+)/action", _act),
        (r"GET /v2\.1/flavors/detail", _flavors),
        (r"GET /v2\.1/limits", _limits),
        (r"GET /v2\.1/os-quota-sets/.*", _quota),
        (r"GET /v2\.1/os-keypairs", _keypairs),
        (r"DELETE /v2\.1/os-keypairs/(.+)", _delete_keypair),
        (r"GET /glance/v2/(images)", _list),
        (r"DELETE /glance/v2/(images)/(.+)", _delete),
        (r"POST /v2\.0/security-group-rules", _create_rule),
        (r"GET /v2\.0/(networks|subnets|ports|security-groups)", _list),
        (r"POST /v2\.0/(networks|subnets|ports|security-groups)", _create),
        (r"DELETE /v2\.0/(networks|subnets|ports|security-groups)/(.+)", _delete),
    ]  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: SmallCloud
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        is_open = self.path.startswith("/v3") or (self.command == "GET" and self.path.rstrip("/").count("/") < 2)
        if not (is_open or (self.cloud.token_is_good and self.headers.get("X-Auth-Token"))):
            status, body = 401, {"error": {"code": 401, "title": "Unauthorized", "message": "not this token"}}
        else:
            is_json = (self.headers.get("Content-Type") or "").startswith("application/json")
            status, body = self.cloud.answer(self.command, self.path, json.loads(raw) if raw and is_json else None)
        encoded = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.send_header("Content-Type", "application/json")
        self.send_header("x-openstack-request-id", f"req-{uuid.uuid4()}")
        if self.path.startswith("/v3/auth/tokens"):
            self.send_header("X-Subject-Token", "a-token")
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what some tests are about."""


@contextmanager
def small_cloud() -> Iterator[SmallCloud]:
    """Serves one until the block ends."""
    cloud = SmallCloud()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": cloud}))
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def write_clouds_yaml(cloud: SmallCloud, folder: Path, **options: Any) -> Path:
    """A clouds.yaml with the entry `small`."""
    entry = {
        "auth": {
            "auth_url": f"{cloud.url}/v3", "username": "demo", "password": "x", "project_name": "demo",
            "user_domain_name": "Default", "project_domain_name": "Default",
        },
        "region_name": "R",
        **options,
    }  # fmt: skip
    path = folder / "clouds.yaml"
    path.write_text(json.dumps({"clouds": {"small": entry}}))  # JSON is YAML
    path.chmod(0o600)
    return path
