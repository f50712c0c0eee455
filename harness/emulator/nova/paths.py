"""What a request's path says besides the resource: the old prefix `/v2`, a project id, slashes too many."""

import re
from typing import Any

_PROJECT = re.compile(r"^/([0-9a-f-]+)(/.+)$")
LEGACY = "squall.nova.legacy"  # in the scope: true for what came in under `/v2`
PROJECT = "squall.nova.project"  # in the scope: the project id of the path
VERSION_HEADERS = ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version", "Vary")
_ASKING = (b"openstack-api-version", b"x-openstack-nova-api-version")


def plain(scope: Any) -> Any:
    """The scope of a request, with the path as the routes know it: `/v2.1/servers`.

    `/v2` is nova's compatible mode: no microversions, whatever the headers ask for.
    """
    path: str = scope["path"]
    if path.startswith("/v2.1/"):
        rest, legacy = path[5:], False
    elif path.startswith("/v2/"):
        rest, legacy = path[3:], True
    else:
        return scope
    if rest == "/":
        return scope
    if rest.startswith("//"):
        rest = "/" + rest.lstrip("/")
    found = _PROJECT.match(rest)
    if found is None and not legacy and rest is path[5:]:
        return scope
    scope = dict(scope)
    if found is not None:
        scope[PROJECT], rest = found[1], found[2]
    if legacy:
        scope[LEGACY] = True
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _ASKING]
    scope["path"] = f"/v2.1{rest}"
    return scope
