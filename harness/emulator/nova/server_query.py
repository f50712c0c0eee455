"""Query parameters of `/servers` and `/servers/detail`: which there are, and in which order the servers are to come."""

from typing import Any

from harness.emulator.http import ApiError, Caller
from harness.emulator.nova import validation
from harness.emulator.timestamps import parse

# As nova 34 lists them; what it sorts by no more is ignored, not refused, before 2.75.
_SORTED_BY_NAMES = """
    access_ip_v4 access_ip_v6 auto_disk_config availability_zone config_drive created_at display_description
    display_name host hostname image_ref instance_type_id kernel_id key_name launch_index launched_at locked_by node
    power_state progress project_id ramdisk_id root_device_name task_state terminated_at updated_at user_id uuid
    vm_state"""
_SORTED_BY = _SORTED_BY_NAMES.split()
_IGNORED_NAMES = """
    architecture cell_name cleaned default_ephemeral_device default_swap_device deleted deleted_at disable_terminate
    ephemeral_gb ephemeral_key_uuid id key_data launched_on locked memory_mb os_type reservation_id root_gb
    shutdown_terminate user_data vcpus vm_mode"""
_IGNORED = _IGNORED_NAMES.split()
_COLUMNS = {"locked": "locked_by", "instance_type_id": None}  # None: kept nowhere here
_TEXT_NAMES = """
    user_id project_id tenant_id launch_index image_ref image vm_state task_state host uuid sort_dir all_tenants
    soft_deleted deleted status block_device_mapping services metadata system_metadata info_cache security_groups
    pci_devices"""
_TEXT = _TEXT_NAMES.split()
_REGEX_NAMES = """
    kernel_id ramdisk_id hostname key_name power_state node flavor reservation_id launched_at terminated_at
    availability_zone name display_name description display_description locked_by root_device_name config_drive
    access_ip_v4 access_ip_v6 auto_disk_config progress ip ip6 created_at"""
_REGEX = _REGEX_NAMES.split()
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")
_ADMIN_ONLY = ("host", "node")
_TIME: validation.Schema = {"type": "string", "format": "date-time"}
_SCHEMAS: dict[int, validation.Schema] = {}


def _schema(minor: int) -> validation.Schema:
    regex: validation.Schema = {"type": "string", "format": "regex"}
    known: dict[str, validation.Schema] = {
        **{name: {"type": "string"} for name in _TEXT},
        **dict.fromkeys(_REGEX, regex),
        **validation.PAGING,
        "changes-since": _TIME,
        "sort_key": {"type": "string", "enum": _sort_keys(minor)},
    }
    if minor >= 26:
        known.update((name, regex) for name in _TAGS)
    if minor >= 66:
        known["changes-before"] = _TIME
    if minor >= 73:
        known["locked"] = {"type": "string"}
    return known


def _sort_keys(minor: int) -> list[str]:
    if minor < 73:
        return [*_SORTED_BY, *_IGNORED]
    ignored = [key for key in _IGNORED if key != "locked"] if minor < 75 else []
    return ["locked", *_SORTED_BY, *ignored]


def check(req: Any) -> None:
    """Refuse with 400 what nova's schema refuses, and times in the wrong order. Raises: ApiError."""
    minor: int = req.context.version[1]
    schema = _SCHEMAS.get(minor)
    if schema is None:
        schema = _SCHEMAS.setdefault(minor, _schema(minor))
    validation.check_query(req, schema, strict_since=1 << 30)
    if minor >= 75:
        unknown = sorted(name for name in req.params if name not in schema and not name.startswith("_"))
        if unknown:
            names = ", ".join(repr(name) for name in unknown)
            verb = "does" if len(unknown) == 1 else "do"
            raise ApiError(400, f"{names} {verb} not match any of the regexes: '^_'")
    since, before = req.get_param("changes-since"), req.get_param("changes-before") if minor >= 66 else None
    if since is not None and before is not None and parse(since) > parse(before):
        raise ApiError(400, "The value of changes-since must be less than or equal to changes-before.")


def sort_of(req: Any) -> list[tuple[str, str]]:
    """(column, "asc" or "desc") in the order of their weight; empty: newest first.

    Raises: ApiError 400; 403 for those keys that only administrators may sort by.
    """
    caller: Caller = req.context.caller
    minor: int = req.context.version[1]
    keys = [key.strip() for key in req.get_param_as_list("sort_key") or []]
    directions = [direction.strip() for direction in req.get_param_as_list("sort_dir") or []]
    ignored = _IGNORED if minor < 73 else [key for key in _IGNORED if key != "locked"]
    pairs: list[tuple[str, str | None]] = []
    for index, key in enumerate(keys):
        if key in ignored:
            continue
        if key in _ADMIN_ONLY and not caller.is_admin:
            raise ApiError(403, f"Only administrators can sort servers by {key}")
        pairs.append((key, directions[index] if index < len(directions) else None))
    if any(direction not in ("asc", "desc") for direction in directions):
        raise ApiError(400, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'")
    if len(directions) > max(len(keys), 1):
        raise ApiError(400, "Invalid input received: Sort direction size exceeds sort key size")
    if not keys and directions:
        pairs = [("created_at", directions[0])]
    usual = directions[0] if directions else "desc"
    columns = [(_COLUMNS.get(key, key), direction or usual) for key, direction in pairs]
    return [(column, direction) for column, direction in columns if column is not None]
