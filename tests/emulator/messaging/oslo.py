"""oslo.messaging itself, in threads of this process: the other side of the envelope."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from tests.emulator.broker.place import Place

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of eventlet, which it imports and which nobody uses here
    import oslo_messaging
    from oslo_config import cfg
    from oslo_messaging._metrics.client import oslo_messaging_metrics
    from oslo_messaging._tracing.client import oslo_messaging_tracing

QUIT_WITHIN_S = 10.0


class Oslo:
    """One transport: a client, and servers that are stopped with it."""

    def __init__(self, place: Place, *, timeout_s: float = 10.0, **rabbit: object) -> None:
        """Args: rabbit: options of the group oslo_messaging_rabbit."""
        conf = cfg.ConfigOpts()
        conf([], project="squall-tests")
        # It registers these only in the one configuration of a whole process.
        conf.register_opts(oslo_messaging_tracing, group="oslo_messaging_tracing")
        conf.register_opts(oslo_messaging_metrics, group="oslo_messaging_metrics")
        address = place.address
        url = f"rabbit://{address.user}:{address.password}@{address.host}:{address.port}/"
        self._transport = oslo_messaging.get_rpc_transport(conf, url + quote(address.virtual_host, safe=""))
        self._timeout_s = timeout_s
        for name, value in rabbit.items():
            conf.set_override(name, value, group="oslo_messaging_rabbit")
        self._servers: list[Any] = []

    async def serve(self, endpoint: object, *, topic: str, server: str, exchange: str) -> None:
        """Returns when its queues are consumed."""
        target = oslo_messaging.Target(topic=topic, server=server, exchange=exchange)
        made = oslo_messaging.get_rpc_server(self._transport, target, [endpoint])
        self._servers.append(made)
        await asyncio.to_thread(made.start)

    async def call(self, topic: str, method: str, *, exchange: str, context: object = None, **args: object) -> Any:
        return await asyncio.to_thread(self._client(topic, exchange).call, context or {}, method, **args)

    async def cast(
        self, topic: str, method: str, *, exchange: str, server: str | None = None, fanout: bool = False, **args: object
    ) -> None:
        client = self._client(topic, exchange).prepare(server=server, fanout=fanout)
        await asyncio.to_thread(client.cast, {}, method, **args)

    async def close(self) -> None:
        def close() -> None:
            for server in self._servers:
                server.stop()
                server.wait()
            self._transport.cleanup()

        await asyncio.wait_for(asyncio.to_thread(close), QUIT_WITHIN_S)

    def _client(self, topic: str, exchange: str) -> Any:
        target = oslo_messaging.Target(topic=topic, exchange=exchange)
        return oslo_messaging.get_rpc_client(self._transport, target, timeout=self._timeout_s)


@asynccontextmanager
async def oslo(place: Place, **options: Any) -> AsyncIterator[Oslo]:
    """An `Oslo` that is closed after the block."""
    made = Oslo(place, **options)
    try:
        yield made
    finally:
        await made.close()
