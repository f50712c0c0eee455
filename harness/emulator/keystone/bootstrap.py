"""The rows that a new cloud starts with: what `keystone-manage bootstrap` and an operator's first hour make."""

from uuid import NAMESPACE_URL, uuid5

from cryptography.fernet import Fernet
from sqlalchemy import func, select

from harness.emulator.database import Statement, upsert
from harness.emulator.keystone import passwords, schema
from harness.emulator.keystone.rows import dumps
from harness.emulator.runtime import Runtime

ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
PROJECTS = {"admin": "Bootstrap project for initializing the cloud.", "service": "", "demo": ""}
SERVICE_USERS = ("nova", "neutron", "glance", "placement")
CATALOG = {  # service -> type, path after the service's own address
    "keystone": ("identity", "/v3"),
    "glance": ("image", ""),
    "placement": ("placement", ""),
    "nova": ("compute", "/v2.1"),
    "neutron": ("network", ""),
}
_KEYS = Statement(select(func.count()).select_from(schema.fernet_key))
_ADD_KEY = upsert(schema.fernet_key, ("id",), ())


def fixed_id(*words: str) -> str:
    """The id of one initial row: the same in every cloud, and for every process that asks."""
    return uuid5(NAMESPACE_URL, "/".join(("keystone", *words))).hex


async def bootstrap(runtime: Runtime) -> None:
    """Make the initial rows where they are not there yet: domain, projects, roles, users, catalog, sealing key."""
    settings = runtime.settings
    database = runtime.database("keystone")
    add = {
        table.name: upsert(table, ("id",), ())
        for table in (schema.project, schema.role, schema.user, schema.region, schema.service)
    }
    add_endpoint = upsert(schema.endpoint, ("id",))  # ports may have changed since
    plain = {"options": "{}", "extra": "{}"}
    await database.execute(
        add["project"],
        id="default", name="Default", domain_id="", parent_id=None, is_domain=1, enabled=1,
        description="The default domain", tags="[]", **plain,
    )  # fmt: skip
    for name, description in PROJECTS.items():
        await database.execute(
            add["project"],
            id=fixed_id("project", name), name=name, domain_id="default", parent_id="default", is_domain=0, enabled=1,
            description=description, tags="[]", **plain,
        )  # fmt: skip
    for name in ROLES:
        await database.execute(
            add["role"],
            id=fixed_id("role", name), name=name, domain_id="", description=None,
            options=dumps({"immutable": True}), extra="{}",
        )  # fmt: skip
    imply = upsert(schema.implied_role, ("prior_role_id", "implied_role_id"), ())
    for prior, implied in IMPLIED:
        await database.execute(imply, prior_role_id=fixed_id("role", prior), implied_role_id=fixed_id("role", implied))
    secrets = {"admin": settings.admin_password, "demo": settings.demo_password}
    secrets |= dict.fromkeys(SERVICE_USERS, settings.service_password)
    set_password = upsert(schema.password, ("user_id",), ())
    for name, secret in secrets.items():
        user_id = fixed_id("user", name)
        await database.execute(
            add["user"], id=user_id, name=name, domain_id="default", enabled=1, default_project_id=None, **plain
        )
        hashed = await passwords.hash_secret(secret, settings.keystone.bcrypt_rounds)
        await database.execute(set_password, user_id=user_id, password_hash=hashed, created_at_us=0)
    assign = upsert(schema.assignment, ("type", "actor_id", "target_id", "role_id"), ())
    grants = [("admin", "admin", "admin"), ("admin", "demo", "admin"), ("demo", "demo", "member")]
    grants += [(user, "service", role) for user in SERVICE_USERS for role in ("admin", "service")]
    for user, project, role in grants:
        await database.execute(
            assign,
            type="UserProject", actor_id=fixed_id("user", user), target_id=fixed_id("project", project),
            role_id=fixed_id("role", role),
        )  # fmt: skip
    await database.execute(
        upsert(schema.system_assignment, ("type", "actor_id", "target_id", "role_id"), ()),
        type="UserSystem", actor_id=fixed_id("user", "admin"), target_id="system", role_id=fixed_id("role", "admin"),
    )  # fmt: skip
    await database.execute(add["region"], id=settings.region, description="", parent_region_id=None)
    for name, (kind, path) in CATALOG.items():
        service_id = fixed_id("service", name)
        await database.execute(add["service"], id=service_id, type=kind, enabled=1, extra=dumps({"name": name}))
        for interface in ("public", "internal", "admin"):
            await database.execute(
                add_endpoint,
                id=fixed_id("endpoint", name, interface), interface=interface, service_id=service_id,
                region_id=settings.region, url=settings.url(name) + path, enabled=1, extra="{}",
            )  # fmt: skip
    if not await database.fetch_value(_KEYS):
        await database.execute(_ADD_KEY, id=1, secret=Fernet.generate_key().decode())
