"""Metrics of a running run for Prometheus, on loopback, collected from merged state at each scrape."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.telemetry.gauge import Gauge


class RunCollector(Collector):
    """Args: state: the engine's live figures (`arrivals`, `requests`, `servers`, ...); gauges: the newest readings."""

    def __init__(self, state: Callable[[], dict[str, Any]], gauges: Callable[[], list[Gauge]]) -> None:
        self._state, self._gauges = state, gauges

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        for name, text in (
            ("arrivals", "Arrivals in the last second: due by the schedule, and started"),
            ("requests", "Requests answered in the last second, and journeys in flight"),
        ):
            rates = GaugeMetricFamily(f"squall_{name}", text, labels=["kind"])
            for kind, value in state.get(name, {}).items():
                rates.add_metric([kind], float(value or 0))
            yield rates
        servers = GaugeMetricFamily(
            "squall_servers", "Servers of this run by status, as its watcher saw them", labels=["status"]
        )
        for status, value in state.get("servers", {}).items():
            servers.add_metric([status], float(value))
        yield servers
        fault = GaugeMetricFamily("squall_fault_active", "1 while a fault is in force", labels=["fault", "target"])
        for name, target in state.get("faults", []):
            fault.add_metric([name, target], 1.0)
        yield fault
        phase = GaugeMetricFamily("squall_phase", "1 for the phase that the run is in", labels=["phase"])
        phase.add_metric([str(state.get("phase", ""))], 1.0)
        yield phase
        values = GaugeMetricFamily(
            "squall_gauge", "Newest reading of a part of the cloud", labels=["source", "name", "labels"]
        )
        most = GaugeMetricFamily(
            "squall_gauge_capacity", "What the gauge can reach", labels=["source", "name", "labels"]
        )
        for gauge in self._gauges():
            values.add_metric([gauge.source, gauge.name, gauge.labels], gauge.value)
            if gauge.capacity is not None:
                most.add_metric([gauge.source, gauge.name, gauge.labels], gauge.capacity)
        yield values
        yield most


class Exporter:
    """Serves a RunCollector over HTTP on 127.0.0.1, on a free port unless told one."""

    def __init__(self, collector: RunCollector, port: int = 0) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self._server, self._thread = start_http_server(port, "127.0.0.1", registry)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
