"""The machine that runs the load: if it is the one that gives out, the run says nothing about the cloud."""

import os

from harness.telemetry.gauge import Gauge


class Machine:
    """Busy cores and used memory, from /proc (Linux); gives nothing elsewhere."""

    name = "client"
    period_s = 1.0

    def __init__(self) -> None:
        self._before = _cpu_times()

    async def read(self) -> list[Gauge]:
        now = _cpu_times()
        if not now or not self._before:
            return []
        total, idle = (now[i] - self._before[i] for i in (0, 1))
        self._before = now
        cores = os.cpu_count() or 1
        gauges = [Gauge("client", "busy cores", cores * (1 - idle / total), cores)] if total else []
        memory = _memory_kib()
        used = memory["MemTotal"] - memory["MemAvailable"]
        return [*gauges, Gauge("client", "memory MiB", used / 1024, memory["MemTotal"] / 1024)]

    async def close(self) -> None:
        return None


def _cpu_times() -> tuple[int, int] | None:
    """Jiffies of all cores: (all, idle); None where there is no /proc."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return None
    return sum(fields), fields[3] + fields[4]


def _memory_kib() -> dict[str, int]:
    with open("/proc/meminfo", encoding="ascii") as file:
        return {line.split(":")[0]: int(line.split()[1]) for line in file}
