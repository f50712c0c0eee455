"""`POST /servers`: what is asked for is checked against flavor, image, networks and quota, written down, and cast.

The order of the steps is Nova's; the three rows of each instance share a commit (see `RECORD_REQUEST`).
"""

import re
import secrets
import string
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import bindparam, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, Caller, require
from harness.emulator.in_flight import for_each, rows_at_once
from harness.emulator.messaging import CallContext
from harness.emulator.nova import instances, quota, states, validation
from harness.emulator.nova import server_create_checks as checks
from harness.emulator.nova.compute_api import ComputeApi, base_of
from harness.emulator.nova.flavors import find as find_flavor
from harness.emulator.nova.schema import instance_group_member, instance_groups, key_pairs
from harness.emulator.nova.server_networks import requested_networks, requested_security_groups
from harness.emulator.nova.server_views import links
from harness.emulator.timestamps import utcnow_iso

GET_KEY_PAIR = Statement(
    select(key_pairs.c.name).where(key_pairs.c.user_id == bindparam("user"), key_pairs.c.name == bindparam("name"))
)
GET_GROUP = Statement(select(instance_groups).where(instance_groups.c.uuid == bindparam("uuid")))
INSERT_GROUP_MEMBER = Statement(instance_group_member.insert())
ZONE = "nova"
_ALPHABET = string.ascii_letters + string.digits
# Nova looks at the pattern before the length, and the pattern wants two characters.
HOSTNAME: validation.Schema = {"type": "string", "maxLength": 255, "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$"}

_SERVER: dict[str, validation.Schema] = {
    "name": validation.NAME,
    "imageRef": {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "string", "maxLength": 0}]},
    "flavorRef": {"type": ["string", "integer"], "minLength": 1},
    "adminPass": {"type": "string"},
    "metadata": validation.METADATA,
    "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
    "accessIPv4": validation.ADDRESS_V4,
    "accessIPv6": validation.ADDRESS_V6,
    "min_count": validation.POSITIVE,
    "max_count": validation.POSITIVE,
    "return_reservation_id": validation.BOOLEAN,
    "availability_zone": validation.NAME,
    "config_drive": validation.BOOLEAN,
    "key_name": validation.NAME,
    "security_groups": {"type": "array", "items": {"type": "object"}},
    "user_data": {"type": "string", "maxLength": 65535},
    "block_device_mapping_v2": {"type": "array", "items": checks.DEVICE},
    "personality": {"type": "array"},
    "os:scheduler_hints": checks.HINTS,
}
_ADDED: tuple[tuple[int, str, validation.Schema], ...] = (
    (19, "description", {"type": ["string", "null"], "maxLength": 255}),
    (52, "tags", validation.TAGS),
    (63, "trusted_image_certificates", {"type": ["array", "null"]}),
    (74, "host", validation.NAME),
    (74, "hypervisor_hostname", validation.NAME),
    (90, "hostname", HOSTNAME),
)


def _network(minor: int) -> validation.Schema:
    """One of `networks`; tags were taken from 2.32 to 2.36, and again since 2.42."""
    address = {"oneOf": [validation.ADDRESS_V4, validation.ADDRESS_V6]}
    properties: dict[str, validation.Schema] = {
        "fixed_ip": address,
        "port": {"type": ["string", "null"], "format": "uuid"},
        "uuid": {"type": "string"},
    }
    if 32 <= minor <= 36 or minor >= 42:
        properties["tag"] = validation.TAG
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema_of(minor: int) -> validation.Schema:
    """The body that a microversion takes."""
    properties = dict(_SERVER)
    properties["networks"] = {"type": "array", "items": _network(minor)}
    required = ["name", "flavorRef"]
    for since, name, schema in _ADDED:
        if minor >= since:
            properties[name] = schema
    if minor >= 37:
        words = {"type": "string", "enum": ["none", "auto"]}
        properties["networks"] = {"oneOf": [properties["networks"], words]}
        required.append("networks")
    if minor >= 57:
        properties.pop("personality")
    server = {"type": "object", "required": required, "additionalProperties": False, "properties": properties}
    return {
        "type": "object",
        "required": ["server"],
        "additionalProperties": False,
        "properties": {
            "server": server,
            "os:scheduler_hints": checks.HINTS,
            "OS-SCH-HNT:scheduler_hints": checks.HINTS,
        },
    }


