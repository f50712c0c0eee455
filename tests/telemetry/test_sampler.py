"""The sampler: a part that does not answer costs its own gauges only."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any
from urllib.request import urlopen

from harness.core.clock import FakeClock
from harness.telemetry import Gauge, Sampler
from harness.telemetry.machine import Machine
from harness.telemetry.prometheus import Exporter, RunCollector


class Answers:
    name, period_s = "database", 0.01

    async def read(self) -> list[Gauge]:
        return [Gauge("database", "connections", 7, 100)]

    async def close(self) -> None:
        return None


class Hangs:
    name, period_s = "broker", 0.01

    async def read(self) -> list[Gauge]:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def close(self) -> None:
        return None


def test_a_hung_part_is_down_and_the_others_go_on() -> None:
    rows: list[tuple[str, str, float]] = []
    hung = threading.Event()

    def append(columns: Mapping[str, list[Any]]) -> None:
        rows.extend(zip(columns["source"], columns["name"], columns["value"], strict=True))
        if ("broker", "up", 0.0) in rows:
            hung.set()

    sampler = Sampler([Answers(), Hangs()], FakeClock(), append)
    sampler.start()
    assert hung.wait(10)
    sampler.stop()
    assert rows.count(("database", "connections", 7)) > 3
    assert ("broker", "up", 1.0) not in rows
    assert Gauge("database", "connections", 7, 100) in sampler.latest()


def test_prometheus_shows_gauges_faults_and_phase() -> None:
    state = {
        "phase": "baseline",
        "rates": {"done": 12},
        "servers": {"ACTIVE": 3},
        "faults": [("database.hang", "database")],
    }
    exporter = Exporter(RunCollector(lambda: state, lambda: [Gauge("database", "connections", 7, 100)]))
    with urlopen(exporter.url, timeout=5) as answer:
        text = answer.read().decode()
    exporter.close()
    for line in (
        'squall_gauge{labels="",name="connections",source="database"} 7.0',
        'squall_gauge_capacity{labels="",name="connections",source="database"} 100.0',
        'squall_fault_active{fault="database.hang",target="database"} 1.0',
        'squall_phase{phase="baseline"} 1.0',
        'squall_servers{status="ACTIVE"} 3.0',
    ):
        assert line in text


def test_the_machine_tells_its_cores() -> None:
    machine = Machine()
    sum(i * i for i in range(3_000_000))  # some work, so that time has passed in jiffies
    gauges = {gauge.name: gauge for gauge in asyncio.run(machine.read())}
    assert 0 < gauges["memory MiB"].value < (gauges["memory MiB"].capacity or 0)
    assert 0 <= gauges["busy cores"].value <= (gauges["busy cores"].capacity or 0)
