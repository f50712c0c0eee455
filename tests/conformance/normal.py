"""Answers of two clouds made comparable: what must differ (ids, times, hosts) becomes a word for its kind."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conformance.play import Answer

# Of the transport, not of the service.
IGNORED_HEADERS = {"date", "server", "connection", "content-length", "keep-alive", "transfer-encoding"}
# Random, and without a form of its own. Each is a list or a text.
_RANDOM = {"audit_ids", "secret", "private_key", "adminPass", "standard_attr_id", "provider:segmentation_id"}
# Lists in which the services keep no order.
_UNORDERED = {
    "methods", "tags", "roles", "role_assignments", "role_inferences", "application_credentials",
    "security_group_rules",
}  # fmt: skip
_WORDS = (
    (r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<request id>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b[0-9a-f]{56}\b", "<sha224>"),
    (r"\b[0-9a-f]{32}\b", "<hex>"),
    (r"\bgAAAA[\w=-]+", "<fernet>"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "<http time>"),
    (r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d\.\d{6}", r"<time\1us>"),
    (r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d", r"<time\1s>"),
    (r"\bfa:16:3e(:[0-9a-f]{2}){3}\b", "<mac>"),
    (r"\br-[0-9a-z]{8}\b", "<reservation>"),
    (r"(:[0-9a-f]{2}){15}\b", "<md5 pairs>"),
)
# Glance and placement dump their schema after such a sentence; only the sentence is compared.
_DUMPED = re.compile("Provided object does not match schema|JSON does not validate:|Invalid query string parameters: ")
_PATTERNS = [(re.compile(pattern), word) for pattern, word in _WORDS]


class Normal:
    """Names given to values, and the normal form of everything else."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def copy(self) -> "Normal":
        made = Normal()
        made._named = dict(self._named)
        return made

    def name(self, name: str, value: str) -> None:
        """Write this value as `<name>` from now on."""
        assert len(value) > 2 or not value.isalnum(), f"{name} is {value!r}: too short to be told from other text"
        self._named[str(value)] = f"<{name}>"
        self._pattern = None

    def text(self, text: str) -> str:
        if self._named:
            if self._pattern is None:
                longest = sorted(self._named, key=len, reverse=True)
                self._pattern = re.compile("|".join(re.escape(value) for value in longest))
            text = self._pattern.sub(lambda found: self._named[found[0]], text)
        for pattern, word in _PATTERNS:
            text = pattern.sub(word, text)
        if _DUMPED.search(text):
            text = text.partition("Failed validating")[0].removesuffix("<br /><br />\n\n\n").rstrip()
        return text

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): f"<{key}>" if _is_random(key, item) else self._in_order(key, self.value(item))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _in_order(self, key: str, value: Any) -> Any:
        return sorted(value, key=repr) if key in _UNORDERED and isinstance(value, list) else value

    def answer(
        self, answer: "Answer", *, only: str | None = None, shape: bool = False, blur: str = ""
    ) -> dict[str, Any]:
        """Status, headers and body as they are kept and compared. Args: as of `Play.ask`."""
        body = answer.body
        if only is not None and answer.status < 300:
            body = _part(body, only)
        headers = {
            name: self.text(value) for name, value in sorted(answer.headers.items()) if name not in IGNORED_HEADERS
        }
        if "allow" in headers:
            headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
        made: dict[str, Any] = {"status": answer.status, "headers": headers}
        if body is not None:
            made["body"] = shape_of(body) if shape and answer.status < 300 else self.value(body)
            if blur:
                made["body"] = json.loads(re.sub(blur, "<blurred>", json.dumps(made["body"])))
        return made


def _is_random(key: str, value: Any) -> bool:
    return bool(value) and (key in _RANDOM or (key == "id" and isinstance(value, int)))


def _part(document: Any, path: str) -> Any:
    for key in path.split("."):
        try:
            document = document[int(key) if isinstance(document, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return "<missing>"
    return document


def shape_of(value: Any) -> Any:
    """Keys and types of a document; of a list, the merged shape of its elements."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        merged: Any = None
        for item in value:
            merged = _merge(merged, shape_of(item))
        return [] if merged is None else [merged]
    return {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}[type(value)]


def _merge(one: Any, two: Any) -> Any:
    if one is None or one == two:
        return two
    if isinstance(one, dict) and isinstance(two, dict):
        return {key: _merge(one.get(key), two[key]) if key in two else one[key] for key in {**one, **two}}
    if isinstance(one, list) and isinstance(two, list):
        return [_merge(one[0], two[0])] if one and two else one or two
    words = {*str(one).split(" or "), *str(two).split(" or ")}
    return " or ".join(sorted(words))
