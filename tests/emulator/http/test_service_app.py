"""The base of every service: who may ask, how refusals look, how many may ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from harness.emulator.database import DBConnectionError
from harness.emulator.http import (
    ApiError,
    HTTPClient,
    HTTPConnectionError,
    HttpServer,
    Microversions,
    ServiceApp,
    require,
)
from harness.emulator.runtime import Runtime
from harness.emulator.settings import Settings, SlotSettings
from tests.emulator.waiting import until

UNAUTHORIZED = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
}


def _error_body(status: int, message: str, request_id: str, **fields: Any) -> bytes:
    return orjson.dumps({"fault": {"code": status, "message": message, "request_id": request_id, **fields}})


class Things:
    """A resource with everything a handler may do."""

    def __init__(self, app: ServiceApp) -> None:
        self.app = app
        self.gate = asyncio.Event()
        self.entered = 0

    async def on_get(self, req: Any, resp: Any, thing_id: str) -> None:
        match thing_id:
            case "wait":
                self.entered += 1
                await self.gate.wait()
            case "forbidden":
                require(False, "things:get")
            case "missing":
                raise ApiError(404, "no such thing", kind="gone")
            case "bug":
                raise ZeroDivisionError
            case "database":
                raise DBConnectionError("server closed the connection")
        version = ".".join(map(str, getattr(req.context, "version", ())))
        self.app.json(resp, {"user": req.context.caller.user_id, "id": thing_id, "version": version})

    async def on_post(self, req: Any, resp: Any, thing_id: str) -> None:
        self.app.json(resp, {"got": await self.app.body(req)}, 202, headers={"Location": "/things/1"})


class Keystone:
    """Validates tokens as keystone does; counts how often it is asked, and can be told to fail."""

    def __init__(self) -> None:
        self.validations = 0
        self.status = 200

    async def on_post(self, req: Any, resp: Any) -> None:
        resp.status = 201
        resp.set_header("X-Subject-Token", "service-token")
        resp.data = orjson.dumps({"token": {"expires_at": "2999-01-01T00:00:00.000000Z"}})

    async def on_get(self, req: Any, resp: Any) -> None:
        self.validations += 1
        assert req.get_header("X-Auth-Token") == "service-token"
        if self.status != 200 or req.get_header("X-Subject-Token") != "good":
            raise ApiError(404 if self.status == 200 else self.status, "no")
        user = {"id": "u1", "name": "demo", "domain": {"id": "default"}}
        token = {"user": user, "roles": [{"name": "member"}], "expires_at": "2999-01-01T00:00:00.000000Z"}
        resp.data = orjson.dumps({"token": {**token, "project": {"id": "p1", "name": "demo"}}})


class World:
    def __init__(self) -> None:
        self.settings = Settings(time_scale=0.01)
        self.settings.services["nova"] = SlotSettings(slots=2, queue=3)
        self.runtime = Runtime(self.settings, "api")
        self.client = HTTPClient()
        self.keystone = Keystone()
        self.app: ServiceApp
        self.things: Things
        self.url = ""

    async def get(self, path: str, token: str = "good", **options: Any) -> Any:
        headers = {"X-Auth-Token": token} if token else {}
        headers.update(options.pop("headers", {}))
        return await self.client.request(options.pop("method", "GET"), self.url + path, headers=headers, **options)


def _in_world(body: Callable[[World], Awaitable[None]], **app_options: Any) -> None:
    async def scenario() -> None:
        world = World()
        keystone = ServiceApp(world.runtime, service="keystone", error_body=_error_body, public=lambda path: True)
        keystone.route("/v3/auth/tokens", world.keystone)
        keystone_server = HttpServer(keystone)
        world.settings.ports["keystone"] = await keystone_server.listen("127.0.0.1", 0)
        world.app = ServiceApp(world.runtime, service="nova", error_body=_error_body, public={"/open"}, **app_options)
        world.things = Things(world.app)
        world.app.route("/things/{thing_id}", world.things)
        server = HttpServer(world.app)
        world.url = f"http://127.0.0.1:{await server.listen('127.0.0.1', 0)}"
        try:
            async with asyncio.timeout(30):
                await body(world)
        finally:
            world.things.gate.set()
            await world.client.close()
            await world.runtime.close()
            await server.close()
            await keystone_server.close()

    asyncio.run(scenario())


def test_a_valid_token_is_asked_about_once() -> None:
    async def body(world: World) -> None:
        for _ in range(3):
            answer = await world.get("/things/1")
            assert (answer.status, answer.json()["user"]) == (200, "u1")
        assert world.keystone.validations == 1

    _in_world(body)


def test_a_known_token_is_asked_about_again_after_its_time() -> None:
    async def body(world: World) -> None:
        assert world.app.tokens is not None
        world.app.tokens._keep_s = 0.05
        await world.get("/things/1")
        await until(lambda: world.app.tokens is not None and world.app.tokens.cached("good") is None)
        await world.get("/things/1")
        assert world.keystone.validations == 2

    _in_world(body)


@pytest.mark.parametrize("token", ["", "bad"])
def test_without_a_valid_token_even_an_unknown_path_is_401(token: str) -> None:
    async def body(world: World) -> None:
        for path in ("/things/1", "/nowhere"):
            answer = await world.get(path, token)
            assert (answer.status, answer.json()) == (401, UNAUTHORIZED)
            assert answer.headers["www-authenticate"] == f'Keystone uri="{world.settings.auth_url}"'
        assert world.keystone.validations == (2 if token else 0)  # a refusal is not remembered

    _in_world(body)


@pytest.mark.parametrize("status", [500, 503])
def test_a_keystone_that_fails_is_503_for_new_tokens_and_nothing_for_known_ones(status: int) -> None:
    async def body(world: World) -> None:
        assert (await world.get("/things/1")).status == 200
        world.keystone.status = status
        assert (await world.get("/things/1")).status == 200
        assert (await world.get("/things/1", "other")).status == 503

    _in_world(body)


def test_errors_are_rendered_by_the_service_with_the_request_id() -> None:
    async def body(world: World) -> None:
        for path, status, message in (
            ("/things/missing", 404, "no such thing"),
            ("/things/forbidden", 403, "Policy doesn't allow things:get to be performed."),
            ("/nowhere", 404, "The resource could not be found."),
            ("/open", 404, "The resource could not be found."),
        ):
            answer = await world.get(path)
            fault = answer.json()["fault"]
            assert (answer.status, fault["code"], fault["message"]) == (status, status, message)
            assert fault["request_id"] == answer.headers["x-openstack-request-id"]
        assert (await world.get("/things/missing")).json()["fault"]["kind"] == "gone"

    _in_world(body)


@pytest.mark.parametrize("what", ["bug", "database"])
def test_what_nobody_expected_is_a_500_and_the_service_lives_on(what: str) -> None:
    async def body(world: World) -> None:
        assert (await world.get(f"/things/{what}")).status == 500
        assert (await world.get("/things/1")).status == 200
        assert world.app.answers == {500: 1, 200: 1}

    _in_world(body)


def test_a_wrong_method_is_405_and_says_what_is_allowed() -> None:
    async def body(world: World) -> None:
        answer = await world.get("/things/1", method="PUT", json={})
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
        assert (await world.get("/things/1", method="HEAD")).status == 405

    _in_world(body)


def test_bodies_are_json_of_bounded_size() -> None:
    async def body(world: World) -> None:
        answer = await world.get("/things/1", method="POST", json={"a": [1, "ü"]})
        assert (answer.status, answer.json()) == (202, {"got": {"a": [1, "ü"]}})
        assert answer.headers["location"] == "/things/1"
        for wrong, status in ((b"{", 400), (b"", 400), (b"\xff\xfe", 400), (b"x" * 114_689, 413)):
            assert (await world.get("/things/1", method="POST", body=wrong)).status == status

    _in_world(body)


def test_a_chunked_body_has_the_same_bound() -> None:
    async def body(world: World) -> None:
        host, port = world.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /things/1 HTTP/1.1\r\nhost: x\r\nx-auth-token: good\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        writer.write(b"0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()

    _in_world(body)


def test_a_client_too_slow_to_send_is_given_up() -> None:
    async def body(world: World) -> None:
        world.app._body_timeout_s = 0.05
        host, port = world.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /things/1 HTTP/1.1\r\nhost: x\r\nx-auth-token: good\r\ncontent-length: 10\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        await until(lambda: world.app.slots.used == 0)
        writer.close()

    _in_world(body)


def test_slots_are_taken_in_order_and_the_line_is_bounded() -> None:
    async def body(world: World) -> None:
        await world.get("/things/1")
        slots = world.app.slots
        waiting = [asyncio.create_task(world.get("/things/wait")) for _ in range(5)]
        await until(lambda: (slots.used, slots.queued) == (2, 3))
        assert world.things.entered == 2
        refused = await world.get("/things/1")  # reads starve behind hung requests, and the line is full
        assert refused.status == 503
        world.things.gate.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 5
        await until(lambda: slots.used == 0)
        assert (slots.queued, slots.refused, slots.abandoned) == (0, 1, 0)
        assert slots.take_peaks() == (2, 3)

    _in_world(body)


def test_a_client_that_leaves_the_line_is_never_served() -> None:
    async def body(world: World) -> None:
        await world.get("/things/1")
        slots = world.app.slots
        held = [asyncio.create_task(world.get("/things/wait")) for _ in range(2)]
        await until(lambda: slots.used == 2)
        gone = asyncio.create_task(world.get("/things/wait"))
        posted = asyncio.create_task(world.get("/things/1", method="POST", json={"kept": "x" * 50_000}))
        await until(lambda: slots.queued == 2)
        gone.cancel()
        await until(lambda: slots.queued == 1)
        world.things.gate.set()
        await asyncio.gather(*held)
        assert (await posted).json()["got"]["kept"] == "x" * 50_000  # read while it waited, and not lost
        assert (slots.abandoned, world.things.entered) == (1, 2)
        await until(lambda: slots.used == 0)

    _in_world(body)


def test_microversions_are_negotiated_after_the_token() -> None:
    versions = Microversions(
        "compute", (2, 1), (2, 104), legacy_header="X-OpenStack-Nova-API-Version", echo_refused=True, on_unrouted=False
    )

    async def body(world: World) -> None:
        cases: list[tuple[dict[str, str], str]] = [
            ({}, "2.1"),
            ({"OpenStack-API-Version": "compute 2.79"}, "2.79"),
            ({"OpenStack-API-Version": "placement 1.9, compute 2.80"}, "2.80"),
            ({"OpenStack-API-Version": "compute latest"}, "2.104"),
            ({"X-OpenStack-Nova-API-Version": "2.3"}, "2.3"),
            ({"OpenStack-API-Version": "volume 3.5"}, "2.1"),
        ]
        for headers, served in cases:
            answer = await world.get("/things/1", headers=headers)
            assert (answer.status, answer.json()["version"]) == (200, served)
            assert answer.headers["openstack-api-version"] == f"compute {served}"
            assert answer.headers["x-openstack-nova-api-version"] == served
            assert "OpenStack-API-Version" in answer.headers["vary"]
        refused = await world.get("/things/1", headers={"OpenStack-API-Version": "compute 2.999"})
        assert (refused.status, refused.headers["openstack-api-version"]) == (406, "compute 2.999")
        malformed = await world.get("/things/1", headers={"OpenStack-API-Version": "compute x"})
        assert malformed.status == 400
        assert "openstack-api-version" not in malformed.headers
        for path, token, status in (("/things/1", "", 401), ("/nowhere", "good", 404)):
            answer = await world.get(path, token, headers={"OpenStack-API-Version": "compute 2.79"})
            assert answer.status == status
            assert "openstack-api-version" not in answer.headers

    _in_world(body, versions=versions)


def test_a_server_that_is_gone_is_a_connection_error() -> None:
    async def body(world: World) -> None:
        with pytest.raises(HTTPConnectionError, match=r"connect to 127\.0\.0\.1:1"):
            await world.client.request("GET", "http://127.0.0.1:1/")

    _in_world(body)
