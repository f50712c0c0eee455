"""Requests to the five services: their own routes, bodies that are valid or nearly so, and what no client should send.

Tokens stand in the bytes as `@ADMIN@` and `@MEMBER@`: what is saved of a request holds no secret, and can be sent again
to another cloud.
"""

import importlib
import random
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import falcon.inspect

from harness.emulator.runtime import Runtime
from harness.emulator.settings import SERVICES, Settings
from tests.fuzz import hostile, valid

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO", "get", "PROPFIND", "LINK")
IDS_MAX = 100  # of each kind that are remembered
KEPT_MAX = 15  # of each collection, made by us, before the oldest is deleted
NO_TOKENS = (b"", b"X-Auth-Token: zzz", b"X-Auth-Token: \xff\xfe", b"X-Auth-Token: ", b"X-Auth-Token: " + b"g" * 4000)
_FIELD = re.compile(r"\{[^}]*\}")
_COLLECTIONS = {"FLAVOR": "flavors", "IMAGE": "images", "NETWORK": "networks", "PROVIDER": "resource_providers"}
_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|req-.*")
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent on one connection: parts with pauses between them, in seconds."""

    service: str
    name: str  # by route, "POST /v2.1/servers"
    parts: tuple[bytes | float, ...]
    makes: str = ""  # the path of the collection that a good answer adds to
    may_be_silent: bool = False  # what was sent asks for nothing, or not for all of an answer


@dataclass
class Seen:
    """Ids from answers, so that requests reach further than a 404."""

    rng: random.Random
    ids: dict[str, deque[str]] = field(default_factory=dict)
    own: dict[tuple[str, str], deque[str]] = field(default_factory=dict)  # (service, collection) -> what we made

    def answered(self, request: "Request", statuses: list[int], document: Any) -> None:
        """Take in an answer: what it names, and what it says was made."""
        self.learn(request.service, document)
        if not request.makes or not statuses or statuses[0] not in (200, 201, 202) or not isinstance(document, dict):
            return
        inner = document if "id" in document else next((one for one in document.values() if isinstance(one, dict)), {})
        identity = inner.get("id") or inner.get("uuid")
        if isinstance(identity, str) and identity:
            self.own.setdefault((request.service, request.makes), deque()).append(quote(identity, safe=""))

    def learn(self, service: str, document: Any) -> None:
        """Remember the ids in an answer, by service and by the name that they stand under."""
        left: list[tuple[str, Any]] = [(service, document)]
        while left:
            kind, value = left.pop()
            if isinstance(value, dict):
                left += [(kind if name in ("id", "uuid") else name, inner) for name, inner in value.items()]
            elif isinstance(value, list):
                left += [(kind, inner) for inner in value[:20]]
            elif isinstance(value, str) and _ID.fullmatch(value):
                for name in (kind, service):
                    self.ids.setdefault(name, deque(maxlen=IDS_MAX)).append(value)

    def one(self, *kinds: str) -> str:
        """An id of the first of these kinds that there is."""
        for kind in kinds:
            if self.ids.get(kind):
                return self.rng.choice(self.ids[kind])
        return "5b0b1f2e-0000-4000-8000-000000000000"


class Grammar:
    """An endless, seeded run of requests. What ids they name depends on the answers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.seen = Seen(rng)
        self._next_name = 0
        self._routes: dict[str, list[tuple[str, str]]] = {}
        runtime = Runtime(Settings(), "api")  # never started: it is asked for its routes only
        for service in SERVICES:
            app = importlib.import_module(f"harness.emulator.{service}.api").application(runtime)
            for route in falcon.inspect.inspect_routes(app.falcon):
                methods = [method.method for method in route.methods if not method.internal]
                self._routes.setdefault(service, []).extend((method, route.path) for method in methods)
        self._creates = [key for key in valid.BODIES if key[1] == "POST"]

    def request(self) -> Request:
        rng = self.rng
        surplus = [key for key, made in self.seen.own.items() if len(made) > KEPT_MAX]
        if surplus:
            return self._delete(*surplus[0])
        if rng.random() < 0.35:
            service, method, template = rng.choice(self._creates if rng.random() < 0.5 else list(valid.BODIES))
        else:
            service = rng.choice(SERVICES)
            method, template = rng.choice(self._routes[service])
        if rng.random() < 0.03:
            method = rng.choice(METHODS)
        target = self._target(service, method, template)
        body = self._body(service, method, template)
        name = f"{method} {template}"
        return self._framed(service, name, method, target, body, template if method == "POST" else "")

    def _delete(self, service: str, collection: str) -> Request:
        identity = self.seen.own[service, collection].popleft()
        return self._framed(service, f"DELETE {collection}/{{id}}", "DELETE", f"{collection}/{identity}", b"", "")

    def _target(self, service: str, method: str, template: str) -> str:
        rng = self.rng

        def name(found: re.Match[str]) -> str:
            if rng.random() < 0.15:
                return quote(rng.choice(hostile.TEXTS).encode("utf-8", "surrogatepass"), safe="/.%")
            parent = template[: found.start()].strip("/").split("/")[-1]
            if service == "keystone" and method in _WRITES:  # else it would soon lock itself out
                own = self.seen.own.get((service, template[: found.start()].rstrip("/")))
                return rng.choice(own) if own else "nobody"
            return self.seen.one(parent, parent.rstrip("s"), parent.replace("-", "_"), service)

        target = _FIELD.sub(name, template)
        if method == "GET" or rng.random() < 0.05:
            pairs = [self._pair() for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
            target += ("?" if pairs else "") + "&".join(pairs)
        if rng.random() < 0.04:
            spot = rng.randrange(len(target) + 1)
            piece = rng.choice(
                ("//", "/../", "/./", "%2e%2e/", "%2F", "%00", "%ff", "\xff", ";", "%", "?", "#", " ", "\\")
            )
            target = target[:spot] + piece + target[spot:]
        elif rng.random() < 0.01:
            target = rng.choice(
                ("*", "", "http://evil.example" + target, target + "/", "x" * 9000, target + "?" + "a" * 9000)
            )
        return target

    def _pair(self) -> str:
        rng = self.rng
        name = rng.choice(valid.QUERIES) if rng.random() < 0.9 else rng.choice(hostile.TEXTS)
        roll = rng.random()
        value = rng.choice(valid.TEXTS) if roll < 0.4 else self.seen.one(*_COLLECTIONS.values()) if roll < 0.6 else None
        if value is None:
            value = rng.choice(hostile.TEXTS) if roll < 0.9 else str(rng.choice(hostile.NUMBERS))
        both = [quote(text.encode("utf-8", "surrogatepass"), safe="%") for text in (name, value)]
        return "=".join(both)

    def _body(self, service: str, method: str, template: str) -> bytes:
        rng = self.rng
        if method not in ("POST", "PUT", "PATCH"):
            return b"" if rng.random() < 0.95 else b'{"a": 1}'
        if template.endswith("/file"):
            return rng.randbytes(rng.choice((0, 1, 5000, 200_000)))
        known = valid.BODIES.get((service, method, template))
        document = self._filled(rng.choice(known)) if known else hostile.value(rng)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            document = hostile.mutated(document, rng)
        return hostile.encoded(document, rng)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(name): self._filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner) for inner in value]
        if value == "NEW":
            self._next_name += 1
            return f"fuzz-{self._next_name}"
        if value == "ID":
            return self.seen.one(
                self.rng.choice(("server", "port", "subnet", "security_group", "project_id", "user_id"))
            )
        if value in _COLLECTIONS:
            return self.seen.one(_COLLECTIONS[value])
        return value

    def _framed(self, service: str, name: str, method: str, target: str, body: bytes, makes: str) -> Request:
        rng = self.rng
        roll = rng.random()
        token = b"X-Auth-Token: @ADMIN@" if roll < 0.65 else b"X-Auth-Token: @MEMBER@"
        if roll > 0.93:
            token = rng.choice(NO_TOKENS)
        lines = [b"Host: 127.0.0.1", token]
        if body or method in ("POST", "PUT", "PATCH"):
            usual = b"application/json" if "/file" not in target else b"application/octet-stream"
            if service == "glance" and method == "PATCH":
                usual = b"application/openstack-images-v2.1-json-patch"
            lines.append(b"Content-Type: " + (usual if rng.random() < 0.95 else rng.choice(hostile.TYPES)))
        if service in ("nova", "placement") and rng.random() < 0.7:
            version = (b"compute 2.%d", b"placement 1.%d")[service == "placement"] % rng.randint(0, 104)
            lines.append(b"OpenStack-API-Version: " + version)
        if rng.random() < 0.1:
            lines.append(rng.choice(hostile.HEADERS))
        start = f"{method} {target} HTTP/1.1".encode("latin-1", "replace")
        lines = [start, *(line for line in lines if line)]
        roll = rng.random()
        if roll < 0.03:
            return Request(service, name, self._broken(lines, body), may_be_silent=True)
        if roll < 0.1:
            lines.append(b"Transfer-Encoding: chunked")
            cut = rng.randrange(len(body) + 1)
            body = (
                b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
                + b"0\r\n\r\n"
            )
        elif body or method in ("POST", "PUT", "PATCH"):
            lines.append(b"Content-Length: %d" % len(body))
        head = b"\r\n".join([*lines, b"", b""])
        if roll > 0.98:  # in two pieces, wherever
            whole = head + body
            cut = rng.randrange(len(whole) + 1)
            return Request(service, name, (whole[:cut], rng.random() * 0.2, whole[cut:]), makes)
        return Request(service, name, (head + body,), makes)

    def _broken(self, lines: list[bytes], body: bytes) -> tuple[bytes | float, ...]:
        """A request that is none, or that never ends."""
        rng = self.rng
        end = b"\r\n\r\n"
        match rng.randint(0, 8):
            case 0:
                return (b"\r\n".join(lines)[: rng.randrange(200)],)
            case 1:
                return (b"\r\n".join([*lines, b"Content-Length: %d" % (len(body) + 9)]) + end + body,)
            case 2:
                wrong = rng.choice((b"-1", b"+5", b"0x5", b"9" * 30, b"9223372036854775807", b"5, 5", b"five", b""))
                return (b"\r\n".join([*lines, b"Content-Length: " + wrong]) + end + body,)
            case 3:
                size = rng.choice((b"zz", b"-5", b"f" * 17, b"2;x=" + b"y" * 9000, b""))
                return (b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + end + size + b"\r\n" + body,)
            case 4:
                both = (b"Transfer-Encoding: chunked", b"Content-Length: 4")
                return (b"\r\n".join([*lines, *both]) + end + b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",)
            case 5:
                return (rng.randbytes(rng.choice((1, 50, 5000))),)
            case 6:
                return (lines[0].replace(b"HTTP/1.1", rng.choice((b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b""))) + end,)
            case 7:
                return ((b"\r\n".join(lines) + end) * rng.choice((2, 20)) + b"\0",)
            case _:
                return (
                    b"\r\n".join([*lines, *(b"X-%d: y" % number for number in range(rng.choice((90, 5000))))]) + end,
                )
