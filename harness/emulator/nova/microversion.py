"""Which microversion of the compute API a request asks for, and what an answer says about it."""

from typing import Any

from harness.emulator.http import ApiError

MIN = 1
MAX = 104


def minor_of(req: Any) -> int:
    """The minor number that holds for a request: 1 when it names none.

    Raises: ApiError 406 for a version that is not there, 400 for something that is no version.
    """
    found: int | None = getattr(req.context, "minor", None)
    if found is None:
        found = _parse(_asked(req))
        req.context.minor = found
    return found


def stamp(req: Any, resp: Any) -> None:
    """Put the version that was used into the headers of an answer."""
    minor = getattr(req.context, "minor", None) or MIN
    resp.set_header("OpenStack-API-Version", f"compute 2.{minor}")
    resp.set_header("X-OpenStack-Nova-API-Version", f"2.{minor}")
    resp.set_header("Vary", "OpenStack-API-Version, X-OpenStack-Nova-API-Version")


def _asked(req: Any) -> str:
    header = req.get_header("OpenStack-API-Version")
    if header:
        for part in header.split(","):
            service, _, version = part.strip().partition(" ")
            if service.lower() == "compute":
                return str(version.strip())
    return req.get_header("X-OpenStack-Nova-API-Version") or "2.1"


def _parse(text: str) -> int:
    if text == "latest":
        return MAX
    major, dot, minor = text.partition(".")
    if not (dot and major.isdigit() and minor.isdigit() and (minor == "0" or minor[0] != "0")):
        raise ApiError(400, f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
    if major != "2" or not MIN <= int(minor) <= MAX:
        raise ApiError(406, f"Version {text} is not supported by the API. Minimum is 2.{MIN} and maximum is 2.{MAX}.")
    return int(minor)
