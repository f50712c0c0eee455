"""What glance answers when it refuses: webob's text around glance's sentence, as the caller wants to read it."""

import html
from typing import Any

import orjson

from harness.emulator.http import ApiError

TEXT = "text/plain; charset=UTF-8"
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Request Range Not Satisfiable",
    500: "Internal Server Error",
}
_OPENINGS = {
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
    409: "There was a conflict when trying to complete your request.",
    416: "The Range requested is not available.",
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
    if "detail" in fields:  # of an answer whose sentence webob does not let stand alone
        return f"{status} {title}\n\n{message} \n\n {fields['detail']}".encode()
    if fields.get("as_detail"):
        return f"{status} {title}\n\n{_OPENINGS[status]}\n\n {message}  ".encode()
    return f"{status} {title}\n\n{message}\n\n   ".encode()


def error_document(error: ApiError) -> bytes:
    """The same as JSON, with the markup that webob leaves in it."""
    title = _TITLES.get(error.status, "Error")
    if "detail" in error.fields:
        gap = "\n" if error.status == 415 else " "
        message = f"{error.message}{gap}<br /><br />\n{error.fields['detail']}"
    elif error.fields.get("as_detail"):
        message = f"{_OPENINGS[error.status]}<br /><br />\n{error.message}\n\n"
    else:
        message = f"{error.message}<br /><br />\n\n\n"
    return orjson.dumps({"message": message, "code": f"{error.status} {title}", "title": title})


def error_page(error: ApiError) -> bytes:
    """The same as a page for browsers."""
    title = f"{error.status} {_TITLES.get(error.status, 'Error')}"
    text = orjson.loads(error_document(error))["message"]
    head, _, tail = text.partition("<br />")
    body = f"{html.escape(head, quote=False)}<br />{tail}"
    page = (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  {body}\n </body>\n</html>"
    )
    return page.encode()


def refuse(status: int, message: str) -> ApiError:
    return ApiError(status, message, content_type=TEXT)


def detailed(status: int, message: str) -> ApiError:
    """A refusal whose sentence follows webob's own."""
    return ApiError(status, message, content_type=TEXT, as_detail=True)


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
    text = f"The request media type {kind or '${CONTENT_TYPE}'} is not supported by this server."
    return ApiError(415, text, content_type=TEXT, headers=headers, detail=sentence)


def unauthenticated(auth_url: str) -> ApiError:
    error = refuse(401, _UNAUTHENTICATED)
    error.headers["WWW-Authenticate"] = f'Keystone uri="{auth_url}"'
    return error


def method_not_allowed(method: str) -> ApiError:
    return ApiError(405, f"The method {method} is not allowed for this resource.", content_type=TEXT, detail="")


def bad_query() -> ApiError:
    text = "Error decoding your request. Either the URL or the request body contained characters that could not be"
    return refuse(400, f"{text} decoded by Glance")


def malformed_body(reason: str) -> ApiError:
    return refuse(400, "Body expected in request." if "empty" in reason else "Malformed JSON in request body.")


def unexpected(error: Exception) -> ApiError:
    return refuse(500, _OPENINGS[500])


def not_found() -> ApiError:
    return refuse(404, _OPENINGS[404])
