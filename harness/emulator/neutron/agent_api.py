"""`/v2.0/agents`: the agents that have reported, for administrators."""

from typing import Any

import orjson
from falcon.asgi import Request, Response
from sqlalchemy import Select, bindparam, delete, select, update

from harness.emulator.database import Row, Statement
from harness.emulator.http import ServiceApp
from harness.emulator.neutron import errors, policy, queries, schema
from harness.emulator.neutron.attributes import Attribute, Resource
from harness.emulator.neutron.binding import alive_since
from harness.emulator.neutron.queries import Condition, ListQuery
from harness.emulator.neutron.service import Neutron
from harness.emulator.neutron.validation import to_bool

RESOURCE = Resource(
    "agent",
    "agents",
    schema.agents,
    (
        Attribute("id", filters=True, sorts=True),
        Attribute("agent_type", filters=True, sorts=True),
        Attribute("binary", filters=True, sorts=True),
        Attribute("topic", filters=True, sorts=True),
        Attribute("host", filters=True, sorts=True),
        Attribute("admin_state_up", "bool", put=True, convert=to_bool, filters=True, sorts=True),
        Attribute("alive", "", filters=True),
        Attribute("availability_zone", filters=True),
        Attribute("description", put=True, filters=True),
        Attribute("project_id", ""),
    ),
)
_BY_ID = Statement(select(schema.agents).where(schema.agents.c.id == bindparam("id")))
_UPDATE = Statement(update(schema.agents).where(schema.agents.c.id == bindparam("which")))
_DELETE = Statement(delete(schema.agents).where(schema.agents.c.id == bindparam("which")))


def view(row: Row, alive_after: str) -> dict[str, Any]:
    """An agent; its times are written as neutron's columns print."""
    return {
        "id": row["id"],
        "agent_type": row["agent_type"],
        "binary": row["binary"],
        "topic": row["topic"],
        "host": row["host"],
        "admin_state_up": bool(row["admin_state_up"]),
        "created_at": _printed(row["created_at"]),
        "started_at": _printed(row["started_at"]),
        "heartbeat_timestamp": _printed(row["heartbeat_timestamp"]),
        "description": row["description"],
        "resources_synced": None,
        "availability_zone": row["availability_zone"],
        "alive": row["heartbeat_timestamp"] > alive_after,
        "configurations": orjson.Fragment(row["configurations"]),
    }


class Agents:
    """`/v2.0/agents`."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response) -> None:
        neutron = self._neutron
        query = queries.parse(RESOURCE, req.query_string, neutron.settings.neutron.pagination_max_limit)
        if not req.context.caller.is_admin:
            self._app.json(resp, {"agents": []})
            return
        alive_after = alive_since(neutron)
        where = [*_alive(query, alive_after), *queries.conditions(RESOURCE, query, ("alive",))]
        rows = await queries.fetch(neutron.database, _rows, RESOURCE, query, where)
        document: dict[str, Any] = {"agents": [queries.trimmed(view(row, alive_after), query.fields) for row in rows]}
        links = query.links(req, [row["id"] for row in rows])
        if links:
            document["agents_links"] = links
        self._app.json(resp, document)


class Agent:
    """`/v2.0/agents/{id}`."""

    def __init__(self, app: ServiceApp, neutron: Neutron) -> None:
        self._app = app
        self._neutron = neutron

    async def on_get(self, req: Request, resp: Response, identity: str) -> None:
        row = await self._get(req, identity)
        shown = queries.trimmed(view(row, alive_since(self._neutron)), queries.fields_of(req.query_string))
        self._app.json(resp, {"agent": shown})

    async def on_put(self, req: Request, resp: Response, identity: str) -> None:
        values = RESOURCE.updated(await self._app.body(req, required=False), req.context.caller)
        await self._get(req, identity)
        policy.require_admin(req.context.caller, "update_agent")
        if "admin_state_up" in values:
            values["admin_state_up"] = int(values["admin_state_up"])
        if values:
            database = self._neutron.database
            await self._neutron.retrying(lambda: database.execute(_UPDATE, which=identity, **values))
        await self.on_get(req, resp, identity)

    async def on_delete(self, req: Request, resp: Response, identity: str) -> None:
        await self._get(req, identity)
        await self._neutron.retrying(lambda: self._neutron.database.execute(_DELETE, which=identity))
        resp.status = 204

    async def _get(self, req: Request, identity: str) -> Row:
        row = await self._neutron.database.fetch_one(_BY_ID, id=identity)
        if row is None or not req.context.caller.is_admin:
            raise errors.not_found("agent", identity)
        return row


def _rows() -> Select[Any]:
    return select(schema.agents)


def _alive(query: ListQuery, alive_after: str) -> list[Condition]:
    if "alive" not in query.filters:
        return []
    heartbeat = schema.agents.c.heartbeat_timestamp
    params = {"alive_after": alive_after}
    if to_bool(query.filters["alive"][-1]):
        return [Condition("alive", lambda: heartbeat > bindparam("alive_after"), params)]
    return [Condition("dead", lambda: heartbeat <= bindparam("alive_after"), params)]


def _printed(moment: str) -> str:
    return moment[:19].replace("T", " ")
