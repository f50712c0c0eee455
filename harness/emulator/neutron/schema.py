"""Tables of the `neutron` database.

Table names are the real ones (neutron 29). Columns that the real service spreads over side tables (standard attributes,
port bindings, segments) stand in the row of their resource here, so that a port is read and written in one statement.
What guards something keeps its own table: `ipallocations` (one owner for an address), `securitygroupportbindings`
(group in use), `default_security_group` (one for each project), `ml2_vxlan_allocations` (one network for a VNI).

Booleans are 0 or 1; lists and objects are JSON text; times are the text that is answered.
"""

from sqlalchemy import Column, Index, Integer, MetaData, PrimaryKeyConstraint, SmallInteger, String, Table, Text
from sqlalchemy import UniqueConstraint as Unique

metadata = MetaData()


def _standard() -> list[Column[object]]:
    """Columns of neutron's `standardattributes`; `tags` repeats the rows of `tags` for reading."""
    return [
        Column("description", String(255), nullable=False, default=""),
        Column("tags", Text, nullable=False, default="[]"),
        Column("created_at", String(20), nullable=False),
        Column("updated_at", String(20), nullable=False),
        Column("revision_number", Integer, nullable=False, default=0),
    ]


networks = Table(
    "networks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("status", String(16), nullable=False),
    Column("admin_state_up", SmallInteger, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("shared", SmallInteger, nullable=False),
    Column("router_external", SmallInteger, nullable=False),
    Column("is_default", SmallInteger, nullable=False),
    Column("port_security_enabled", SmallInteger, nullable=False),
    Column("availability_zone_hints", Text, nullable=False),
    Column("network_type", String(32), nullable=False),
    Column("physical_network", String(64), nullable=True),
    Column("segmentation_id", Integer, nullable=True),
    # The ids of the network's subnets, JSON. A new subnet raises the network's revision in the real service too.
    Column("subnet_ids", Text, nullable=False, default="[]"),
    *_standard(),
    Index("ix_networks_project_id", "project_id"),
    Index("ix_networks_name", "name"),
)

subnets = Table(
    "subnets",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("network_id", String(36), nullable=False),
    Column("name", String(255), nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway_ip", String(64), nullable=True),
    Column("enable_dhcp", SmallInteger, nullable=False),
    Column("ipv6_ra_mode", String(16), nullable=True),
    Column("ipv6_address_mode", String(16), nullable=True),
    Column("allocation_pools", Text, nullable=False),
    Column("dns_nameservers", Text, nullable=False),
    Column("host_routes", Text, nullable=False),
    Column("service_types", Text, nullable=False),
    *_standard(),
    Index("ix_subnets_network_id", "network_id"),
    Index("ix_subnets_project_id", "project_id"),
)

ports = Table(
    "ports",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("network_id", String(36), nullable=False),
    Column("name", String(255), nullable=False),
    Column("mac_address", String(32), nullable=False),
    Column("admin_state_up", SmallInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_id", String(255), nullable=False),
    Column("device_owner", String(255), nullable=False),
    Column("fixed_ips", Text, nullable=False),
    Column("security_groups", Text, nullable=False),
    Column("allowed_address_pairs", Text, nullable=False),
    Column("extra_dhcp_opts", Text, nullable=False),
    Column("port_security_enabled", SmallInteger, nullable=False),
    # Binding: ml2_port_bindings in the real database.
    Column("host", String(255), nullable=False),
    Column("vnic_type", String(64), nullable=False),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", Text, nullable=False),
    Column("profile", Text, nullable=False),
    *_standard(),
    Unique("network_id", "mac_address", name="uniq_ports0network_id0mac_address"),
    Index("ix_ports_device_id", "device_id"),
    Index("ix_ports_project_id", "project_id"),
)

ipallocations = Table(
    "ipallocations",
    metadata,
    Column("subnet_id", String(36), nullable=False),
    Column("ip_address", String(64), nullable=False),
    Column("port_id", String(36), nullable=False),
    Column("network_id", String(36), nullable=False),
    Column("in_pool", SmallInteger, nullable=False),  # the address lies in one of the subnet's allocation pools
    PrimaryKeyConstraint("subnet_id", "ip_address", name="ipallocations_pkey"),
    Index("ix_ipallocations_port_id", "port_id"),
)

ml2_vxlan_allocations = Table(
    "ml2_vxlan_allocations",
    metadata,
    Column("vxlan_vni", Integer, primary_key=True, autoincrement=False),
    Column("network_id", String(36), nullable=False),
)

ml2_flat_allocations = Table(
    "ml2_flat_allocations",
    metadata,
    Column("physical_network", String(64), primary_key=True),
    Column("network_id", String(36), nullable=False),
)

securitygroups = Table(
    "securitygroups",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("stateful", SmallInteger, nullable=False),
    *_standard(),
    Index("ix_securitygroups_project_id", "project_id"),
)

securitygrouprules = Table(
    "securitygrouprules",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("security_group_id", String(36), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(40), nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    Column("remote_ip_prefix", String(255), nullable=True),
    Column("normalized_cidr", String(255), nullable=True),
    Column("remote_group_id", String(36), nullable=True),
    Column("belongs_to_default_sg", SmallInteger, nullable=True),
    Column("description", String(255), nullable=True),
    Column("created_at", String(20), nullable=False),
    Column("updated_at", String(20), nullable=False),
    Column("revision_number", Integer, nullable=False),
    Index("ix_securitygrouprules_security_group_id", "security_group_id"),
    Index("ix_securitygrouprules_remote_group_id", "remote_group_id"),
)

securitygroupportbindings = Table(
    "securitygroupportbindings",
    metadata,
    Column("port_id", String(36), nullable=False),
    Column("security_group_id", String(36), nullable=False),
    PrimaryKeyConstraint("port_id", "security_group_id", name="securitygroupportbindings_pkey"),
    Index("ix_securitygroupportbindings_security_group_id", "security_group_id"),
)

default_security_group = Table(
    "default_security_group",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("security_group_id", String(36), nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("resource_id", String(36), nullable=False),  # standard_attr_id in the real table
    Column("tag", String(255), nullable=False),
    PrimaryKeyConstraint("resource_id", "tag", name="tags_pkey"),
    Index("ix_tags_tag", "tag"),
)

agents = Table(
    "agents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("agent_type", String(255), nullable=False),
    Column("binary", String(255), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("availability_zone", String(255), nullable=True),
    Column("admin_state_up", SmallInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("heartbeat_timestamp", String(32), nullable=False),
    Column("description", String(255), nullable=True),
    Column("configurations", Text, nullable=False),
    Unique("agent_type", "host", name="uniq_agents0agent_type0host"),
)

quotas = Table(
    "quotas",
    metadata,
    Column("project_id", String(255), nullable=False),
    Column("resource", String(255), nullable=False),
    Column("limit", Integer, nullable=False),
    PrimaryKeyConstraint("project_id", "resource", name="quotas_pkey"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("resource", String(255), nullable=False),  # `resourcedeltas` holds resource and amount in the real database
    Column("amount", Integer, nullable=False),
    Column("expiration", String(20), nullable=False),
    Index("ix_reservations_project_id", "project_id"),
)
