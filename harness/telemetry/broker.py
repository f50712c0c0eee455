"""Gauges of a broker, by RabbitMQ's management API; the embedded broker speaks the same subset."""

from harness.telemetry.gauge import Gauge
from harness.telemetry.http import get_json


class Management:
    """Args: url: of the management listener, without path; user, password: need the `monitoring` tag on RabbitMQ."""

    name = "broker"
    period_s = 1.0

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url, self._user, self._password = url.rstrip("/"), user, password

    async def read(self) -> list[Gauge]:
        overview = await get_json(f"{self._url}/api/overview", user=self._user, password=self._password)
        totals, objects = overview.get("queue_totals", {}), overview.get("object_totals", {})
        nodes = await get_json(f"{self._url}/api/nodes", user=self._user, password=self._password)
        gauges = [
            Gauge("broker", "ready", float(totals.get("messages_ready", 0))),
            Gauge("broker", "unacked", float(totals.get("messages_unacknowledged", 0))),
            Gauge("broker", "connections", float(objects.get("connections", 0)), _sum(nodes, "sockets_total")),
            Gauge("broker", "queues", float(objects.get("queues", 0))),
        ]
        memory, most = _sum(nodes, "mem_used"), _sum(nodes, "mem_limit")
        if memory is not None:
            gauges.append(Gauge("broker", "memory MiB", memory / 2**20, most / 2**20 if most else None))
        alarms = sum(bool(node.get("mem_alarm")) + bool(node.get("disk_free_alarm")) for node in nodes)
        return [*gauges, Gauge("broker", "alarms", float(alarms))]

    async def close(self) -> None:
        return None


def _sum(nodes: list[dict[str, float]], key: str) -> float | None:
    """The sum over nodes, None when none of them says it or it is zero, which here means unlimited."""
    return float(sum(node.get(key) or 0 for node in nodes)) or None