_SCHEMAS: dict[int, validation.Schema] = {}


async def create(api: ComputeApi, req: Any, resp: Any) -> None:
    """Answer `POST /servers`."""
    caller: Caller = req.context.caller
    minor: int = req.context.version[1]
    require(caller.is_member, "os_compute_api:servers:create")
    body = await api.app.body(req)
    schema = _SCHEMAS.setdefault(minor, _SCHEMAS.get(minor) or schema_of(minor))
    validation.check(body, schema)
    server: dict[str, Any] = body["server"]
    hints = body.get("os:scheduler_hints") or server.get("os:scheduler_hints") or {}
    least = int(server.get("min_count", 1))
    most = int(server.get("max_count", least))
    if least > most:
        raise ApiError(400, "min_count must be <= max_count")
    zone, host = _zone_and_host(caller, server)
    groups = [str(group["name"]) for group in server.get("security_groups", []) if group.get("name")]
    checks.check_devices(server.get("block_device_mapping_v2", []), image_given=bool(server.get("imageRef")))
    flavor = await find_flavor(api.cells.api, str(server["flavorRef"]))
    if flavor is None:
        raise ApiError(400, f"Flavor {server['flavorRef']} could not be found.")
    image = await _image(api, caller, server, flavor)
    group_uuid = await _group(api, caller, hints)
    if zone is not None and zone != ZONE:
        raise ApiError(400, "The requested availability zone is not available")
    if "key_name" in server:
        key = await api.cells.api.fetch_one(GET_KEY_PAIR, user=caller.user_id, name=server["key_name"])
        if key is None:
            raise ApiError(400, "Invalid key_name provided.")
    await checks.check_metadata(api, caller.project_id, server.get("metadata") or {})
    security_groups = await requested_security_groups(api, caller, groups)
    asked = server.get("networks")
    if most > 1 and isinstance(asked, list) and any(one.get("fixed_ip") for one in asked):
        raise ApiError(
            400, "Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is specified."
        )
    networks, room = await requested_networks(api, caller, server.get("networks"), most, minor)
    if room is not None and room < least:
        raise ApiError(403, "Maximum number of ports exceeded")
    most = most if room is None else min(most, room)
    count = await quota.check_instances(api.cells, api.settings, caller.project_id, flavor, least, most)
    template = _template(caller, server, flavor, image, minor, hints, group_uuid)
    checks.check_room(template, count)
    new = [_numbered(template, server, index, count) for index in range(count)]
    spec = {
        "flavor": flavor,
        "image": image["id"],
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "availability_zone": zone,
        "force_hosts": [host] if host else None,
        "security_groups": security_groups,
        "scheduler_hints": hints,
        "num_instances": count,
    }
    if api.runtime.strikes("accepted_never_done"):
        _answer(api, req, resp, server, new)
        return
    await _provision(api, caller, new, spec, group_uuid)
    await api.runtime.bus.cast(
        "conductor",
        "schedule_and_build_instances",
        {
            "build_requests": new,
            "request_specs": [spec],
            "image": image,
            "admin_password": None,
            "injected_files": [],
            "requested_networks": networks,
            "block_device_mapping": [],
            "tags": server.get("tags"),
        },
        context=bus_context(req),
    )
    if api.runtime.strikes("created_500"):
        raise RuntimeError("created, and answered with 500 (truth switch created_500)")
    _answer(api, req, resp, server, new)


def bus_context(req: Any) -> CallContext:
    """What travels with a message about who asked."""
    caller: Caller = req.context.caller
    return CallContext(
        request_id=req.context.request_id,
        user_id=caller.user_id,
        project_id=caller.project_id,
        roles=tuple(sorted(caller.roles)),
        is_admin=caller.is_admin,
    )


