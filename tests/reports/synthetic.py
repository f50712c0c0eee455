"""Writes run directories as a run would: for tests of the reports, for the benchmark, and to look at.

The cloud is a formula: log-normal service times, a slow database in one phase, a hanging broker in another, a burst.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.clock import MS, S
from harness.rundir import RunDirectory, SegmentWriter
from tests.checkers.worlds import EPOCH_WALL_NS, World

ROUTES = {
    "GET /servers/{id}": ("compute", 14, 0.46),
    "GET /servers/detail": ("compute", 38, 0.14),
    "GET /v2.0/networks": ("network", 11, 0.2),
    "POST /v3/auth/tokens": ("identity", 24, 0.1),
    "POST /servers": ("compute", 60, 0.05),
    "DELETE /servers/{id}": ("compute", 25, 0.05),
}
PHASES = (
    ("warm-up", "warm-up", 8),
    ("baseline", "baseline", 25),
    ("slow database", "fault", 25),
    ("recovery 1", "recovery", 15),
    ("hanging broker", "fault", 20),
    ("recovery 2", "recovery", 20),
)
FAULTS = (
    ("1-database.latency", "database.latency", "database", 35, 15, {"latency": "40 ms"}),
    ("2-broker.hang", "broker.hang", "broker", 76, 5, {}),
)
EXPERIMENT = """\
version: 1
name: burst-500
title: 500 servers at once, with a slow database and a hanging broker
seed: 20260101
time_scale: 0.1
cloud: {emulator: {hypervisors: 1000}}
phases:
  - {name: baseline, kind: baseline, for: 25 s}   # <script>alert("from the cloud")</script>
