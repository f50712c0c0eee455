"""Deletes what a run made, found in the cloud by its mark alone: no run directory, ledger or worker's disk is needed.

It touches only what carries the mark (and ports that Nova made for servers that carry it), in the order in which things
depend on each other, at a bounded rate, and waits until they are gone. What will not go is reported with the reason.
A request that the run left in flight may still make something, so it looks again until nothing more appears.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from harness.cloud import compute, image, network
from harness.cloud.api import Api, RequestFailed
from harness.cloud.session import Cloud
from harness.core import marks

CLIENTS = 4
RATE_PER_S = 50.0
DEADLINE_S = 300.0
REPEAT_S = 15.0
QUIET_S = 2.0
_LOOK_AGAIN_S = 5.0  # at the latest, while it waits for what may yet appear
REQUEST_S = 60.0
# Servers that are gone can have left ports behind; Nova tells of deleted servers only to who asks for changes.
LONG_AGO = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A resource of ours that is still there, and why."""

    kind: str
    resource_id: str
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name or '(no name)'} ({self.resource_id}): {self.why}"


@dataclass(slots=True)
class CleanReport:
    """What a cleaning found and did. `deleted` counts what is gone now; a dry run deletes nothing."""

    found: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    left: list[Leftover] = field(default_factory=list)


@dataclass(slots=True)
class _Thing:
    resource_id: str
    name: str
    state: str = ""
    asked_at: float = float("-inf")
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    find: Callable[[], Iterable[_Thing]]
    delete: Callable[[str], Any]


def clean(
    cloud: Cloud,
    mark: str,
    *,
    say: Callable[[str], None] | None = None,
    dry_run: bool = False,
    quiet_s: float = QUIET_S,
) -> list[str]:
    """`sweep` for one mark, told in words: what would not go and why; empty when nothing of it is left."""
    report = sweep(cloud, [mark], say=say, dry_run=dry_run, quiet_s=quiet_s)
    return [str(leftover) for leftover in report.left]


