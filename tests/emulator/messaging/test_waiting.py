"""Confirms and acknowledgements that may wait for others do, and nobody who needs one waits with them."""

from __future__ import annotations

import asyncio

import pytest

from harness.emulator.broker import server as broker_server
from harness.emulator.broker.server import Broker, BrokerSettings
from harness.emulator.messaging import Address, Bus, BusSettings, CallContext, connection
from tests.emulator.broker.place import eventually, run


class _Endpoint:
    async def echo(self, context: CallContext, value: object) -> object:
        return value


def test_a_call_needs_no_confirm_a_cast_does_and_only_own_queues_are_acknowledged_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What may wait now waits for ever: whatever returns below did not need it.
    monkeypatch.setattr(broker_server, "CONFIRMS_WAIT_S", 3600.0)
    monkeypatch.setattr(connection, "ACKS_WAIT_S", 3600.0)

    async def steps() -> None:
        broker = Broker(BrokerSettings(), user="u", password="p")
        address = Address("127.0.0.1", await broker.start("127.0.0.1", 0), "u", "p")
        client, server = (Bus(BusSettings(address, name=name)) for name in ("client", "server"))
        await asyncio.gather(client.start(), server.start())
        await server.serve("conductor", _Endpoint(), server="one")
        queues = broker.vhosts["/"].queues
        assert await client.call("conductor", "echo", {"value": 1}) == 1
        assert (client.publisher.published, server.publisher.published) == (1, 0)
        assert queues[client.reply_queue].unacked == 1  # only this process could ever get it again

        async def request_is_acknowledged() -> bool:
            return queues["conductor"].acked == 1

        await eventually(request_is_acknowledged)
        await client.cast("conductor", "echo", {"value": 2})  # returns with its confirm
        await asyncio.gather(client.close(), server.close())
        await broker.stop()

    run(steps())


def test_what_waits_leaves_by_itself() -> None:
    async def steps() -> None:
        broker = Broker(BrokerSettings(), user="u", password="p")
        address = Address("127.0.0.1", await broker.start("127.0.0.1", 0), "u", "p")
        client, server = (Bus(BusSettings(address, name=name)) for name in ("client", "server"))
        await asyncio.gather(client.start(), server.start())
        await server.serve("conductor", _Endpoint(), server="one")
        for number in range(3):
            assert await client.call("conductor", "echo", {"value": number}) == number
        reply_queue = broker.vhosts["/"].queues[client.reply_queue]

        async def all_is_settled() -> bool:
            return reply_queue.acked == 3 and server.publisher.published == 3

        await eventually(all_is_settled)
        await asyncio.gather(client.close(), server.close())
        await broker.stop()

    run(steps())