"""


def write_run(
    path: Path,
    *,
    rate: float = 40,
    stretch: float = 1.0,
    burst: int = 500,
    failing: bool = False,
    drill: bool = False,
    seed: int = 7,
) -> RunDirectory:
    """A finished run, not judged yet.

    Args: rate: background requests per second. stretch: multiplies the length of every phase. failing: the database was
    killed in the burst: errors, stuck builds, missed targets. drill: the experiment expected just that.
    """
    rng = np.random.default_rng(seed)
    run = RunDirectory.create(path)
    phases, end_ns = [], 0
    for name, kind, seconds in PHASES:
        start_ns, end_ns = end_ns, end_ns + round(seconds * stretch * S)
        phases.append({"name": name, "kind": kind, "start_ns": start_ns, "end_ns": end_ns})
    faults = [
        {"id": key, "fault": fault, "target": target, "params": parameters}
        | {"start_ns": round(at * stretch * S), "duration_ns": round(lasts * stretch * S)}
        for key, fault, target, at, lasts, parameters in FAULTS
    ]
    if failing:
        faults[0].update(id="1-database.crash", fault="database.crash", params={}, duration_ns=round(2 * S))
    world = World(0, stuck_after_s=13)
    plan = {**world.plan, "name": "burst-500", "title": "500 servers at once <b>while</b> the database suffers"}
    plan.update(phases=phases, faults=faults, end_ns=end_ns, seed=seed, workers=2, time_scale=0.1, slos=_objectives())
    plan["swarms"] = [
        {"name": "background", "scenario": "background", "start_ns": 0, "end_ns": end_ns},
        {"name": "burst", "scenario": "burst", "start_ns": phases[2]["start_ns"], "end_ns": phases[2]["end_ns"]},
    ]
    for swarm, arrivals in zip(
        plan["swarms"], ({"kind": "poisson", "rate": rate}, {"kind": "burst", "count": 1}), strict=True
    ):
        swarm["arrivals"] = arrivals
    if drill:
        plan["expect"] = {"exit": 5, "findings": ["stuck_build", "leaked_allocation"]}
    run.write_json("plan.json", plan)
    run.write_bytes("experiment.yaml", EXPERIMENT.encode())
    _write_journal(run, faults)
    _write_requests(run, rng, rate, end_ns, faults, failing)
    _write_burst(run, rng, world, plan, burst, failing)
    _write_gauges(run, rng, end_ns, faults)
    _write_health(run, rng, end_ns, rate)
    run.write_json("run.json", _run_document(plan, end_ns, seed))
    return run


def _objectives() -> list[dict[str, Any]]:
    def one(phase: str, measure: str, bound: str, limit: float, **names: str) -> dict[str, Any]:
        return {"phase": phase, "measure": measure, "bound": bound, "limit": limit, **names}

    return [
        one("baseline", "response_p95", "at_most", 500.0 * MS, route="GET /servers/{id}"),
        one("baseline", "response_p99", "at_most", 1500.0 * MS, route="GET /servers/detail"),
        one("*", "availability", "at_least", 0.999),
        one("baseline", "throughput", "at_least", 20.0),
        one("slow database", "ready_p99", "at_most", 60.0 * S, swarm="burst"),
        one("slow database", "success_ratio", "at_least", 0.995, swarm="burst"),
        one("*", "time_to_recover", "at_most", 10.0 * S),
        one("slow database", "degradation", "at_most", 20.0),
        one("*", "headroom", "at_least", 0.02),
    ]


def _write_journal(run: RunDirectory, faults: list[dict[str, Any]]) -> None:
    lines = []
    for fault in faults:
        start, over = fault["start_ns"], fault["start_ns"] + fault["duration_ns"]
        detail = ", ".join(f"{key} {value}" for key, value in fault["params"].items())
        events = (
            ("planned", start - S),
            ("journalled", start - 2 * MS),
            ("injected", start),
            ("bites", start + 40 * MS),
        )
        for event, at_ns in (*events, ("undoing", over - 5 * MS), ("undone", over), ("gone", over + 60 * MS)):
            keys = {"id": fault["id"], "fault": fault["fault"], "target": fault["target"]}
            lines.append(json.dumps({**keys, "event": event, "at_ns": at_ns, "detail": detail}))
    run.write_bytes("faults.jsonl", ("\n".join(lines) + "\n").encode())


def _write_requests(
    run: RunDirectory, rng: np.random.Generator, rate: float, end_ns: int, faults: list[dict[str, Any]], failing: bool
) -> None:
    count = rng.poisson(rate * end_ns / S)
    intended = np.sort(rng.integers(0, end_ns, count))
    names = list(ROUTES)
    shares = np.array([share for _, _, share in ROUTES.values()])
    route = rng.choice(len(names), count, p=shares / shares.sum())
    service = np.array([ms for _, ms, _ in ROUTES.values()])[route] * MS * rng.lognormal(0, 0.35, count)
    slow, hang = faults
    status = np.where(route >= 3, 202, 200).astype(np.int16)
    ending = np.full(count, "answered", object)
    within = (intended >= slow["start_ns"]) & (intended < slow["start_ns"] + slow["duration_ns"])
    if failing:
        broken = within & (rng.random(count) < 0.9)
        status[broken], service[broken] = 500, 8 * MS
        cut = broken & (rng.random(count) < 0.1)
        status[cut], ending[cut] = 0, "reset"
    else:
        service[within] += 40 * MS * rng.integers(2, 6, int(within.sum()))
    hung = (intended >= hang["start_ns"]) & (intended < hang["start_ns"] + hang["duration_ns"]) & (route >= 4)
    service[hung] += (
        hang["start_ns"] + hang["duration_ns"] - intended[hung] + rng.exponential(300 * MS, int(hung.sum()))
    )
    delay = rng.exponential(0.4 * MS, count)
    sent = intended + delay.astype(np.int64)
    done = sent + service.astype(np.int64)
    failed = (status == 0) | (status >= 500)
    keep = failed | (service > np.quantile(service, 0.995))
    changes = route >= 3
    columns = {
        "swarm": np.full(count, "background", object),
        "scenario": np.full(count, "background", object),
        "service": np.array([ROUTES[name][0] for name in names], object)[route],
        "route": np.array(names, object)[route],
        "intended_ns": intended,
        "sent_ns": sent,
        "done_ns": done,
        "status": status,
        "effect": np.where(~changes, "none", np.where(failed, "unknown", "done")),
        "ending": ending,
        "request_id": np.array(
            [f"req-{n:08x}-1111-4222-8333-444444444444" if k else None for n, k in enumerate(keep)], object
        ),
        "bytes": rng.integers(200, 9000, count),
    }
    for worker in range(2):
        writer = SegmentWriter(run.path, "requests", f"worker-{worker}", {"cloud": "embedded", "project": "demo"})
        mine = np.arange(count) % 2 == worker
        for chunk in np.array_split(np.flatnonzero(mine), max(1, count // 100_000)):
            writer.append({name: values[chunk].tolist() for name, values in columns.items()})
        writer.close()


def _write_burst(
    run: RunDirectory, rng: np.random.Generator, world: World, plan: dict[str, Any], burst: int, failing: bool
) -> None:
    start = plan["phases"][2]["start_ns"] + 3 * S
    name = f"{plan['mark']}-burst"
    world.ask(name, 1, count=burst)
    ready = start + (1.5 * S + np.sort(rng.gamma(4, 2.2, burst)) * S).astype(np.int64)
    for number in range(burst):
        identity = f"5f0c{number:04x}-0000-4000-8000-00000000{number:04x}"
        world.add_server(identity, f"{name}-{number + 1}", f"host-{number % 2}", number % 200, operation=False)
        server, port = world.after["servers"][-1], world.after["ports"][-1]
        server["addresses"][0]["ip"] = port["fixed_ips"][0]["ip"] = f"10.0.{number // 250}.{number % 250 + 2}"
        server["addresses"][0]["mac"] = port["mac"] = f"fa:16:3e:01:{number // 250:02x}:{number % 250:02x}"
        times = {"intended_ns": start, "sent_ns": start + MS, "accepted_ns": start + 900 * MS}
        stuck = failing and number % 12 == 0
        ready_ns = int(ready[number])
        world.operation(
            number + 1000, f"{name}-{number + 1}", identity, batch=1, swarm="burst", scenario="burst", **times
        ).update(ready_ns=ready_ns, ready_level="port_active", resolution_ns=250 * MS)
        if stuck:
            world.strand(identity, holds=number % 24 == 0)
    for document in (world.before, world.after, world.cleaned):
        for provider in document["providers"]:
            for inventory in provider["inventories"].values():
                inventory["total"] *= 1000
    world.recount()
    world.after["taken_ns"], world.cleaned["taken_ns"] = plan["end_ns"] + 20 * S, plan["end_ns"] + 40 * S
    writer = SegmentWriter(run.path, "operations", "worker-0", {"cloud": "embedded", "project": "demo"})
    columns = ("operation_id", "swarm", "scenario", "kind", "name", "resource_id", "batch", "intended_ns", "sent_ns")
    columns += ("accepted_ns", "ready_ns", "ready_level", "resolution_ns", "status", "effect", "ending")
    writer.append({column: [row.get(column) for row in world.operations] for column in columns})
    writer.close()
    line = {"at_ns": start, "kind": "server", "name": name, "mark": plan["mark"], "operation_id": 1, "count": burst}
    run.write_bytes("ledger/worker-0.jsonl", (json.dumps(line) + "\n").encode())
    for key in ("before", "after", "cleaned"):
        run.write_json(f"snapshots/{key}.json.gz", getattr(world, key))


def _write_gauges(run: RunDirectory, rng: np.random.Generator, end_ns: int, faults: list[dict[str, Any]]) -> None:
    at = np.arange(0, end_ns, S, dtype=np.int64)
    hang = faults[1]
    pressure = ((at >= hang["start_ns"]) & (at < hang["start_ns"] + hang["duration_ns"])).astype(float)
    burst = np.exp(-(((at / S - 42) / 8) ** 2))
    series = [
        ("database", "connections", 22 + 30 * burst + rng.integers(0, 4, len(at)), 100.0, None),
        ("database", "lock waits", rng.poisson(0.2, len(at)) + 6 * burst, None, None),
        ("broker", "ready", 140 * burst + 220 * pressure + rng.integers(0, 3, len(at)), None, None),
        ("broker", "unacked", 30 * burst + rng.integers(0, 3, len(at)), None, None),
        ("broker", "connections", np.full(len(at), 14.0), None, None),
        ("slots", "used", np.minimum(8, 1 + 5 * burst + 6 * pressure), 8.0, "nova"),
        ("slots", "used", np.minimum(8, 1 + 2 * burst), 8.0, "neutron"),
        ("placement", "VCPU", 500 / (1 + np.exp(-(at / S - 42))), 16000.0, None),
        ("client", "busy cores", np.minimum(2, 0.5 + burst + rng.normal(0, 0.08, len(at))), 2.0, None),
    ]
    writer = SegmentWriter(run.path, "gauges", "engine", {"cloud": "embedded"})
    for source, name, values, capacity, labels in series:
        writer.append(
            {
                "at_ns": at,
                "source": [source] * len(at),
                "name": [name] * len(at),
                "value": np.asarray(values, float),
                "capacity": [capacity] * len(at),
                "labels": [labels] * len(at),
            }
        )
    writer.close()


def _write_health(run: RunDirectory, rng: np.random.Generator, end_ns: int, rate: float) -> None:
    seconds = np.arange(end_ns // S, dtype=np.int32)
    for worker in range(2):
        intended = rng.poisson(rate / 2, len(seconds)).astype(np.int32)
        errors = (0.9 * MS * rng.lognormal(0, 0.5, len(seconds))).astype(np.int64)
        errors[rng.integers(0, len(seconds), 2)] = 31 * MS
        writer = SegmentWriter(run.path, "health", f"worker-{worker}")
        writer.append(
            {
                "second": seconds,
                "intended": intended,
                "started": intended,
                "late": np.where(errors > 5 * MS, 2, 0).astype(np.int32),
                "dropped": np.zeros(len(seconds), np.int32),
                "in_flight": rng.integers(0, 40, len(seconds)).astype(np.int32),
                "start_error_p50_ns": (errors // 6),
                "start_error_p99_ns": errors,
                "loop_lag_p99_ns": (errors // 2),
                "run_queue_ns": (errors // 3),
                "cpu_share": rng.uniform(0.1, 0.4, len(seconds)).astype(np.float32),
            }
        )
        writer.close()
        clocks = SegmentWriter(run.path, "clocks", f"worker-{worker}")
        clocks.append(
            {"host": ["bench-1"], "pid": [4000 + worker], "offset_ns": [120], "error_ns": [9000], "measured_ns": [0]}
        )
        clocks.close()


def _run_document(plan: dict[str, Any], end_ns: int, seed: int) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run_id": plan["run_id"],
        "name": plan["name"],
        "seed": seed,
        "level": "adapter",
        "venue": "embedded cloud, 1000 hypervisors",
        "versions": {"python": "3.11.2", "squall": "0.1.0", "locust": "2.47.0", "openstacksdk": "4.22.0"},
        "commit": "20e375d0c0ffee",
        "extensions": [
            {
                "group": "squall.faults",
                "name": "acme.slow",
                "value": "acme.slow",
                "distribution": "acme",
                "version": "1.2",
            }
        ],
        "machine": {
            "system": "Linux 6.1",
            "architecture": "x86_64",
            "processor": "a processor",
            "cores": 2,
            "memory_mib": 24576,
        },
        "started_wall_ns": EPOCH_WALL_NS - 12 * S,
        "epoch_wall_ns": EPOCH_WALL_NS,
        "ended_wall_ns": EPOCH_WALL_NS + end_ns + 60 * S,
        "interrupted": False,
        "aborted": None,
        "worker_lost": [],
        "open_faults": [],
        "left_behind": [],
        "torn_segments": {},
    }


def write_empty_run(path: Path) -> RunDirectory:
    """A run of which nothing but run.json was written: killed at its first breath."""
    run = RunDirectory.create(path)
    run.write_json("run.json", {"schema_version": 1, "run_id": "20260101T000000-abc", "started_wall_ns": EPOCH_WALL_NS})
    return run


def tear(run: RunDirectory) -> None:
    """What `kill -9` in the middle leaves: a torn segment, torn lines, no end, no snapshot after the run."""
    segment = run.path / "segments" / "requests-worker-1.arrows"
    segment.write_bytes(segment.read_bytes()[:-5000])
    journal = run.path / "faults.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:10])[:-20])
    for name in ("after", "cleaned"):
        (run.path / "snapshots" / f"{name}.json.gz").unlink()
    document = run.read_json("run.json")
    for key in (
        "ended_wall_ns",
        "interrupted",
        "aborted",
        "worker_lost",
        "open_faults",
        "left_behind",
        "torn_segments",
    ):
        document.pop(key)
    run.write_json("run.json", document)
