"""Events for nova: POST /v2.1/os-server-external-events, gathered as neutron gathers them.

The first event leaves at once; what comes within `send_events_interval` (2 s) of a send waits and leaves together.
Source: neutron.notifiers.nova and batch_notifier (29.0.0).
"""

import asyncio
import logging
from typing import Any

from harness.emulator.http import HTTPConnectionError, HTTPTimeout
from harness.emulator.neutron.validation import is_uuid
from harness.emulator.runtime import Runtime

log = logging.getLogger(__name__)

PLUGGED = "network-vif-plugged"
UNPLUGGED = "network-vif-unplugged"
DELETED = "network-vif-deleted"
CHANGED = "network-changed"
_RETRY_FOR_S = 1.0
_RETRY_FIRST_S = 0.01


def is_compute_port(device_owner: str, device_id: str) -> bool:
    return device_owner.startswith("compute:") and is_uuid(device_id)


class NovaNotifier:
    """The queue of events of one process. An event that nova did not take is logged and lost, as in neutron."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._client = runtime.service("nova", user="neutron")
        self._pending: list[dict[str, Any]] = []
        self._sender: asyncio.Task[None] | None = None
        self.sent = 0  # events that nova took
        self.lost = 0

    def status_changed(self, port_id: str, device_owner: str, device_id: str, was: str, now: str) -> None:
        """Tell nova that a port came up or went down; nothing for other ports and other transitions."""
        if not is_compute_port(device_owner, device_id):
            return
        if was == "ACTIVE" and now == "DOWN":
            name = UNPLUGGED
        elif was in ("DOWN", "BUILD") and now in ("ACTIVE", "ERROR"):
            name = PLUGGED
        else:
            return
        status = "failed" if now == "ERROR" else "completed"
        self.queue({"server_uuid": device_id, "name": name, "status": status, "tag": port_id})

    def port_changed(self, port_id: str, device_owner: str, device_id: str) -> None:
        if is_compute_port(device_owner, device_id):
            self.queue({"server_uuid": device_id, "name": CHANGED, "tag": port_id})

    def port_deleted(self, port_id: str, device_owner: str, device_id: str) -> None:
        if is_compute_port(device_owner, device_id):
            self.queue({"server_uuid": device_id, "name": DELETED, "tag": port_id})

    def queue(self, event: dict[str, Any]) -> None:
        self._pending.append(event)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="nova-notifier")

    async def close(self) -> None:
        """Stop; what is still waiting is lost, as when a neutron-server ends."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_all(self) -> None:
        while self._pending:
            events, self._pending = self._pending, []
            try:
                await self._send(events)
            except Exception:
                self.lost += len(events)
                log.exception("failed to notify nova of %d events", len(events))
            # Later events gather while this one sleeps.
            await asyncio.sleep(self._runtime.scaled(self._runtime.settings.neutron.notify_nova_interval_s))

    async def _send(self, events: list[dict[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._runtime.scaled(_RETRY_FOR_S)
        pause_s = _RETRY_FIRST_S
        while True:
            try:
                answer = await self._client.post("/v2.1/os-server-external-events", json={"events": events})
            except HTTPTimeout:
                raise
            except HTTPConnectionError:  # keystoneauth's RetriableConnectionFailure
                if loop.time() + pause_s > give_up_at:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)
                continue
            if answer.status in (200, 207):
                self.sent += len(events)
            else:
                self.lost += len(events)
                level = logging.DEBUG if answer.status == 404 else logging.ERROR
                log.log(level, "nova answered %d to %d events", answer.status, len(events))
            return
