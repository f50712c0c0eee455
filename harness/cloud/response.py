"""What the transport gives back: as much of requests.Response as keystoneauth and openstacksdk read, built lazily."""

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import orjson
import requests.exceptions
import requests.utils

RawHeaders = list[tuple[bytes, bytes]]


class Headers(MutableMapping[str, str]):
    """Header fields by name in any case; a repeated field is joined with a comma, as requests does."""

    __slots__ = ("_fields",)

    def __init__(self, raw: RawHeaders | Mapping[str, str] | None = None) -> None:
        self._fields: dict[str, tuple[str, str]] = {}
        if isinstance(raw, Mapping):
            self.update(raw)
            return
        for name_bytes, value_bytes in raw or ():
            name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
            known = self._fields.get(name.lower())
            self._fields[name.lower()] = (name, f"{known[1]}, {value}") if known else (name, value)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._fields[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        del self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> "Headers":
        """An equal mapping that can be popped from."""
        return Headers(self)


class SentRequest:
    """The request an answer belongs to."""

    __slots__ = ("_headers", "body", "method", "url")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> None:
        self.method, self.url, self._headers, self.body = method, url, headers, body

    @property
    def headers(self) -> Headers:
        return Headers(self._headers)


class Response:
    """One answer. `content` is read already, unless it was asked for as a stream."""

    def __init__(
        self,
        request: SentRequest,
        status: int,
        reason: bytes,
        raw_headers: RawHeaders,
        elapsed_ns: int,
        content: bytes | None,
        stream: Iterator[bytes] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.request = request
        self.status_code = status
        self.history: list[Any] = []
        self.raw_headers = raw_headers
        self._reason = reason
        self._elapsed_ns = elapsed_ns
        self._content = content
        self._stream = stream
        self._close = close
        self._headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __bool__(self) -> bool:
        return self.ok

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self.request.url

    @property
    def reason(self) -> str:
        return self._reason.decode("latin-1")

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers(self.raw_headers)
        return self._headers

    def header(self, name: bytes) -> str | None:
        """One field by its lower-case name, without building all of them."""
        for key, value in self.raw_headers:
            if len(key) == len(name) and key.lower() == name:
                return value.decode("latin-1")
        return None

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def is_redirect(self) -> bool:
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def elapsed(self) -> datetime.timedelta:
        """From the send to the end of the headers (of the body, where it was read at once)."""
        return datetime.timedelta(microseconds=self._elapsed_ns / 1000)

    @property
    def content(self) -> bytes:
        if self._content is None:
            self._content = b"".join(self._stream or ())
            self._stream = None
        return self._content

    @property
    def encoding(self) -> str | None:
        return requests.utils.get_encoding_from_headers(self.headers)

    @property
    def apparent_encoding(self) -> str:
        return "utf-8"

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding or "utf-8", errors="replace")

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link header (RFC 8288), by relation: how some services page."""
        header = self.headers.get("link")
        parsed = requests.utils.parse_header_links(header) if header else []
        return {link.get("rel") or link["url"]: link for link in parsed}

    def json(self, **options: Any) -> Any:
        """The body as JSON.  Raises requests' JSONDecodeError, a ValueError."""
        try:
            return json.loads(self.content, **options) if options else orjson.loads(self.content)
        except ValueError as error:
            raise requests.exceptions.JSONDecodeError(str(error), self.text, 0) from None

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[bytes]:
        """The body in pieces of at most `chunk_size` bytes; None: as they arrive."""
        assert not decode_unicode, "not offered"
        pieces = iter((self._content,)) if self._content is not None else (self._stream or iter(()))
        if self._content is None:
            self._stream = None
        for piece in pieces:
            for start in range(0, len(piece), chunk_size or max(1, len(piece))):
                yield piece[start : start + (chunk_size or len(piece))]

    def iter_lines(self) -> Iterator[bytes]:
        rest = b""
        for piece in self.iter_content(None):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line.removesuffix(b"\r") for line in lines)
        if rest:
            yield rest

    def raise_for_status(self) -> None:
        """Raises requests' HTTPError for 4xx and 5xx."""
        if not self.ok:
            kind = "Client" if self.status_code < 500 else "Server"
            text = f"{self.status_code} {kind} Error: {self.reason} for url: {self.url}"
            raise requests.exceptions.HTTPError(text, response=self)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give up what was not read; the connection is not used again then."""
        if self._close is not None:
            self._close()
