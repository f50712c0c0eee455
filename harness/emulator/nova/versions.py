"""Version documents: `/` and `/v2.1`."""

from typing import Any

from harness.emulator.http import ServiceApp

_UPDATED = {"v2.0": "2025-07-04T12:00:00Z", "v2.1": "2013-07-23T11:33:21Z"}


def _entry(name: str, base: str, *, path: str) -> dict[str, Any]:
    is_current = name == "v2.1"
    return {
        "id": name,
        "status": "CURRENT" if is_current else "DEPRECATED",
        "version": "2.104" if is_current else "",
        "min_version": "2.1" if is_current else "",
        "updated": _UPDATED[name],
        "links": [{"rel": "self", "href": f"{base}/{path}/"}],
    }


def choices(base: str, path: str) -> dict[str, Any]:
    """What a path without a version is answered: 300 with where it might be meant."""
    return {
        "choices": [
            {
                "id": name,
                "status": status,
                "links": [{"rel": "self", "href": f"{base}/{prefix}{path}"}],
                "media-types": [_media_type(name)],
            }
            for name, status, prefix in (("v2.0", "DEPRECATED", "v2"), ("v2.1", "CURRENT", "v2.1"))
        ]
    }


def _media_type(name: str) -> dict[str, str]:
    number = name.removeprefix("v").removesuffix(".0")
    return {"base": "application/json", "type": f"application/vnd.openstack.compute+json;version={number}"}


class VersionsResource:
    """`GET /`."""

    def __init__(self, app: ServiceApp) -> None:
        self.app = app

    async def on_get(self, req: Any, resp: Any) -> None:
        base = req.prefix
        self.app.json(resp, {"versions": [_entry("v2.0", base, path="v2"), _entry("v2.1", base, path="v2.1")]})


class VersionResource:
    """`GET /v2.1` and `GET /v2`."""

    def __init__(self, app: ServiceApp, name: str) -> None:
        self.app = app
        self.name = name

    async def on_get(self, req: Any, resp: Any) -> None:
        entry = _entry(self.name, req.prefix, path="v2.1" if self.name == "v2.1" else "v2")
        entry["links"].append({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"})
        entry["media-types"] = [_media_type(self.name)]
        self.app.json(resp, {"version": entry})