async def _image(
    api: ComputeApi, caller: Caller, server: Mapping[str, Any], flavor: Mapping[str, Any]
) -> dict[str, Any]:
    reference = server.get("imageRef")
    if not reference:
        for device in server.get("block_device_mapping_v2") or []:
            if isinstance(device, dict) and device.get("source_type") == "image":
                reference = device.get("uuid")
    if not reference:
        raise ApiError(400, "Missing imageRef attribute")
    response = await api.glance.get(f"/v2/images/{reference}", user_token=caller.token)
    if response.status == 404:
        raise ApiError(400, "Can not find requested image")
    if not response.ok:
        raise RuntimeError(f"glance answered {response.status} for image {reference}")
    image: dict[str, Any] = response.json()
    if image.get("status") != "active":
        raise ApiError(400, f"Image {reference} is not active.")
    if flavor["root_gb"] == 0:
        raise ApiError(403, "Only volume-backed servers are allowed for flavors with zero disk.")
    if flavor["memory_mb"] < int(image.get("min_ram") or 0):
        raise ApiError(400, "Flavor's memory is too small for requested image.")
    if flavor["root_gb"] < int(image.get("min_disk") or 0):
        raise ApiError(
            400,
            f"Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
            f"{flavor['root_gb'] << 30} bytes, minimum size is {int(image['min_disk']) << 30} bytes.",
        )
    return {"id": image["id"], "name": image.get("name"), "min_disk": image.get("min_disk") or 0}


async def _group(api: ComputeApi, caller: Caller, hints: Mapping[str, Any]) -> str | None:
    uuid = hints.get("group")
    if uuid is None:
        return None
    if not validation.is_uuid(uuid):
        raise ApiError(400, "Server group scheduler hint must be a UUID.")
    group = await api.cells.api.fetch_one(GET_GROUP, uuid=str(uuid))
    if group is None or not caller.owns(group["project_id"]):
        raise ApiError(400, f"Instance group {uuid} could not be found.")
    return str(uuid)


def _zone_and_host(caller: Caller, server: Mapping[str, Any]) -> tuple[str | None, str | None]:
    zone: str | None = server.get("availability_zone")
    host = server.get("host") or server.get("hypervisor_hostname")
    if host:
        require(caller.is_admin, "compute:servers:create:requested_destination")
    if zone and ":" in zone:
        zone, _, rest = zone.partition(":")
        host = rest.partition(":")[0] or rest.partition(":")[2]
        require(caller.is_admin, "os_compute_api:servers:create:forced_host")
    return zone or None, host


def _template(
    caller: Caller,
    server: Mapping[str, Any],
    flavor: Mapping[str, Any],
    image: Mapping[str, Any],
    minor: int,
    hints: Mapping[str, Any],
    group_uuid: str | None,
) -> dict[str, Any]:
    """What the rows of all instances of one request have in common."""
    system: dict[str, Any] = {}
    if server.get("availability_zone"):
        system["pinned_az"] = server["availability_zone"].partition(":")[0]
    if hints:
        system["scheduler_hints"] = {key: value if isinstance(value, list) else [value] for key, value in hints.items()}
    if group_uuid:
        system["server_group"] = group_uuid
    name = server["name"].strip()
    if not name:
        raise ApiError(
            400, f"Invalid input for field/attribute name. Value: {server['name']}. {server['name']!r} is blank"
        )
    return {
        "created_at": utcnow_iso(),
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "image_ref": image["id"],
        "kernel_id": "",
        "ramdisk_id": "",
        "key_name": server.get("key_name"),
        "power_state": states.NOSTATE,
        "vm_state": states.BUILDING,
        "task_state": "scheduling",
        "memory_mb": flavor["memory_mb"],
        "vcpus": flavor["vcpus"],
        "root_gb": flavor["root_gb"],
        "ephemeral_gb": flavor["ephemeral_gb"],
        "reservation_id": "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8)),
        "display_description": server.get("description") if minor >= 19 else name,
        "availability_zone": None,
        "user_data": server.get("user_data"),
        "config_drive": "True" if validation.is_true(server.get("config_drive", False)) else "",
        "access_ip_v4": server.get("accessIPv4"),
        "access_ip_v6": server.get("accessIPv6"),
        "auto_disk_config": int(server.get("OS-DCF:diskConfig") == "AUTO"),
        "progress": 0,
        "flavor": _flavor_text(flavor),
        "metadata": orjson.dumps(server.get("metadata") or {}).decode(),
        "system_metadata": orjson.dumps(system).decode(),
        "tags": orjson.dumps(sorted(set(server.get("tags") or []))).decode(),
        "display_name": name,
    }


