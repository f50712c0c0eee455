"""Gauges of the bundled cloud's own processes: request slots, connection pools, event loops."""

from collections.abc import Mapping

from harness.telemetry.gauge import Gauge
from harness.telemetry.http import get_json


class EmulatedProcess:
    """One process of the emulator, through its control port.

    Args: process: its name; port: its control port on loopback; token: the cloud's control token.
    """

    period_s = 1.0

    def __init__(self, process: str, port: int, token: str) -> None:
        self.name = f"process {process}"
        self._url, self._headers = f"http://127.0.0.1:{port}/__squall/gauges", {"X-Squall-Token": token}
        self._before: tuple[float, int] | None = None

    async def read(self) -> list[Gauge]:
        said = await get_json(self._url, headers=self._headers)
        gauges = [Gauge(self.name, "event loop lag ms", said["loop_lag_s"] * 1000)]
        for service, slots in said["services"].items():
            # Peaks since the last reading: a queue of 200 requests is gone again within a second.
            used = float(max(slots["slots_used"], slots["slots_used_peak"]))
            gauges.append(Gauge("slots", "request slots", used, float(slots["slots_max"]), service))
            queued = float(max(slots["queued"], slots["queued_peak"]))
            gauges.append(Gauge("slots", "queued requests", queued, float(slots["queue_max"]), service))
        for name, pool in said["databases"].items():
            label = f"{said['process']}:{name}"
            gauges.append(Gauge("pools", "pooled connections", float(pool["used"]), float(pool["max"]), label))
        if self._before is not None and said["monotonic_ns"] > self._before[1]:
            share = (said["cpu_s"] - self._before[0]) / ((said["monotonic_ns"] - self._before[1]) / 1e9)
            gauges.append(Gauge(self.name, "busy cores", share, 1.0))
        self._before = (said["cpu_s"], said["monotonic_ns"])
        return gauges

    async def close(self) -> None:
        self._before = None


def processes(control_ports: Mapping[str, int], token: str) -> list[EmulatedProcess]:
    """A source for each process that has a control port."""
    return [EmulatedProcess(name, port, token) for name, port in sorted(control_ports.items())]
