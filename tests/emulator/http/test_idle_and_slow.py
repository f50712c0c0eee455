"""Clients that say nothing, or say it slowly, hold no slot, and what they held comes back."""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path

import pytest

from harness.emulator.cloud import EmbeddedCloud
from tests.emulator.http.raw import COLLECTIONS, SERVICES, Wire, read
from tests.emulator.waiting import wait_until

IDLE = 10_000
SPARE = 1000  # descriptors for everything else
FEW = 30  # other connections that come and go meanwhile
PER_CONNECTION_MAX = 16 * 1024  # bytes; 4 to 5 KiB were measured


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _anonymous_bytes(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def test_ten_thousand_idle_connections_cost_memory_and_nothing_else(cloud: EmbeddedCloud) -> None:
    """On the cloud of the other tests: it hangs up on them after a minute, the one of this module after two seconds."""
    wire = Wire.to(cloud)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE + SPARE:
        pytest.skip(f"the hard limit of open files is below {IDLE + SPARE}: ulimit -Hn")
    api = wire.cloud.pid("api")
    assert wire.get("nova", COLLECTIONS["nova"]).status == 200
    before, memory_before = _descriptors(api), _anonymous_bytes(api)
    address = (wire.cloud.settings.host, wire.cloud.settings.ports["nova"])
    idle: list[socket.socket] = []
    slowest_s = 0.0
    try:
        while len(idle) < IDLE:
            for _ in range(500):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(address)
                idle.append(client)
            began = time.monotonic()
            assert wire.get("nova", COLLECTIONS["nova"]).status == 200
            slowest_s = max(slowest_s, time.monotonic() - began)
        wait_until(lambda: _descriptors(api) >= before + IDLE - FEW, within_s=20)
        peak = _descriptors(api)
        each = (_anonymous_bytes(api) - memory_before) / (peak - before)
        print(f"{peak - before} at the same time, {each:.0f} bytes each, slowest answer {slowest_s:.3f} s")
        assert each < PER_CONNECTION_MAX
    finally:
        for client in idle:
            client.close()
    wait_until(lambda: _descriptors(api) <= before + FEW, within_s=20)
    for service in SERVICES:
        assert wire.get(service, COLLECTIONS[service]).status == 200


@pytest.mark.parametrize("service", SERVICES)
def test_slow_bodies_hold_no_slot(wire: Wire, service: str) -> None:
    """Twice as many as there are slots; the others are answered, then the slow ones are given up."""
    head = wire.head("POST", COLLECTIONS[service], "Content-Type: application/json", "Content-Length: 100")
    chunked = wire.head("PUT", COLLECTIONS[service] + "/x", "Transfer-Encoding: chunked")
    bodiless = wire.head("GET", COLLECTIONS[service], "Content-Length: 100")
    slots = wire.cloud.settings.slots(service).slots
    slow = [wire.connect(service) for _ in range(3 * slots)]
    try:
        for number, client in enumerate(slow):
            client.sendall((head, chunked, bodiless)[number % 3] + b"\r\n" + (b"" if number % 3 else b"{"))
        began = time.monotonic()
        assert wire.get(service, COLLECTIONS[service]).status == 200
        assert time.monotonic() - began < 1.5  # their deadline is 2 s
        statuses = [read(client).status for client in slow]
        assert set(statuses[0::3]) == {408}
        assert set(statuses[2::3]) == {200}  # a body that nobody asked for is not waited for
        assert set(statuses[1::3]) <= {404, 405, 408}
    finally:
        for client in slow:
            client.close()


@pytest.mark.parametrize("service", SERVICES)
def test_a_slow_head_is_408_and_a_connection_without_one_just_ends(wire: Wire, service: str) -> None:
    with wire.connect(service) as slow, wire.connect(service) as silent, wire.connect(service) as blank:
        slow.sendall(b"GET / HTTP/1.1\r\nHo")
        blank.sendall(b"\r\n")
        time.sleep(0.5)
        slow.sendall(b"st: a")  # no new deadline
        reply = read(slow)
        assert (reply.status, reply.is_closed) == (408, True)
        assert silent.recv(100) == b""
        assert blank.recv(100) == b""


def test_the_next_head_on_a_connection_has_the_same_deadline(wire: Wire) -> None:
    with wire.connect("keystone") as client:
        client.sendall(wire.head("GET", "/v3") + b"\r\n")
        assert read(client).status == 200
        client.sendall(b"GET /v3 HT")
        assert read(client).status == 408


def test_an_upload_that_stalls_is_given_up_and_leaves_the_image_queued(wire: Wire) -> None:
    made = wire.post("glance", b'{"name": "stalled", "disk_format": "raw", "container_format": "bare"}')
    path = made.headers["location"].partition("9292")[2] or "/" + made.headers["location"].split("/", 3)[3]
    kind = "Content-Type: application/octet-stream"
    for lines in ((kind, "Content-Length: 1000000"), (kind, "Transfer-Encoding: chunked")):
        with wire.connect("glance") as client:
            client.sendall(wire.head("PUT", f"{path}/file", *lines) + b"\r\n3\r\nabc\r\n")
            assert read(client).status == 408
        assert b'"status":"queued"' in wire.get("glance", path).body
    with wire.connect("glance") as client:
        client.sendall(wire.head("PUT", f"{path}/file", kind, "Transfer-Encoding: chunked") + b"\r\n3\r\nabc\r\n")
    wait_until(lambda: b'"status":"queued"' in wire.get("glance", path).body)  # hung up: half an image is none


def test_who_does_not_read_an_answer_is_cut_off_in_the_end(wire: Wire) -> None:
    """A thousand requests on one connection, no answer read: they wait in the kernel, and the others are served."""
    one = wire.head("GET", COLLECTIONS["keystone"]) + b"\r\n"
    with wire.connect("keystone") as client:
        client.settimeout(1.0)
        try:
            client.sendall(one * 3000)
        except TimeoutError:
            pass  # full
        began = time.monotonic()
        assert wire.get("keystone", COLLECTIONS["keystone"]).status == 200
        assert time.monotonic() - began < 5
