"""What glance answers when it refuses: webob's plain text around glance's sentence."""

from typing import Any

from harness.emulator.http import ApiError

_TEXT = "text/plain; charset=UTF-8"
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}
_OPENINGS = {
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
    409: "There was a conflict when trying to complete your request.",
    500: "The server has either erred or is incapable of performing the requested operation.",
}
_UNAUTHENTICATED = (
    "This server could not verify that you are authorized to access the document you requested. Either you supplied "
    "the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials "
    "required."
)
PATCH_TYPES = "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch"


def error_body(status: int, message: str, request_id: str, **fields: Any) -> bytes:
    """Status line, blank line, sentence, blank line, spaces: webob's page without markup."""
    title = _TITLES.get(status, "Error")
    if fields.get("as_detail"):
        return f"{status} {title}\n\n{_OPENINGS[status]}\n\n {message}  ".encode()
    return f"{status} {title}\n\n{message}\n\n   ".encode()


def refuse(status: int, message: str) -> ApiError:
    return ApiError(status, message, content_type=_TEXT)


def detailed(status: int, message: str) -> ApiError:
    """A refusal whose sentence follows webob's own."""
    return ApiError(status, message, content_type=_TEXT, as_detail=True)


def no_image(image_id: str) -> ApiError:
    return refuse(404, f"No image found with ID {image_id}")


def forbidden(action: str) -> ApiError:
    return refuse(403, f"You are not authorized to complete {action} action.")


def read_only(name: str) -> ApiError:
    return refuse(403, f"Attribute '{name}' is read-only.")


def mismatch(problem: str) -> ApiError:
    """A body that the image schema does not allow; glance appends a dump of the schema, which is left out."""
    return refuse(400, f"Provided object does not match schema 'image': {problem}")


def media_type(kind: str, sentence: str, **headers: str) -> ApiError:
    text = f"The request media type {kind} is not supported by this server."
    body = f"415 Unsupported Media Type\n\n{text} \n\n {sentence}".encode()
    return ApiError(415, body=body, content_type=_TEXT, headers=headers)


def unauthenticated(auth_url: str) -> ApiError:
    error = refuse(401, _UNAUTHENTICATED)
    error.headers["WWW-Authenticate"] = f'Keystone uri="{auth_url}"'
    return error


def method_not_allowed(method: str) -> ApiError:
    body = f"405 Method Not Allowed\n\nThe method {method} is not allowed for this resource. \n\n ".encode()
    return ApiError(405, body=body, content_type=_TEXT)


def malformed_body(reason: str) -> ApiError:
    return refuse(400, "Body expected in request." if "empty" in reason else "Malformed JSON in request body.")


def unexpected(error: Exception) -> ApiError:
    return refuse(500, _OPENINGS[500])


def not_found() -> ApiError:
    return refuse(404, _OPENINGS[404])
