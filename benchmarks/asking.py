"""What the benches of a cloud share: a plain client, a token, CPU of each process, servers and when they are ready."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks.figures import cpu_seconds
from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.preparation import free_port
from harness.emulator.settings import HypervisorSettings, Settings

GIVE_UP_S = 180.0
POLL_S = 0.25


class Client:
    """One keep-alive connection to one service, with a token."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=GIVE_UP_S)
        self._headers = {"Accept": "application/json", "OpenStack-API-Version": "compute 2.96"}
        if token:
            self._headers["X-Auth-Token"] = token

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, Any]:
        """Status, body, headers."""
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, data, headers)
        response = self._connection.getresponse()
        return response.status, response.read(), response.headers

    def get(self, path: str) -> Any:
        status, body, _ = self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)


def token_of(settings: Settings, user: str, password: str) -> tuple[str, str]:
    """Token and project id."""
    default = {"name": "Default"}
    identity = {"methods": ["password"], "password": {"user": {"name": user, "domain": default, "password": password}}}
    scope = {"project": {"name": user, "domain": default}}
    client = Client(settings.url("keystone"))
    status, body, headers = client.call("POST", "/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
    if status != 201:
        raise RuntimeError(f"no token for {user}: {status} {body[:300]!r}")
    return headers["X-Subject-Token"], json.loads(body)["token"]["project"]["id"]


class Meter:
    """CPU of every process of a cloud between two moments."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        # The supervisor does nothing meanwhile, and all others are its children.
        found = cloud.status().processes
        self._pids = {process.name: process.pid for process in found if process.pid and process.name != "supervisor"}
        self._begin = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        # The database may run as another user, whose counters are hidden.
        self._reads = {name: _reads(pid) for name, pid in self._pids.items() if name != "database"}

    def read(self) -> dict[str, float]:
        """CPU seconds by process since it was made."""
        return {name: cpu_seconds(pid) - self._begin[name] for name, pid in self._pids.items()}

    def chunks(self) -> dict[str, int]:
        """Times that each process but the database has read from a socket, since it was made.

        Unlike CPU it does not depend on what else the machine does: what makes messages travel together shows here.
        """
        return {name: _reads(self._pids[name]) - before for name, before in self._reads.items()}

    def total(self) -> float:
        """CPU seconds of all of them."""
        return sum(self.read().values())


def _reads(pid: int) -> int:
    """read() calls of a process: uvloop's way to read from sockets."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("syscr:"):
            return int(line.split()[1])
    return 0


class Bench:
    """A cloud that is up, and its user demo."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        self.cloud = cloud
        self.token, self.project = token_of(cloud.settings, "demo", cloud.settings.demo_password)
        self.nova = self.client()
        self.image = Client(cloud.url("glance"), self.token).get("/v2/images")["images"][0]["id"]
        networks = Client(cloud.url("neutron"), self.token).get("/v2.0/networks")["networks"]
        self.network = next(found["id"] for found in networks if found["name"] == "private")
        self.server = {"imageRef": self.image, "flavorRef": "1", "networks": [{"uuid": self.network}]}

    def client(self) -> Client:
        """Another connection to nova."""
        return Client(self.cloud.url("nova"), self.token)

    def post(self, client: Client, name: str, count: int = 1) -> None:
        """Ask for servers. Raises: RuntimeError when that is refused."""
        wanted = {"server": {**self.server, "name": name, "min_count": count, "max_count": count}}
        status, body, _ = client.call("POST", "/v2.1/servers", wanted)
        if status != 202:
            raise RuntimeError(f"POST /servers: {status} {body[:300]!r}")

    def wait_ready(self, name: str, count: int) -> dict[str, int]:
        """Poll as the swarm does, for what changed, until so many servers of that name are ACTIVE or in ERROR.

        Returns how many are in which state; after `GIVE_UP_S` whatever there is.
        """
        states: dict[str, str] = {}
        end = time.monotonic() + GIVE_UP_S
        since = time.time() - 60
        while time.monotonic() < end:
            asked = time.time()
            stamp = quote(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since)))
            path = f"/v2.1/servers/detail?changes-since={stamp}&limit=1000"
            for server in self.nova.get(path)["servers"]:
                if server["name"].startswith(name):
                    states[server["id"]] = server["status"]
            settled = sum(state in ("ACTIVE", "ERROR") for state in states.values())
            if settled >= count:
                break
            since = asked - 2  # stamps are whole seconds
            time.sleep(POLL_S)
        return {state: list(states.values()).count(state) for state in sorted(set(states.values()))}

    def delete(self, name: str) -> None:
        """Delete the servers of a name and wait until they are gone. Raises: RuntimeError when they stay."""
        found = self.nova.get(f"/v2.1/servers?limit=1000&name=^{name}-")["servers"]
        for server in found:
            self.nova.call("DELETE", f"/v2.1/servers/{server['id']}")
        end = time.monotonic() + GIVE_UP_S
        while self.nova.get(f"/v2.1/servers?limit=1&name=^{name}-")["servers"]:
            if time.monotonic() > end:
                raise RuntimeError(f"servers {name} were not deleted")
            time.sleep(POLL_S)


@contextmanager
def running(
    hypervisors: int, *, group_commit: bool = False, proxy: bool = True, gather_s: float = 0.0
) -> Iterator[Bench]:
    """A fresh cloud on free ports, gone at the end, that waits for nothing but its own work.

    Args: gather_s: how long neutron gathers events for nova; a cloud does so for 2 s by default, as the real one.
    """
    taken: set[int] = set()
    settings = Settings(
        hypervisors=HypervisorSettings(count=hypervisors),
        ports={service: free_port(taken) for service in Settings().ports},
    )
    settings.database.group_commit = group_commit
    settings.proxy.enabled = proxy
    settings.neutron.notify_nova_interval_s = gather_s
    with (
        TemporaryDirectory(prefix="squall-bench-") as directory,
        EmbeddedCloud(settings, Path(directory) / "cloud") as cloud,
    ):
        yield Bench(cloud)


def by_process(cpu: dict[str, float], per: int, unit: str = "ms") -> str:
    """Where the CPU went, for a line below a table."""
    scale = {"ms": 1e3, "us": 1e6, "s": 1.0}[unit]
    return ", ".join(f"{name} {value * scale / per:.2f}" for name, value in sorted(cpu.items()) if value > 0.004)