def sweep(
    cloud: Cloud,
    wanted: Collection[str],
    *,
    dry_run: bool = False,
    say: Callable[[str], None] | None = None,
    deadline_s: float = DEADLINE_S,
    rate_per_s: float = RATE_PER_S,
    quiet_s: float = QUIET_S,
) -> CleanReport:
    """Delete everything in the cloud's project that carries one of the marks.

    Args:   deadline_s: for each kind of resource, from its first look, and then again for all to stay away. say: told
            in one line what happens. quiet_s: it is done when for so long, and in two looks, there was nothing.
    Raises: marks.MarkRefused. Requests that fail are tried again until the deadline and end in `left`.
            KeyboardInterrupt ends it at once, but for the few requests that are under way.
    """
    marks.check(wanted)
    api = Api(cloud, timeout_s=REQUEST_S)
    report = CleanReport()
    tell = say or (lambda line: None)
    ours: set[str] = set()
    kinds = _kinds(api, wanted, ours)
    began = quiet_since = time.monotonic()
    is_first = True
    with _pool() as pool:
        while True:
            found = 0
            for kind in kinds:
                found += _clean_kind(
                    kind, report, pool, tell, dry_run=dry_run, deadline_s=deadline_s, rate_per_s=rate_per_s
                )
            now = time.monotonic()
            if dry_run or report.left:
                return report
            if not found and not is_first and now - quiet_since >= quiet_s:
                return report
            if is_first or found:
                began, quiet_since = (now if is_first else began), now
            if now - began > deadline_s + quiet_s:
                why = f"something of this mark was made again and again, for {deadline_s:g} s"
                report.left.append(Leftover("anything", "?", "", why))
                return report
            is_first = False
            time.sleep(min(_LOOK_AGAIN_S, quiet_s / 2))


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Does not wait for its requests when the block raises: who breaks a clean-up off wants no minute on each."""
    pool = ThreadPoolExecutor(CLIENTS, thread_name_prefix="janitor")
    finished = False
    try:
        yield pool
        finished = True
    finally:
        pool.shutdown(wait=finished, cancel_futures=not finished)


def _clean_kind(
    kind: _Kind,
    report: CleanReport,
    pool: ThreadPoolExecutor,
    say: Callable[[str], None],
    *,
    dry_run: bool,
    deadline_s: float,
    rate_per_s: float,
) -> int:
    """Deletes what there is of one kind, or says why not. Returns how many there were."""
    deadline = time.monotonic() + deadline_s
    before = report.found.get(kind.name, 0), report.deleted.get(kind.name, 0)
    things: dict[str, _Thing] = {}
    failure = ""
    shown = -1
    while True:
        try:
            present = {thing.resource_id: thing for thing in kind.find()}
        except RequestFailed as error:
            # No list, no news: what is known stays, and we ask again.
            failure, present = f"cannot be listed: {error}", None
        if present is not None:
            for resource_id, thing in present.items():
                known = things.setdefault(resource_id, thing)
                known.state = thing.state
            remaining = [things[resource_id] for resource_id in present]
            report.found[kind.name] = before[0] + len(things)
            if dry_run:
                for thing in remaining:
                    say(f"would delete {kind.name} {thing.name} ({thing.resource_id})")
                return len(things)
            report.deleted[kind.name] = before[1] + len(things) - len(remaining)
            if len(remaining) != shown and things:
                shown = len(remaining)
                say(f"{kind.name}: {len(things) - len(remaining)} of {len(things)} deleted")
            if not remaining:
                return len(things)
            _delete_all(kind, remaining, pool, rate_per_s, deadline)
        if time.monotonic() > deadline:
            left = [things[resource_id] for resource_id in (present if present is not None else things)]
            for thing in left:
                why = thing.why or f"still there {deadline_s:g} s after we asked, in state {thing.state or 'unknown'}"
                report.left.append(Leftover(kind.name, thing.resource_id, thing.name, why))
            if present is None and not things:
                report.left.append(Leftover(kind.name, "?", "?", failure))
            return len(things)
        time.sleep(0.25 if present is not None and len(present) < 50 else 1.0)


def _delete_all(
    kind: _Kind, things: list[_Thing], pool: ThreadPoolExecutor, rate_per_s: float, deadline: float
) -> None:
    def delete(thing: _Thing) -> None:
        try:
            kind.delete(thing.resource_id)
            thing.why = ""
        except RequestFailed as error:
            thing.why = str(error)
            thing.asked_at = float("-inf")  # refused now, perhaps not in a moment: a port still in use, a deadlock

    next_at = time.monotonic()
    pending = []
    for thing in things:
        now = time.monotonic()
        if now > deadline:
            break
        if now - thing.asked_at < REPEAT_S:
            continue
        time.sleep(max(0.0, next_at - now))
        next_at = max(next_at, now) + 1 / rate_per_s
        thing.asked_at = time.monotonic()
        pending.append(pool.submit(delete, thing))
    for future in pending:
        future.result()


def _kinds(api: Api, wanted: Collection[str], ours: set[str]) -> list[_Kind]:
    """In the order of deletion. `ours` collects the ids of our servers, the deleted among them, for their ports."""

    def carries(module: Any, resource: dict[str, Any]) -> bool:
        return any(module.carries(resource, mark) for mark in wanted)

    def servers() -> Iterable[_Thing]:
        found = {}
        for mark in wanted:
            for server in compute.all_servers(api, name=mark):
                if carries(compute, server) and server["status"] not in ("DELETED", "SOFT_DELETED"):
                    state = f"{server['status']}, task {server.get('OS-EXT-STS:task_state')}"
                    found[server["id"]] = _Thing(server["id"], server["name"], state)
        ours.update(found)
        return found.values()

    def deleted_servers() -> None:
        for mark in wanted:
            for server in compute.all_servers(api, name=mark, changes_since=LONG_AGO):
                if carries(compute, server):
                    ours.add(server["id"])

    def ports() -> Iterable[_Thing]:
        deleted_servers()
        return [
            _Thing(port["id"], port["name"] or f"of server {port['device_id']}", port.get("status", ""))
            for port in network.all_of(api, "ports")
            if carries(network, port) or (port["device_id"] in ours and port["device_owner"].startswith("compute:"))
        ]

    def neutron(collection: str) -> Callable[[], Iterable[_Thing]]:
        def find() -> Iterable[_Thing]:
            return [
                _Thing(each["id"], each["name"], each.get("status", ""))
                for each in network.all_of(api, collection)
                if carries(network, each)
            ]

        return find

    def keypairs() -> Iterable[_Thing]:
        found = compute.list_keypairs(api)
        return [_Thing(each["name"], each["name"]) for each in found if marks.bears_any(each["name"], wanted)]

    def images() -> Iterable[_Thing]:
        found = image.all_images(api)
        return [
            _Thing(each["id"], each["name"], each["status"]) for each in found if marks.bears_any(each["name"], wanted)
        ]

    return [
        _Kind("server", servers, lambda i: compute.delete_server(api, i)),
        _Kind("port", ports, lambda i: network.delete_port(api, i)),
        _Kind("security group", neutron("security-groups"), lambda i: network.delete_security_group(api, i)),
        _Kind("subnet", neutron("subnets"), lambda i: network.delete_subnet(api, i)),
        _Kind("network", neutron("networks"), lambda i: network.delete_network(api, i)),
        _Kind("keypair", keypairs, lambda i: compute.delete_keypair(api, i)),
        _Kind("image", images, lambda i: image.delete_image(api, i)),
    ]
