"""nova-conductor: turns accepted requests into instances in a cell, and writes to the database for the computes.

`schedule_and_build_instances` is one method run for a whole request. When the database goes away under it the method
dies where it stands and nobody takes it up again: instances stay in BUILD with their allocations, as for real.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from harness.emulator.database import Database, Statement, in_list
from harness.emulator.in_flight import for_each, rows_at_once
from harness.emulator.messaging import CallContext, MessagingTimeout, RemoteError
from harness.emulator.nova import instances, quota, states
from harness.emulator.nova.claims import claim_resources
from harness.emulator.nova.errors import MaxRetriesExceeded, NovaError, NoValidHost
from harness.emulator.nova.instances import Cells
from harness.emulator.nova.object_store import ObjectStore
from harness.emulator.nova.schema import CELL0_ID, CELL1_ID, host_mappings
from harness.emulator.nova.schema import tags as tags_table
from harness.emulator.nova.service_record import ServiceRecord
from harness.emulator.timestamps import utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

log = logging.getLogger("squall.nova.conductor")
CHECK_AHEAD = 50  # build requests whose existence is checked in one query
ZONE = "nova"
Created = tuple[dict[str, Any], list[dict[str, Any]], int]
"""An instance that is in its cell: its row, the host it was scheduled to with its alternates, the id of the cell."""

GET_HOST_CELLS = Statement(
    select(host_mappings.c.host, host_mappings.c.cell_id).where(in_list(host_mappings.c.host, "hosts"))
)
INSERT_TAGS = Statement(tags_table.insert())


class Conductor(ObjectStore):
    """RPC endpoint of topic `conductor`: the task methods here, the object methods in `ObjectStore`."""

    def __init__(self, runtime: "Runtime") -> None:
        cells = Cells(runtime.database("nova_api"), runtime.database("nova_cell0"), runtime.database("nova_cell1"))
        super().__init__(runtime, cells)
        self.settings = runtime.settings.nova
        self.placement = runtime.service("placement", user="nova")

    async def schedule_and_build_instances(
        self,
        context: CallContext,
        *,
        build_requests: list[dict[str, Any]],
        request_specs: list[dict[str, Any]],
        image: dict[str, Any],
        admin_password: str | None,
        injected_files: list[Any],
        requested_networks: list[dict[str, Any]],
        block_device_mapping: list[Any],
        tags: list[str] | None = None,
    ) -> None:
        """Choose hosts for all, make the instances in their cell, then send each to its host."""
        spec = request_specs[0]
        try:
            host_lists = await self._select(context, spec, [row["uuid"] for row in build_requests])
        except Exception as error:
            log.error("failed to schedule %d instances: %s", len(build_requests), error)
            await self._bury_in_cell0(context, build_requests, error, tags)
            return
        scheduled = list(zip(build_requests, host_lists, strict=True))
        cells_of_hosts = await self._cells_of_hosts(host_lists)
        created: list[Created] = []
        for first in range(0, len(scheduled), CHECK_AHEAD):
            created += await self._create(context, scheduled[first : first + CHECK_AHEAD], cells_of_hosts, tags)
        if not created:
            return
        refusal = await quota.recheck(
            self.cells, self.settings, spec["project_id"], spec["flavor"], len(build_requests)
        )
        if refusal is not None:
            await self._refuse(created, refusal, tags)
            raise refusal

        async def send(one: Created) -> None:
            await self._send(context, *one, spec, image, requested_networks, tags)

        if len(created) > 1 and self.runtime.strikes("failed_batch"):
            await self._fail_batch(created, send, tags)
            return
        await for_each(created, send)

    async def _fail_batch(
        self, created: list[Created], send: Callable[[Created], Awaitable[None]], tags: list[str] | None
    ) -> None:
        """The truth switch `failed_batch`: the last of a multi-create fails when the others are built already.

        As in Nova `_cleanup_build_artifacts` is then given all of the request, where it should get what failed.
        """
        *others, failed = created
        await for_each(others, send)
        timeout_s = self.runtime.scaled(self.runtime.settings.broker.rpc_response_timeout_s)
        await asyncio.sleep(timeout_s)
        await self._free(failed[0]["uuid"])
        await self._refuse(created, MessagingTimeout(f"no reply within {timeout_s:g} s"), tags)

    async def build_instances(
        self,
        context: CallContext,
        *,
        instances: list[dict[str, Any]],
        image: dict[str, Any],
        filter_properties: dict[str, Any],
        requested_networks: list[dict[str, Any]],
        request_spec: dict[str, Any],
        host_lists: list[list[dict[str, Any]]],
    ) -> None:
        """Take up instances whose build failed on a host: the next alternate that can still be claimed."""
        for instance, host_list in zip(instances, host_lists, strict=True):
            await self._rebuild_elsewhere(
                context, instance, host_list, image, filter_properties, requested_networks, request_spec
            )

    # ---- steps of a build ----

    async def _select(self, context: CallContext, spec: dict[str, Any], uuids: list[str]) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = await self.runtime.bus.call(
            "scheduler",
            "select_destinations",
            {"request_spec": spec, "instance_uuids": uuids, "return_objects": True, "return_alternates": True},
            context=context,
            timeout_s=self.runtime.settings.broker.long_rpc_timeout_s,
        )
        return found

    async def _cells_of_hosts(self, host_lists: list[list[dict[str, Any]]]) -> dict[str, int]:
        hosts = list({host_list[0]["service_host"] for host_list in host_lists})
        rows = await self.cells.api.fetch(GET_HOST_CELLS, hosts=hosts)
        return {row["host"]: row["cell_id"] for row in rows}

    async def _still_wanted(self, rows: list[dict[str, Any]]) -> set[str]:
        found = await self.cells.api.fetch(instances.GET_BUILD_REQUESTS, uuids=[row["uuid"] for row in rows])
        return {row["instance_uuid"] for row in found}

    async def _create(
        self,
        context: CallContext,
        scheduled: list[tuple[dict[str, Any], list[dict[str, Any]]]],
        cells_of_hosts: Mapping[str, int],
        tags: list[str] | None,
    ) -> list[Created]:
        """Make the instances in the cells of their hosts, but for those that were deleted while they were scheduled."""
        waiting = await self._still_wanted([row for row, _ in scheduled])
        created: list[Created] = []
        for row, host_list in scheduled:
            host = host_list[0]["service_host"]
            if host not in cells_of_hosts:
                unmapped = NovaError(f"Host '{host}' is not mapped to any cell")
                await self._bury_in_cell0(context, [row], unmapped, tags)
            elif row["uuid"] not in waiting:
                await self.cells.api.execute(instances.DELETE_MAPPING, uuid=row["uuid"])
                await self._free(row["uuid"])
            else:
                row["availability_zone"] = ZONE
                created.append((row, host_list, cells_of_hosts[host]))
        for cell_id in {cell_id for _, _, cell_id in created}:
            cell = self.cells.by_id[cell_id]
            rows = [row for row, _, its_cell in created if its_cell == cell_id]
            ids = await cell.next_ids("instances", len(rows))

            async def insert(numbered: tuple[int | None, dict[str, Any]], cell: Database = cell) -> None:
                number, row = numbered
                await cell.execute_retried(instances.INSERT_INSTANCE, **row, id=number)

            await for_each(zip(ids, rows, strict=True), insert, at_once=rows_at_once(ids))
        return created

    async def _send(
        self,
        context: CallContext,
        row: dict[str, Any],
        host_list: list[dict[str, Any]],
        cell_id: int,
        spec: dict[str, Any],
        image: dict[str, Any],
        requested_networks: list[dict[str, Any]],
        tags: list[str] | None,
    ) -> None:
        uuid = row["uuid"]
        cell = self.cells.by_id[cell_id]
        await cell.execute(
            instances.INSERT_ACTION,
            action="create",
            instance_uuid=uuid,
            request_id=context.request_id,
            user_id=context.user_id,
            project_id=context.project_id,
            start_time=row["created_at"],
        )
        if tags:
            await cell.execute_many(INSERT_TAGS, [{"resource_id": uuid, "tag": tag} for tag in sorted(set(tags))])
        if not await instances.HAND_OVER.run(self.cells.api, uuid=uuid, cell_id=cell_id):
            # Deleted between the first loop and here; the instance goes too.
            await cell.execute_retried(instances.DESTROY_INSTANCE, uuid=uuid, now=utcnow_iso())
            await self._free(uuid)
            return
        chosen, *alternates = host_list
        # One attempt only, or one host only: without `retry` the compute does not give the instance back.
        once = self.settings.scheduler_max_attempts == 1 or len(spec["force_hosts"] or ()) == 1
        retry = None if once else {"num_attempts": 1, "hosts": []}
        await self._cast_build(context, _instance(row), chosen, alternates, spec, image, requested_networks, retry)

    async def _cast_build(
        self,
        context: CallContext,
        instance: dict[str, Any],
        chosen: Mapping[str, Any],
        alternates: list[dict[str, Any]],
        spec: dict[str, Any],
        image: dict[str, Any],
        requested_networks: list[dict[str, Any]],
        retry: dict[str, Any] | None,
    ) -> None:
        if retry is not None:
            retry["hosts"].append([chosen["service_host"], chosen["nodename"]])
        await self.runtime.bus.cast(
            "compute",
            "build_and_run_instance",
            {
                "instance": instance,
                "image": image,
                "request_spec": {**spec, "flavor": None},  # the instance carries it
                "filter_properties": {} if retry is None else {"retry": retry},
                "requested_networks": requested_networks,
                "node": chosen["nodename"],
                "host_list": alternates,
            },
            server=chosen["service_host"],
            context=context,
        )

    async def _rebuild_elsewhere(
        self,
        context: CallContext,
        instance: dict[str, Any],
        host_list: list[dict[str, Any]],
        image: dict[str, Any],
        filter_properties: dict[str, Any],
        requested_networks: list[dict[str, Any]],
        spec: dict[str, Any],
    ) -> None:
        uuid = instance["uuid"]
        retry = filter_properties["retry"]
        retry["num_attempts"] += 1
        reason = retry.pop("exc_reason", None)
        left = list(host_list)
        try:
            most = self.settings.scheduler_max_attempts
            if retry["num_attempts"] > most:
                raise MaxRetriesExceeded(
                    f"Exceeded max scheduling attempts {most} for instance {uuid}. Last exception: {reason}"
                )
            while left:
                chosen = left.pop(0)
                if await claim_resources(
                    self.placement,
                    uuid,
                    chosen["allocation_request"]["allocations"],
                    spec,
                    microversion=chosen["allocation_request_version"],
                ):
                    break
            else:
                raise MaxRetriesExceeded(
                    f"Exhausted all hosts available for retrying build failures for instance {uuid}."
                )
        except Exception as error:
            log.warning("%s cannot be rescheduled: %s", uuid, error)
            cell = self.cells.by_id[CELL1_ID]
            await instances.save(cell, uuid, {"vm_state": states.ERROR, "task_state": None})
            await cell.execute(instances.INSERT_FAULT, **fault_row(uuid, error))
            return
        if await instances.save(self.cells.by_id[CELL1_ID], uuid, {"availability_zone": ZONE}):  # else deleted by now
            await self._cast_build(context, instance, chosen, left, spec, image, requested_networks, retry)

    async def _free(self, uuid: str) -> None:
        response = await self.placement.delete(f"/allocations/{uuid}", microversion="1.28")
        if response.status not in (204, 404):
            raise RuntimeError(f"placement answered {response.status} when asked to delete allocations of {uuid}")

    async def _bury_in_cell0(
        self, context: CallContext, rows: list[dict[str, Any]], error: Exception, tags: list[str] | None
    ) -> None:
        """Instances that no cell can have: ERROR rows in cell0, each with the fault."""
        cell0 = self.cells.by_id[CELL0_ID]
        wanted = await self._still_wanted(rows)
        for row in rows:
            uuid = row["uuid"]
            if uuid not in wanted:
                await self.cells.api.execute(instances.DELETE_MAPPING, uuid=uuid)
                continue
            await cell0.execute_retried(instances.INSERT_INSTANCE, **row)
            await self.cells.api.execute(instances.MAP_TO_CELL, uuid=uuid, cell_id=CELL0_ID)
            await cell0.execute(instances.INSERT_FAULT, **fault_row(uuid, error))
            await instances.save(cell0, uuid, {"vm_state": states.ERROR, "task_state": None})
            await cell0.execute(
                instances.INSERT_ACTION,
                action="create",
                instance_uuid=uuid,
                request_id=context.request_id,
                user_id=context.user_id,
                project_id=context.project_id,
                start_time=row["created_at"],
            )
            if tags:
                pairs = [{"resource_id": uuid, "tag": tag} for tag in sorted(set(tags))]
                await cell0.execute_many(INSERT_TAGS, pairs)
            await self.cells.api.execute(instances.DELETE_BUILD_REQUEST, uuid=uuid)

    async def _refuse(
        self,
        created: list[Created],
        error: Exception,
        tags: list[str] | None,
    ) -> None:
        """The recheck failed: all of this request ends in ERROR. As in Nova allocations stay until it is deleted."""
        code = getattr(error, "code", 500)
        for row, _, cell_id in created:
            uuid = row["uuid"]
            cell = self.cells.by_id[cell_id]
            await instances.save(cell, uuid, {"vm_state": states.ERROR, "task_state": None})
            await cell.execute(instances.INSERT_FAULT, **fault_row(uuid, error, code=code))
            if tags:
                await cell.execute_many(INSERT_TAGS, [{"resource_id": uuid, "tag": tag} for tag in sorted(set(tags))])
            await self.cells.api.execute(instances.MAP_TO_CELL, uuid=uuid, cell_id=cell_id)
            await self.cells.api.execute(instances.DELETE_BUILD_REQUEST, uuid=uuid)
            await self.cells.api.execute(instances.DELETE_REQUEST_SPEC, uuid=uuid)


def fault_row(uuid: str, error: BaseException, *, code: int = 500, host: str | None = None) -> dict[str, Any]:
    """A row of `instance_faults` for an error. Nova shows the text of its own errors and the class name of others."""
    if isinstance(error, RemoteError):
        kind, text = error.exc_type, error.message
        own = kind in ("NoValidHost", "MaxRetriesExceeded", "BuildAbortException")
    else:
        kind, text = type(error).__name__, str(error)
        own = isinstance(error, NovaError)
    return {
        "created_at": utcnow_iso(),
        "instance_uuid": uuid,
        "code": code,
        "message": (text if own else kind)[:255],
        "details": f"{kind}: {text}" if code == 500 else "",
        "host": host,
    }


def _instance(row: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an instance that its host needs."""
    kept = ("uuid", "project_id", "user_id", "flavor", "vcpus", "memory_mb", "root_gb", "ephemeral_gb", "hostname")
    return {name: row[name] for name in kept}


async def start(runtime: "Runtime") -> ServiceRecord:
    """Serve topic `conductor`; returns when requests are taken."""
    name = f"conductor-{runtime.index}" if runtime.index else "conductor"
    endpoint = Conductor(runtime)
    record = ServiceRecord(runtime, host=name, binary="nova-conductor", topic="conductor")
    await record.start()
    endpoint.start()
    await runtime.bus.serve("conductor", endpoint, server=name)
    return record


__all__ = ["Conductor", "NoValidHost", "fault_row", "start"]
