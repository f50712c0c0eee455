"""Microversion negotiation of nova and placement.

Checked against nova 34.0.0 and placement 16.0.0: without a header the minimum is served; `latest` is the maximum; a
number out of range is 406, a word that is no version 400; the version served and `Vary` stand in every answer.
"""

import re
from collections.abc import Callable

import falcon.asgi

from harness.emulator.http.errors import ApiError

_FORM = re.compile(r"^([1-9]\d*)\.([1-9]\d*|0)$")
Version = tuple[int, int]


class Microversions:
    """The range of one service, and the headers that ask for a version.

    Args:
        service_type: "compute" or "placement", as in `OpenStack-API-Version: compute 2.79`.
        legacy_header: nova's older header, which carries the number alone; "" for none.
        applies: whether a path is versioned; default: all.
        out_of_range, malformed: the service's own refusals; take what was asked for.
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
    ) -> None:
        self.service_type = service_type
        self.minimum = minimum
        self.maximum = maximum
        self.applies = applies
        self._prefix = f"{service_type} "
        self._legacy = legacy_header.lower()
        self._legacy_shown = legacy_header
        self._out_of_range = out_of_range or self._usual_out_of_range
        self._malformed = malformed or _usual_malformed
        self._vary = ", ".join(name for name in ("OpenStack-API-Version", legacy_header) if name)

    def negotiate(self, req: falcon.asgi.Request) -> None:
        """Set `req.context.version`. Raises: ApiError 400 or 406 (the version is then the minimum)."""
        req.context.version = self.minimum
        headers = req.headers
        asked = self._asked(headers.get("openstack-api-version", ""))
        if asked is None and self._legacy:
            asked = headers.get(self._legacy)
        if asked is None or not self.applies(req.path):
            return
        asked = asked.strip()
        if asked == "latest":
            req.context.version = self.maximum
            return
        match = _FORM.match(asked)
        if match is None:
            raise self._malformed(asked)
        version = (int(match[1]), int(match[2]))
        if not self.minimum <= version <= self.maximum:
            raise self._out_of_range(asked)
        req.context.version = version

    def answer(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Write the version served and `Vary`."""
        if not self.applies(req.path):
            return
        version = getattr(req.context, "version", self.minimum)
        text = f"{version[0]}.{version[1]}"
        resp.set_header("OpenStack-API-Version", self._prefix + text)
        if self._legacy_shown:
            resp.set_header(self._legacy_shown, text)
        resp.append_header("Vary", self._vary)

    def _asked(self, header: str) -> str | None:
        """The version in `compute 2.1, identity 3`; the last one that names our service."""
        found = None
        for part in header.split(","):
            name, _, version = part.strip().partition(" ")
            if name.lower() == self.service_type and version:
                found = version
        return found

    def _usual_out_of_range(self, asked: str) -> ApiError:
        low, high = (f"{version[0]}.{version[1]}" for version in (self.minimum, self.maximum))
        return ApiError(406, f"Version {asked} is not supported by the API. Minimum is {low} and maximum is {high}.")


def _usual_malformed(asked: str) -> ApiError:
    return ApiError(400, f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
