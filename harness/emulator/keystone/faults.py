"""What keystone answers when it refuses, word for word as keystone 30.0.0; each returns the error to raise."""

from typing import Any

import orjson

from harness.emulator.http import ApiError

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}
_MALFORMED = (
    " The server could not comply with the request since it is either malformed or otherwise incorrect."
    " The client is assumed to be in error."
)
NO_ROUTE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not "
    "found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
)
NO_METHOD = (
    "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n<p>"
    "The method is not allowed for the requested URL.</p>\n"
)
_PLAIN_PATHS = ("", "/v3")  # served beside the API's framework, which answers in JSON
UNEXPECTED = "An unexpected error prevented the server from fulfilling your request."


def error_body(status: int, message: str, request_id: str, **fields: Any) -> bytes:
    """One error; members in this order and a newline at the end, as keystone writes it."""
    error = {"code": status, **fields, "message": message, "title": TITLES.get(status, "Error")}
    return orjson.dumps({"error": error}) + b"\n"


def unauthorized(message: str = "The request you have made requires authentication.", **fields: Any) -> ApiError:
    return ApiError(401, message, **fields)


def routing_error(status: int, req: Any) -> ApiError:
    """Flask's page for a path that is not there, its small document for a method that is not."""
    if status == 404:
        return ApiError(404, body=NO_ROUTE.encode(), content_type="text/html; charset=utf-8")
    if req.path.rstrip("/") in _PLAIN_PATHS:
        return ApiError(405, body=NO_METHOD.encode(), content_type="text/html; charset=utf-8")
    body = b'{"message": "The method is not allowed for the requested URL."}\n'
    return ApiError(405, body=body)


def unexpected(error: Exception) -> ApiError:
    return ApiError(500, UNEXPECTED)


def malformed_body(reason: str) -> ApiError:
    return ApiError(400, f"Expecting to find valid JSON in request body.{_MALFORMED}")


def forbidden(action: str) -> ApiError:
    """The policy says no. Args: action: the policy's name, `identity:get_user`."""
    return ApiError(403, f"You are not authorized to perform the requested action: {action}.")


def refused(message: str) -> ApiError:
    """Forbidden for a reason other than policy."""
    return ApiError(403, message)


def not_found(kind: str, identity: str) -> ApiError:
    return ApiError(404, f"Could not find {kind}: {identity}.")


def token_not_found(message: str) -> ApiError:
    return ApiError(404, message)


def missing(attribute: str, target: str) -> ApiError:
    return ApiError(400, f"Expecting to find {attribute} in {target}.{_MALFORMED}")


def malformed(sentence: str) -> ApiError:
    """A bad request for the reason in `sentence`, with keystone's usual words after it."""
    return ApiError(400, sentence + _MALFORMED)


def conflict(kind: str, details: str) -> ApiError:
    return ApiError(409, f"Conflict occurred attempting to store {kind} - {details}.")


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)
