"""Control: Toxiproxy's HTTP API, with a token and leases.

As in Toxiproxy 2: GET/POST /proxies, GET/POST/PATCH/DELETE /proxies/{p}, GET/POST /proxies/{p}/toxics,
GET/POST/PATCH/DELETE /proxies/{p}/toxics/{t}, POST /populate, POST /reset, GET /version; same JSON, same errors.
Ours:
    toxics and `enabled: false` take `lease_s` (seconds) and `controller` (a name);
    GET /leases; POST /leases/{controller} renews all that controller holds; DELETE clears it;
    GET /stats: counters per link and the process's CPU seconds.

Every request needs the token: `Authorization: Bearer TOKEN`, or HTTP Basic with the token as password, so that
Toxiproxy clients that only take a base URL work with `http://squall:TOKEN@127.0.0.1:PORT`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import time
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
import orjson

from faults.proxy.config import LinkConfig
from faults.proxy.proxies import LinkRequest, Proxies, Refused, ToxicRequest

# The release of Toxiproxy whose HTTP API this follows (read 2026-11-22); its clients ask for it.
VERSION = "2.12.0"

T = TypeVar("T")
Answer = tuple[int, Any]  # status, JSON body or None


class Api:
    """Turns one request into an answer."""

    def __init__(self, proxies: Proxies, token: str) -> None:
        self.proxies = proxies
        self._token = token.encode()

    async def handle(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON. Refusals and failures are answers too; nothing is raised for them."""
        try:
            if not self._is_authorized(authorization):
                raise Refused(401, "want Authorization: Bearer TOKEN")
            parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
            status, answer = await self._route(method, parts, body)
        except Refused as error:
            status, answer = error.status, {"error": str(error), "status": error.status}
        except OSError as error:
            status, answer = 500, {"error": str(error), "status": 500}
        return status, b"" if answer is None else orjson.dumps(answer)

    def _is_authorized(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        given = value.strip().encode()
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given, self._token)

    async def _route(self, method: str, parts: list[str], body: bytes) -> Answer:
        match method, parts:
            case "GET", ["proxies"]:
                return 200, {name: link.as_dict() for name, link in self.proxies.links.items()}
            case "POST", ["proxies"]:
                return 201, await self._create(_read(body, LinkRequest))
            case "POST", ["populate"]:
                return await self._populate(_read(body, list[LinkRequest]))
            case "POST", ["reset"]:
                await self.proxies.reset()
                return 204, None
            case "GET", ["version"]:
                return 200, {"version": VERSION}
            case "GET", ["stats"]:
                return 200, self._stats()
            case _, ["proxies", name]:
                return await self._link(method, name, body)
            case _, ["proxies", name, "toxics"]:
                return self._toxics(method, name, body)
            case _, ["proxies", name, "toxics", toxic]:
                return self._toxic(method, name, toxic, body)
            case "GET", ["leases"]:
                return 200, self.proxies.leases()
            case _, ["leases", controller]:
                return await self._lease(method, controller, body)
        raise Refused(404, "404 page not found")

    async def _create(self, request: LinkRequest) -> dict[str, Any]:
        config = LinkConfig(
            name=request.name,
            listen=request.listen or "127.0.0.1:0",
            upstream=request.upstream,
            enabled=request.enabled is not False,
        )
        return (await self.proxies.add_link(config)).as_dict()

    async def _populate(self, requests: list[LinkRequest]) -> Answer:
        made: list[dict[str, Any]] = []
        for request in requests:
            link = self.proxies.links.get(request.name)
            if link is not None and (link.listen, link.upstream) == (request.listen, request.upstream):
                await self.proxies.update_link(link.name, LinkRequest(enabled=request.enabled is not False))
                made.append(link.as_dict())
                continue
            if link is not None:
                await self.proxies.remove_link(link.name)
            made.append(await self._create(request))
        return 201, {"proxies": made}

    async def _link(self, method: str, name: str, body: bytes) -> Answer:
        link = self.proxies.link(name)
        if method == "GET":
            return 200, link.as_dict()
        if method in ("POST", "PATCH"):
            return 200, (await self.proxies.update_link(name, _read(body, LinkRequest))).as_dict()
        if method == "DELETE":
            await self.proxies.remove_link(name)
            return 204, None
        raise Refused(405, "method not allowed")

    def _toxics(self, method: str, name: str, body: bytes) -> Answer:
        link = self.proxies.link(name)
        if method == "GET":
            return 200, [toxic.as_dict() for toxic in link.toxics.values()]
        if method == "POST":
            return 200, self.proxies.add_toxic(link, _read(body, ToxicRequest)).as_dict()
        raise Refused(405, "method not allowed")

    def _toxic(self, method: str, name: str, toxic: str, body: bytes) -> Answer:
        link = self.proxies.link(name)
        if method == "GET":
            return 200, self.proxies.toxic(link, toxic).as_dict()
        if method in ("POST", "PATCH"):
            return 200, self.proxies.update_toxic(link, toxic, _read(body, ToxicRequest)).as_dict()
        if method == "DELETE":
            self.proxies.remove_toxic(link, toxic)
            return 204, None
        raise Refused(405, "method not allowed")

    async def _lease(self, method: str, controller: str, body: bytes) -> Answer:
        if method == "POST":
            lease_s = _read(body or b"{}", ToxicRequest).lease_s
            return 200, {"controller": controller, "leases": self.proxies.renew(controller, lease_s)}
        if method == "DELETE":
            return 200, {"controller": controller, "cleared": await self.proxies.release(controller)}
        raise Refused(405, "method not allowed")

    def _stats(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "cpu_s": time.process_time(),
            "held_bytes": self.proxies.budget.held,
            "leases_expired": self.proxies.expired,
            "links": {name: link.stats() for name, link in self.proxies.links.items()},
        }


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Refused(400, f"bad request body: {error}") from error
