"""All links of the process, and the leases that keep toxics alive.

Every toxic has a lease: a controller names itself and a time in seconds, and renews it; when it stops (killed, cut off,
hung) the toxic is cleared and a disabled link listens again. This is the proxy's half of the dead man's switch.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import msgspec

from faults.proxy.config import ConfigInvalid, LinkConfig, ProxyConfig
from faults.proxy.link import Link
from faults.proxy.pipe import Budget
from faults.proxy.toxics import STREAMS, Toxic, ToxicInvalid, toxic_types

MAX_LEASE_S = 24 * 3600.0


class Refused(Exception):
    """A request that was not carried out; nothing changed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Lease(msgspec.Struct):
    """Until when (CLOCK_MONOTONIC, s) a controller's toxic or disabling stands."""

    controller: str
    lease_s: float
    expires: float


class ToxicRequest(msgspec.Struct):
    """Body of a toxic's creation or change; `lease_s` and `controller` are ours, the rest Toxiproxy's."""

    name: str = ""
    type: str = ""
    stream: str = "downstream"
    toxicity: float | None = None
    attributes: dict[str, Any] = {}
    lease_s: float | None = None
    controller: str = ""


class LinkRequest(msgspec.Struct):
    """Body of a link's creation or change; absent fields stay as they are."""

    name: str = ""
    listen: str = ""
    upstream: str = ""
    enabled: bool | None = None
    lease_s: float | None = None
    controller: str = ""


