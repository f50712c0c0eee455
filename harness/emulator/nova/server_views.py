"""How a server is shown: one row of `instances` (with its info cache) in, one JSON text out, per microversion.

Rendered texts are kept by (uuid, row version) for each view, so that a page of a thousand is mostly a join of bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from harness.emulator.nova import states
from harness.emulator.timestamps import utcnow_iso

CACHE_ENTRIES = 12_000  # of one view; about 2 KB each
CACHE_VIEWS = 4

# The microversions at which a field comes or goes; the view of 2.50 equals that of 2.47.
_STEPS = (100, 98, 96, 90, 75, 73, 71, 69, 63, 47, 26, 19, 16, 9, 3, 1)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One way to show servers: `minor` of the microversion, whether the caller is an administrator, and the links.

    Get it from `of`: equal views are one object, as it is the key of what is kept for each row.
    """

    minor: int
    is_admin: bool
    base: str  # http://host:port, as the caller addressed us

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, minor: int, *, is_admin: bool, base: str) -> "View":
        return cls(next(step for step in _STEPS if minor >= step), is_admin, base)


class Fragments:
    """Rendered servers of each view; bounded, and dropped whole when full."""

    def __init__(self) -> None:
        self._views: dict[View, dict[str, tuple[object, bytes]]] = {}

    def of(self, view: View) -> dict[str, tuple[object, bytes]]:
        """uuid -> (version, JSON text) of one view; see `version_of`."""
        found = self._views.get(view)
        if found is None:
            if len(self._views) >= CACHE_VIEWS:
                self._views.pop(next(iter(self._views)))
            found = self._views[view] = {}
        elif len(found) >= CACHE_ENTRIES:
            found.clear()
        return found


def rendered(server: Mapping[str, Any]) -> bytes:
    """A shown server as JSON text to keep. A copy: what orjson returns holds an 8 KB buffer for as long as it lives."""
    return bytes(memoryview(orjson.dumps(server)))


def version_of(row: Mapping[str, Any], now: str) -> object:
    """What a rendered server is kept by. One that was never saved shows the present second as `updated`."""
    return row["row_version"] if row["updated_at"] is not None else (row["row_version"], now)


def stamp(moment: str | None) -> str | None:
    """Nova's other style, without a zone and with microseconds that are always zero."""
    return None if moment is None else moment[:-1] + ".000000"


@lru_cache(maxsize=65536)
def host_id(host: str, project_id: str) -> str:
    """What a project may know of a host: equal for two servers of one project on one host."""
    return hashlib.sha224((project_id + host).encode()).hexdigest()


def links(base: str, uuid: str) -> list[dict[str, str]]:
    """The self and bookmark links of a server."""
    return [
        {"rel": "self", "href": f"{base}/v2.1/servers/{uuid}"},
        {"rel": "bookmark", "href": f"{base}/servers/{uuid}"},
    ]


def addresses(network_info: Iterable[Mapping[str, Any]], *, extended: bool) -> dict[str, list[dict[str, Any]]]:
    """Addresses by label of network."""
    found: dict[str, list[dict[str, Any]]] = {}
    for vif in network_info:
        entries = found.setdefault(vif["label"], [])
        for fixed in vif["fixed_ips"]:
            entry: dict[str, Any] = {"version": 6 if ":" in fixed["ip_address"] else 4, "addr": fixed["ip_address"]}
            if extended:
                entry["OS-EXT-IPS:type"] = "fixed"
                entry["OS-EXT-IPS-MAC:mac_addr"] = vif["address"]
            entries.append(entry)
    return found


def basic(row: Mapping[str, Any], base: str) -> dict[str, Any]:
    """The short form of `GET /servers`."""
    return {"id": row["uuid"], "name": row["display_name"], "links": links(base, row["uuid"])}


def detailed(
    row: Mapping[str, Any], view: View, *, fault: Mapping[str, Any] | None = None, updated: bool = False
) -> dict[str, Any]:
    """The long form. `host_status` is not in it: it depends on the host, not on the row (see `host_status`).

    Args: fault: the latest row of `instance_faults`, looked at when the status is ERROR or DELETED.
          updated: answer of `PUT /servers/{id}`, which before 2.75 lacks many fields.
    """
    minor = view.minor
    uuid: str = row["uuid"]
    vm_state = row["vm_state"]
    system_text = row["system_metadata"]
    system = {} if system_text == "{}" else orjson.loads(system_text)
    network_info = [] if row["network_info"] is None else orjson.loads(row["network_info"])
    status = "DELETED" if row["deleted"] else states.status(vm_state, row["task_state"])
    full = not updated or minor >= 75
    server: dict[str, Any] = {
        "accessIPv4": row["access_ip_v4"] or "",
        "accessIPv6": row["access_ip_v6"] or "",
        "addresses": {} if vm_state == states.BUILDING else addresses(network_info, extended=full),
        "created": row["created_at"],
        "flavor": _flavor(row["flavor"], view),
        "hostId": host_id(row["host"], row["project_id"]) if row["host"] else "",
        "id": uuid,
        "image": _image(row["image_ref"], system_text, view),
        "links": _links(view.base, uuid),
        "metadata": orjson.Fragment(row["metadata"]),
        "name": row["display_name"],
        "status": status,
        "tenant_id": row["project_id"],
        "user_id": row["user_id"],
        "updated": row["updated_at"] or utcnow_iso(),
        "OS-DCF:diskConfig": "AUTO" if row["auto_disk_config"] else "MANUAL",
    }
    if fault is not None and status in ("ERROR", "DELETED"):
        server["fault"] = _fault(fault, is_admin=view.is_admin)
    if status in states.PROGRESS_STATUSES:
        server["progress"] = row["progress"] or 0
    if full:
        _add_extended(server, row, view, network_info)
    if minor >= 9:
        server["locked"] = bool(row["locked_by"])
    if minor >= 19:
        server["description"] = row["display_description"]
    if minor >= 26:
        server["tags"] = orjson.Fragment(row["tags"])
    if minor >= 63:
        server["trusted_image_certificates"] = None
    if minor >= 73:
        server["locked_reason"] = system.get("locked_reason")
    if minor >= 90 and not view.is_admin:
        server["OS-EXT-SRV-ATTR:hostname"] = row["hostname"]
    if minor >= 96:
        server["pinned_availability_zone"] = system.get("pinned_az")
    if minor >= 100:
        server["scheduler_hints"] = system.get("scheduler_hints") or {}
    return server


