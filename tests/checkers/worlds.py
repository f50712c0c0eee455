"""Small hand-made worlds: a run that asked for a few servers, and the cloud before, after and cleaned."""

import copy
from typing import Any

import pandas as pd

from harness.checkers.history import History, Intent, fault_records
from harness.checkers.snapshot import Snapshot
from harness.core.clock import S
from harness.rundir import TABLES

RUN = "20260101T000000-abc"
MARK = f"squall-{RUN}"
EPOCH_WALL_NS = 1_767_225_600 * S  # 2026-01-01T00:00:00Z
PROJECT = "p1"
TAKEN_NS = 200 * S
FLAVOR = {"name": "m1.tiny", "vcpus": 1, "ram_mb": 64, "disk_gb": 1}
HELD = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}
NETWORK = "net-1"


def frame(table: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as the table that a run directory would give; what a row leaves out is null."""
    import pyarrow as pa

    schema = TABLES[table]
    columns = {}
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        columns[field.name] = pa.array([row.get(field.name) for row in rows], kind).cast(field.type)
    return pa.table(columns, schema=schema).to_pandas()


class World:
    """A healthy run of `count` servers, one request each, made to be damaged by a test and then read as a history."""

    def __init__(self, count: int = 3, stuck_after_s: float = 60.0) -> None:
        self.plan: dict[str, Any] = {
            "run_id": RUN,
            "mark": MARK,
            "level": "adapter",
            "ready": "active",
            "stuck_after_s": stuck_after_s,
            "phases": [
                {"name": "baseline", "kind": "baseline", "start_ns": 0, "end_ns": 60 * S},
            ],
            "swarms": [],
            "faults": [],
            "slos": [],
        }
        self.run: dict[str, Any] = {"epoch_wall_ns": EPOCH_WALL_NS, "ended_wall_ns": EPOCH_WALL_NS + 300 * S}
        self.operations: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.gauges: list[dict[str, Any]] = []
        self.health: list[dict[str, Any]] = []
        self.journal: list[dict[str, Any]] = []
        self.ledger: list[Intent] = []
        empty = {"complete": True, "errors": [], "project_id": PROJECT, "servers": [], "ports": [], "networks": []}
        empty |= {
            "subnets": [],
            "security_groups": [],
            "keypairs": [],
            "images": [],
            "limits": {},
            "project_usages": {},
        }
        self.before: dict[str, Any] | None = {**copy.deepcopy(empty), "taken_ns": -5 * S}
        self.after: dict[str, Any] | None = {**copy.deepcopy(empty), "taken_ns": TAKEN_NS}
        self.cleaned: dict[str, Any] | None = {**copy.deepcopy(empty), "taken_ns": TAKEN_NS + 10 * S}
        for document in (self.before, self.after, self.cleaned):
            document["providers"] = [self.provider(host) for host in ("host-0", "host-1")]
        for number in range(count):
            self.ask(f"{MARK}-{number}", operation_id=number + 1)
            self.add_server(f"s{number}", f"{MARK}-{number}", host=f"host-{number % 2}", number=number)
            self.read(number + 5, f"s{number}", "ACTIVE")
        self.recount()

    @staticmethod
    def provider(name: str) -> dict[str, Any]:
        total = {"VCPU": 10, "MEMORY_MB": 10_000, "DISK_GB": 100}
        inventories = {key: {"total": value, "reserved": 0, "allocation_ratio": 1.0} for key, value in total.items()}
        return {"uuid": f"rp-{name}", "name": name, "inventories": inventories, "usages": {}, "allocations": {}}

    def ask(self, name: str, operation_id: int, count: int = 1) -> None:
        self.ledger.append(Intent(name=name, operation_id=operation_id, count=count, at_ns=operation_id * S))

    def operation(self, operation_id: int, name: str | None, resource: str | None, **changes: Any) -> dict[str, Any]:
        at_ns = operation_id * S
        row = {"operation_id": operation_id, "kind": "server.create", "name": name, "resource_id": resource}
        row |= {"swarm": "background", "scenario": "background", "intended_ns": at_ns, "sent_ns": at_ns}
        row |= {"accepted_ns": at_ns + S // 10, "ready_ns": at_ns + 2 * S, "ready_level": "active", "status": "ACTIVE"}
        row |= {"effect": "done", "ending": "answered", "process": "worker-0", **changes}
        self.operations.append(row)
        return row

    def read(self, at_s: int, resource: str, status: str) -> dict[str, Any]:
        """A user reads a server for a tenth of a second, and is told its status."""
        return self.operation(
            1000 + at_s, None, resource, kind="server.read", status=status, intended_ns=at_s * S, sent_ns=at_s * S,
            accepted_ns=at_s * S + S // 10, ready_ns=at_s * S + S // 10, ready_level=None,
        )  # fmt: skip

    def add_server(self, identity: str, name: str, host: str | None, number: int, *, operation: bool = True) -> None:
        """A live server with its port and allocation, and the operation that asked for it."""
        if operation:
            self.operation(number + 1, name, identity)
        ip, mac = f"10.0.0.{number + 10}", f"fa:16:3e:00:00:{number:02x}"
        self.after["servers"].append(
            {"id": identity, "name": name, "status": "ACTIVE", "task_state": None, "vm_state": "active", "host": host}
            | {"project_id": PROJECT, "flavor": dict(FLAVOR), "created": "2026-01-01T00:00:01Z"}
            | {"updated": "2026-01-01T00:00:03Z", "launched": "2026-01-01T00:00:03.000000", "metadata": {}}
            | {"addresses": [{"network": "private", "ip": ip, "mac": mac}]}
        )
        self.after["ports"].append(
            {"id": f"port-{identity}", "name": "", "network_id": NETWORK, "device_id": identity, "status": "ACTIVE"}
            | {"device_owner": "compute:nova", "host": host, "mac": mac, "project_id": PROJECT, "tags": []}
            | {"fixed_ips": [{"subnet_id": "sub-1", "ip": ip}]}
        )
        for provider in self.after["providers"]:
            if provider["name"] == host:
                provider["allocations"][identity] = dict(HELD)

    def recount(self) -> None:
        """Makes the usages agree with what is there, in all three snapshots."""
        for document in (self.before, self.after, self.cleaned):
            if document is None:
                continue
            live = [each for each in document["servers"] if each["project_id"] == PROJECT]
            held = [each for rp in document["providers"] for each in rp["allocations"].values()]
            document["limits"] = {
                "totalInstancesUsed": len(live),
                "totalCoresUsed": sum(each["flavor"]["vcpus"] for each in live),
                "totalRAMUsed": sum(each["flavor"]["ram_mb"] for each in live),
            }
            document["project_usages"] = {key: sum(each.get(key, 0) for each in held) for key in HELD}
            for rp in document["providers"]:
                rp["usages"] = {key: sum(each.get(key, 0) for each in rp["allocations"].values()) for key in HELD}

    def server(self, identity: str) -> dict[str, Any]:
        return next(each for each in self.after["servers"] if each["id"] == identity)

    def port(self, server: str) -> dict[str, Any]:
        return next(each for each in self.after["ports"] if each["device_id"] == server)

    def row(self, identity: str) -> dict[str, Any]:
        """The operation that asked for a server."""
        kind = "server.create"
        return next(each for each in self.operations if (each["resource_id"], each["kind"]) == (identity, kind))

    def allocations(self, host: str) -> dict[str, Any]:
        return next(each["allocations"] for each in self.after["providers"] if each["name"] == host)

    def drop_server(self, identity: str) -> None:
        """Takes a server and all that is its out of the snapshot after the run."""
        self.after["servers"] = [each for each in self.after["servers"] if each["id"] != identity]
        self.after["ports"] = [each for each in self.after["ports"] if each["device_id"] != identity]
        for rp in self.after["providers"]:
            rp["allocations"].pop(identity, None)

    def strand(self, identity: str, *, holds: bool) -> None:
        """What `kill -9` of the database leaves: BUILD, scheduling, no host, no addresses, perhaps an allocation."""
        server = self.server(identity)
        host = server["host"]
        server.update(status="BUILD", task_state="scheduling", vm_state="building", host=None, addresses=[])
        server.update(launched=None, updated=server["created"])
        self.after["ports"] = [each for each in self.after["ports"] if each["device_id"] != identity]
        if not holds:
            self.allocations(host).pop(identity)
        self.row(identity).update(ready_ns=None, status="BUILD")

    def history(self) -> History:
        return History(
            run=self.run,
            plan=self.plan,
            requests=frame("requests", self.requests),
            operations=frame("operations", self.operations),
            gauges=frame("gauges", self.gauges),
            health=frame("health", self.health),
            faults=fault_records(self.journal),
            ledger=list(self.ledger),
            before=Snapshot("before", self.before),
            after=Snapshot("after", self.after),
            cleaned=Snapshot("cleaned", self.cleaned),
        )
