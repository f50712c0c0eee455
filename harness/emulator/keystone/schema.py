"""Tables of the `keystone` database; names are keystone's own, columns the part of them that is used.

Times are whole microseconds since 1970 where they are compared, text where they are only shown.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, String, Table, Text, UniqueConstraint

metadata = MetaData()

# A domain is a project that acts as one, as in keystone. `domain_id` of a domain is the empty string: unique
# constraints of MariaDB and PostgreSQL do not see NULLs as equal.
project = Table(
    "project",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("parent_id", String(64), nullable=True),
    Column("is_domain", SmallInteger, nullable=False),
    Column("enabled", SmallInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list
    Column("options", Text, nullable=False),  # JSON object
    Column("extra", Text, nullable=False),  # JSON object
    UniqueConstraint("domain_id", "name", name="ixu_project_name_domain_id"),
)

user = Table(
    "user",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("enabled", SmallInteger, nullable=False),
    Column("default_project_id", String(64), nullable=True),
    Column("options", Text, nullable=False),  # JSON object
    Column("extra", Text, nullable=False),  # JSON object
    UniqueConstraint("domain_id", "name", name="ixu_user_name_domain_id"),
)

password = Table(
    "password",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("password_hash", String(255), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

group = Table(
    "group",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("extra", Text, nullable=False),
    UniqueConstraint("domain_id", "name", name="ixu_group_name_domain_id"),
)

user_group_membership = Table(
    "user_group_membership",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("group_id", String(64), primary_key=True),
    Index("ix_user_group_membership_group", "group_id"),
)

role = Table(
    "role",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), nullable=False),  # empty: a global role
    Column("description", Text, nullable=True),
    Column("options", Text, nullable=False),
    Column("extra", Text, nullable=False),
    UniqueConstraint("name", "domain_id", name="ixu_role_name_domain_id"),
)

implied_role = Table(
    "implied_role",
    metadata,
    Column("prior_role_id", String(64), primary_key=True),
    Column("implied_role_id", String(64), primary_key=True),
)

# type: UserProject, GroupProject, UserDomain, GroupDomain
assignment = Table(
    "assignment",
    metadata,
    Column("type", String(16), primary_key=True),
    Column("actor_id", String(64), primary_key=True),
    Column("target_id", String(64), primary_key=True),
    Column("role_id", String(64), primary_key=True),
    Index("ix_assignment_actor_id", "actor_id"),
    Index("ix_assignment_target_id", "target_id"),
)

# type: UserSystem, GroupSystem; target_id is always "system"
system_assignment = Table(
    "system_assignment",
    metadata,
    Column("type", String(16), primary_key=True),
    Column("actor_id", String(64), primary_key=True),
    Column("target_id", String(64), primary_key=True),
    Column("role_id", String(64), primary_key=True),
)

region = Table(
    "region",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("description", String(255), nullable=False),
    Column("parent_region_id", String(255), nullable=True),
)

service = Table(
    "service",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(255), nullable=True),
    Column("enabled", SmallInteger, nullable=False),
    Column("extra", Text, nullable=False),  # name and description live here, as in keystone
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("interface", String(8), nullable=False),
    Column("service_id", String(64), nullable=False),
    Column("region_id", String(255), nullable=True),
    Column("url", Text, nullable=False),
    Column("enabled", SmallInteger, nullable=False),
    Column("extra", Text, nullable=False),
)

application_credential = Table(
    "application_credential",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("secret_hash", String(255), nullable=False),
    Column("description", Text, nullable=True),
    Column("user_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("expires_at", String(32), nullable=True),
    Column("unrestricted", SmallInteger, nullable=True),
    Column("roles", Text, nullable=False),  # JSON list of role ids
    UniqueConstraint("user_id", "name", name="ixu_application_credential_user_name"),
)

revocation_event = Table(
    "revocation_event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("domain_id", String(64), nullable=True),
    Column("project_id", String(64), nullable=True),
    Column("user_id", String(64), nullable=True),
    Column("audit_id", String(32), nullable=True),
    Column("audit_chain_id", String(32), nullable=True),
    Column("issued_before_us", BigInteger, nullable=False),
    Column("revoked_at_us", BigInteger, nullable=False),
    Index("ix_revocation_event_revoked_at", "revoked_at_us"),
)

# Keys of the token provider: a repository in a table, because API processes may run on several machines.
fernet_key = Table(
    "fernet_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("secret", String(64), nullable=False),
)
