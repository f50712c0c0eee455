"""Control of the proxy: Toxiproxy's paths, JSON and errors; the token; refusals before anything changes."""

import base64
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.proxy.__main__ import main
from tests.faults.conftest import TOKEN, Proxy
from tests.faults.upstreams import connect, echo, receive, upstream

MakeProxy = Callable[..., Proxy]


def ask(
    made: Proxy, method: str, path: str, body: Any = None, authorization: str = f"Bearer {TOKEN}"
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(made.control_address, timeout=10)
    data = body if isinstance(body, str) else None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Authorization": authorization})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text) if text else None


@pytest.fixture
def made(proxy: MakeProxy) -> Proxy:
    return proxy({"db": 1})


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Bearer", f"Token {TOKEN}", "Basic !!!", "Basic eDp5"])
def test_without_the_token_nothing_is_shown_or_changed(made: Proxy, authorization: str) -> None:
    for method, path in (("GET", "/proxies"), ("POST", "/reset"), ("GET", "/nothing"), ("DELETE", "/proxies/db")):
        status, answer = ask(made, method, path, authorization=authorization)
        assert (status, answer["status"]) == (401, 401)
    assert ask(made, "GET", "/proxies/db")[0] == 200


def test_basic_authentication_with_the_token_as_password(made: Proxy) -> None:
    basic = base64.b64encode(f"squall:{TOKEN}".encode()).decode()
    assert ask(made, "GET", "/version", authorization=f"Basic {basic}")[0] == 200


def test_the_life_of_a_toxic_in_toxiproxys_words(made: Proxy) -> None:
    toxic = {
        "attributes": {"latency": 1000.0, "jitter": 0.0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
    }
    assert ask(made, "POST", "/proxies/db/toxics", {"type": "latency", "attributes": {"latency": 1000}}) == (200, toxic)
    assert ask(made, "POST", "/proxies/db/toxics", {"type": "latency"})[0] == 409
    assert ask(made, "GET", "/proxies/db/toxics") == (200, [toxic])
    assert ask(made, "GET", "/proxies/db/toxics/latency_downstream") == (200, toxic)
    changed = {**toxic, "attributes": {"latency": 5.0, "jitter": 0.0}, "toxicity": 0.5}
    body = {"attributes": {"latency": 5}, "toxicity": 0.5}
    assert ask(made, "POST", "/proxies/db/toxics/latency_downstream", body) == (200, changed)
    assert ask(made, "GET", "/proxies")[1]["db"]["toxics"] == [changed]
    assert ask(made, "DELETE", "/proxies/db/toxics/latency_downstream") == (204, None)
    status, answer = ask(made, "DELETE", "/proxies/db/toxics/latency_downstream")
    assert (status, answer) == (404, {"error": "toxic not found", "status": 404})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "bad request body"),
        ({"type": "latncy"}, "invalid toxic type"),
        ({"type": "latency", "stream": "sideways"}, "stream was invalid"),
        ({"type": "latency", "attributes": {"latency": -1}}, "bad request body"),
        ({"type": "latency", "attributes": {"latency": "much"}}, "bad request body"),
        ({"type": "latency", "attributes": {"delay": 1}}, "bad request body"),
        ({"type": "latency", "toxicity": 2}, "toxicity"),
        ({"type": "latency", "lease_s": 0}, "lease_s"),
    ],
)
def test_a_wrong_toxic_is_refused_and_changes_nothing(made: Proxy, body: Any, said: str) -> None:
    status, answer = ask(made, "POST", "/proxies/db/toxics", body)
    assert (status, answer["status"]) == (400, 400)
    assert said in answer["error"]
    assert ask(made, "GET", "/proxies/db/toxics") == (200, [])
    assert ask(made, "GET", "/leases") == (200, [])


def test_links_are_made_moved_disabled_and_deleted(made: Proxy) -> None:
    with upstream(echo) as port, upstream(echo) as second:
        status, link = ask(made, "POST", "/proxies", {"name": "mq", "upstream": f"127.0.0.1:{port}"})
        assert status == 201
        host, _, listen = link["listen"].rpartition(":")
        address = (host, int(listen))
        with connect(address) as sock:
            sock.sendall(b"hi")
            assert receive(sock, 2) == b"hi"
            assert ask(made, "POST", "/proxies/mq", {"upstream": f"127.0.0.1:{second}"})[0] == 200
            with pytest.raises(ConnectionResetError):
                receive(sock)
        with connect(address) as sock:
            sock.sendall(b"hi")
            assert receive(sock, 2) == b"hi"
        assert ask(made, "POST", "/proxies", {"name": "mq", "upstream": "127.0.0.1:1"})[0] == 409
        assert ask(made, "POST", "/proxies", {"name": "x"})[0] == 400
        assert ask(made, "PATCH", "/proxies/mq", {"enabled": False})[1]["enabled"] is False
        assert ask(made, "POST", "/reset") == (204, None)
        assert ask(made, "GET", "/proxies/mq")[1]["enabled"] is True
        assert ask(made, "DELETE", "/proxies/mq") == (204, None)
        assert ask(made, "GET", "/proxies/mq") == (404, {"error": "proxy not found", "status": 404})
        with pytest.raises(ConnectionRefusedError):
            connect(address)


def test_populate_keeps_what_is_the_same_and_replaces_what_is_not(made: Proxy) -> None:
    same = ask(made, "GET", "/proxies/db")[1]
    wanted = [
        {"name": "db", "listen": same["listen"], "upstream": same["upstream"]},
        {"name": "b", "upstream": "127.0.0.1:2"},
    ]
    status, answer = ask(made, "POST", "/populate", wanted)
    assert status == 201
    assert [link["name"] for link in answer["proxies"]] == ["db", "b"]
    assert answer["proxies"][0] == same


def test_leases_are_shown_renewed_and_released(made: Proxy) -> None:
    for name in ("a", "b"):
        body = {"type": "latency", "name": name, "controller": "me/1", "lease_s": 30}
        assert ask(made, "POST", "/proxies/db/toxics", body)[0] == 200
    ask(made, "POST", "/proxies/db/toxics", {"type": "latency", "name": "other"})
    assert ask(made, "POST", "/leases/me%2F1", {"lease_s": 100}) == (200, {"controller": "me/1", "leases": 2})
    left = {lease["toxic"]: lease["left_s"] for lease in ask(made, "GET", "/leases")[1]}
    assert 90 < left["a"] <= 100
    assert 500 < left["other"] <= 600  # controllers that name no lease get the default
    assert ask(made, "DELETE", "/leases/me%2F1") == (200, {"controller": "me/1", "cleared": 2})
    assert [toxic["name"] for toxic in ask(made, "GET", "/proxies/db/toxics")[1]] == ["other"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "truncated"),
        ({"links": []}, "token"),
        ({"control": {"token": "short"}, "links": []}, "fewer than 16"),
        ({"control": {"token_file": "/nonexistent"}, "links": []}, "/nonexistent"),
        ({"control": {"token": TOKEN}, "links": [{"name": "a", "listen": "x", "upstream": "y:1"}]}, "links.a.listen"),
        ({"control": {"token": TOKEN}, "links": [{"name": "a", "listen": "x:1"}]}, "upstream"),
        ({"control": {"token": TOKEN}, "linkz": []}, "linkz"),
        (
            {"control": {"token": TOKEN}, "links": [{"name": "a", "listen": "192.0.2.1:1", "upstream": "y:1"}]},
            "192.0.2.1",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(
    config: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proxy.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    assert main(["--config", str(file)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert TOKEN not in shown.err