def _flavor_text(flavor: Mapping[str, Any]) -> str:
    kept = ("id", "name", "flavorid", "memory_mb", "vcpus", "root_gb", "ephemeral_gb", "swap", "extra_specs")
    return orjson.dumps({name: flavor[name] for name in kept}).decode()


def _numbered(template: Mapping[str, Any], server: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """One instance of a request; several are told apart by `-1`, `-2`, ..."""
    name = template["display_name"]
    ending = f"-{index + 1}" if count > 1 else ""
    hostname = server.get("hostname") or _as_hostname(name)
    return {
        **template,
        "uuid": str(uuid4()),
        "launch_index": index,
        "display_name": name + ending,
        "hostname": hostname + ending,
    }


def _as_hostname(name: str) -> str:
    """A host name made of a display name, as Nova makes it: what may not stand in one is dropped or becomes a dash."""
    text = re.sub(r"[ _]+", "-", name.lower())
    text = re.sub(r"[^\w.-]+", "", text, flags=re.ASCII).replace(".", "-").strip("-")
    return text[:63].rstrip("-") or "server"


async def _provision(
    api: ComputeApi, caller: Caller, new: list[dict[str, Any]], spec: dict[str, Any], group_uuid: str | None
) -> None:
    """Three rows for each instance, a commit each instance; what was written is taken back when one fails."""
    database = api.cells.api
    spec_text = orjson.dumps(spec).decode()
    written: list[str] = []
    ids = await database.next_ids("build_requests", len(new))

    async def record(numbered: tuple[int | None, dict[str, Any]]) -> None:
        number, row = numbered
        written.append(row["uuid"])
        await instances.RECORD_REQUEST.run(
            database,
            id=number,
            uuid=row["uuid"],
            spec=spec_text,
            project_id=caller.project_id,
            user_id=caller.user_id,
            created_at=row["created_at"],
            instance=orjson.dumps(row).decode(),
        )

    try:
        await for_each(zip(ids, new, strict=True), record, at_once=rows_at_once(ids))
        if group_uuid is not None:
            group = await database.fetch_one(GET_GROUP, uuid=group_uuid)
            if group is not None:
                members = [{"instance_uuid": row["uuid"], "group_id": group["id"]} for row in new]
                await database.execute_many(INSERT_GROUP_MEMBER, members)
    except Exception:
        for uuid in written:
            await database.execute(instances.DELETE_BUILD_REQUEST, uuid=uuid)
            await database.execute(instances.DELETE_MAPPING, uuid=uuid)
            await database.execute(instances.DELETE_REQUEST_SPEC, uuid=uuid)
        raise


def _answer(api: ComputeApi, req: Any, resp: Any, server: Mapping[str, Any], new: list[dict[str, Any]]) -> None:
    if validation.is_true(server.get("return_reservation_id", False)):
        api.app.json(resp, {"reservation_id": new[0]["reservation_id"]}, 202)
        return
    base = base_of(req)
    uuid = new[0]["uuid"]
    shown = {
        "id": uuid,
        "links": links(base, uuid),
        "OS-DCF:diskConfig": "AUTO" if new[0]["auto_disk_config"] else "MANUAL",
        "security_groups": server.get("security_groups", [{"name": "default"}]),
        "adminPass": server.get("adminPass") or "".join(secrets.choice(_ALPHABET) for _ in range(12)),
    }
    api.app.json(resp, {"server": shown}, 202, headers={"Location": f"{base}/v2.1/servers/{uuid}"})
