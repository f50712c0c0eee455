"""What placement answers when it refuses: its `errors` document, in webob's words around its own."""

from typing import Any

import orjson

from harness.emulator.http import ApiError

CONCURRENT_UPDATE = "placement.concurrent_update"
INVENTORY_INUSE = "placement.inventory.inuse"
DUPLICATE_NAME = "placement.duplicate_name"
PROVIDER_IN_USE = "placement.resource_provider.inuse"
PROVIDER_CANNOT_DELETE_PARENT = "placement.resource_provider.cannot_delete_parent"
BAD_VALUE = "placement.query.bad_value"
MISSING_VALUE = "placement.query.missing_value"
DUPLICATE_KEY = "placement.query.duplicate_key"
_UNDEFINED = "placement.undefined_code"

_TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_OPENINGS = {  # webob's sentence for each status, which comes before placement's own
    400: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
    409: "There was a conflict when trying to complete your request.",
    500: "The server has either erred or is incapable of performing the requested operation.",
}


def error_body(status: int, message: str, request_id: str, **fields: Any) -> bytes:
    """The `errors` document. Fields: `code` (left out below microversion 1.23), `detail` (replaces the usual one)."""
    opening = _OPENINGS.get(status)
    detail = fields.pop("detail", None) or (f"{opening}\n\n {message}  " if opening else message)
    error: dict[str, Any] = {"status": status, "title": _TITLES.get(status, "Error"), "detail": detail}
    code = fields.pop("code", _UNDEFINED)
    if code:
        error["code"] = code
    return orjson.dumps({"errors": [{**error, "request_id": request_id, **fields}]})


def bad_request(message: str, code: str = _UNDEFINED) -> ApiError:
    return ApiError(400, message, code=code)


def not_found(message: str = "") -> ApiError:
    return ApiError(404, message, code=_UNDEFINED)


def conflict(message: str, code: str = _UNDEFINED) -> ApiError:
    return ApiError(409, message, code=code)


def concurrent(message: str) -> ApiError:
    return ApiError(409, message, code=CONCURRENT_UPDATE)


def forbidden(rule: str) -> ApiError:
    return ApiError(403, f"Policy does not allow {rule} to be performed.", code=_UNDEFINED)


def routing_error(status: int, req: Any) -> ApiError:
    if status == 404:
        return ApiError(404, code="")
    return ApiError(
        405,
        f"The method {req.method} is not allowed for this resource. \n\n"
        " The method specified is not allowed for this resource.",
        code="",
    )


def out_of_range(asked: str) -> ApiError:
    return ApiError(
        406,
        detail="The resource could not be generated that was acceptable to your browser (content of type "
        f"application/json. \n\n Invalid microversion: Unacceptable version header: {asked}",
        code="",
        max_version="1.39",
        min_version="1.0",
    )


def malformed_version(asked: str) -> ApiError:
    major, dot, minor = asked.partition(".")
    if major == "0" and minor.isdigit():
        return out_of_range(asked)
    if not dot:
        reason = "Version.__new__() missing 1 required positional argument: 'minor'"
    else:
        wrong = next((part for part in (major, minor) if not part.isdigit()), asked)
        reason = f"invalid literal for int() with base 10: {wrong!r}"
    if not dot and not asked.isdigit():
        reason = f"invalid literal for int() with base 10: {asked!r}"
    return ApiError(400, f"Invalid microversion: invalid version string: {asked}; {reason}", code="")


def malformed_body(reason: str) -> ApiError:
    return bad_request(f"Malformed JSON: {reason}")


def bad_query() -> ApiError:
    return bad_request("Invalid query string parameters: 'utf-8' codec can't decode a byte: invalid start byte")


def unexpected(error: Exception) -> ApiError:
    return ApiError(500, str(error) or type(error).__name__, code=_UNDEFINED)


def database_error(error: Exception) -> ApiError:
    return ApiError(500, str(error), code=_UNDEFINED)