class Proxies:
    """The state that control steers."""

    def __init__(self, config: ProxyConfig) -> None:
        self.config = config
        self.links: dict[str, Link] = {}
        self.budget = Budget(config.total_buffer_bytes, config.buffer_bytes)
        self.expired = 0  # leases that ran out since start
        self._leases: dict[tuple[str, str], Lease] = {}  # (link, toxic); toxic "" is the disabling of the link
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- links -------------------------------------------------------------------------------------------------

    def link(self, name: str) -> Link:
        """One link.

        Raises:  Refused (404).
        """
        try:
            return self.links[name]
        except KeyError:
            raise Refused(404, "proxy not found") from None

    async def add_link(self, config: LinkConfig) -> Link:
        """Make and start a link.

        Raises:  Refused (400, 409); OSError when the listen address is not to be had.
        """
        if not config.name or "/" in config.name:
            raise Refused(400, "missing required field: name")
        if not config.upstream:
            raise Refused(400, "missing required field: upstream")
        if config.name in self.links:
            raise Refused(409, "proxy already exists")
        try:
            link = Link(config, self.budget, self.config.seed, self.config.dial_timeout_s)
            if config.enabled:
                await link.start()
        except ConfigInvalid as error:
            raise Refused(400, f"bad request body: {error}") from error
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            raise OSError(error.errno, f"link {config.name}: cannot listen on {config.listen}: {why}") from error
        self.links[config.name] = link
        return link

    async def remove_link(self, name: str) -> None:
        """Stop and forget a link.

        Raises:  Refused (404).
        """
        link = self.link(name)
        await link.stop()
        del self.links[name]
        for key in [key for key in self._leases if key[0] == name]:
            del self._leases[key]

    async def update_link(self, name: str, request: LinkRequest) -> Link:
        """Change listen, upstream or enabled; the first two reset open connections. Disabling takes a lease.

        Raises:  Refused (400, 404); OSError when it cannot listen again.
        """
        link = self.link(name)
        try:
            if request.upstream and request.upstream != link.upstream:
                link.set_upstream(request.upstream)
            if request.listen and request.listen != link.listen:
                was_enabled = link.enabled
                await link.stop()
                link.listen = request.listen
                if was_enabled:
                    await link.start()
        except ConfigInvalid as error:
            raise Refused(400, f"bad request body: {error}") from error
        if request.enabled is True:
            await link.start()
            self._leases.pop((name, ""), None)
        elif request.enabled is False:
            self._take_lease(name, "", request.controller, request.lease_s)
            await link.stop()
        return link

    async def reset(self) -> None:
        """Enable every link and clear every toxic."""
        for link in self.links.values():
            await link.start()
            link.toxics.clear()
            link.refresh_toxics()
        self._leases.clear()

    async def close(self) -> None:
        """Stop all links."""
        if self._timer is not None:
            self._timer.cancel()
        for link in self.links.values():
            await link.stop()

    # -- toxics ------------------------------------------------------------------------------------------------

    def toxic(self, link: Link, name: str) -> Toxic:
        """One toxic of a link.

        Raises:  Refused (404).
        """
        try:
            return link.toxics[name]
        except KeyError:
            raise Refused(404, "toxic not found") from None

    def add_toxic(self, link: Link, request: ToxicRequest) -> Toxic:
        """Put a toxic on new and open connections.

        Raises:  Refused (400, 409).
        """
        stream = request.stream or "downstream"
        if stream not in STREAMS:
            raise Refused(400, "stream was invalid, can be either upstream or downstream")
        kind = toxic_types().get(request.type)
        if kind is None:
            raise Refused(400, f"invalid toxic type: {request.type!r}, known: {', '.join(sorted(toxic_types()))}")
        name = request.name or f"{request.type}_{stream}"
        if name in link.toxics:
            raise Refused(409, "toxic already exists")
        toxicity = _checked_toxicity(1.0 if request.toxicity is None else request.toxicity)
        try:
            toxic = kind(name, stream, toxicity, request.attributes)
        except ToxicInvalid as error:
            raise Refused(400, f"bad request body: {error}") from error
        self._take_lease(link.name, name, request.controller, request.lease_s)
        link.toxics[name] = toxic
        link.refresh_toxics()
        return toxic

    def update_toxic(self, link: Link, name: str, request: ToxicRequest) -> Toxic:
        """Change attributes or toxicity in place, and renew the lease.

        Raises:  Refused (400, 404).
        """
        toxic = self.toxic(link, name)
        toxicity = None if request.toxicity is None else _checked_toxicity(request.toxicity)
        try:
            toxic.update(toxicity, request.attributes)
        except ToxicInvalid as error:
            raise Refused(400, f"bad request body: {error}") from error
        lease = self._leases[link.name, name]
        self._take_lease(link.name, name, request.controller or lease.controller, request.lease_s or lease.lease_s)
        return toxic

    def remove_toxic(self, link: Link, name: str) -> None:
        """Take a toxic off; what it held back goes out at once.

        Raises:  Refused (404).
        """
        self.toxic(link, name)
        del link.toxics[name]
        self._leases.pop((link.name, name), None)
        link.refresh_toxics()

    # -- leases ------------------------------------------------------------------------------------------------

    def leases(self) -> list[dict[str, Any]]:
        """Every lease with the seconds it has left."""
        now = time.monotonic()
        return [
            {
                "proxy": link,
                "toxic": toxic or None,
                "controller": lease.controller,
                "lease_s": lease.lease_s,
                "left_s": round(max(0.0, lease.expires - now), 3),
            }
            for (link, toxic), lease in self._leases.items()
        ]

    def renew(self, controller: str, lease_s: float | None) -> int:
        """The controller's heartbeat: all its leases run anew. Returns how many it holds.

        Raises:  Refused (400).
        """
        mine = [(key, lease) for key, lease in self._leases.items() if lease.controller == controller]
        for (link, toxic), lease in mine:
            self._take_lease(link, toxic, controller, lease.lease_s if lease_s is None else lease_s)
        return len(mine)

    async def release(self, controller: str) -> int:
        """Clear everything the controller has set. Returns how many leases that were."""
        mine = [key for key, lease in self._leases.items() if lease.controller == controller]
        for link, toxic in mine:
            await self._clear(link, toxic)
        return len(mine)

    def _take_lease(self, link: str, toxic: str, controller: str, lease_s: float | None) -> None:
        seconds = self.config.default_lease_s if lease_s is None else lease_s
        if not 0 < seconds <= MAX_LEASE_S:
            raise Refused(400, f"lease_s: want 0 < seconds <= {MAX_LEASE_S:.0f}, got {seconds}")
        self._leases[link, toxic] = Lease(controller, seconds, time.monotonic() + seconds)
        self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._leases:
            wait = min(lease.expires for lease in self._leases.values()) - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wait) + 0.001, self._expire)

    def _expire(self) -> None:
        task = asyncio.get_running_loop().create_task(self._clear_expired())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clear_expired(self) -> None:
        now = time.monotonic()
        for (link, toxic), lease in list(self._leases.items()):
            if lease.expires <= now:
                self.expired += 1
                await self._clear(link, toxic)
        self._wind()

    async def _clear(self, link_name: str, toxic: str) -> None:
        self._leases.pop((link_name, toxic), None)
        link = self.links.get(link_name)
        if link is None:
            return
        if toxic:
            link.toxics.pop(toxic, None)
            link.refresh_toxics()
            return
        try:
            await link.start()
        except OSError:
            # The port was taken meanwhile: try again with a fresh short lease rather than leave the link down for ever.
            self._leases[link_name, ""] = Lease("", 1.0, time.monotonic() + 1.0)


def _checked_toxicity(value: float) -> float:
    if not 0 <= value <= 1:
        raise Refused(400, f"bad request body: toxicity: want 0 to 1, got {value}")
    return value
