"""First rows of the neutron database: the networks that a fresh cloud has. Names and ranges are the real cloud's."""

from typing import Any

from sqlalchemy import bindparam, select

from harness.emulator.database import DBDuplicateEntry, Statement
from harness.emulator.http import Caller
from harness.emulator.neutron import networks, schema, security_groups, subnets
from harness.emulator.neutron.service import Neutron
from harness.emulator.runtime import Runtime

_PROJECTS = ("admin", "demo")
_BY_NAME = Statement(
    select(schema.networks.c.id).where(
        schema.networks.c.name == bindparam("name"), schema.networks.c.project_id == bindparam("project_id")
    )
)


async def bootstrap(runtime: Runtime) -> None:
    """Make `public` (external) and `private` (of demo) with their subnets, where they are missing."""
    neutron = Neutron(runtime)
    projects = await _projects(runtime)
    await _network(neutron, projects["admin"], "public", "203.0.0.0/16", external=True)
    await _network(neutron, projects["demo"], "private", "10.0.0.0/16", external=False)
    for project_id in projects.values():
        await security_groups.ensure_default(neutron, project_id)


async def _projects(runtime: Runtime) -> dict[str, str]:
    """Ids of the first projects: asked of keystone's tables, since keystone does not serve yet."""
    from harness.emulator.keystone.schema import project

    find = Statement(select(project.c.id).where(project.c.name == bindparam("name"), project.c.domain_id == "default"))
    found: dict[str, str] = {}
    for name in _PROJECTS:
        identity = await runtime.database("keystone").fetch_value(find, name=name)
        if identity is None:
            raise LookupError(
                f"bootstrap of neutron: keystone has no project {name!r}; keystone's bootstrap comes first"
            )
        found[name] = identity
    return found


async def _network(neutron: Neutron, project_id: str, name: str, cidr: str, *, external: bool) -> None:
    if await neutron.database.fetch_value(_BY_NAME, name=name, project_id=project_id) is not None:
        return
    admin = Caller(user_id="bootstrap", project_id=project_id, roles=frozenset(("admin",)))
    wanted: dict[str, Any] = {"name": name, "project_id": project_id}
    if external:
        wanted |= {
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": "public",
        }
    (values,), _ = networks.RESOURCE.created({"network": wanted}, admin)
    try:
        network = await networks.create(neutron, admin, values)
    except DBDuplicateEntry:
        return
    subnet = {
        "network_id": network["id"],
        "name": f"{name}-subnet",
        "ip_version": 4,
        "cidr": cidr,
        "enable_dhcp": not external,
    }
    (values,), _ = subnets.RESOURCE.created({"subnet": subnet}, admin)
    await subnets.create(neutron, admin, values)
