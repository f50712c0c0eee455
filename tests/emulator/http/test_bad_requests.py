"""Requests that are none, or that say more than one thing: heads, framing, methods, targets, headers.

What a front end answers is listed in harness/emulator/http/front_end.py. Statuses of paths and queries were compared
with the real services of release 2026.2 on 2026-11-30, which ran under uwsgi without a front end.
"""

from __future__ import annotations

import json

import pytest

from tests.emulator.http.raw import COLLECTIONS, SERVICES, Wire, read, shape

EVERY = dict.fromkeys(SERVICES)
JSON = "Content-Type: application/json"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, ["Content-Length: 3", "Content-Length: 5"]),
        (400, ["Content-Length: 5", "Content-Length: 5"]),
        (400, ["Content-Length: 5, 5"]),
        (400, ["Content-Length: -1"]),
        (400, ["Content-Length: +5"]),
        (400, ["Content-Length: 0x5"]),
        (400, ["Content-Length: five"]),
        (400, ["Content-Length: " + "9" * 30]),
        (413, ["Content-Length: 9223372036854775807"]),
        (400, ["Transfer-Encoding: chunked", "Content-Length: 5"]),
        (400, ["Content-Length: 5", "Transfer-Encoding: chunked"]),
        (400, ["Transfer-Encoding: gzip"]),
        (400, ["Transfer-Encoding: chunked, gzip"]),
        (400, ["Transfer-Encoding : chunked"]),
        (400, ["Transfer-Encoding:\x0bchunked"]),
        (400, ["X A: 1"]),
        (400, [": 1"]),
        (400, ["words"]),
        (400, ["X-A: a\rb"]),
        (400, ["X-A: a\0b"]),
        (400, ["X-A: a\r\n folded"]),
        (400, ["X-A: " + "x" * 8191]),
        (400, [f"X-{number}: 1" for number in range(101)]),
        (400, ["Host: another"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(
    wire: Wire, service: str, status: int, lines: list[str]
) -> None:
    with wire.connect(service) as connection:
        tail = b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        connection.sendall(wire.head("POST", COLLECTIONS[service], JSON, *lines) + tail)
        reply = read(connection)
        assert (reply.status, reply.is_closed) == (status, True)
        assert connection.recv(1000) == b""  # nothing after it was taken for a request


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 400),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
        (b"GET / JUNK/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03" + b"x" * 100, 400),  # TLS
        (bytes(range(256)), 400),
        (b"GET zzz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /" + b"x" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"x" * 100_000, 414),  # and it goes on
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 200_000, 400),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PURGE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(
    wire: Wire, service: str, data: bytes, status: int
) -> None:
    reply = wire.send(service, data)
    assert (reply.status, reply.is_closed) == (status, True)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert data[4:40] not in reply.body  # nothing is repeated


