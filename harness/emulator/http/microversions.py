"""Microversion negotiation of nova and placement.

Checked against nova 34.0.0 and placement 16.0.0: without a header the minimum is served; `latest` is the maximum; a
number out of range is 406, a word that is no version 400; the version served and `Vary` stand in every answer.
"""

import functools
import re
from collections.abc import Callable, Mapping

import falcon.asgi

from harness.emulator.http.errors import ApiError

_FORM = re.compile(r"^([1-9]\d*)\.([1-9]\d*|0)$")
Version = tuple[int, int]
KNOWN_MAX = 1024  # pairs of headers whose meaning is remembered


class Microversions:
    """The range of one service, and the headers that ask for a version.

    Args:
        service_type: "compute" or "placement", as in `OpenStack-API-Version: compute 2.79`.
        legacy_header: nova's older header, which carries the number alone; "" for none.
        applies: whether a path is versioned; default: all.
        out_of_range, malformed: the service's own refusals; take what was asked for.
        echo_refused: whether a 406 names, in its headers, the version that was refused (nova's does).
        on_unrouted: whether the 404 of an unknown path names a version (placement's does, nova's does not).
    The version asked for is `req.context.version`, a tuple that compares: `if req.context.version >= (2, 26)`.
    """

    def __init__(
        self,
        service_type: str,
        minimum: Version,
        maximum: Version,
        *,
        legacy_header: str = "",
        applies: Callable[[str], bool] = lambda path: True,
        out_of_range: Callable[[str], ApiError] | None = None,
        malformed: Callable[[str], ApiError] | None = None,
        echo_refused: bool = False,
        on_unrouted: bool = True,
    ) -> None:
        self.service_type = service_type
        self.minimum = minimum
        self.maximum = maximum
        self.applies = applies
        self._prefix = f"{service_type} "
        self._legacy = legacy_header.lower().encode()
        self._known: dict[tuple[bytes, bytes], Version] = {}
        self._legacy_shown = legacy_header
        self._out_of_range = out_of_range or self._usual_out_of_range
        self._malformed = malformed or _usual_malformed
        self._echo_refused = echo_refused
        self.on_unrouted = on_unrouted
        self._vary = ", ".join(name for name in ("OpenStack-API-Version", legacy_header) if name)

    def negotiate(self, req: falcon.asgi.Request, headers: Mapping[bytes, bytes]) -> None:
        """Set `req.context.version`. Raises: ApiError 400 or 406; no version is set then."""
        context = req.context
        header = headers.get(b"openstack-api-version", b"")
        legacy = headers.get(self._legacy, b"") if self._legacy else b""
        if not (header or legacy) or not self.applies(req.path):
            context.version = self.minimum
            return
        known = self._known.get((header, legacy))
        if known is None:
            asked = self._asked(header.decode("latin-1"))
            if asked is None and legacy:
                asked = legacy.decode("latin-1")
            known = self.minimum if asked is None else self._parse(req, asked.strip())
            if len(self._known) < KNOWN_MAX:
                self._known[(header, legacy)] = known
        context.version = known

    def answer(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Write the version served and `Vary`."""
        version = getattr(req.context, "version", None)
        if version is None or not self.applies(req.path):
            return
        text = _text(version)
        resp.set_header("OpenStack-API-Version", self._prefix + text)
        if self._legacy_shown:
            resp.set_header(self._legacy_shown, text)
        resp.set_header("Vary", self._vary)

    def _parse(self, req: falcon.asgi.Request, asked: str) -> Version:
        if asked == "latest":
            return self.maximum
        match = _FORM.match(asked)
        if match is None:
            raise self._malformed(asked)
        version = (int(match[1]), int(match[2]))
        if not self.minimum <= version <= self.maximum:
            if self._echo_refused:
                req.context.version = version
            raise self._out_of_range(asked)
        return version

    def _asked(self, header: str) -> str | None:
        """The version in `compute 2.1, identity 3`; the last one that names our service."""
        found = None
        for part in header.split(","):
            name, _, version = part.strip().partition(" ")
            if name.lower() == self.service_type and version:
                found = version
        return found

    def _usual_out_of_range(self, asked: str) -> ApiError:
        low, high = _text(self.minimum), _text(self.maximum)
        return ApiError(406, f"Version {asked} is not supported by the API. Minimum is {low} and maximum is {high}.")


@functools.lru_cache(maxsize=512)
def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _usual_malformed(asked: str) -> ApiError:
    return ApiError(400, f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
