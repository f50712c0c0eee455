"""Values, names and bytes that programs trip over, and what becomes of a valid request among them."""

import json
import random
from typing import Any

LONG = "x" * 5000
TEXTS = (
    "", " ", "a", "0", "-1", "1e999", "null", "true", "\0", "a\0b", "\u202e", "😀", "\ud800", "é" * 300, LONG, "../..",
    "a/b", "%s%n", "%00", "a\r\nX-Evil: 1", "<script>", "'; DROP TABLE users; --", "{}", "[]", "None", "NaN", "latest",
    "5b0b1f2e-0000-4000-8000-000000000000", "5B0B1F2E000040008000000000000000", "10.0.0.0/8", "::/0", "2026-02-30",
    "9" * 40, "٣", "default", "admin", "*", "^(a+)+$", "\ufeff", "a,b", "in:a,b", "=", "&", "#", ";", "\x7f",
)  # fmt: skip
NUMBERS = (0, 1, -1, 7, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308)
CONSTANTS = (None, True, False)
MISPLACED = ([], {}, [None], [[]], [{}], {"": None}, {"a": {}}, ["x"], [1, "x", None], {"id": []})
HEADERS = (
    b"OpenStack-API-Version: compute latest", b"OpenStack-API-Version: placement latest",
    b"OpenStack-API-Version: compute 2.96", b"OpenStack-API-Version: placement 1.39",
    b"OpenStack-API-Version: compute \xff", b"OpenStack-API-Version: ,,, ;;", b"X-OpenStack-Nova-API-Version: 2.1\t",
    b"OpenStack-API-Version: placement 1.99999999999999999999999", b"X-Openstack-Request-Id: req-\xff",
    b"X-Openstack-Request-Id: req-0b1f2e00-0000-4000-8000-000000000000", b"Accept: */;q=x", b"Accept: text/html",
    b"Accept-Language: \xff;q=z", b"Content-Encoding: gzip", b"Range: bytes=9-1", b"Range: bytes=-99999999999999999999",
    b"Content-Range: bytes */0", b"If-None-Match: \xff", b"X-Forwarded-Proto: \xff", b"Cookie: \x80=\x81", b"X A: 1",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Expect: 100-continue", b"Expect: zzz", b"Transfer-Encoding: gzip",
    b"X-Service-Token: zzz", b"X-Subject-Token: \xff", b"X-Subject-Token: @ADMIN@", b"X-Roles: admin", b"Host: a",
    b"X-Identity-Status: Confirmed", b"X-Image-Meta-Store: \xff", b"Content-Length: 0", b"X-Long: " + b"y" * 9000,
    b"Transfer-Encoding: chunked", b"Content-MD5: zzz", b"X-HTTP-Method-Override: DELETE", b"X-A: a\rb",
)  # fmt: skip
TYPES = (
    b"application/json", b"text/plain", b"application/octet-stream", b"text/html", b"", b"\xff", b"application/json; x",
    b"application/openstack-images-v2.1-json-patch", b"application/openstack-images-v2.0-json-patch",
    b"multipart/form-data", b"application/x-www-form-urlencoded", b"application/merge-patch+json",
)  # fmt: skip


def value(rng: random.Random) -> Any:
    """Anything that JSON can say, and some that it cannot."""
    return rng.choice(rng.choice((TEXTS, TEXTS, NUMBERS, CONSTANTS, MISPLACED)))


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with one part of it replaced, removed, added or wrapped."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        changed = dict(document)
        name = rng.choice(list(changed))
        match rng.randint(0, 9):
            case 0:
                del changed[name]
            case 1:
                changed[rng.choice(TEXTS)] = value(rng)
            case 2:
                changed[name] = value(rng)
            case 3:
                changed[name] = [changed[name]] * rng.choice((1, 2, 60))
            case _:
                changed[name] = mutated(changed[name], rng)
        return changed
    if isinstance(document, list) and document and rng.random() < 0.8:
        spot = rng.randrange(len(document))
        return [*document[:spot], mutated(document[spot], rng), *document[spot + 1 :]]
    return value(rng)


def encoded(document: Any, rng: random.Random) -> bytes:
    """JSON; rarely damaged on its way."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.9:
        return text
    spot = rng.randrange(len(text) + 1)
    match rng.randint(0, 6):
        case 0:
            return text[:spot]
        case 1:
            return text[:spot] + rng.randbytes(rng.randint(1, 4)) + text[spot:]
        case 2:
            return b"[" * rng.choice((100, 1000, 50_000)) + text
        case 3:
            return text.replace(b'"', b"'")
        case 4:
            return text.decode("utf-8", "replace").encode("utf-16")
        case 5:
            return text[:-1] + b', "a": "' + b"z" * rng.choice((1000, 114_688, 300_000)) + b'"}'
        case _:
            return text.replace(b":", b': NaN, "b":', 1)
