"""`/servers/{server_id}/os-instance-actions`: what was done to a server, and how far it came."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, require
from harness.emulator.nova.compute_api import ComputeApi
from harness.emulator.nova.flavors import limit_of, next_link
from harness.emulator.nova.schema import instance_actions, instance_actions_events
from harness.emulator.nova.server_views import host_id, stamp

LIST = Statement(
    select(instance_actions)
    .where(instance_actions.c.instance_uuid == bindparam("uuid"))
    .order_by(instance_actions.c.start_time.desc(), instance_actions.c.id.desc())
)
EVENTS = Statement(
    select(instance_actions_events)
    .where(instance_actions_events.c.instance_uuid == bindparam("uuid"))
    .order_by(instance_actions_events.c.start_time.desc(), instance_actions_events.c.id.desc())
)


class InstanceActionsResource:
    """The list, newest first."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str) -> None:
        require(req.context.caller.is_reader, "os_compute_api:os-instance-actions:list")
        actions, events, _ = await read(self.api, req, server_id)
        link: dict[str, Any] = {}
        if req.context.version >= (2, 58):
            limit = limit_of(req, self.api.settings.max_limit)
            marker = req.get_param("marker")
            if marker is not None:
                ids = [action["request_id"] for action in actions]
                if marker not in ids:
                    raise ApiError(400, f"marker [{marker}] not found")
                actions = actions[ids.index(marker) + 1 :]
            actions = actions[:limit]
            path = f"servers/{server_id}/os-instance-actions"
            found = next_link(req, path, [action["request_id"] for action in actions], limit)
            link = {"links": next(iter(found.values()))} if found else {}
        shown = [_shown(req, action, events) for action in actions]
        self.api.app.json(resp, {"instanceActions": shown, **link})


class InstanceActionResource:
    """One action, with its events."""

    def __init__(self, api: ComputeApi) -> None:
        self.api = api

    async def on_get(self, req: Any, resp: Any, server_id: str, request_id: str) -> None:
        require(req.context.caller.is_reader, "os_compute_api:os-instance-actions:show")
        actions, events, row = await read(self.api, req, server_id)
        for action in actions:
            if action["request_id"] == request_id:
                break
        else:
            raise ApiError(404, f"Action {request_id} not found")
        shown = _shown(req, action, events)
        is_admin = req.context.caller.is_admin
        if is_admin or req.context.version >= (2, 51):
            shown["events"] = [
                _event(req, event, row["project_id"]) for event in events if event["request_id"] == request_id
            ]
        self.api.app.json(resp, {"instanceAction": shown})


async def read(
    api: ComputeApi, req: Any, server_id: str
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]], Mapping[str, Any]]:
    """Actions and events of a server; since 2.21 of a deleted one too."""
    cell_id, row = await api.instance(req.context.caller, server_id, deleted=req.context.version >= (2, 21))
    if cell_id is None:
        return [], [], row
    database = api.cells.by_id[cell_id]
    return list(await database.fetch(LIST, uuid=server_id)), list(await database.fetch(EVENTS, uuid=server_id)), row


def _shown(req: Any, action: Mapping[str, Any], events: list[Mapping[str, Any]]) -> dict[str, Any]:
    shown = {name: action[name] for name in ("action", "instance_uuid", "request_id", "user_id", "project_id")}
    shown["start_time"] = stamp(action["start_time"])
    shown["message"] = action["message"]
    own = [event for event in events if event["request_id"] == action["request_id"]]
    if shown["message"] is None and any(event["result"] == "Error" for event in own):
        shown["message"] = "Error"
    if req.context.version >= (2, 58):
        finished = [event["finish_time"] for event in own if event["finish_time"]]
        shown["updated_at"] = stamp(max(finished, default=action["start_time"]))
    return shown


def _event(req: Any, event: Mapping[str, Any], project_id: str) -> dict[str, Any]:
    is_admin = req.context.caller.is_admin
    minor = req.context.version[1]
    shown: dict[str, Any] = {
        "event": event["event"],
        "start_time": stamp(event["start_time"]),
        "finish_time": stamp(event["finish_time"]),
        "result": event["result"],
    }
    if is_admin:
        shown["traceback"] = event["traceback"]
    if minor >= 62:
        if is_admin:
            shown["host"] = event["host"]
        shown["hostId"] = host_id(event["host"], project_id) if event["host"] else ""
    if minor >= 84 and is_admin:
        shown["details"] = event["details"]
    return shown