METHODS = {
    "PUT": {"keystone": 405, "glance": 405, "placement": 405, "nova": 404, "neutron": 404},
    "DELETE": {"keystone": 405, "glance": 405, "placement": 405, "nova": 404, "neutron": 404},
    "PATCH": {"keystone": 405, "glance": 405, "placement": 405, "nova": 404, "neutron": 405},
    "TRACE": {"keystone": 405, "glance": 405, "placement": 405, "nova": 404, "neutron": 405},
    "PROPFIND": {"keystone": 405, "glance": 405, "placement": 405, "nova": 404, "neutron": 405},
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_a_collection_has_not(wire: Wire, service: str, method: str) -> None:
    reply = wire.get(service, COLLECTIONS[service], method=method)
    assert reply.status == METHODS[method][service]
    if reply.status == 405 and service != "neutron":  # neutron says only no
        assert "GET" in reply.headers["allow"]


# Target after the collection's path ("{}"), and the status of each service.
PATHS = {
    "{}/../{last}": dict.fromkeys(EVERY, 200),
    "/..{}": dict.fromkeys(EVERY, 200),
    "/./{rest}": dict.fromkeys(EVERY, 200),
    "//{rest}": dict.fromkeys(EVERY, 200),
    "{}/": {"keystone": 200, "glance": 404, "placement": 404, "nova": 404, "neutron": 200},
    "{}//": {"keystone": 200, "glance": 404, "placement": 404, "nova": 404, "neutron": 200},
    "{}%2F": {"keystone": 200, "glance": 404, "placement": 404, "nova": 404, "neutron": 200},
    "{}/a%2Fb": dict.fromkeys(EVERY, 404),
    "{}/a%00b": dict.fromkeys(EVERY, 404),
    "{}/%00": dict.fromkeys(EVERY, 404),
    "{}/%zz": dict.fromkeys(EVERY, 404),
    "{}/a%": dict.fromkeys(EVERY, 404),
    "{}/%ff%fe": dict.fromkeys(EVERY, 404),  # neutron: 400; glance fails
    "{};a=b": dict.fromkeys(EVERY, 404),
    "{}/%F0%9F%98%80": dict.fromkeys(EVERY, 404),
    "{}/a%0d%0aX-Evil:%201": dict.fromkeys(EVERY, 404),
    "/%2e%2e/%2e%2e/etc/passwd": {"keystone": 404, "glance": 300, "placement": 404, "nova": 300, "neutron": 404},
    "{}/../../../../etc/passwd": {"keystone": 404, "glance": 300, "placement": 404, "nova": 300, "neutron": 404},
    "http://evil.example{}": dict.fromkeys(EVERY, 200),
    "https://a:b@evil.example:1{}": dict.fromkeys(EVERY, 200),
    "{}#fragment": dict.fromkeys(EVERY, 200),
    "{}?": dict.fromkeys(EVERY, 200),
    "{}/" + "x" * 2000: dict.fromkeys(EVERY, 404),
    "{}?zzz=%ff": {"keystone": 200, "glance": 400, "placement": 400, "nova": 400, "neutron": 400},
    "{}?name=%ff%fe": {"keystone": 200, "glance": 400, "placement": 400, "nova": 400, "neutron": 400},
    "{}?name=%ed%a0%80": {"keystone": 200, "glance": 400, "placement": 400, "nova": 400, "neutron": 400},
    "{}?name=a%00b": dict.fromkeys(EVERY, 200),
    "{}?id=%00": {"keystone": 200, "glance": 200, "placement": 400, "nova": 200, "neutron": 200},
    "{}?marker=%00": {"keystone": 400, "glance": 400, "placement": 400, "nova": 400, "neutron": 200},  # keystone: 404
    "{}?limit=" + "9" * 30: {
        "keystone": 200,
        "glance": 200,
        "placement": 400,
        "nova": 200,
        "neutron": 200,
    },  # F neutron
    "{}?name=%zz": dict.fromkeys(EVERY, 200),
    "{}?name=a%0d%0aX-Evil:1": dict.fromkeys(EVERY, 200),  # glance: 400
    "{}?&&&": dict.fromkeys(EVERY, 200),
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("target", PATHS, ids=lambda target: target[:40])
def test_targets(wire: Wire, service: str, target: str) -> None:
    path = COLLECTIONS[service]
    reply = wire.get(service, target.format(path, last=path.rpartition("/")[2], rest=path[1:]))
    assert reply.status == PATHS[target][service]
    assert "x-evil" not in reply.headers


def test_no_slash_too_many_gets_past_the_token(wire: Wire) -> None:
    for service in SERVICES:
        for path in ("/" + COLLECTIONS[service], "/." + COLLECTIONS[service], "/x/.." + COLLECTIONS[service]):
            assert wire.send(service, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).status == 401, (service, path)


ECHOED = ["a\xff", "a%0d%0aX-Evil:1", "a\tb", "<script>", "a" * 4000, "", ",,,", "٣".encode().decode("latin-1")]


@pytest.mark.parametrize("value", ECHOED, ids=range(len(ECHOED)))
@pytest.mark.parametrize(
    "name", ["X-Openstack-Request-Id", "OpenStack-API-Version", "X-Auth-Token", "X-Forwarded-Host", "X-Forwarded-Proto"]
)
def test_no_header_of_ours_says_what_a_header_of_theirs_said(wire: Wire, name: str, value: str) -> None:
    for service in SERVICES:
        given = f"compute {value}, placement {value}" if name.startswith("OpenStack") else value
        reply = wire.get(service, COLLECTIONS[service], f"{name}: {given}")
        assert 200 <= reply.status < 500
        assert "x-evil" not in reply.headers
        assert not value or len(value) < 3 or all(value not in shown for shown in reply.headers.values())


def test_a_location_has_no_line_of_its_own(wire: Wire) -> None:
    document = json.dumps({"name": "CUSTOM_A\r\nX-Evil: 1"}).encode()
    reply = wire.post("placement", document, "OpenStack-API-Version: placement 1.39", target="/resource_classes")
    assert (reply.status, "x-evil" in reply.headers) == (400, False)
    reply = wire.get("placement", "/resource_classes/CUSTOM_%0d%0aX-Evil:%201", "OpenStack-API-Version: placement 1.39",
                     "Content-Length: 0", method="PUT")  # fmt: skip
    assert (reply.status, "x-evil" in reply.headers) == (400, False)


def test_a_service_token_that_is_none_is_401_where_keystonemiddleware_judges_it(wire: Wire) -> None:
    for service in SERVICES:
        status = wire.get(service, COLLECTIONS[service], "X-Service-Token: zzz").status
        assert status == (200 if service in ("keystone", "glance") else 401)


def test_the_right_error_body_for_a_query_that_is_no_utf8(wire: Wire) -> None:
    said = {
        "placement": "Invalid query string parameters: 'utf-8' codec",
        "nova": "Query string is not UTF-8 encoded",
        "glance": "could not be decoded by Glance",
    }
    for service, words in said.items():
        assert words in shape(service, wire.get(service, COLLECTIONS[service] + "?name=%ff"))


@pytest.mark.parametrize("service", SERVICES)
def test_requests_in_a_row_are_answered_in_their_order(wire: Wire, service: str) -> None:
    one = wire.head("GET", COLLECTIONS[service]) + b"\r\n"
    two = wire.head("GET", COLLECTIONS[service] + "/nobody") + b"\r\n"
    with wire.connect(service) as connection:
        connection.sendall(one + two + b"no request\r\n\r\n")
        reply = read(connection)
        assert reply.status == 200
        while b"\r\n\r\n" not in (rest := reply.rest):
            reply = reply.__class__(**{**vars(reply), "rest": rest + connection.recv(65536)})
        assert rest.startswith(b"HTTP/1.1 404")
        assert b"connection: close" in rest.lower()  # the third ends it, after the second has its answer


@pytest.mark.parametrize("service", SERVICES)
def test_who_expects_to_be_asked_is_asked_unless_the_body_is_too_large(wire: Wire, service: str) -> None:
    with wire.connect(service) as connection:
        lines = (JSON, "Expect: 100-continue", "Content-Length: 2")
        connection.sendall(wire.head("POST", COLLECTIONS[service], *lines) + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"[]")
        assert read(connection).status == 400
    head = wire.head("POST", COLLECTIONS[service], JSON, "Expect: 100-continue", "Content-Length: " + "9" * 18)
    reply = wire.send(service, head + b"\r\n")
    assert (reply.status, reply.continued) == (413, False)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc\r\n", b"f" * 17 + b"\r\nabc", b"2\r\nabcdef\r\n0\r\n\r\n"]
)
def test_a_chunk_that_is_none_ends_the_connection(wire: Wire, service: str, chunks: bytes) -> None:
    reply = wire.send(
        service, wire.head("POST", COLLECTIONS[service], JSON, "Transfer-Encoding: chunked") + b"\r\n" + chunks
    )
    assert (reply.status, reply.is_closed) == (400, True)
