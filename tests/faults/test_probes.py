"""Probes against the real servers: healthy, silent, gone, and something else than expected."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from faults.probes import Ending, probe
from faults.secret import Secret
from faults.targets import ProbeMeans
from tests.faults.conftest import free_port
from tests.faults.upstreams import upstream


def test_greetings_of_real_servers(servers: dict[str, dict[str, Any]]) -> None:
    for kind, protocol in (
        ("database", servers["database"]["probe"]["protocol"]),
        ("broker", "amqp"),
        ("broker", "tcp"),
    ):
        result = probe(ProbeMeans(protocol, servers[kind]["probe"]["address"]), 5.0)  # type: ignore[arg-type]
        assert (result.ending, result.detail) == (Ending.ANSWERED, "")
        assert 0 < result.took_ns < 5e9


def test_login_and_select_1(servers: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    secret = Path(servers["database"]["process"]["pid_file"]).parent / "secret"
    protocol, address = (servers["database"]["probe"][name] for name in ("protocol", "address"))
    means = ProbeMeans(protocol, address, "squall", Secret(file=str(secret)))
    assert probe(means, 10.0).ending is Ending.ANSWERED
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    result = probe(ProbeMeans(protocol, address, "squall", Secret(file=str(wrong))), 10.0)
    assert result.ending is Ending.ERROR
    assert ("password authentication failed" if protocol == "postgresql" else "Access denied") in result.detail
    assert "not it" not in result.detail
    missing = probe(ProbeMeans(protocol, address, "squall", Secret(file=str(tmp_path / "none"))), 10.0)
    assert missing.ending is Ending.ERROR


@pytest.mark.parametrize("protocol", ["postgresql", "mysql", "amqp"])
def test_refused_silent_closed_and_wrong(protocol: str) -> None:
    assert probe(ProbeMeans(protocol, f"127.0.0.1:{free_port()}"), 2.0).ending is Ending.REFUSED  # type: ignore[arg-type]
    done = threading.Event()

    def silent(sock: socket.socket) -> None:
        done.wait(5)

    with upstream(silent) as port:
        assert probe(ProbeMeans(protocol, f"127.0.0.1:{port}"), 0.2).ending is Ending.TIMEOUT  # type: ignore[arg-type]
        done.set()
    with upstream(lambda sock: None) as port:
        assert probe(ProbeMeans(protocol, f"127.0.0.1:{port}"), 2.0).ending is Ending.REFUSED  # type: ignore[arg-type]

    def babble(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 400 Bad Request")
        sock.recv(100)

    with upstream(babble) as port:
        result = probe(ProbeMeans(protocol, f"127.0.0.1:{port}"), 2.0)  # type: ignore[arg-type]
        assert result.ending is Ending.ERROR
        assert result.detail
