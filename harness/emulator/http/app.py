"""`ServiceApp`: what every service's API stands on. Falcon routes; this adds what all OpenStack APIs have in common.

Order of a request, as in the services' paste pipelines: body (a small one), slot, request id, body limit, token, route,
handler.
"""

import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import falcon
import falcon.asgi
import orjson

from harness.emulator.database import DBDataError, DBError
from harness.emulator.http import bodies
from harness.emulator.http.auth import TokenValidator, Unauthorized
from harness.emulator.http.caller import Caller
from harness.emulator.http.client import HTTPConnectionError
from harness.emulator.http.errors import ApiError
from harness.emulator.http.slots import ClientGone, QueueFull, Slots

if TYPE_CHECKING:
    from harness.emulator.http.microversions import Microversions
    from harness.emulator.runtime import Runtime

log = logging.getLogger(__name__)
BODY_MAX = 114_688  # oslo.middleware's max_request_body_size
_GLOBAL_ID = re.compile(rb"^req-[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
_DICE = random.Random()  # seeded by the system, and anew in a forked process
Authenticate = Callable[[falcon.asgi.Request], Awaitable[Caller | None]]


class ErrorBody(Protocol):
    """Renders an error as the service does; `fields` are those of the ApiError."""

    def __call__(self, status: int, message: str, request_id: str, **fields: Any) -> bytes: ...


class ServiceApp:
    """The ASGI application of one service on its port.

    Args:
        error_body: the service's own error document.
        public: paths (exact, as sent) that need no token; the services' version documents.
        authenticate: replaces the token middleware (keystone judges tokens itself); it may raise ApiError.
        unauthenticated: the service's own 401, where keystonemiddleware's is not what users see (glance).
        request_id_headers: names under which the request id is returned.
        versions: microversion negotiation, for services that have it.
        routing_error: the answer for an unknown path (404) or method (405): takes status and request, returns the
            error to render; the default uses `error_body` with the usual sentence.
        database_error: the answer when a DBError reaches the top; default: 500 as any unexpected error.
        unexpected: message of the 500 for an uncaught exception; takes the exception.
        malformed_body: the 400 for a body that is no JSON, or that the database cannot hold; takes a reason.
        bad_query: the 400 for a query that is no UTF-8; None: such a query is taken as it is (keystone does).
        body_max: bytes; a longer body is refused with 413.
        answers_head: whether HEAD is answered wherever GET is; None: keystone does, the others say 405.
        trailing_slash: whether a path may end in a slash that its template does not have (neutron's may, nova's not).
    """

    def __init__(
        self,
        runtime: "Runtime",
        *,
        service: str,
        error_body: ErrorBody,
        public: frozenset[str] | set[str] | Callable[[str], bool] = frozenset(("/",)),
        authenticate: Authenticate | None = None,
        unauthenticated: Callable[[falcon.asgi.Request], ApiError] | None = None,
        request_id_headers: tuple[str, ...] = ("x-openstack-request-id",),
        versions: "Microversions | None" = None,
        routing_error: Callable[[int, falcon.asgi.Request], ApiError] | None = None,
        database_error: Callable[[DBError], ApiError] | None = None,
        unexpected: Callable[[Exception], ApiError] | None = None,
        malformed_body: Callable[[str], ApiError] | None = None,
        bad_query: Callable[[], ApiError] | None = None,
        body_max: int = BODY_MAX,
        answers_head: bool | None = None,
        trailing_slash: bool = True,
    ) -> None:
        self.runtime = runtime
        self.service = service
        self.error_body = error_body
        self.versions = versions
        limits = runtime.settings.slots(service)
        self.slots = Slots(limits.slots, limits.queue)
        self.answers: dict[int, int] = {}  # status -> how many were given
        self.body_max = body_max
        self.request_id_headers = request_id_headers
        self.tokens: TokenValidator | None = None
        self._answers_head = service == "keystone" if answers_head is None else answers_head
        self._body_timeout_s = runtime.settings.body_timeout_s
        self._public = public if callable(public) else public.__contains__
        self._authenticate = authenticate
        self._unauthenticated = unauthenticated
        self._routing_error = routing_error or _usual_routing_error
        self._database_error = database_error
        self._unexpected = unexpected or _usual_unexpected
        self._malformed = malformed_body or _usual_malformed
        self._bad_query = bad_query
        if authenticate is None:
            self.tokens = runtime.token_validator(service)
        self.falcon = falcon.asgi.App(middleware=[self])
        self.falcon.req_options.strip_url_path_trailing_slash = self._trailing_slash = trailing_slash
        self.falcon.req_options.auto_parse_qs_csv = False
        self.falcon.req_options.keep_blank_qs_values = True
        self.falcon.add_error_handler((Exception, falcon.HTTPError, falcon.HTTPStatus), self._on_exception)
        self._falcon_call = self.falcon.__call__

    def route(self, path: str, resource: Any, *, suffix: str | None = None) -> None:
        """Serve a path template by a Falcon resource. Handlers: `async def on_get(self, req, resp, **params)`, ..."""
        ending = f"_{suffix}" if suffix else ""
        getter = getattr(resource, f"on_get{ending}", None)
        if self._answers_head and getter is not None and not hasattr(resource, f"on_head{ending}"):
            setattr(resource, f"on_head{ending}", getter)
        if suffix:
            self.falcon.add_route(path, resource, suffix=suffix)
        else:
            self.falcon.add_route(path, resource)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if b"%00" in scope["query_string"]:
            # PostgreSQL has no NUL in a text. What takes its place matches nothing, as NUL does on MariaDB.
            scope["query_string"] = scope["query_string"].replace(b"%00", b"%EF%BF%BD")
        try:
            receive = await bodies.awaited(scope, receive, self.body_max, self._body_timeout_s)
            if not self.slots.take_now():
                receive = await self.slots.take(receive)
        except ClientGone:
            return
        except QueueFull:
            await _refuse(send)
            return
        try:
            await self._falcon_call(scope, receive, send)
        finally:
            self.slots.give()

    # What handlers use.

    def json(
        self,
        resp: falcon.asgi.Response,
        document: Any,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a JSON document (orjson; fragments allowed)."""
        resp.data = orjson.dumps(document)
        resp.content_type = "application/json"
        if status != 200:
            resp.status = status
        if headers:
            for name, value in headers.items():
                resp.set_header(name, value)

    async def body(self, req: falcon.asgi.Request, *, required: bool = True) -> Any:
        """The request's JSON document.

        Raises: ApiError 400 (no JSON, or nothing where something is required), 413, 408 (a client too slow).
        Returns None for an empty body that is not required.
        """
        raw = await self.raw_body(req)
        if not raw:
            if required:
                raise self._malformed("the body is empty")
            return None
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise self._malformed(str(error)) from None
        if b"\\u0000" in raw and bodies.holds_nul(document):
            # MariaDB holds it, and some of the real services then answer 201; PostgreSQL does not.
            raise self._malformed("a text holds a NUL")
        return document

    async def raw_body(self, req: falcon.asgi.Request) -> bytes:
        """The request's body, up to `body_max` bytes. Raises: ApiError 413, 408, 400."""
        return await bodies.read(req, self.body_max, self._body_timeout_s)

    # Falcon's middleware protocol.

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        context = req.context
        context.request_id = request_id = new_request_id()
        # One dict of bytes: Falcon's own `headers` decodes every header there is.
        headers = dict(req.scope["headers"])
        sent_id = headers.get(b"x-openstack-request-id")
        context.global_request_id = sent_id.decode() if sent_id and _GLOBAL_ID.match(sent_id) else None
        if (length := headers.get(b"content-length")) and length.isdigit() and int(length) > self.body_max:
            raise bodies.too_large()
        context.caller = None
        if self._authenticate is not None:
            caller = await self._authenticate(req)
        elif self._public(req.path):
            caller = None
        else:
            token = headers.get(b"x-auth-token")
            caller = await self._by_token(req, token.decode("latin-1") if token else None)
            # keystonemiddleware judges it too, unless the service judges tokens later on (glance does).
            if (second := headers.get(b"x-service-token")) and self._unauthenticated is None:
                await self._by_token(req, second.decode("latin-1"))
        if caller is not None:
            context.caller = caller.for_request(request_id)
        if self.versions is not None:  # after the token: a 401 names no version
            self.versions.negotiate(req, headers)
        if self._bad_query is not None and b"%" in (query := req.scope["query_string"]) and not bodies.is_utf8(query):
            raise self._bad_query()
        path = req.path
        if "\0" in path:
            raise self._routing_error(404, req)  # no name holds one
        if not self._trailing_slash and path[-1] == "/" and not self._public(path):
            raise self._routing_error(404, req)  # else a name of no letters would be looked for

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: object, req_succeeded: bool
    ) -> None:
        request_id = getattr(req.context, "request_id", "")
        for name in self.request_id_headers:
            resp.set_header(name, request_id)
        status = resp.status_code
        if self.versions is not None:
            unrouted = resource is None and status == 404
            if not unrouted or self.versions.on_unrouted:
                self.versions.answer(req, resp)
        self.answers[status] = self.answers.get(status, 0) + 1

    async def _by_token(self, req: falcon.asgi.Request, token: str | None) -> Caller:
        assert self.tokens is not None
        if token:
            caller = self.tokens.cached(token)
            if caller is not None:
                return caller
            try:
                return await self.tokens.validate(token)
            except Unauthorized:
                if self._unauthenticated is None:
                    raise
        if self._unauthenticated is not None:
            raise self._unauthenticated(req)
        raise Unauthorized(self.runtime.settings.auth_url)

    async def _on_exception(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
    ) -> None:
        request_id = getattr(req.context, "request_id", "")
        if not isinstance(error, ApiError):
            error = self._as_api_error(req, error, request_id)
        resp.status = error.status
        if error.body is not None:
            resp.data = error.body
            resp.content_type = error.content_type
        else:
            resp.data = self.error_body(error.status, error.message, request_id, **error.fields)
            resp.content_type = error.content_type
        for name, value in error.headers.items():
            resp.set_header(name, value)

    def _as_api_error(self, req: falcon.asgi.Request, error: Exception, request_id: str) -> ApiError:
        if isinstance(error, falcon.HTTPRouteNotFound):
            return self._routing_error(404, req)
        if isinstance(error, falcon.HTTPMethodNotAllowed):
            refused = self._routing_error(405, req)
            if refused.status == 405:
                refused.headers.setdefault("Allow", self._allowed(error))
            return refused
        if isinstance(error, falcon.HTTPError):
            return ApiError(error.status_code, error.description or error.title)
        if isinstance(error, DBDataError):
            # A value that no check of ours has caught and no column takes: the caller's fault all the same.
            log.warning("%s %s %s: %s", request_id, req.method, req.path, error)
            return self._malformed("the database does not take a value")
        if isinstance(error, DBError) and self._database_error is not None:
            log.error("%s %s %s: %s", request_id, req.method, req.path, error)
            return self._database_error(error)
        expected = isinstance(error, DBError | HTTPConnectionError)
        log.error("%s %s %s: %s: %s", request_id, req.method, req.path, type(error).__name__, error,
                  exc_info=None if expected else error)  # fmt: skip
        return self._unexpected(error)

    def _allowed(self, error: falcon.HTTPMethodNotAllowed) -> str:
        methods = dict(error.headers or {}).get("Allow", "").split(", ")
        return ", ".join(sorted(method for method in methods if method != "OPTIONS" or self.service == "keystone"))


def new_request_id() -> str:
    """`req-` and a random UUID (version 4), at a fifth of uuid4()'s cost."""
    digits = f"{_DICE.getrandbits(128):032x}"
    return f"req-{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _usual_routing_error(status: int, req: falcon.asgi.Request) -> ApiError:
    if status == 404:
        return ApiError(404, "The resource could not be found.")
    return ApiError(405, f"The method {req.method} is not allowed for this resource.")


def _usual_unexpected(error: Exception) -> ApiError:
    return ApiError(500, "The server has either erred or is incapable of performing the requested operation.")


def _usual_malformed(reason: str) -> ApiError:
    return ApiError(400, "Malformed request body")


async def _refuse(send: Any) -> None:
    """The line in front of the service is full: what a front end answers when no backend takes the connection."""
    body = b"Service Unavailable"
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
