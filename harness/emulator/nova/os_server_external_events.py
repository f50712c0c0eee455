"""`POST /os-server-external-events`: neutron tells of its ports, and the hosts of the instances are told."""

from typing import Any

from sqlalchemy import select

from harness.emulator.database import Statement, in_list
from harness.emulator.http import require
from harness.emulator.in_flight import for_each
from harness.emulator.nova import validation
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.instances import GET_MAPPINGS
from harness.emulator.nova.schema import instances
from harness.emulator.nova.server_create import bus_context

GET_HOSTS = Statement(
    select(instances.c.uuid, instances.c.host).where(in_list(instances.c.uuid, "uuids"), instances.c.deleted == 0)
)
CASTS_AT_ONCE = 32  # a cast only waits for its confirm, which a broker may keep back to send several together
_NAMES = ["network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted"]
_BODY: validation.Schema = {
    "type": "object",
    "required": ["events"],
    "properties": {
        "events": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["server_uuid", "name"],
                "properties": {
                    "server_uuid": validation.UUID,
                    "name": {"type": "string", "enum": _NAMES},
                    "status": {"type": "string", "enum": ["failed", "completed", "in-progress"]},
                    "tag": {"type": "string", "maxLength": 255},
                },
            },
        }
    },
}


class ExternalEventsResource:
    """One cast for each host that has an instance in the request."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_post(self, req: Any, resp: Any) -> None:
        caller = req.context.caller
        require(caller.is_admin or caller.is_service, "os_compute_api:os-server-external-events:create")
        body = await self.api.app.body(req)
        validation.check(body, _BODY)
        events = [{"status": "completed", **event} for event in body["events"]]
        cells, hosts = await self._hosts([event["server_uuid"] for event in events])
        by_host: dict[str, list[dict[str, Any]]] = {}
        failed = 0
        for event in events:
            uuid = event["server_uuid"]
            host = hosts.get(uuid)
            if host:
                event["code"] = 200
                by_host.setdefault(host, []).append(event)
                continue
            failed += 1
            event["status"] = "failed"
            # 422: the instance is there, and on no host yet.
            event["code"] = 422 if uuid in cells and (cells[uuid] is None or uuid in hosts) else 404
        context = bus_context(req)

        async def tell(host: str) -> None:
            own = by_host[host]
            told = [{key: event.get(key, "") for key in ("server_uuid", "name", "tag", "status")} for event in own]
            uuids = [{"uuid": uuid} for uuid in dict.fromkeys(event["server_uuid"] for event in own)]
            arguments = {"instances": uuids, "events": told}
            await self.api.runtime.bus.cast(
                "compute", "external_instance_event", arguments, server=host, context=context
            )

        await for_each(by_host, tell, at_once=CASTS_AT_ONCE)
        self.api.app.json(resp, {"events": events}, 207 if failed else 200)

    async def _hosts(self, uuids: list[str]) -> tuple[dict[str, int | None], dict[str, str | None]]:
        unique = list(dict.fromkeys(uuids))
        mappings = await self.api.cells.api.fetch(GET_MAPPINGS, uuids=unique)
        cells: dict[str, int | None] = {row["instance_uuid"]: row["cell_id"] for row in mappings}
        hosts: dict[str, str | None] = {}
        for cell_id in {cell for cell in cells.values() if cell is not None}:
            own = [uuid for uuid, cell in cells.items() if cell == cell_id]
            rows = await self.api.cells.by_id[cell_id].fetch(GET_HOSTS, uuids=own)
            hosts.update((row["uuid"], row["host"]) for row in rows)
        return cells, hosts
