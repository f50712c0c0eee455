"""How fast an embedded cloud builds servers and answers reads, and what that costs: CPU seconds of each process.

    python benchmarks/burst.py                                  # 500 servers, one port each, 1,000 hypervisors
    python benchmarks/burst.py --preload 100000 --hypervisors 10000 --reads-only

The load and the cloud share the machine, so wall times are upper bounds; CPU seconds hold. The database keeps fsync
and group commit off unless told otherwise, and the fault proxy is in the path.
"""

import argparse
import asyncio
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.settings import HypervisorSettings, Settings

POLL_S = 0.3
GIVE_UP_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


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


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living and reaped children."""
    total = 0
    pending = [pid]
    while pending:
        current = pending.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{current}/task").iterdir():
                pending.extend(int(child) for child in (task / "children").read_text().split())
        except FileNotFoundError:
            continue
    return total / _TICKS


class Meter:
    """CPU of every process of a cloud between two moments."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        # The supervisor does nothing meanwhile, and all others are its children.
        found = cloud.status().processes
        self._pids = {process.name: process.pid for process in found if process.pid and process.name != "supervisor"}
        self._begin = {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) - self._begin[name] for name, pid in self._pids.items()}


def show(title: str, cpu: dict[str, float], per: int = 1, unit: str = "s") -> None:
    """One line: the sum, then each process."""
    scale = 1e6 if unit == "us" else 1e3 if unit == "ms" else 1
    parts = ", ".join(f"{name} {value * scale / per:.2f}" for name, value in sorted(cpu.items()) if value > 0.004)
    print(f"  {title}: {sum(cpu.values()) * scale / per:.2f} CPU {unit} ({parts})")


def burst(cloud: EmbeddedCloud, nova: Client, server: dict[str, Any], count: int, name: str) -> None:
    """One POST of `count` servers; time until all are ACTIVE, then delete them."""
    meter = Meter(cloud)
    begun = time.monotonic()
    wanted = {"server": {**server, "name": name, "min_count": count, "max_count": count}}
    status, body, _ = nova.call("POST", "/v2.1/servers", wanted)
    answered = time.monotonic() - begun
    if status != 202:
        raise RuntimeError(f"POST /servers: {status} {body[:300]!r}")
    half = 0.0
    states: dict[str, int] = {}
    while time.monotonic() - begun < GIVE_UP_S:
        time.sleep(POLL_S)
        states = {}
        for shown in nova.get(f"/v2.1/servers/detail?limit=1000&name=^{name}-")["servers"]:
            states[shown["status"]] = states.get(shown["status"], 0) + 1
        if not half and states.get("ACTIVE", 0) * 2 >= count:
            half = time.monotonic() - begun
        if states.get("ACTIVE", 0) + states.get("ERROR", 0) == count:
            break
    done = time.monotonic() - begun
    print(f"{count} servers in one POST: 202 after {answered:.2f} s, half after {half:.2f} s, all after {done:.2f} s")
    print(f"  states {states}")
    show("build", meter.read())
    meter = Meter(cloud)
    begun = time.monotonic()
    ids = [shown["id"] for shown in nova.get(f"/v2.1/servers?limit=1000&name=^{name}-")["servers"]]
    for uuid in ids:
        nova.call("DELETE", f"/v2.1/servers/{uuid}")
    accepted = time.monotonic() - begun
    while nova.get(f"/v2.1/servers?limit=1&name=^{name}-")["servers"]:
        time.sleep(POLL_S)
        if time.monotonic() - begun > GIVE_UP_S:
            raise RuntimeError("servers were not deleted")
    print(f"  deleted: accepted after {accepted:.2f} s, gone after {time.monotonic() - begun:.2f} s")
    show("delete", meter.read())


