"""The proxy between real sockets: order, ends, resets, bounds, and the dead man's switch."""

import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.conftest import Proxy, free_port
from tests.faults.server import wait_for
from tests.faults.upstreams import connect, echo, receive, reset, upstream

MakeProxy = Callable[..., Proxy]


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def round_trip_ms(sock: socket.socket) -> float:
    started = time.monotonic()
    sock.sendall(b"x" * 200)
    assert receive(sock, 200) == b"x" * 200
    return (time.monotonic() - started) * 1000


def latency(ms: float, **more: object) -> dict[str, object]:
    return {"type": "latency", "attributes": {"latency": ms}, **more}


def test_bytes_go_through_unchanged_and_are_counted(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        payload = os.urandom(3_000_000)
        with connect(made.address("db")) as sock:
            threading.Thread(target=lambda: (sock.sendall(payload), sock.shutdown(socket.SHUT_WR))).start()
            assert receive(sock) == payload
        stats = made.control.call("GET", "/stats")["links"]["db"]
        assert stats["bytes_upstream"] == stats["bytes_downstream"] == len(payload)
        assert stats["connections_accepted"] == 1
        wait_for(lambda: made.control.call("GET", "/stats")["links"]["db"]["connections_open"] == 0, 5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=30_000), max_size=12),
    toxic=st.sampled_from(["none", "on", "comes", "goes"]),
    read_size=st.sampled_from([1, 1000, 65536]),
)
def test_whatever_the_chunks_and_toxics_nothing_is_lost_or_reordered(
    chunks: list[bytes], toxic: str, read_size: int, chunked: tuple[Proxy, str]
) -> None:
    made, link = chunked
    on = {"type": "latency", "attributes": {"latency": 3, "jitter": 3}}
    if toxic in ("on", "goes"):
        made.control.add_toxic(link, {**on, "name": "down"})
        made.control.add_toxic(link, {**on, "name": "up", "stream": "upstream"})
    got = bytearray()
    with connect(made.address(link)) as sock:

        def read() -> None:
            while data := sock.recv(read_size):
                got.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        for number, chunk in enumerate(chunks):
            sock.sendall(chunk)
            if number == len(chunks) // 2:
                if toxic == "comes":
                    made.control.add_toxic(link, {**on, "name": "down"})
                elif toxic == "goes":
                    made.control.remove_toxic(link, "down")
                    made.control.remove_toxic(link, "up")
        sock.shutdown(socket.SHUT_WR)
        reader.join(20)
    for name in ("down", "up"):
        made.control.remove_toxic(link, name)
    assert bytes(got) == b"".join(chunks)
    assert made.control.call("GET", "/stats")["held_bytes"] == 0


@pytest.fixture
def chunked(proxy: MakeProxy) -> object:
    with upstream(echo) as port:
        yield proxy({"db": port}), "db"


def test_a_client_that_speaks_before_the_upstream_dial_ends_loses_nothing(proxy: MakeProxy) -> None:
    # A listener whose backlog is full answers SYNs late: the dial hangs until it accepts.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        made = proxy({"db": address[1]})
        with connect(made.address("db")) as sock:
            sock.sendall(b"AMQP\x00\x00\x09\x01")
            sock.shutdown(socket.SHUT_WR)
            wait_for(lambda: made.control.call("GET", "/stats")["links"]["db"]["bytes_upstream"] == 8, 5)
            for filler in fillers:
                filler.close()
            listener.settimeout(20)
            while True:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(20)
                    if receive(accepted) == b"AMQP\x00\x00\x09\x01":
                        break


def test_half_close_both_ways(proxy: MakeProxy) -> None:
    def late_answer(sock: socket.socket) -> None:
        said = receive(sock)  # up to the client's end
        sock.sendall(b"you said " + said)

    with upstream(late_answer) as port:
        made = proxy({"db": port})
        with connect(made.address("db")) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock) == b"you said hello"

    def speaks_first_and_ends(sock: socket.socket) -> None:
        sock.sendall(b"greeting")
        sock.shutdown(socket.SHUT_WR)
        heard.put(receive(sock))

    heard: queue.Queue[bytes] = queue.Queue()
    with upstream(speaks_first_and_ends) as port:
        made = proxy({"db": port})
        with connect(made.address("db")) as sock:
            assert receive(sock) == b"greeting"
            sock.sendall(b"still talking")
            sock.shutdown(socket.SHUT_WR)
            assert heard.get(timeout=5) == b"still talking"


