"""The transport against a server that misbehaves in every way we know: a right answer, or a clear error in time."""

import datetime
import gzip
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cloud.errors import AnswerTimedOut, BadAnswer, ConnectionLost, ConnectRefused, TlsFailed, outcome_of
from harness.cloud.transport import Deadlines, FixedHeaders, Transport
from tests.cloud.raw_server import Peer, raw_server

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Openstack-Request-Id: req-1\r\nContent-Length: 15\r\n\r\n"
BODY = b'{"server": "a"}'
HALF_GZIP = gzip.compress(b"abc")[:12]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(Deadlines(connect_s=2, first_byte_s=5, total_s=5))
    yield made
    made.close()


def keeps_answering(peer: Peer) -> None:
    while peer.read_request():
        peer.answer(BODY)


def test_an_answer_is_read_as_requests_would_read_it(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(OK + BODY)

    with raw_server(script) as url:
        response = transport.request("GET", f"{url}/servers?limit=1", params={"name": "a b", "no": None})
    assert response.json() == {"server": "a"}
    assert (response.status_code, response.reason, response.ok, response.history) == (200, "OK", True, [])
    assert response.headers["x-openstack-request-id"] == response.header(b"x-openstack-request-id") == "req-1"
    assert response.headers.get("missing") is None
    assert response.request.method == "GET"
    assert response.text == BODY.decode()
    assert list(response.iter_content(4)) == [b'{"se', b'rver', b'": "', b'a"}']  # fmt: skip
    assert response.elapsed > datetime.timedelta(0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, len(OK + BODY) - 1), max_size=6))
def test_an_answer_split_anywhere_is_the_same_answer(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(OK + BODY)]
    pieces = [(OK + BODY)[a:b] for a, b in pairwise(edges)]

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(*pieces)

    with raw_server(script) as url:
        assert Transport().request("GET", url).json() == {"server": "a"}


def test_one_connection_serves_requests_in_turn(transport: Transport) -> None:
    with raw_server(keeps_answering) as url:
        for _ in range(5):
            assert transport.request("GET", f"{url}/x").content == BODY
    assert transport.connects == 1


def test_a_chunked_body_with_trailers_leaves_the_connection_usable(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(CHUNKED, b'4\r\n{"a"\r\n', b"3;ext=1\r\n: 1\r\n", b"1\r\n}\r\n", b"0\r\nX-T: 1\r\n\r\n")
        keeps_answering(peer)

    with raw_server(script) as url:
        assert transport.request("GET", url).json() == {"a": 1}
        assert transport.request("GET", url).content == BODY
    assert transport.connects == 1


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
def test_gzip_is_unpacked_whole_or_streamed(transport: Transport, pause_s: float) -> None:
    plain = b"0123456789" * 5000
    packed = gzip.compress(plain)

    def script(peer: Peer) -> None:
        while peer.read_request():
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed))
            peer.say(packed[:50], packed[50:], gap_s=pause_s)

    with raw_server(script) as url:
        assert transport.request("GET", url).content == plain
        streamed = transport.request("GET", url, stream=True)
        assert b"".join(streamed.iter_content(1000)) == plain
        assert transport.request("GET", url).content == plain
    assert transport.connects == 1


