"""Object methods of the conductor: what a compute, which has no database, asks it to read and write."""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, or_, select, update

from harness.emulator.database import DBError, Statement, Together, in_list, upsert
from harness.emulator.messaging import CallContext
from harness.emulator.nova import instances as records
from harness.emulator.nova.errors import (
    InstanceNotFound,
    NovaError,
    UnexpectedDeletingTaskStateError,
    UnexpectedTaskStateError,
)
from harness.emulator.nova.instances import Cells
from harness.emulator.nova.schema import (
    CELL1_ID,
    compute_nodes,
    host_mappings,
    instance_actions_events,
    instance_info_caches,
    instances,
    services,
)
from harness.emulator.nova.service_record import REGISTER, new_row
from harness.emulator.timestamps import utcnow_iso, utcnow_iso_micro

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.conductor")
REPORTS_GATHERED_S = 1.0

GET_STATE = Statement(select(instances.c.task_state, instances.c.deleted).where(instances.c.uuid == bindparam("uuid")))
# Answers are rendered anew when the version of the instance changes.
SAVE_INFO_CACHE = Together(
    records.save_info_cache,
    update(instances).where(instances.c.uuid == bindparam("b_uuid")).values(row_version=instances.c.row_version + 1),
)
INSERT_EVENT = Statement(insert(instance_actions_events))
REPORT_MANY = Statement(
    update(services)
    .where(in_list(services.c.host, "hosts"), services.c.binary == "nova-compute")
    .values(last_seen_up=bindparam("now"), updated_at=bindparam("now"), report_count=services.c.report_count + 1)
)
MAP_HOST = upsert(host_mappings, ["host"], ["cell_id"])
REGISTER_NODE = upsert(compute_nodes, ["host"])
SAVE_NODE = Statement(
    update(compute_nodes)
    .where(compute_nodes.c.host == bindparam("b_host"))
    .values(
        vcpus_used=bindparam("vcpus_used"),
        memory_mb_used=bindparam("memory_mb_used"),
        local_gb_used=bindparam("local_gb_used"),
        running_vms=bindparam("running_vms"),
        failed_builds=bindparam("failed_builds"),
        updated_at=bindparam("now"),
    )
)
USED_BY_HOST = Statement(
    select(
        instances.c.host,
        func.count(instances.c.id).label("running_vms"),
        func.sum(instances.c.vcpus).label("vcpus"),
        func.sum(instances.c.memory_mb).label("memory_mb"),
        func.sum(instances.c.root_gb + instances.c.ephemeral_gb).label("local_gb"),
    )
    .where(in_list(instances.c.host, "hosts"), instances.c.deleted == 0)
    .group_by(instances.c.host)
)
UNSETTLED = Statement(
    select(instances).where(
        in_list(instances.c.host, "hosts"),
        instances.c.deleted == 0,
        or_(instances.c.vm_state == "building", instances.c.task_state.isnot(None)),
    )
)
NETWORK_INFO = Statement(
    select(instance_info_caches.c.network_info).where(instance_info_caches.c.instance_uuid == bindparam("uuid"))
)


