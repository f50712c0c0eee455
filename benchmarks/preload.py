"""Servers written straight into nova's databases, past every API: a hundred thousand in seconds."""

import json
from typing import Any

from harness.emulator.settings import Settings


async def preload(settings: Settings, project: str, image: str, network: str, count: int) -> None:
    """Write ACTIVE servers, one address each, straight into nova's databases; placement and neutron know nothing."""
    size = settings.hypervisors
    hosts = size.hosts()
    flavor = {"id": 1, "name": "m1.tiny", "flavorid": "1", "memory_mb": 64, "vcpus": 1, "root_gb": 1}
    flavor.update({"ephemeral_gb": 0, "swap": 0, "extra_specs": {}})
    flavor_text = json.dumps(flavor)
    day = "2026-01-{:02d}T{:02d}:{:02d}:{:02d}Z"
    instances: list[tuple[Any, ...]] = []
    caches: list[tuple[Any, ...]] = []
    mappings: list[tuple[Any, ...]] = []
    for number in range(count):
        uuid = f"{number:08x}-0000-4000-8000-{number:012x}"
        moment = day.format(1 + number // 86400, number // 3600 % 24, number // 60 % 60, number % 60)
        host = hosts[number % len(hosts)]
        address = f"10.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"
        vif = {
            "id": uuid,
            "address": "fa:16:3e:00:00:00",
            "network_id": network,
            "label": "private",
            "fixed_ips": [{"subnet_id": network, "ip_address": address}],
            "security_groups": ["default"],
            "preserve_on_delete": False,
        }
        values = (uuid, moment, moment, 0, 1, project, project, image, "", "", f"old-{number}", number, 1, "active")
        values += (64, 1, 1, 0, host, host, host, "r-preload", moment, f"old-{number}", "nova", "", 0, 0)  # type: ignore[assignment]
        instances.append((*values, flavor_text, "{}", "{}", "[]"))
        caches.append((uuid, moment, json.dumps([vif])))
        mappings.append((uuid, 2, project, project, 0))
    columns = [
        "uuid",
        "created_at",
        "updated_at",
        "deleted",
        "row_version",
        "user_id",
        "project_id",
        "image_ref",
        "kernel_id",
        "ramdisk_id",
        "hostname",
        "launch_index",
        "power_state",
        "vm_state",
        "memory_mb",
        "vcpus",
        "root_gb",
        "ephemeral_gb",
        "host",
        "node",
        "launched_on",
        "reservation_id",
        "launched_at",
        "display_name",
        "availability_zone",
        "config_drive",
        "auto_disk_config",
        "progress",
        "flavor",
        "metadata",
        "system_metadata",
        "tags",
    ]
    await copy(settings, "nova_cell1", "instances", columns, instances)
    await copy(
        settings,
        "nova_cell1",
        "instance_info_caches",
        ["instance_uuid", "updated_at", "network_info"],
        caches,
    )
    names = ["instance_uuid", "cell_id", "project_id", "user_id", "queued_for_delete"]
    await copy(settings, "nova_api", "instance_mappings", names, mappings)


async def copy(settings: Settings, database: str, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """COPY into one table, past the proxy, and bring the planner's statistics up to date."""
    import asyncpg

    where = settings.database
    connection = await asyncpg.connect(
        host=where.host, port=where.server_port, user=where.user, password=where.password, database=database
    )
    try:
        await connection.copy_records_to_table(table, records=rows, columns=columns)
        await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