def server_groups(row: Mapping[str, Any]) -> list[str]:
    """The group of a server (one at most), as shown for a single server from 2.71 on."""
    group = orjson.loads(row["system_metadata"]).get("server_group")
    return [group] if group else []


def _add_extended(
    server: dict[str, Any], row: Mapping[str, Any], view: View, network_info: list[dict[str, Any]]
) -> None:
    server["OS-EXT-AZ:availability_zone"] = row["availability_zone"] or ""
    server["config_drive"] = row["config_drive"] or ""
    server["key_name"] = row["key_name"]
    server["OS-SRV-USG:launched_at"] = stamp(row["launched_at"])
    server["OS-SRV-USG:terminated_at"] = stamp(row["terminated_at"])
    # Nova asks neutron for these at each read. They are kept with the ports in the info cache instead, which neutron's
    # `network-changed` event refreshes: a read of one server stays a read of one row.
    groups = [{"name": name} for vif in network_info for name in vif["security_groups"]]
    if groups:
        server["security_groups"] = groups
    if view.is_admin:
        server["OS-EXT-SRV-ATTR:host"] = row["host"]
        server["OS-EXT-SRV-ATTR:instance_name"] = "" if row["id"] is None else f"instance-{row['id']:08x}"
        server["OS-EXT-SRV-ATTR:hypervisor_hostname"] = row["node"]
        if view.minor >= 3:
            for name in ("hostname", "kernel_id", "launch_index", "ramdisk_id", "reservation_id", "root_device_name"):
                server[f"OS-EXT-SRV-ATTR:{name}"] = row[name]
            server["OS-EXT-SRV-ATTR:user_data"] = row["user_data"]
    server["OS-EXT-STS:task_state"] = row["task_state"]
    server["OS-EXT-STS:vm_state"] = row["vm_state"]
    server["OS-EXT-STS:power_state"] = row["power_state"] or 0
    server["os-extended-volumes:volumes_attached"] = []


def _links(base: str, uuid: str) -> orjson.Fragment:
    """As `links`, already JSON: neither part needs escaping."""
    return orjson.Fragment(
        f'[{{"rel":"self","href":"{base}/v2.1/servers/{uuid}"}},{{"rel":"bookmark","href":"{base}/servers/{uuid}"}}]'
    )


@lru_cache(maxsize=256)
def _flavor(text: str, view: View) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(_flavor_shown(orjson.loads(text), view)))


def _flavor_shown(flavor: Mapping[str, Any], view: View) -> dict[str, Any]:
    if view.minor >= 47:
        return {
            "vcpus": flavor["vcpus"],
            "ram": flavor["memory_mb"],
            "disk": flavor["root_gb"],
            "ephemeral": flavor["ephemeral_gb"],
            "swap": flavor["swap"],
            "original_name": flavor["name"],
            "extra_specs": flavor["extra_specs"],
        }
    return {
        "id": flavor["flavorid"],
        "links": [{"rel": "bookmark", "href": f"{view.base}/flavors/{flavor['flavorid']}"}],
    }


@lru_cache(maxsize=1024)
def _image(image_ref: str | None, system_text: str, view: View) -> orjson.Fragment | str:
    if not image_ref:
        return ""
    image: dict[str, Any] = {
        "id": image_ref,
        "links": [{"rel": "bookmark", "href": f"{view.base}/images/{image_ref}"}],
    }
    if view.minor >= 98:
        image["properties"] = orjson.loads(system_text).get("image_properties") or {}
    return orjson.Fragment(orjson.dumps(image))


def _fault(fault: Mapping[str, Any], *, is_admin: bool) -> dict[str, Any]:
    shown = {"code": fault["code"], "created": fault["created_at"], "message": fault["message"]}
    if fault["details"] and (is_admin or fault["code"] != 500):
        shown["details"] = fault["details"]
    return shown
