"""Tables of the `glance` database. Tags and additional properties are kept with the image, as JSON text."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, String, Table, Text

metadata = MetaData()

images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=True),
    Column("status", String(30), nullable=False),  # queued, saving, active, deactivated
    Column("visibility", String(9), nullable=False),  # private, shared, community, public
    Column("owner", String(255), nullable=True),
    Column("disk_format", String(20), nullable=True),
    Column("container_format", String(20), nullable=True),
    Column("size", BigInteger, nullable=True),  # bytes
    Column("virtual_size", BigInteger, nullable=True),  # bytes
    Column("checksum", String(32), nullable=True),
    Column("os_hash_algo", String(64), nullable=True),
    Column("os_hash_value", String(128), nullable=True),
    Column("min_ram", Integer, nullable=False),  # MB
    Column("min_disk", Integer, nullable=False),  # GB
    Column("protected", SmallInteger, nullable=False),
    Column("os_hidden", SmallInteger, nullable=False),
    Column("created_at", String(32), nullable=False),  # microseconds, so that it sorts as images were made
    Column("updated_at", String(32), nullable=False),
    Column("tags", Text, nullable=False),  # JSON list, in the order in which they are shown
    Column("properties", Text, nullable=False),  # JSON object of strings
    Column("deleted", SmallInteger, nullable=False),  # rows stay: the id of a deleted image cannot be used again
    Index("owner_image_idx", "owner"),
    Index("visibility_image_idx", "visibility"),
    Index("created_at_image_idx", "created_at"),
)

image_members = Table(
    "image_members",
    metadata,
    Column("image_id", String(36), primary_key=True),
    Column("member", String(255), primary_key=True),
    Column("status", String(20), nullable=False),  # pending, accepted, rejected
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
    Index("ix_image_members_member", "member"),
)
