"""What all resources of the compute API share: databases, bus, neighbours, and the rules for touching an instance."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, select

from harness.emulator.database import Statement
from harness.emulator.http import ApiError, Caller, ServiceApp
from harness.emulator.nova import instances, states
from harness.emulator.nova.instances import Cells
from harness.emulator.nova.schema import CELL0_ID, services
from harness.emulator.nova.server_views import Fragments, View
from harness.emulator.timestamps import after, iso_micro, utcnow_iso

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

GET_COMPUTE_SERVICE = Statement(
    select(services).where(services.c.host == bindparam("host"), services.c.binary == "nova-compute")
)
GET_SERVICES = Statement(select(services).order_by(services.c.id))
SERVICES_KEPT_S = 1.0  # how old a list of services may be where only `host_status` and zones are shown from it


class ComputeApi:
    """State of the nova-api process."""

    app: ServiceApp

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.settings = runtime.settings.nova
        self.cells = Cells(runtime.database("nova_api"), runtime.database("nova_cell0"), runtime.database("nova_cell1"))
        self.fragments = Fragments()
        self.keystone = runtime.service("keystone", user="nova")
        self.neutron = runtime.service("neutron", user="nova")
        self.glance = runtime.service("glance", user="nova")
        self.placement = runtime.service("placement", user="nova")
        self._services: list[Mapping[str, Any]] = []
        self._services_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def view(self, req: Any) -> View:
        """How this caller sees servers."""
        return View.of(req.context.version[1], is_admin=req.context.caller.is_admin, base=base_of(req))

    async def instance(
        self, caller: Caller, uuid: str, *, deleted: bool = False, statement: Statement = instances.GET_INSTANCE
    ) -> tuple[int | None, Mapping[str, Any]]:
        """An instance that the caller may see: (cell id, row); the cell id is None while only a build request exists.

        Args: deleted: a deleted one will do. statement: what to read of a row in a cell; `project_id` and `deleted`
        must be in it.
        Raises: ApiError 404.
        """
        cell_id, row = await self.cells.find(uuid, statement)
        if row is None or not caller.owns(row["project_id"]) or (row["deleted"] and not deleted):
            raise ApiError(404, f"Instance {uuid} could not be found.")
        return cell_id, row

    async def placed(self, caller: Caller, uuid: str) -> tuple[int, Mapping[str, Any]]:
        """As `instance`, of one that is in a cell already; what most actions want.

        Raises: ApiError 404.
        """
        cell_id, row = await self.instance(caller, uuid)
        if cell_id is None:
            raise ApiError(404, f"Instance {uuid} could not be found.")
        return cell_id, row

    async def save(
        self, cell_id: int, uuid: str, changes: Mapping[str, Any], expected: object = instances.NO_TASK_CHECK
    ) -> int:
        """Update one instance; the number of rows matched."""
        return await instances.save(self.cells.by_id[cell_id], uuid, changes, expected)

    async def start_action(self, req: Any, cell_id: int, uuid: str, action: str) -> None:
        """Record that an action begins."""
        caller: Caller = req.context.caller
        await self.cells.by_id[cell_id].execute(
            instances.INSERT_ACTION,
            action=action,
            instance_uuid=uuid,
            request_id=req.context.request_id,
            user_id=caller.user_id,
            project_id=caller.project_id,
            start_time=utcnow_iso(),
        )

    async def services(self) -> list[Mapping[str, Any]]:
        """All service records, at most a second old."""
        now = asyncio.get_running_loop().time()
        if now >= self._services_until:
            self._services = list(await self.cells.by_id[2].fetch(GET_SERVICES))
            self._services_until = now + self.runtime.scaled(SERVICES_KEPT_S)
        return self._services

    def forget_services(self) -> None:
        """After a change: the next reader asks the database."""
        self._services_until = 0.0

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin what goes on after the answer; it ends with the process."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(self._tasks.discard)

    def is_up(self, service: Mapping[str, Any]) -> bool:
        """Whether a service has reported lately and is not forced down."""
        return is_up(service, self.runtime.scaled(self.settings.service_down_time_s))

    async def host_statuses(self) -> dict[str, str]:
        """`host_status` by host."""
        return {row["host"]: self._host_status(row) for row in await self.services() if row["binary"] == "nova-compute"}

    def _host_status(self, service: Mapping[str, Any]) -> str:
        if service["forced_down"]:
            return "DOWN"
        if not self.is_up(service):
            return "UNKNOWN"
        return "MAINTENANCE" if service["disabled"] else "UP"


def is_up(service: Mapping[str, Any], down_after_s: float) -> bool:
    """Whether a row of `services` counts as up."""
    return has_reported(service, oldest_report(down_after_s))


def oldest_report(down_after_s: float) -> str:
    """The moment since when a service must have reported to count as up."""
    return iso_micro(after(-down_after_s))


def has_reported(service: Mapping[str, Any], oldest: str) -> bool:
    """`is_up` for many rows at one moment. Args: oldest: of `oldest_report`."""
    last: str = service["last_seen_up"] or service["created_at"]
    return last >= oldest and not service["forced_down"]


def base_of(req: Any) -> str:
    """Scheme, host and port as the caller wrote them."""
    return str(req.prefix)


def check_state(
    row: Mapping[str, Any],
    action: str,
    *,
    vm_states: Iterable[str] | None = None,
    task_states: Iterable[str | None] | None = (None,),
    must_have_launched: bool = True,
) -> None:
    """Refuse with 409 an action that the state of an instance does not allow.

    Args: vm_states, task_states: None: any will do.
    """
    uuid = row["uuid"]
    if vm_states is not None and row["vm_state"] not in tuple(vm_states):
        raise ApiError(409, f"Cannot '{action}' instance {uuid} while it is in vm_state {row['vm_state']}")
    if task_states is not None and row["task_state"] not in tuple(task_states):
        raise ApiError(409, f"Cannot '{action}' instance {uuid} while it is in task_state {row['task_state']}")
    if must_have_launched and not row["launched_at"]:
        raise ApiError(409, f"Cannot '{action}' instance {uuid} while it is in launched_at None")


def check_lock(row: Mapping[str, Any], caller: Caller) -> None:
    """Refuse with 409 to touch a locked instance, unless the caller is an administrator."""
    if row["locked_by"] and not caller.is_admin:
        raise ApiError(409, f"Instance {row['uuid']} is locked")


def describe(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a message to a compute host carries of an instance. Ports that the user brought along are named."""
    told = {name: row[name] for name in ("uuid", "project_id", "user_id", "host", "vm_state", "task_state", "flavor")}
    vifs = orjson.loads(row["network_info"] or "[]")
    told["own_ports"] = [vif["id"] for vif in vifs if vif.get("preserve_on_delete")]
    return told


__all__ = ["CELL0_ID", "ComputeApi", "base_of", "check_lock", "check_state", "describe", "is_up", "states"]