def reads(cloud: EmbeddedCloud, nova: Client, count: int) -> None:
    """Reads of one server, of pages, along all pages."""
    ids = [shown["id"] for shown in nova.get("/v2.1/servers?limit=1000")["servers"]]

    def measure(title: str, times: int, unit: str, call: Callable[[int], Any]) -> None:
        call(0)
        meter = Meter(cloud)
        begun = time.monotonic()
        for index in range(times):
            call(index)
        wall = (time.monotonic() - begun) / times
        show(f"{title}, {wall * 1000:.2f} ms each", meter.read(), times, unit)

    print(f"reads with {count} servers")
    measure("GET /servers/{id}", 2000, "us", lambda i: nova.call("GET", f"/v2.1/servers/{ids[i % len(ids)]}"))
    measure("GET /servers/detail, 20", 200, "us", lambda _: nova.call("GET", "/v2.1/servers/detail?limit=20"))
    measure("GET /servers/detail, 1000, same page", 20, "ms", lambda _: nova.call("GET", "/v2.1/servers/detail"))
    if count >= 2000:
        marker = ""
        pages = min(20, count // 1000)

        def follow(_: int) -> None:
            nonlocal marker
            page = nova.get(f"/v2.1/servers/detail?limit=1000{marker}")["servers"]
            marker = f"&marker={page[-1]['id']}" if len(page) == 1000 else ""

        measure("GET /servers/detail, 1000, page after page", pages - 1, "ms", follow)
    measure("GET /servers?name=^nothing", 10, "ms", lambda _: nova.call("GET", "/v2.1/servers?name=^nothing-"))


async def preload(settings: Settings, project: str, image: str, network: str, count: int) -> None:
    """Write ACTIVE servers, one address each, straight into nova's databases; placement and neutron know nothing."""
    size = settings.hypervisors
    hosts = size.hosts()
    flavor = {"id": 1, "name": "m1.tiny", "flavorid": "1", "memory_mb": 64, "vcpus": 1, "root_gb": 1}
    flavor.update({"ephemeral_gb": 0, "swap": 0, "extra_specs": {}})
    flavor_text = json.dumps(flavor)
    day = "2026-01-{:02d}T{:02d}:{:02d}:{:02d}Z"
    instances: list[tuple[Any, ...]] = []
    caches: list[tuple[Any, ...]] = []
    mappings: list[tuple[Any, ...]] = []
    for number in range(count):
        uuid = f"{number:08x}-0000-4000-8000-{number:012x}"
        moment = day.format(1 + number // 86400, number // 3600 % 24, number // 60 % 60, number % 60)
        host = hosts[number % len(hosts)]
        address = f"10.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"
        vif = {
            "id": uuid,
            "address": "fa:16:3e:00:00:00",
            "network_id": network,
            "label": "private",
            "fixed_ips": [{"subnet_id": network, "ip_address": address}],
            "security_groups": ["default"],
            "active": True,
        }
        values = (uuid, moment, moment, 0, 1, project, project, image, "", "", f"old-{number}", number, 1, "active")
        values += (64, 1, 1, 0, host, host, host, "r-preload", moment, f"old-{number}", "nova", "", 0, 0)  # type: ignore[assignment]
        instances.append((*values, flavor_text, "{}", "{}", "[]"))
        caches.append((uuid, moment, 0, json.dumps([vif])))
        mappings.append((uuid, 2, project, project, 0))
    columns = [
        "uuid",
        "created_at",
        "updated_at",
        "deleted",
        "row_version",
        "user_id",
        "project_id",
        "image_ref",
        "kernel_id",
        "ramdisk_id",
        "hostname",
        "launch_index",
        "power_state",
        "vm_state",
        "memory_mb",
        "vcpus",
        "root_gb",
        "ephemeral_gb",
        "host",
        "node",
        "launched_on",
        "reservation_id",
        "launched_at",
        "display_name",
        "availability_zone",
        "config_drive",
        "auto_disk_config",
        "progress",
        "flavor",
        "metadata",
        "system_metadata",
        "tags",
    ]
    await copy(settings, "nova_cell1", "instances", columns, instances)
    await copy(
        settings,
        "nova_cell1",
        "instance_info_caches",
        ["instance_uuid", "updated_at", "row_version", "network_info"],
        caches,
    )
    names = ["instance_uuid", "cell_id", "project_id", "user_id", "queued_for_delete"]
    await copy(settings, "nova_api", "instance_mappings", names, mappings)


async def copy(settings: Settings, database: str, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """COPY into one table, past the proxy, and bring the planner's statistics up to date."""
    import asyncpg

    where = settings.database
    connection = await asyncpg.connect(
        host=where.host, port=where.server_port, user=where.user, password=where.password, database=database
    )
    try:
        await connection.copy_records_to_table(table, records=rows, columns=columns)
        await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--hypervisors", type=int, default=1000)
    parser.add_argument("--preload", type=int, default=0, help="servers written straight into the database first")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reads-only", action="store_true")
    parser.add_argument("--group-commit", action="store_true")
    parser.add_argument("--no-proxy", action="store_true")
    parser.add_argument("--event-interval", type=float, default=2.0, help="neutron's send_events_interval, seconds")
    parser.add_argument("--pause", action="store_true", help="wait for Enter before each round (to attach a profiler)")
    options = parser.parse_args()
    settings = Settings(hypervisors=HypervisorSettings(count=options.hypervisors))
    settings.database.group_commit = options.group_commit
    settings.proxy.enabled = not options.no_proxy
    settings.neutron.notify_nova_interval_s = options.event_interval
    with tempfile.TemporaryDirectory(prefix="squall-burst-") as directory:
        begun = time.monotonic()
        with EmbeddedCloud(settings, Path(directory) / "cloud") as cloud:
            print(f"{options.hypervisors} hypervisors, up after {time.monotonic() - begun:.1f} s")
            run(cloud, options)
    return 0


def run(cloud: EmbeddedCloud, options: argparse.Namespace) -> None:
    """The rounds that were asked for."""
    token, project = token_of(cloud.settings, "demo", cloud.settings.demo_password)
    nova = Client(cloud.url("nova"), token)
    images = Client(cloud.url("glance"), token).get("/v2/images")["images"]
    networks = Client(cloud.url("neutron"), token).get("/v2.0/networks")["networks"]
    network = next(found["id"] for found in networks if found["name"] == "private")
    server = {"imageRef": images[0]["id"], "flavorRef": "1", "networks": [{"uuid": network}]}
    if options.preload:
        begun = time.monotonic()
        asyncio.run(preload(cloud.settings, project, images[0]["id"], network, options.preload))
        print(f"{options.preload} servers preloaded in {time.monotonic() - begun:.1f} s")
    if not options.reads_only:
        for number in range(options.rounds):
            if options.pause:
                pids = {process.name: process.pid for process in cloud.status().processes}
                input(f"{pids}; Enter to go on ")
            burst(cloud, nova, server, options.servers, f"burst{number}")
    if options.preload:
        reads(cloud, nova, options.preload)


if __name__ == "__main__":
    sys.exit(main())