class ObjectStore:
    """`object_action` and `object_class_action_versions`, for the objects that simulated computes use."""

    def __init__(self, runtime: "Runtime", cells: Cells) -> None:
        self.runtime = runtime
        self.cells = cells
        self.cell = cells.by_id[CELL1_ID]
        self._coalesces = runtime.settings.coalesce_heartbeats
        self._reports: set[str] = set()
        self._reporter: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write gathered service reports."""
        if self._coalesces:
            self._reporter = asyncio.create_task(self._write_reports())

    async def object_action(
        self, context: CallContext, *, objinst: dict[str, Any], objmethod: str, kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a method of one object.

        Args: objinst: `name` of the class, the object's key, and `changes`.
        Raises: InstanceNotFound, UnexpectedTaskStateError and DBError, which travel back to the compute.
        """
        kind = f"{objinst['name']}.{objmethod}"
        if kind == "Instance.save":
            cache = objinst.get("info_cache")
            network_info = None if cache is None else cache["network_info"]
            event = objinst.get("event")
            return await self._save_instance(objinst["uuid"], objinst["changes"], network_info, event, **(kwargs or {}))
        if kind == "InstanceInfoCache.save":
            info = objinst["changes"]["network_info"]
            saved = {"b_uuid": objinst["uuid"], "b_network_info": info, "b_now": utcnow_iso()}
            await self.cell.retried(lambda: SAVE_INFO_CACHE.run(self.cell, **saved))
            return None
        if kind == "Instance.destroy":
            return await self.cell.execute_retried(records.DESTROY_INSTANCE, uuid=objinst["uuid"], now=utcnow_iso())
        if kind == "InstanceFault.create":
            return await self.cell.execute(records.INSERT_FAULT, **objinst["changes"])
        if kind == "InstanceActionEvent.event_finish":
            return await self.cell.execute_retried(INSERT_EVENT, **objinst["changes"])
        if kind == "ServiceList.save":
            return await self._report(objinst["hosts"])
        if kind == "ComputeNodeList.save":
            return await self._save_nodes(objinst["changes"])
        raise NovaError(f"Object action {kind} failed because: no such method")

    async def object_class_action_versions(
        self, context: CallContext, *, objname: str, objmethod: str, kwargs: dict[str, Any]
    ) -> Any:
        """Call a method of a class."""
        kind = f"{objname}.{objmethod}"
        if kind == "ComputeNodeList.register":
            return await self._register(**kwargs)
        if kind == "InstanceList.get_unsettled":
            rows = await self.cell.fetch(UNSETTLED, **kwargs)
            return [dict(row) for row in rows]
        if kind == "InstanceInfoCache.get_by_instance_uuid":
            return await self.cell.fetch_value(NETWORK_INFO, **kwargs)
        raise NovaError(f"Object action {kind} failed because: no such method")

    async def _save_instance(
        self,
        uuid: str,
        changes: Mapping[str, Any],
        network_info: str | None,
        event: Mapping[str, Any] | None,
        expected_task_state: Any = records.NO_TASK_CHECK,
    ) -> None:
        if await records.save(self.cell, uuid, changes, expected_task_state, network_info, event):
            return
        row = await self.cell.fetch_one(GET_STATE, uuid=uuid)
        if row is None or row["deleted"]:
            raise InstanceNotFound(uuid)
        if row["task_state"] == "deleting":
            raise UnexpectedDeletingTaskStateError(uuid, expected_task_state, row["task_state"])
        raise UnexpectedTaskStateError(uuid, expected_task_state, row["task_state"])

    async def _report(self, hosts: list[str]) -> None:
        if self._coalesces:
            self._reports.update(hosts)
        else:
            await self.cell.execute_retried(REPORT_MANY, hosts=hosts, now=utcnow_iso_micro())

    async def _write_reports(self) -> None:
        interval_s = min(REPORTS_GATHERED_S, self.runtime.scaled(self.runtime.settings.nova.report_interval_s) / 4)
        while True:
            await asyncio.sleep(interval_s)
            if not self._reports:
                continue
            hosts, self._reports = sorted(self._reports), set()
            try:
                await self.cell.execute_retried(REPORT_MANY, hosts=hosts, now=utcnow_iso_micro())
            except DBError as error:
                log.error("reports of %d computes are lost: %s", len(hosts), error)

    async def _save_nodes(self, rows: list[dict[str, Any]]) -> None:
        now = utcnow_iso()
        await self.cell.retried(lambda: self.cell.execute_many(SAVE_NODE, [{**row, "now": now} for row in rows]))

    async def _register(self, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Service, compute node and host mapping of each host; returns what each uses already."""
        cloud = self.runtime.settings.name
        hosts = [node["host"] for node in nodes]
        await self.cell.execute_many(REGISTER, [new_row(cloud, host, "nova-compute", "compute") for host in hosts])
        used = await self.cell.fetch(USED_BY_HOST, hosts=hosts)
        await self.cell.execute_many(REGISTER_NODE, nodes)
        await self.cells.api.execute_many(MAP_HOST, [{"host": host, "cell_id": CELL1_ID} for host in hosts])
        return [{**dict(row), **{name: int(row[name]) for name in ("vcpus", "memory_mb", "local_gb")}} for row in used]
