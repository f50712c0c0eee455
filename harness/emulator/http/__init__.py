"""The HTTP base of the emulated services: application, callers, errors, paging, microversions, client, server."""

from harness.emulator.http.app import BODY_MAX, ServiceApp
from harness.emulator.http.auth import TokenValidator, Unauthorized
from harness.emulator.http.caller import Caller
from harness.emulator.http.client import HTTPClient, HTTPConnectionError, HTTPTimeout, Response
from harness.emulator.http.errors import ApiError, require
from harness.emulator.http.microversions import Microversions, Version
from harness.emulator.http.server import HttpServer
from harness.emulator.http.service import ServiceClient, ServiceToken, quoted
from harness.emulator.http.slots import Slots

__all__ = [
    "BODY_MAX",
    "ApiError",
    "Caller",
    "HTTPClient",
    "HTTPConnectionError",
    "HTTPTimeout",
    "HttpServer",
    "Microversions",
    "Response",
    "ServiceApp",
    "ServiceClient",
    "ServiceToken",
    "Slots",
    "TokenValidator",
    "Unauthorized",
    "Version",
    "quoted",
    "require",
]
