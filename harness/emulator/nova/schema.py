"""Tables of `nova_api`, `nova_cell0` and `nova_cell1`; names are Nova's own, columns the part of them that is used.

Times are text in whole seconds, as Nova's DATETIME columns: `2026-11-22T15:20:28Z` sorts as time does. What Nova keeps
in side tables and always reads together with the instance (flavor, metadata, system metadata) is text in `instances`:
one row, one read, one write. `row_version` grows with each write and is what rendered answers are cached by.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

api_metadata = MetaData()
cell_metadata = MetaData()

CELL0_ID = 1
CELL1_ID = 2

# ---- nova_api -------------------------------------------------------------------------------------------------------

cell_mappings = Table(
    "cell_mappings",
    api_metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("disabled", SmallInteger, nullable=False, default=0),
)

host_mappings = Table(
    "host_mappings",
    api_metadata,
    Column("host", String(255), primary_key=True),
    Column("cell_id", Integer, nullable=False),
)

# `cell_id` is NULL until the conductor has made the instance in a cell; until then its build request is what is shown.
instance_mappings = Table(
    "instance_mappings",
    api_metadata,
    Column("instance_uuid", String(36), primary_key=True),
    Column("cell_id", Integer, nullable=True),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("queued_for_delete", SmallInteger, nullable=False, default=0),
    Index("instance_mappings_project_idx", "project_id", "cell_id"),
)

build_requests = Table(
    "build_requests",
    api_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("instance_uuid", String(36), nullable=False, unique=True),
    Column("project_id", String(255), nullable=False),
    Column("created_at", String(20), nullable=False),
    Column("instance", Text, nullable=False),  # JSON: the row of `instances` to be
    Index("build_requests_project_id_idx", "project_id"),
)

request_specs = Table(
    "request_specs",
    api_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("instance_uuid", String(36), nullable=False, unique=True),
    Column("spec", Text, nullable=False),  # JSON
)

flavors = Table(
    "flavors",
    api_metadata,
    Column("id", Integer, primary_key=True),
    Column("created_at", String(20), nullable=False),
    Column("name", String(255), nullable=False, unique=True),
    Column("flavorid", String(255), nullable=False, unique=True),
    Column("memory_mb", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("root_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False),
    Column("swap", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("disabled", SmallInteger, nullable=False),
    Column("is_public", SmallInteger, nullable=False),
    Column("description", Text, nullable=True),
)

flavor_extra_specs = Table(
    "flavor_extra_specs",
    api_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("flavor_id", Integer, nullable=False),
    Column("key", String(255), nullable=False),
    Column("value", String(255), nullable=True),
    UniqueConstraint("flavor_id", "key", name="uniq_flavor_extra_specs0flavor_id0key"),
)

key_pairs = Table(
    "key_pairs",
    api_metadata,
    Column("id", Integer, primary_key=True),
    Column("created_at", String(20), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("type", String(10), nullable=False),
    UniqueConstraint("user_id", "name", name="uniq_key_pairs0user_id0name"),
)

quotas = Table(
    "quotas",
    api_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("resource", String(255), nullable=False),
    Column("hard_limit", Integer, nullable=False),
    UniqueConstraint("project_id", "resource", name="uniq_quotas0project_id0resource"),
)

instance_groups = Table(
    "instance_groups",
    api_metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("policy", String(255), nullable=False),
    Column("rules", Text, nullable=False),  # JSON
    Index("instance_groups_project_idx", "project_id"),
)

instance_group_member = Table(
    "instance_group_member",
    api_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("instance_uuid", String(36), nullable=False),
    Column("group_id", Integer, nullable=False),
    UniqueConstraint("group_id", "instance_uuid", name="uniq_instance_group_member0group_id0instance_uuid"),
    Index("instance_group_member_instance_idx", "instance_uuid"),
)

# ---- each cell ------------------------------------------------------------------------------------------------------

instances = Table(
    "instances",
    cell_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("created_at", String(20), nullable=False),
    Column("updated_at", String(20), nullable=True),
    Column("deleted_at", String(20), nullable=True),
    Column("deleted", BigInteger, nullable=False, default=0),  # 0, or the row's own id
    Column("row_version", Integer, nullable=False, default=0),
    Column("user_id", String(255), nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("image_ref", String(255), nullable=True),
    Column("kernel_id", String(255), nullable=True),
    Column("ramdisk_id", String(255), nullable=True),
    Column("hostname", String(255), nullable=True),
    Column("launch_index", Integer, nullable=True),
    Column("key_name", String(255), nullable=True),
    Column("power_state", Integer, nullable=True),
    Column("vm_state", String(255), nullable=True),
    Column("task_state", String(255), nullable=True),
    Column("memory_mb", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("root_gb", Integer, nullable=False),
    Column("ephemeral_gb", Integer, nullable=False),
    Column("host", String(255), nullable=True),
    Column("node", String(255), nullable=True),
    Column("launched_on", String(255), nullable=True),
    Column("reservation_id", String(255), nullable=True),
    Column("launched_at", String(20), nullable=True),
    Column("terminated_at", String(20), nullable=True),
    Column("display_name", String(255), nullable=True),
    Column("display_description", String(255), nullable=True),
    Column("availability_zone", String(255), nullable=True),
    Column("locked_by", String(10), nullable=True),
    Column("user_data", Text, nullable=True),
    Column("config_drive", String(255), nullable=True),
    Column("root_device_name", String(255), nullable=True),
    Column("access_ip_v4", String(39), nullable=True),
    Column("access_ip_v6", String(39), nullable=True),
    Column("auto_disk_config", SmallInteger, nullable=True),
    Column("progress", Integer, nullable=True),
    Column("flavor", Text, nullable=False),  # JSON, as in Nova's instance_extra
    Column("metadata", Text, nullable=False),  # JSON object, Nova's instance_metadata
    Column("system_metadata", Text, nullable=False),  # JSON object
    Column("tags", Text, nullable=False),  # JSON list; table `tags` is what filters search
    # One index for each order in which the API pages, and those that Nova has for its own look-ups.
    Index("instances_project_id_created_idx", "project_id", "deleted", "created_at", "id"),
    Index("instances_created_at_deleted_idx", "created_at", "id", "deleted"),
    Index("instances_host_deleted_idx", "host", "deleted"),
    # A BRIN index leaves updates heap-only: a save then writes one page, not one in each of seven indexes.
    Index("instances_updated_at_project_id_idx", "updated_at", "project_id", postgresql_using="brin"),
    Index("instances_reservation_idx", "reservation_id"),
)

instance_info_caches = Table(
    "instance_info_caches",
    cell_metadata,
    Column("instance_uuid", String(36), primary_key=True),
    Column("updated_at", String(20), nullable=True),
    Column("network_info", Text, nullable=False),  # JSON list, one entry a port
)

instance_faults = Table(
    "instance_faults",
    cell_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("created_at", String(20), nullable=False),
    Column("instance_uuid", String(36), nullable=False),
    Column("code", Integer, nullable=False),
    Column("message", String(255), nullable=True),
    Column("details", Text, nullable=True),
    Column("host", String(255), nullable=True),
    Index("instance_faults_instance_uuid_deleted_created_at_idx", "instance_uuid", "created_at"),
)

instance_actions = Table(
    "instance_actions",
    cell_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("action", String(255), nullable=False),
    Column("instance_uuid", String(36), nullable=False),
    Column("request_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=True),
    Column("project_id", String(255), nullable=True),
    Column("start_time", String(20), nullable=False),
    Column("updated_at", String(20), nullable=True),
    Column("message", String(255), nullable=True),
    Index("instance_actions_instance_uuid_idx", "instance_uuid", "request_id"),
)

instance_actions_events = Table(
    "instance_actions_events",
    cell_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("event", String(255), nullable=False),
    Column("instance_uuid", String(36), nullable=False),
    Column("request_id", String(255), nullable=False),
    Column("start_time", String(20), nullable=False),
    Column("finish_time", String(20), nullable=True),
    Column("result", String(255), nullable=True),
    Column("traceback", Text, nullable=True),
    Column("host", String(255), nullable=True),
    Column("details", Text, nullable=True),
    Index("instance_actions_events_action_idx", "instance_uuid", "request_id"),
)

block_device_mapping = Table(
    "block_device_mapping",
    cell_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("instance_uuid", String(36), nullable=False),
    Column("deleted", BigInteger, nullable=False, default=0),
    Column("source_type", String(255), nullable=True),
    Column("destination_type", String(255), nullable=True),
    Column("device_name", String(255), nullable=True),
    Column("boot_index", Integer, nullable=True),
    Column("image_id", String(36), nullable=True),
    Column("volume_id", String(36), nullable=True),
    Column("delete_on_termination", SmallInteger, nullable=True),
    Index("block_device_mapping_instance_uuid_idx", "instance_uuid"),
)

tags = Table(
    "tags",
    cell_metadata,
    Column("resource_id", String(36), primary_key=True),
    Column("tag", String(80), primary_key=True),
    Index("tags_tag_idx", "tag"),
)

services = Table(
    "services",
    cell_metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("created_at", String(20), nullable=False),
    Column("updated_at", String(27), nullable=True),  # microseconds, for the answer of an update
    Column("last_seen_up", String(27), nullable=True),
    Column("host", String(255), nullable=False),
    Column("binary", String(255), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("report_count", BigInteger, nullable=False, default=0),
    Column("disabled", SmallInteger, nullable=False, default=0),
    Column("disabled_reason", String(255), nullable=True),
    Column("forced_down", SmallInteger, nullable=False, default=0),
    UniqueConstraint("host", "binary", name="uniq_services0host0binary0deleted"),
)

compute_nodes = Table(
    "compute_nodes",
    cell_metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("host", String(255), nullable=False, unique=True),
    Column("hypervisor_hostname", String(255), nullable=False),
    Column("updated_at", String(20), nullable=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("local_gb", Integer, nullable=False),
    Column("vcpus_used", Integer, nullable=False),
    Column("memory_mb_used", Integer, nullable=False),
    Column("local_gb_used", Integer, nullable=False),
    Column("running_vms", Integer, nullable=False),
    Column("failed_builds", Integer, nullable=False, default=0),  # in Nova inside the JSON of `stats`
)