def test_a_dead_upstream_looks_dead(proxy: MakeProxy) -> None:
    made = proxy({"db": free_port()})
    # The reset may arrive before we have even noticed that we are connected.
    with pytest.raises(ConnectionResetError), connect(made.address("db")) as sock:
        receive(sock)
    assert made.control.call("GET", "/stats")["links"]["db"]["dial_failures"] == 1


def test_resets_are_passed_on_both_ways(proxy: MakeProxy) -> None:
    seen: queue.Queue[str] = queue.Queue()

    def reset_at_once(sock: socket.socket) -> None:
        sock.recv(10)
        reset(sock)

    def watch(sock: socket.socket) -> None:
        sock.sendall(b"ready")
        try:
            seen.put(f"end {receive(sock)!r}")
        except ConnectionResetError:
            seen.put("reset")

    with upstream(reset_at_once) as port, upstream(watch) as watching:
        made = proxy({"db": port, "watch": watching})
        with connect(made.address("db")) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                receive(sock)
        sock = connect(made.address("watch"))
        assert receive(sock, 5) == b"ready"
        reset(sock)
        assert seen.get(timeout=5) == "reset"


def test_latency_counts_from_arrival_and_acts_on_open_connections(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        with connect(made.address("db")) as sock:
            round_trip_ms(sock)
            made.control.add_toxic("db", latency(50))
            assert 50 <= min(round_trip_ms(sock) for _ in range(3)) < 90
            started = time.monotonic()
            for _ in range(20):  # pipelined: delayed once, not 20 times
                sock.sendall(b"y" * 100)
                time.sleep(0.001)  # so that they are 20 chunks
            assert receive(sock, 2000) == b"y" * 2000
            assert 50 <= (time.monotonic() - started) * 1000 < 500
            made.control.call("PATCH", "/proxies/db/toxics/latency_downstream", {"attributes": {"latency": 20}})
            assert 20 <= min(round_trip_ms(sock) for _ in range(3)) < 50
            made.control.remove_toxic("db", "latency_downstream")
            assert min(round_trip_ms(sock) for _ in range(10)) < 20


def test_toxics_add_up_and_directions_are_their_own(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        for name, stream in (("a", "downstream"), ("b", "downstream"), ("c", "upstream")):
            made.control.add_toxic("db", latency(30, name=name, stream=stream))
        with connect(made.address("db")) as sock:
            assert 90 <= min(round_trip_ms(sock) for _ in range(3)) < 150


def test_toxicity_spares_connections(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        made.control.add_toxic("db", latency(60, toxicity=0.5))
        slow = 0
        for _ in range(30):
            with connect(made.address("db")) as sock:
                slow += round_trip_ms(sock) >= 60
        assert 5 <= slow <= 25  # seeded: the same share on every run


def test_a_removed_toxic_lets_go_of_what_it_held_at_once(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        made.control.add_toxic("db", latency(60_000))
        with connect(made.address("db")) as sock:
            sock.sendall(b"held back")
            sock.shutdown(socket.SHUT_WR)
            wait_for(lambda: made.control.call("GET", "/stats")["held_bytes"] == 9, 5)
            made.control.remove_toxic("db", "latency_downstream")
            assert receive(sock) == b"held back"


def test_memory_is_bounded_when_a_toxic_holds_bytes_or_the_reader_is_slow(proxy: MakeProxy) -> None:
    def endless(sock: socket.socket) -> None:
        block = b"z" * 65536
        while True:
            sock.sendall(block)

    with upstream(endless) as port:
        made = proxy({"db": port}, buffer_bytes=256 * 1024)
        before = rss_mib(made.process.pid)
        made.control.add_toxic("db", latency(3_600_000))
        held = [connect(made.address("db")) for _ in range(20)]
        read = made.control.call

        def is_full() -> bool:
            first = read("GET", "/stats")["links"]["db"]["bytes_downstream"]
            time.sleep(0.2)  # the rate is what is asked for, so time must pass
            return bool(read("GET", "/stats")["links"]["db"]["bytes_downstream"] == first > 0)

        wait_for(is_full, 20, "reading stops")
        stats = read("GET", "/stats")
        # Each may hold its bound and the chunk that crossed it (libuv reads at most 256 KiB at once).
        assert 20 * 256 * 1024 <= stats["held_bytes"] <= 20 * 512 * 1024
        made.control.remove_toxic("db", "latency_downstream")
        wait_for(is_full, 20, "reading stops when nobody reads at the other end")
        assert read("GET", "/stats")["held_bytes"] == 0
        assert rss_mib(made.process.pid) - before < 60
        for sock in held:
            sock.close()
        with connect(made.address("db")) as sock:
            assert receive(sock, 1_000_000) == b"z" * 1_000_000


def test_all_connections_together_are_bounded_too(proxy: MakeProxy) -> None:
    def endless(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"z" * 65536)

    with upstream(endless) as port:
        made = proxy({"db": port}, buffer_bytes=4 << 20, total_buffer_bytes=4 << 20)
        made.control.add_toxic("db", latency(3_600_000))
        held = [connect(made.address("db")) for _ in range(16)]
        seen = 0.0
        for _ in range(10):
            time.sleep(0.05)  # a peak is looked for, there is no event
            seen = max(seen, made.control.call("GET", "/stats")["held_bytes"])
        assert seen <= (4 << 20) + 16 * 320 * 1024 + (4 << 20)
        for sock in held:
            sock.close()


def test_the_dead_mans_switch_clears_what_its_controller_does_not_renew(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port, "other": port})
        made.control.add_toxic("db", latency(40, controller="alive", lease_s=0.5))
        made.control.add_toxic("other", latency(40, controller="dead", lease_s=0.5))
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            made.control.renew("alive")
            time.sleep(0.1)  # the heartbeat's own pace
        assert [toxic["name"] for toxic in made.control.link("db")["toxics"]] == ["latency_downstream"]
        assert made.control.link("other")["toxics"] == []
        assert made.control.call("GET", "/stats")["leases_expired"] == 1
        with connect(made.address("other")) as sock:
            assert min(round_trip_ms(sock) for _ in range(5)) < 30


def test_a_disabled_link_refuses_and_comes_back_by_its_lease(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        open_before = connect(made.address("db"))
        round_trip_ms(open_before)
        made.control.call("PATCH", "/proxies/db", {"enabled": False, "controller": "c", "lease_s": 0.4})
        with pytest.raises(ConnectionResetError):
            receive(open_before)
        with pytest.raises(ConnectionRefusedError):
            connect(made.address("db"))

        def is_back() -> bool:
            try:
                with connect(made.address("db")) as sock:
                    return round_trip_ms(sock) < 1000
            except ConnectionRefusedError:
                return False

        wait_for(is_back, 5)


def test_other_links_do_not_feel_a_toxic(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port, "mq": port})
        made.control.add_toxic("db", latency(500))
        with connect(made.address("mq")) as sock:
            assert min(round_trip_ms(sock) for _ in range(5)) < 30


def test_many_connections_come_and_go(proxy: MakeProxy) -> None:
    with upstream(echo) as port:
        made = proxy({"db": port})
        for _ in range(5):
            socks = [connect(made.address("db")) for _ in range(60)]
            for number, sock in enumerate(socks):
                sock.sendall(bytes([number]) * 10)
            for number, sock in enumerate(socks):
                assert receive(sock, 10) == bytes([number]) * 10
                (reset if number % 2 else socket.socket.close)(sock)
        wait_for(lambda: made.control.call("GET", "/stats")["links"]["db"]["connections_open"] == 0, 5)


def test_unix_sockets_lead_through_the_same_toxics_and_fall_back_to_an_address_that_is_given_later(
    tmp_path: Path,
) -> None:
    listening, leading = tmp_path / "listen.sock", tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as server, upstream(lambda sock: sock.sendall(b"over TCP")) as port:
        server.bind(str(leading))
        server.listen()
        link = {"name": "db", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{free_port()}"}
        made = Proxy(tmp_path, [{**link, "listen_socket": str(listening), "upstream_socket": str(leading)}])
        try:
            with connect(made.address("db")) as by_port, by_path(listening) as by_socket:
                for client in (by_port, by_socket):
                    threading.Thread(target=echo_and_close, args=(server.accept()[0],), daemon=True).start()
                    assert round_trip_ms(client) < 1000
                    made.control.add_toxic("db", latency(150, name="slow"))
                    assert round_trip_ms(client) >= 150
                    made.control.remove_toxic("db", "slow")
                assert made.control.call("GET", "/stats")["links"]["db"]["connections_accepted"] == 2
            made.control.call("POST", "/proxies/db", {"upstream": f"127.0.0.1:{port}"})
            with by_path(listening) as sock:
                assert receive(sock, 8) == b"over TCP"
        finally:
            made.close()


def echo_and_close(sock: socket.socket) -> None:
    with sock:
        echo(sock)


def by_path(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock
