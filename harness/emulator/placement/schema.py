"""Tables of the `placement` database, with placement's own names.

Usage is never stored: it is the sum of a provider's allocations, so it cannot drift from them.
"""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, String, Table, UniqueConstraint

metadata = MetaData()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


resource_providers = Table(
    "resource_providers",
    metadata,
    _id(),
    Column("uuid", String(36), nullable=False),
    Column("name", String(200), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("root_provider_id", Integer, nullable=True),  # NULL: the provider is its own root
    Column("parent_provider_id", Integer, nullable=True),
    UniqueConstraint("uuid", name="uniq_resource_providers0uuid"),
    UniqueConstraint("name", name="uniq_resource_providers0name"),
    Index("resource_providers_root_provider_id_idx", "root_provider_id"),
    Index("resource_providers_parent_provider_id_idx", "parent_provider_id"),
)

inventories = Table(
    "inventories",
    metadata,
    _id(),
    Column("resource_provider_id", Integer, nullable=False),
    Column("resource_class_id", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("min_unit", Integer, nullable=False),
    Column("max_unit", Integer, nullable=False),
    Column("step_size", Integer, nullable=False),
    Column("allocation_ratio", Double, nullable=False),
    UniqueConstraint(
        "resource_provider_id", "resource_class_id", name="uniq_inventories0resource_provider_resource_class"
    ),
    Index("inventories_resource_class_id_idx", "resource_class_id"),
)

allocations = Table(
    "allocations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("resource_provider_id", Integer, nullable=False),
    Column("consumer_id", String(36), nullable=False),
    Column("resource_class_id", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Index("allocations_resource_provider_class_used_idx", "resource_provider_id", "resource_class_id", "used"),
    Index("allocations_consumer_id_idx", "consumer_id"),
)

consumers = Table(
    "consumers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False),
    Column("project_id", Integer, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("consumer_type_id", Integer, nullable=True),
    UniqueConstraint("uuid", name="uniq_consumers0uuid"),
    Index("consumers_project_id_user_id_uuid_idx", "project_id", "user_id", "uuid"),
)

projects = Table(
    "projects",
    metadata,
    _id(),
    Column("external_id", String(255), nullable=False),
    UniqueConstraint("external_id", name="uniq_projects0external_id"),
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("external_id", String(255), nullable=False),
    UniqueConstraint("external_id", name="uniq_users0external_id"),
)

resource_classes = Table(
    "resource_classes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False),
    UniqueConstraint("name", name="uniq_resource_classes0name"),
)

traits = Table(
    "traits",
    metadata,
    _id(),
    Column("name", String(255), nullable=False),
    UniqueConstraint("name", name="uniq_traits0name"),
)

consumer_types = Table(
    "consumer_types",
    metadata,
    _id(),
    Column("name", String(255), nullable=False),
    UniqueConstraint("name", name="uniq_consumer_types0name"),
)

resource_provider_traits = Table(
    "resource_provider_traits",
    metadata,
    Column("resource_provider_id", Integer, primary_key=True, autoincrement=False),
    Column("trait_id", Integer, primary_key=True, autoincrement=False),
    Index("resource_provider_traits_resource_provider_trait_idx", "trait_id", "resource_provider_id"),
)

placement_aggregates = Table(
    "placement_aggregates",
    metadata,
    _id(),
    Column("uuid", String(36), nullable=False),
    UniqueConstraint("uuid", name="uniq_placement_aggregates0uuid"),
)

resource_provider_aggregates = Table(
    "resource_provider_aggregates",
    metadata,
    Column("resource_provider_id", Integer, primary_key=True, autoincrement=False),
    Column("aggregate_id", Integer, primary_key=True, autoincrement=False),
    Index("resource_provider_aggregates_aggregate_id_idx", "aggregate_id"),
)
