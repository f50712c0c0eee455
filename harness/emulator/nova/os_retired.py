"""Paths that nova still routes though what they led to is gone or not part of this cloud, answered as nova does.

Checked against nova 34.0.0. The proxies to other services answer 404 at every version here; nova's do from 2.36 on.
"""

from typing import Any

from harness.emulator.http import ApiError, require
from harness.emulator.nova import quota
from harness.emulator.nova.compute_api import ComputeApi

GONE = ("os-agents", "os-cells", "os-cloudpipe", "os-fping", "os-fixed-ips/{key}", "os-certificates/{key}")
NOT_FOUND = (
    "os-networks",
    "os-tenant-networks",
    "os-floating-ips",
    "os-floating-ip-pools",
    "os-security-groups",
    "os-volumes",
    "os-snapshots",
    "os-baremetal-nodes",
    "os-hosts",
    "images",
    "extensions/{key}",
)
_OF_CLASS = ("cores", "instances", "key_pairs", "metadata_items", "ram", "server_group_members", "server_groups")
_OF_CLASS_UNTIL_56 = ("injected_file_content_bytes", "injected_file_path_bytes", "injected_files")
_OF_CLASS_UNTIL_49 = ("fixed_ips", "floating_ips", "security_group_rules", "security_groups")


class Gone:
    """410."""

    async def on_get(self, req: Any, resp: Any, key: str = "", server_id: str = "") -> None:
        raise ApiError(410, "This resource is no longer available. No forwarding address is given.")


class Absent:
    """404 in nova's own words, at a path that is routed."""

    async def on_get(self, req: Any, resp: Any, key: str = "") -> None:
        raise ApiError(404, "The resource could not be found.")


class Nothing:
    """A list for administrators that is always empty. Args: name: of the list. rule: of the policy."""

    def __init__(self, api: ComputeApi, name: str, rule: str) -> None:
        self.api, self.name, self.rule = api, name, rule

    async def on_get(self, req: Any, resp: Any) -> None:
        require(req.context.caller.is_admin, self.rule)
        self.api.app.json(resp, {self.name: []})


class Missing:
    """One of something of which there is none. Args: rule: of the policy. message: with `{}` for the id."""

    def __init__(self, rule: str, message: str) -> None:
        self.rule, self.message = rule, message

    async def on_get(self, req: Any, resp: Any, key: str) -> None:
        require(req.context.caller.is_admin, self.rule)
        raise ApiError(404, self.message.format(key))


class QuotaClassResource:
    """`GET /os-quota-class-sets/{name}`: the limits of a project that has none of its own."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, name: str) -> None:
        require(req.context.caller.is_admin, "os_compute_api:os-quota-class-sets:show")
        minor = req.context.version[1]
        names = _OF_CLASS + (_OF_CLASS_UNTIL_56 if minor < 57 else ()) + (_OF_CLASS_UNTIL_49 if minor < 50 else ())
        if minor < 50:
            names = tuple(name for name in names if not name.startswith("server_group"))
        limits = quota.defaults(self.api.settings)
        shown = {"id": name, **{one: limits[one] for one in sorted(names)}}
        self.api.app.json(resp, {"quota_class_set": shown})
