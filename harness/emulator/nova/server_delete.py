"""Deleting a server: with a host it is that host's work; without one, or with a dead one, the API does it itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.emulator.http import ApiError, Caller
from harness.emulator.nova import instances, states
from harness.emulator.nova.compute_api import GET_COMPUTE_SERVICE, ComputeApi, check_lock, describe
from harness.emulator.nova.schema import CELL1_ID
from harness.emulator.nova.server_create import bus_context
from harness.emulator.timestamps import utcnow_iso

FAILOVER_S = 30.0  # until clients reach the replica that takes over


async def delete_server(api: ComputeApi, req: Any, uuid: str, *, forced: bool = False) -> None:
    """`DELETE /servers/{id}` and `forceDelete`.

    Raises: ApiError 404, 409.
    """
    caller: Caller = req.context.caller
    cell_id, row = await api.instance(caller, uuid)
    check_lock(row, caller)
    if api.runtime.strikes("accepted_never_done"):
        return
    if row["host"] and cell_id is not None and api.runtime.strikes("resurrected_server"):
        await _delete_for_a_while(api, cell_id, row)
        return
    if instances.is_building_unscheduled(row):
        if await _delete_while_booting(api, uuid):
            await _forget(api, uuid)
            return
        cell_id, found = await api.cells.find(uuid)
        if found is None or cell_id is None:
            await _forget(api, uuid)
            return
        row = found
        if not row["host"]:
            await api.cells.by_id[cell_id].execute_retried(instances.DESTROY_HOSTLESS, uuid=uuid, now=utcnow_iso())
            await _forget(api, uuid)
            return
    if cell_id is None:
        raise ApiError(404, f"Instance {uuid} could not be found.")
    await _delete_in_cell(api, req, cell_id, row)


async def _delete_in_cell(api: ComputeApi, req: Any, cell_id: int, row: Mapping[str, Any]) -> None:
    uuid = row["uuid"]
    if not await api.save(cell_id, uuid, {"task_state": "deleting", "progress": 0}):
        return  # gone meanwhile: what was asked for
    service = None
    if row["host"]:
        service = await api.cells.by_id[cell_id].fetch_one(GET_COMPUTE_SERVICE, host=row["host"])
    if service is None or not api.is_up(service):
        await _delete_locally(api, cell_id, uuid)
        return
    if row["task_state"] == "deleting":
        return  # its host knows already
    await api.start_action(req, cell_id, uuid, "delete")
    await api.runtime.bus.cast(
        "compute",
        "terminate_instance",
        {"instance": {**describe(row), "task_state": "deleting"}, "bdms": []},
        server=row["host"],
        context=bus_context(req),
    )
    await api.cells.api.execute(instances.QUEUE_FOR_DELETE, uuid=uuid)


async def _delete_for_a_while(api: ComputeApi, cell_id: int, row: Mapping[str, Any]) -> None:
    """The truth switch `resurrected_server`: the database dies with this commit, its replica has the server as it was.

    The cast to the host is lost likewise, so that all of the server is still there when it is back.
    """
    uuid, cell = row["uuid"], api.cells.by_id[cell_id]
    await api.save(cell_id, uuid, {"vm_state": states.DELETED, "task_state": None, "terminated_at": utcnow_iso()})
    await cell.execute(instances.DESTROY_INSTANCE, uuid=uuid, now=utcnow_iso())

    async def come_back() -> None:
        await asyncio.sleep(api.runtime.scaled(FAILOVER_S))
        kept = {f"b_{name}": row[name] for name in ("vm_state", "task_state", "terminated_at")}
        await cell.execute(instances.RESTORE_INSTANCE, b_uuid=uuid, b_now=utcnow_iso(), **kept)

    api.later(come_back())


async def _delete_while_booting(api: ComputeApi, uuid: str) -> bool:
    """Take the build request away from under the conductor. False: there is none any more."""
    if not await api.cells.api.execute(instances.DELETE_BUILD_REQUEST, uuid=uuid):
        return False
    # A conductor that died between the row and its mapping left the row unmapped: Nova then looks in its own database,
    # which is that of the only cell.
    cell_id = await api.cells.api.fetch_value(instances.GET_MAPPING, uuid=uuid)
    cell = api.cells.by_id[CELL1_ID if cell_id is None else cell_id]
    await cell.execute_retried(instances.DESTROY_HOSTLESS, uuid=uuid, now=utcnow_iso())
    return True


async def _forget(api: ComputeApi, uuid: str) -> None:
    """What is left of an instance that never reached a host: its mapping is marked, its allocations are freed."""
    await api.cells.api.execute(instances.QUEUE_FOR_DELETE, uuid=uuid)
    await free_allocations(api, uuid)


async def free_allocations(api: ComputeApi, uuid: str) -> None:
    """Delete the allocations of a consumer; 404 is fine."""
    if api.runtime.strikes("leaked_allocation"):
        return
    response = await api.placement.delete(f"/allocations/{uuid}", microversion="1.28")
    if response.status not in (204, 404):
        raise RuntimeError(f"placement answered {response.status} when asked to delete allocations of {uuid}")


async def _delete_locally(api: ComputeApi, cell_id: int, uuid: str) -> None:
    """The host is down, or the instance lost it: ports, allocations and the row are removed from here."""
    ports = await api.neutron.get("/v2.0/ports", query={"device_id": uuid})
    if not ports.ok:
        raise RuntimeError(f"neutron answered {ports.status} when asked to list ports of {uuid}")
    for port in ports.json()["ports"]:
        await api.neutron.delete(f"/v2.0/ports/{port['id']}")
    await free_allocations(api, uuid)
    database = api.cells.by_id[cell_id]
    await api.save(cell_id, uuid, {"vm_state": states.DELETED, "task_state": None, "terminated_at": utcnow_iso()})
    await api.cells.api.execute(instances.QUEUE_FOR_DELETE, uuid=uuid)
    await database.execute_retried(instances.DESTROY_INSTANCE, uuid=uuid, now=utcnow_iso())
