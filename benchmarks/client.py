"""What one GET of a server costs the client in CPU: our adapter level, stock openstacksdk, Locust's own client.

Every client runs in a process of its own against the same small server, in turn, several times over; the figure is
(user + system CPU of the client process) / requests, and the table shows the median of the rounds. Ratios between
clients of one run mean something; absolute figures only on the machine that is printed with them.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httptools
import uvloop

from benchmarks.figures import Figure
from tests.cloud.small_cloud import SmallCloud

CLIENTS = ("adapter", "stock adapter", "stock", "fasthttpuser")
WHAT = {
    "adapter": "level adapter: conn.compute.get() on our transport, parsed",
    "stock adapter": "stock openstacksdk: conn.compute.get() on requests, parsed",
    "stock": "stock openstacksdk: conn.compute.get_server()",
    "fasthttpuser": "Locust FastHttpUser: self.client.get(), parsed, statistics on",
}
REQUESTS = {"adapter": 6000, "stock adapter": 400, "stock": 120, "fasthttpuser": 2500}
GREENLETS = 20
FLOOR = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many requests")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        return _child(options.client, options.count)
    figures = run(options.rounds, options.scale)
    print_table(figures)
    return 0 if figures["stock"] / figures["adapter"] >= FLOOR else 1


def run(rounds: int = 5, scale: float = 1.0) -> dict[str, float]:
    """Median CPU microseconds per request, by client."""
    samples: dict[str, list[float]] = {client: [] for client in CLIENTS}
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as folder:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        server = multiprocessing.get_context("spawn").Process(target=_serve, args=(sender,), daemon=True)
        server.start()
        url = receiver.recv()
        clouds = Path(folder) / "clouds.yaml"
        login = {"auth_url": f"{url}/v3", "username": "demo", "password": "x", "project_name": "demo"}
        login |= {"user_domain_name": "Default", "project_domain_name": "Default"}
        clouds.write_text(json.dumps({"clouds": {"small": {"auth": login, "region_name": "R"}}}))
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(clouds), "SQUALL_BENCH_URL": url}
        try:
            for _ in range(rounds):
                for client in CLIENTS:
                    count = max(20, round(REQUESTS[client] * scale))
                    command = [sys.executable, "-m", "benchmarks.client", "--client", client, "--count", str(count)]
                    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                    if ran.returncode:
                        raise RuntimeError(f"{client}: {ran.stderr[-2000:]}")
                    samples[client].append(float(ran.stdout.split()[-1]))
        finally:
            server.terminate()
            server.join()
    return {client: statistics.median(values) for client, values in samples.items()}


def figures() -> list[Figure]:
    """Our adapter level, and how many times dearer the others are."""
    found = run()
    ratios = {client: found[client] / found["adapter"] for client in CLIENTS}
    return [
        Figure(WHAT["adapter"], found["adapter"], "us"),
        *(Figure(WHAT[client], ratio, "x", at_least=FLOOR if client == "stock" else None)
          for client, ratio in ratios.items() if client != "adapter"),
    ]  # fmt: skip


def print_table(figures: dict[str, float]) -> None:
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}")  # fmt: skip
    print("GET /servers/{id}: client CPU per request, microseconds, median; against the adapter level")
    for client in sorted(CLIENTS, key=lambda name: figures[name]):
        print(f"  {figures[client]:9.0f}  {figures[client] / figures['adapter']:7.1f} x  {WHAT[client]}")
    ratio = figures["stock"] / figures["adapter"]
    print(f"adapter is {ratio:.0f} times cheaper than stock openstacksdk (wanted: at least {FLOOR:g})")


def _child(client: str, count: int) -> int:
    import locust  # noqa: F401 - the clients run as they do under Locust, patched

    get = _client(client)
    _spread(get, max(10, count // 20))  # logs in, opens connections, fills caches
    before = resource.getrusage(resource.RUSAGE_SELF)
    _spread(get, count)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(spent / count * 1e6)
    return 0


def _client(client: str) -> Callable[[str], Any]:
    if client == "fasthttpuser":
        return _fast_http_user()
    import openstack.config

    from harness.cloud.session import connect

    if client == "adapter":
        proxy = connect("small", level="adapter").proxy("compute")
        return lambda server_id: proxy.get(f"/servers/{server_id}", microversion="2.69").json()["server"]["id"]
    connection = openstack.connect(cloud="small")
    if client == "stock":
        return lambda server_id: connection.compute.get_server(server_id).id
    return lambda server_id: connection.compute.get(f"/servers/{server_id}", microversion="2.69").json()["server"]["id"]


def _fast_http_user() -> Callable[[str], Any]:
    from locust import FastHttpUser, task
    from locust.env import Environment

    class Reader(FastHttpUser):  # type: ignore[misc]
        host = os.environ["SQUALL_BENCH_URL"]
        concurrency = GREENLETS

        @task  # type: ignore[untyped-decorator]
        def nothing(self) -> None:
            """Driven from outside."""

    environment = Environment(user_classes=[Reader])
    environment.create_local_runner()
    reader = Reader(environment)
    headers = {"X-Auth-Token": "a-token", "OpenStack-API-Version": "compute 2.69"}

    def get(server_id: str) -> Any:
        answer = reader.client.get(f"/v2.1/servers/{server_id}", headers=headers, name="/servers/{id}")
        return answer.json()["server"]["id"]

    return get


def _spread(get: Callable[[str], Any], count: int) -> None:
    import gevent.pool

    pool = gevent.pool.Pool(GREENLETS)
    for number in range(count):
        # Random ids, as many as a cloud has: a cache of URLs must not help.
        pool.spawn(_check, get, f"{number * 7919 % 5000:08d}-0000-4000-8000-000000000000")
    pool.join(raise_error=True)


def _check(get: Callable[[str], Any], server_id: str) -> None:
    assert get(server_id) == server_id


def _serve(ready: Any) -> None:
    """The server: asyncio on uvloop; GET of a server from a template of a real answer's size, the rest as the small
    cloud of the tests says."""
    cloud = SmallCloud()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)
            self.body = b""

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_url(self, url: bytes) -> None:
            self.path, self.body = url, b""

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            if self.path.startswith(b"/v2.1/servers/"):
                self.transport.write(_answer(200, _SERVER % self.path[14:50]))
                return
            given = json.loads(self.body) if self.body else None
            status, answer = cloud.answer(self.parser.get_method().decode(), self.path.decode(), given)
            self.transport.write(_answer(status, json.dumps(answer).encode()))

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
        cloud.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.send(cloud.url)
        await server.serve_forever()

    uvloop.run(serve())


def _answer(status: int, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Subject-Token: a-token\r\n"
        b"OpenStack-API-Version: compute 2.69\r\nX-OpenStack-Nova-API-Version: 2.69\r\n"
        b"Vary: OpenStack-API-Version, X-OpenStack-Nova-API-Version\r\n"
        b"x-openstack-request-id: req-9f1c7a52-3d1c-4c5e-a3b4-1d2e3f405162\r\n"
        b"x-compute-request-id: req-9f1c7a52-3d1c-4c5e-a3b4-1d2e3f405162\r\n"
        b"Date: Sun, 22 Nov 2026 15:00:00 GMT\r\n\r\n%b" % (status, len(body), body)
    )


# About the 2 kB that nova 34.0.0 answers with.
_SERVER = json.dumps(
    {
        "server": {
            "id": "%b", "name": "server-of-a-benchmark", "status": "ACTIVE", "tenant_id": "1" * 32, "user_id": "2" * 32,
            "metadata": {"role": "web", "stage": "production"}, "hostId": "3" * 56, "progress": 0, "locked": False,
            "image": {"id": "4baaf733-116f-48bb-ac48-8fb5869bec99", "links": [{"rel": "bookmark", "href": "http://x/i"}]},
            "flavor": {"vcpus": 1, "ram": 64, "disk": 1, "ephemeral": 0, "swap": 0, "original_name": "m1.tiny",
                       "extra_specs": {}},
            "created": "2026-11-22T15:00:00Z", "updated": "2026-11-22T15:00:09Z", "accessIPv4": "", "accessIPv6": "",
            "addresses": {"private": [{"version": 4, "addr": "10.0.0.3", "OS-EXT-IPS:type": "fixed",
                                       "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:50:5c:db"}]},
            "links": [{"rel": rel, "href": "http://127.0.0.1:8774/v2.1/servers/x" + "y" * 36} for rel in ("self", "b")],
            "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": "nova", "config_drive": "", "key_name": None,
            "OS-SRV-USG:launched_at": "2026-11-22T15:00:09.000000", "OS-SRV-USG:terminated_at": None,
            "OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1,
            "os-extended-volumes:volumes_attached": [], "description": None, "tags": [], "host_status": "UP",
            "trusted_image_certificates": None, "security_groups": [{"name": "default"}], "padding": "z" * 300,
        }
    }
).encode()  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
