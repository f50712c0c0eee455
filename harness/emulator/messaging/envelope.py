"""The wire form of RPC requests, replies and notifications: oslo.messaging's envelope 2.0.

Checked against oslo.messaging 18.3.1 (both directions: call, cast, fanout, failures) on 2026-11-22.
"""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from pamqp.commands import Basic

from harness.emulator.messaging.errors import RemoteError
from harness.wire import amqp

_HEAD = b'{"oslo.version":"2.0","oslo.message":'
_JSON_OPTIONS = orjson.OPT_NON_STR_KEYS

PROPERTIES = amqp.encode_properties(
    Basic.Properties(content_type="application/json", content_encoding="utf-8", headers={}, delivery_mode=2, priority=0)
)
"""Properties of every message, as kombu's JSON producer sets them."""

# Property values stand in the order of their flags; expiration and message id come after all that are always set.
_FLAGS = struct.Struct(">H")
_FIXED_FLAGS: int = _FLAGS.unpack_from(PROPERTIES)[0]


class CallContext(msgspec.Struct, frozen=True):
    """Who asks. `server` is the addressed server on the receiving side; `extra` holds what else the sender packed.

    A struct because one is made for every request: a frozen dataclass takes six times as long to make.
    """

    request_id: str = ""
    user_id: str = ""
    project_id: str = ""
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    server: str = ""
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)


class BadEnvelope(Exception):
    """A message that is not JSON, or of an envelope version above 2."""


@lru_cache(maxsize=256)
def expiring(expiration_ms: int) -> bytes:
    """`PROPERTIES` with a time to live."""
    return _FLAGS.pack(_FIXED_FLAGS | 0x0100) + PROPERTIES[2:] + amqp.shortstr(str(expiration_ms))


def identified(message_id: str) -> bytes:
    """`PROPERTIES` with a message id, so that a returned message can be matched to its publish."""
    return _FLAGS.pack(_FIXED_FLAGS | 0x0080) + PROPERTIES[2:] + amqp.shortstr(message_id)


def wrap(message: Mapping[str, Any]) -> bytes:
    """The envelope around `message`. Raises TypeError when it holds something that has no JSON form."""
    inner = orjson.dumps(message, _plain, _JSON_OPTIONS)
    return _HEAD + orjson.dumps(inner.decode()) + b"}"


def unwrap(body: bytes) -> dict[str, Any]:
    """The message in an envelope; a bare JSON object is taken as it is. Raises BadEnvelope."""
    try:
        outer = orjson.loads(body)
        if not isinstance(outer, dict):
            raise BadEnvelope(f"body is a JSON {type(outer).__name__}, wanted an object")
        inner = outer.get("oslo.message")
        version = outer.get("oslo.version")
        if inner is None or version is None:
            return outer
        if str(version).split(".")[0] != "2":
            raise BadEnvelope(f"envelope version {version} is not supported, wanted 2.x")
        message = orjson.loads(inner)
    except orjson.JSONDecodeError as error:
        raise BadEnvelope(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadEnvelope(f"message is a JSON {type(message).__name__}, wanted an object")
    return message


def pack_context(message: dict[str, Any], context: CallContext | None) -> None:
    """Spread the context over `_context_*` keys."""
    if context is None:
        context = _NOBODY
    message["_context_request_id"] = context.request_id
    message["_context_user_id"] = context.user_id
    message["_context_project_id"] = context.project_id
    message["_context_roles"] = context.roles
    message["_context_is_admin"] = context.is_admin
    for key, value in context.extra.items():
        message[f"_context_{key}"] = value


def unpack_context(message: Mapping[str, Any], server: str) -> CallContext:
    """The context that came in `_context_*` keys."""
    get = message.get
    return CallContext(
        request_id=get("_context_request_id") or "",
        user_id=get("_context_user_id") or "",
        project_id=get("_context_project_id") or "",
        roles=tuple(get("_context_roles") or ()),
        is_admin=bool(get("_context_is_admin")),
        server=server,
        extra={key[9:]: message[key] for key in message if key[:9] == "_context_" and key not in _KNOWN},
    )


def failure(error: BaseException) -> str:
    """An exception as oslo.messaging's failure document. A RemoteError passes on under its first name."""
    if isinstance(error, RemoteError):
        name, module, text = error.exc_type, error.module, error.message
        arguments: tuple[object, ...] = error.arguments
    else:
        name, module, text = type(error).__name__, type(error).__module__, str(error)
        arguments = error.args
    document = {
        "class": name,
        "module": module,
        "message": text,
        "tb": traceback.format_exception(error),
        "args": arguments,
        "kwargs": getattr(error, "kwargs", {}),
    }
    return orjson.dumps(document, _plain, _JSON_OPTIONS).decode()


def remote_error(document: str) -> RemoteError:
    """The exception in a failure document; one that does not parse becomes a RemoteError that says so."""
    try:
        data = orjson.loads(document)
        return RemoteError(
            str(data.get("class")),
            str(data.get("message", "")),
            module=str(data.get("module", "")),
            arguments=tuple(data.get("args") or ()),
            traceback=tuple(data.get("tb") or ()),
        )
    except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
        return RemoteError("InvalidFailure", f"failure document does not parse: {error}")


_KNOWN = frozenset(f"_context_{name}" for name in ("request_id", "user_id", "project_id", "roles", "is_admin"))
_NOBODY = CallContext()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return list(value)
    return str(value)
