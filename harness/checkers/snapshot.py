"""What the cloud said of itself at one moment: typed views over one snapshot document.

A snapshot that could not be taken whole says so; a view over a part that is missing raises `Missing`, which makes the
checker that asked answer unknown instead of finding damage in what was merely not read.
"""

from functools import cached_property
from typing import Any

from msgspec import Struct

GONE = frozenset({"DELETED", "SOFT_DELETED"})
# States in which a server has a host and a settled allocation, as long as no task is under way.
SETTLED = frozenset({"ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "RESCUE"})
# What a snapshot notes when it could list no other project's servers: the run's own are all there.
_OWN_ONLY = "servers: only those of our own project"


class Missing(Exception):
    """A part of the history that a checker needs is not there. Nothing was judged."""


class Server(Struct, frozen=True):
    """A server as Nova lists it. Times are ISO strings of the cloud's own clock."""

    id: str
    name: str
    status: str
    task_state: str | None
    vm_state: str | None
    host: str | None
    project_id: str | None
    vcpus: int | None
    ram_mb: int | None
    disk_gb: int | None
    created: str | None
    updated: str | None
    launched: str | None
    addresses: frozenset[tuple[str, str]]

    @property
    def is_settled(self) -> bool:
        """Came to life, and nothing is being done to it."""
        return self.status in SETTLED and not self.task_state and bool(self.host)

    @property
    def hides_its_host(self) -> bool:
        """Lives somewhere, and the account that looked may not see where."""
        return self.status in SETTLED and not self.task_state and not self.host

    @property
    def is_building(self) -> bool:
        return self.status == "BUILD" or self.vm_state == "building"

    @property
    def in_transition(self) -> bool:
        return self.is_building or bool(self.task_state)

    @property
    def never_lived(self) -> bool:
        """No host has it: not while it builds, and not after the build was given up."""
        return not self.host and (self.is_building or self.status == "ERROR")

    @property
    def resources(self) -> dict[str, int | None]:
        """What its flavor asks of Placement, by resource class; None where the snapshot does not say."""
        return {"VCPU": self.vcpus, "MEMORY_MB": self.ram_mb, "DISK_GB": self.disk_gb}


class Port(Struct, frozen=True):
    """A port as Neutron lists it."""

    id: str
    name: str
    network_id: str
    device_id: str
    device_owner: str
    status: str
    host: str | None
    mac: str
    ips: tuple[str, ...]
    project_id: str | None
    tags: tuple[str, ...]

    @property
    def is_servers(self) -> bool:
        return self.device_owner.startswith("compute:")


class Provider(Struct, frozen=True):
    """A resource provider with what it has, what it says is used, and who holds how much of it."""

    uuid: str
    name: str
    inventories: dict[str, dict[str, float]]
    usages: dict[str, float]
    allocations: dict[str, dict[str, float]]


class Snapshot:
    """One snapshot document.

    Args: name: "before", "after" or "cleaned". document: as read from the run directory, None when there is none.
    """

    def __init__(self, name: str, document: dict[str, Any] | None) -> None:
        self.name, self.document = name, document

    @property
    def exists(self) -> bool:
        return self.document is not None

    @property
    def taken_ns(self) -> int:
        return int(self._document().get("taken_ns") or 0)

    @property
    def project_id(self) -> str | None:
        return self._document().get("project_id")

    def rows(self, part: str) -> Any:
        """One part of the document.  Raises Missing when it was not read, or not read whole."""
        document = self._document()
        errors = [str(error) for error in document.get("errors") or []]
        broken = [error for error in errors if error.startswith(f"{part}:") and not error.startswith(_OWN_ONLY)]
        if broken:
            raise Missing(f"snapshot {self.name!r}: {'; '.join(broken)}")
        if document.get(part) is None:
            errors = [error for error in errors if not error.startswith(_OWN_ONLY)]
            raise Missing(f"snapshot {self.name!r} has no {part}{': ' + '; '.join(errors) if errors else ''}")
        if document.get("complete") is False and not errors:
            raise Missing(f"snapshot {self.name!r} is not complete")
        return document[part]

    def has(self, part: str) -> bool:
        try:
            self.rows(part)
        except Missing:
            return False
        return True

    @cached_property
    def servers(self) -> dict[str, Server]:
        """Servers that exist, by id."""
        found = (_server(row) for row in self.rows("servers"))
        return {server.id: server for server in found if server.status not in GONE}

    @cached_property
    def ports(self) -> dict[str, Port]:
        return {row["id"]: _port(row) for row in self.rows("ports")}

    @cached_property
    def providers(self) -> list[Provider]:
        return [_provider(row) for row in self.rows("providers")]

    @cached_property
    def held(self) -> dict[str, list[tuple[Provider, dict[str, float]]]]:
        """By consumer: the providers that it holds something of, by name, and what."""
        found: dict[str, list[tuple[Provider, dict[str, float]]]] = {}
        for provider in sorted(self.providers, key=lambda each: (each.name, each.uuid)):
            for consumer, resources in provider.allocations.items():
                found.setdefault(consumer, []).append((provider, resources))
        return found

    def _document(self) -> dict[str, Any]:
        if self.document is None:
            raise Missing(f"snapshot {self.name!r} was not taken")
        return self.document


def _server(row: dict[str, Any]) -> Server:
    flavor = row.get("flavor") or {}
    return Server(
        id=str(row["id"]),
        name=row.get("name") or "",
        status=str(row.get("status") or "UNKNOWN").upper(),
        task_state=row.get("task_state") or None,
        vm_state=row.get("vm_state") or None,
        host=row.get("host") or None,
        project_id=row.get("project_id"),
        vcpus=flavor.get("vcpus"),
        ram_mb=flavor.get("ram_mb"),
        disk_gb=flavor.get("disk_gb"),
        created=row.get("created"),
        updated=row.get("updated"),
        launched=row.get("launched"),
        addresses=frozenset(
            (str(each.get("mac") or "").lower(), str(each.get("ip") or "")) for each in row.get("addresses") or []
        ),
    )


def _port(row: dict[str, Any]) -> Port:
    return Port(
        id=str(row["id"]),
        name=row.get("name") or "",
        network_id=row.get("network_id") or "",
        device_id=row.get("device_id") or "",
        device_owner=row.get("device_owner") or "",
        status=str(row.get("status") or "").upper(),
        host=row.get("host") or None,
        mac=str(row.get("mac") or "").lower(),
        ips=tuple(str(each.get("ip") or "") for each in row.get("fixed_ips") or []),
        project_id=row.get("project_id"),
        tags=tuple(row.get("tags") or ()),
    )


def _provider(row: dict[str, Any]) -> Provider:
    return Provider(
        uuid=str(row["uuid"]),
        name=row.get("name") or "",
        inventories=row.get("inventories") or {},
        usages=row.get("usages") or {},
        allocations=row.get("allocations") or {},
    )