def test_a_stream_given_up_closes_its_connection(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        peer.read_request()

    with raw_server(script) as url:
        response = transport.request("GET", url, stream=True)
        response.close()
        with pytest.raises(requests.exceptions.RequestException):
            _ = response.content


def test_head_and_204_have_no_body_and_keep_the_connection(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        peer.read_request()
        peer.say(b"HTTP/1.1 204 No Content\r\n\r\n")
        keeps_answering(peer)

    with raw_server(script) as url:
        assert transport.request("HEAD", url).content == b""
        assert transport.request("DELETE", url).status_code == 204
        assert transport.request("GET", url).content == BODY
    assert transport.connects == 1


def test_a_body_that_ends_with_the_connection_is_whole(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)

    with raw_server(script) as url:
        assert transport.request("GET", url).content == BODY


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", ConnectionLost),
        (b"HTTP/1.1 200 OK\r\nContent-", BadAnswer),
        (OK + BODY[:5], BadAnswer),
        (CHUNKED + b"5\r\nabc", BadAnswer),
        (CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n", BadAnswer),
        (CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n", BadAnswer),
        (CHUNKED + b"ffffffffffffffffff\r\nabc", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", BadAnswer),
        (b"HTTP/1.1 abc OK\r\n\r\n", BadAnswer),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 600_000 + b"\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + HALF_GZIP, BadAnswer),
    ],
)  # fmt: skip
def test_a_broken_answer_is_an_error_and_never_a_wrong_body(
    transport: Transport, said: bytes, error: type[Exception]
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(said)

    with raw_server(script) as url:
        with pytest.raises(error) as caught:
            transport.request("POST", url, data=b"{}")
        outcome = outcome_of("POST", caught.value)
    assert (outcome.effect_name, outcome.ending_name) == ("unknown", "reset")
    assert isinstance(caught.value, requests.exceptions.ConnectionError)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", OK + b"{"])
def test_silence_ends_at_the_deadline(said: bytes) -> None:
    finished = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(said)
        finished.wait(10)

    with raw_server(script) as url:
        started = time.monotonic()
        with pytest.raises(AnswerTimedOut) as caught:
            Transport().request("POST", url, data=b"{}", timeout=0.2)
        finished.set()
        assert 0.15 < time.monotonic() - started < 5
        assert outcome_of("POST", caught.value).ending_name == "timeout"
        assert outcome_of("POST", caught.value).effect_name == "unknown"


def test_slow_bytes_do_not_stretch_the_deadline() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(*[bytes([byte]) for byte in OK + BODY], gap_s=0.05)

    with raw_server(script) as url:
        started = time.monotonic()
        with pytest.raises(AnswerTimedOut):
            Transport(Deadlines(total_s=0.4)).request("GET", url)
        assert time.monotonic() - started < 3


def test_an_answer_to_no_request_is_not_given_to_the_next(transport: Transport) -> None:
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 1:
            peer.answer(BODY)
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
            asked.set()
            peer.read_request()
        else:
            peer.answer(b"right")

    with raw_server(script) as url:
        assert transport.request("GET", url).content == BODY
        assert asked.wait(5)
        time.sleep(0.02)  # lets the surplus arrive: its arrival cannot be observed from here
        assert transport.request("POST", url, data=b"x").content == b"right"


def test_two_answers_in_one_segment_close_the_connection(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.say(OK + BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        peer.read_request()

    with raw_server(script) as url:
        assert transport.request("GET", url).content == BODY
        assert transport.request("GET", url).content == BODY
    assert transport.connects == 2


def test_a_connection_closed_while_idle_is_replaced_without_anyone_noticing(transport: Transport) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.answer(BODY)
        peer.close()
        closed.set()

    with raw_server(script) as url:
        for method in ("POST", "GET", "POST"):
            closed.clear()
            assert transport.request(method, url, data=b"1" if method == "POST" else None).content == BODY
            assert closed.wait(5)
    assert transport.connects == 3


def test_a_post_that_met_a_closing_connection_is_not_sent_twice(transport: Transport) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.answer(BODY)
        seen.append(peer.read_request())  # carried out, then lost: the client cannot know

    with raw_server(script) as url:
        transport.request("GET", url)
        with pytest.raises(ConnectionLost):
            transport.request("POST", url, data=b"create")
        assert len(seen) == 1
        transport.request("GET", url)
        assert transport.request("GET", url).content == BODY  # the same on a GET is repeated
    assert len([request for request in seen if request.startswith(b"POST")]) == 1


def test_interim_answers_are_passed_over_and_continue_is_awaited(transport: Transport) -> None:
    got: list[bytes] = []

    def script(peer: Peer) -> None:
        got.append(peer.read_head())
        peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.append(peer.sock.recv(100))
        peer.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + BODY)

    with raw_server(script) as url:
        response = transport.request("PUT", url, data=b"payload", headers={"Expect": "100-continue"})
    assert response.content == BODY
    assert got[0].endswith(b"\r\n\r\n")
    assert got[1] == b"payload"


def test_a_refusal_instead_of_continue_saves_the_body(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(b"no", status=b"413 Too Large")

    with raw_server(script) as url:
        response = transport.request("PUT", url, data=b"x" * 10_000, headers={"Expect": "100-continue"})
    assert response.status_code == 413


def test_bodies_of_every_kind_arrive_whole(transport: Transport) -> None:
    got: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.read_request():
            got.append(request)
            peer.answer()

    with raw_server(script) as url:
        transport.request("POST", url, json={"a": 1})
        transport.request("POST", url, data=iter([b"ab", b"", b"c"]))
        transport.request("PUT", url, data=io.BytesIO(b"file"))
        transport.request("PUT", url, data=iter([b"12", b"34"]), headers={"Content-Length": "4"})
        transport.request("POST", url)
        transport.request("GET", f"{url}/p?x=ä b", headers=FixedHeaders({"X-Auth-Token": "t"}))
    heads = [request.partition(b"\r\n\r\n")[0] for request in got]
    bodies = [request.partition(b"\r\n\r\n")[2] for request in got]
    assert bodies == [b'{"a":1}', b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"file", b"1234", b"", b""]
    assert b"Content-Type: application/json" in heads[0]
    assert b"Transfer-Encoding: chunked" in heads[1]
    assert b"Content-Length: 4" in heads[2]
    assert heads[3].lower().count(b"content-length") == 1
    assert b"chunked" not in heads[3]
    assert b"Content-Length: 0" in heads[4]
    assert heads[5].startswith(b"GET /p?x=%C3%A4%20b HTTP/1.1\r\n")
    assert b"X-Auth-Token: t" in heads[5]


def test_a_header_cannot_smuggle_another(transport: Transport) -> None:
    with pytest.raises(requests.exceptions.InvalidHeader):
        transport.request("GET", "http://127.0.0.1:1/", headers={"X-A": "b\r\nX-C: d"})


def test_nobody_listening_is_refused_and_nothing_was_sent(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectRefused) as caught:
        transport.request("POST", f"http://127.0.0.1:{port}/", data=b"x")
    outcome = outcome_of("POST", caught.value)
    assert (outcome.effect_name, outcome.ending_name) == ("none", "refused")


def test_stock_requests_errors_are_told_apart_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        requests.post(f"http://127.0.0.1:{port}/", timeout=2)
    assert outcome_of("POST", caught.value).ending_name == "refused"
    assert outcome_of("POST", requests.exceptions.ReadTimeout()).effect_name == "unknown"
    assert outcome_of("POST", requests.exceptions.ConnectTimeout()).effect_name == "none"


def test_ipv6_addresses_work(transport: Transport) -> None:
    with raw_server(keeps_answering, family=socket.AF_INET6) as url:
        assert transport.request("GET", f"{url}/x").content == BODY


def test_a_proxy_from_the_environment_is_left_to_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []

    def script(peer: Peer) -> None:
        got.append(peer.read_request())
        peer.answer(BODY)

    with raw_server(script) as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        assert Transport().request("GET", "http://cloud.example/v3").content == BODY
    assert got[0].startswith(b"GET http://cloud.example/v3 ")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def server_context(certificate: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)
    return context


def test_tls_is_verified_unless_told_otherwise(transport: Transport, certificate: Path) -> None:
    with raw_server(keeps_answering, server_context(certificate)) as url:
        with pytest.raises(TlsFailed, match="CERTIFICATE_VERIFY_FAILED") as caught:
            transport.request("POST", url, data=b"x")
        assert outcome_of("POST", caught.value).effect_name == "none"
        for _ in range(3):
            assert transport.request("GET", url, verify=str(certificate)).content == BODY
            assert transport.request("POST", url, verify=str(certificate), data=b"x").content == BODY
        with pytest.raises(TlsFailed, match=r"doesn't match|mismatch"):
            transport.request("GET", url.replace("localhost", "127.0.0.1"), verify=str(certificate))
        assert transport.request("GET", url.replace("localhost", "127.0.0.1"), verify=False).content == BODY
    assert transport.connects == 4


def test_a_client_certificate_is_shown(transport: Transport, certificate: Path) -> None:
    with raw_server(keeps_answering, server_context(certificate, wants_client=True)) as url:
        answer = transport.request("GET", url, verify=str(certificate), cert=str(certificate))
        assert answer.content == BODY
        with pytest.raises(requests.exceptions.ConnectionError):
            transport.request("GET", url, verify=str(certificate))


def test_a_missing_ca_file_is_named(transport: Transport) -> None:
    with pytest.raises(TlsFailed, match=r"nowhere\.pem"):
        transport.request("GET", "https://127.0.0.1:1/", verify="/nowhere.pem")
