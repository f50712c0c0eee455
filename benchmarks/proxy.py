"""What the fault proxy costs: round trips and bulk, beside a direct connection, a bare loop and haproxy if installed.

    python benchmarks/proxy.py [--trips 5000] [--rounds 3] [--bulk-mib 256]

Client and echo server are plain blocking sockets in processes of their own. CPU is that of the process in the middle,
from /proc; the bare loop (a few lines of epoll, no features) is the floor that Python can reach on this machine.
"""

import argparse
import json
import multiprocessing
import os
import platform
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

PAYLOAD = b"a" * 200
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
Address = tuple[str, int]


def echo_server(report: Connection) -> None:
    """Echoes; a connection whose first byte is `B` is swallowed instead and answered with its length."""

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.recv(1) == b"B":
            count = 1
            while data := sock.recv(1 << 18):
                count += len(data)
            sock.sendall(str(count).encode())
            sock.close()
            return
        while data := sock.recv(1 << 16):
            sock.sendall(data)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    report.send(listener.getsockname()[1])
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def bare_loop(report: Connection, upstream: int) -> None:
    """The least a forwarder in Python can do: epoll, recv, send; no back-pressure, no ends, no errors."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    report.send(listener.getsockname()[1])
    waiting = select.epoll()
    waiting.register(listener.fileno(), select.EPOLLIN)
    ends: dict[int, tuple[socket.socket, socket.socket]] = {}
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", upstream))
                for here, there in ((client, server), (server, client)):
                    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ends[here.fileno()] = (here, there)
                    waiting.register(here.fileno(), select.EPOLLIN)
                continue
            here, there = ends[descriptor]
            data = here.recv(1 << 16)
            if data:
                there.sendall(data)
            else:
                waiting.unregister(descriptor)
                there.shutdown(socket.SHUT_WR)


def cpu_s(pid: int) -> float:
    """User and system CPU of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def round_trips(address: Address, count: int) -> list[float]:
    """Microseconds of each of `count` round trips of 200 bytes, one connection."""
    with socket.create_connection(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"E")
        taken = []
        for _ in range(count + 200):
            started = time.perf_counter_ns()
            sock.sendall(PAYLOAD)
            left = len(PAYLOAD)
            while left:
                left -= len(sock.recv(left))
            taken.append((time.perf_counter_ns() - started) / 1000)
    return taken[200:]


def bulk(address: Address, mib: int) -> float:
    """MB/s of one connection, one way."""
    block = b"z" * (1 << 18)
    started = time.perf_counter()
    with socket.create_connection(address) as sock:
        sock.sendall(b"B")
        for _ in range(mib * 4):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        count = int(sock.recv(64))
    return count / 1e6 / (time.perf_counter() - started)


@contextmanager
def in_process(target: Callable[..., None], *arguments: int) -> Iterator[tuple[int, int]]:
    """Port and pid of a server function in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield here.recv(), process.pid
    finally:
        process.kill()
        process.join()


@contextmanager
def our_proxy(directory: Path, upstream: int, toxics: list[dict[str, object]]) -> Iterator[tuple[int, int]]:
    """Port and pid of the fault proxy."""
    token = "benchmark token of no value"
    link = {"name": "db", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
    file = directory / "proxy.json"
    file.write_text(json.dumps({"control": {"token": token}, "links": [link]}))
    command = [sys.executable, "-m", "faults.proxy", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            (directory / "token").write_text(token)
            add_toxics(ready["control"], directory / "token", toxics)
            yield int(ready["links"]["db"].rpartition(":")[2]), process.pid
        finally:
            process.terminate()


def add_toxics(control: str, token_file: Path, toxics: list[dict[str, object]]) -> None:
    """Put toxics on the link `db`."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from faults.means.control import ProxyControl
    from faults.secret import Secret

    for toxic in toxics:
        ProxyControl(control, Secret(file=str(token_file))).add_toxic("db", toxic)


@contextmanager
def haproxy(directory: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """Port and pid of haproxy, one thread, TCP mode."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = directory / "haproxy.cfg"
    file.write_text(
        "global\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen db\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{upstream}\n"
    )
    with subprocess.Popen(["haproxy", "-db", "-f", str(file)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield port, process.pid
        finally:
            process.terminate()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trips", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bulk-mib", type=int, default=256)
    options = parser.parse_args(arguments)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    print(f"medians of {options.rounds} interleaved rounds; {options.trips} round trips of 200 bytes; 1 connection\n")
    passing = {"type": "latency", "attributes": {"latency": 0}, "toxicity": 0}
    results: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as name, in_process(echo_server) as (upstream, echo_pid):
        for _ in range(options.rounds):
            ways: dict[str, Callable[[], object]] = {
                "bare loop": lambda: in_process(bare_loop, upstream),
                "faults.proxy": lambda: our_proxy(Path(name), upstream, []),
                "faults.proxy, toxic spares it": lambda: our_proxy(Path(name), upstream, [passing]),
            }
            if shutil.which("haproxy"):
                ways["haproxy"] = lambda: haproxy(Path(name), upstream)
            results.setdefault("direct", []).append(measure(("127.0.0.1", upstream), echo_pid, options))
            for label, way in ways.items():
                with way() as (port, pid):  # type: ignore[attr-defined]
                    results.setdefault(label, []).append(measure(("127.0.0.1", port), pid, options))
    print(f"{'':32}{'p50 us':>9}{'CPU us/trip':>13}{'MB/s':>8}")
    for label, rows in results.items():
        p50, cpu, rate = (statistics.median(column) for column in zip(*rows, strict=True))
        shown = f"{cpu:.1f}" if label != "direct" else "-"
        print(f"{label:32}{p50:9.1f}{shown:>13}{rate:8.0f}")
    if not shutil.which("haproxy"):
        print("haproxy is not installed here")


def measure(address: Address, pid: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """p50 in us, CPU of `pid` in us per round trip, MB/s."""
    before = cpu_s(pid)
    taken = round_trips(address, options.trips)
    spent = cpu_s(pid) - before
    return statistics.median(taken), spent / len(taken) * 1e6, bulk(address, options.bulk_mib)


if __name__ == "__main__":
    main()
