"""`Bus` when the broker hangs, blocks, dies or loses queues: it waits, comes back, loses what the real driver loses."""

from __future__ import annotations

import asyncio
import signal

import pytest
from pamqp import commands

from harness.emulator.messaging import MessageDeliveryFailure, MessagingTimeout
from harness.emulator.messaging.errors import ConnectionLost
from tests.emulator.broker.place import Place, eventually, run, start_embedded, stop_embedded
from tests.emulator.messaging.test_bus import Endpoint, buses


def test_while_the_broker_blocks_a_call_does_not_time_out_and_a_cast_waits(own: Place) -> None:
    async def steps() -> None:
        async with buses(own, rpc_response_timeout_s=5.0, heartbeat_s=0) as (client, server):
            endpoint = Endpoint()
            await server.serve("t", endpoint, server="s")
            await client.call("t", "nothing", {})
            await own.manage("PUT", "squall/memory", {"watermark": 0})
            await client.cast("t", "echo", {"value": "taken, and blocks"})
            waiting = [
                asyncio.create_task(client.call("t", "echo", {"value": "call"})),
                asyncio.create_task(client.cast("t", "echo", {"value": "cast"})),
                asyncio.create_task(client.cast("new", "echo", {"value": "new exchange"}, exchange="cinder")),
            ]
            # Twice the scaled response timeout of 0.5 s.
            done, _ = await asyncio.wait(waiting, timeout=1.0)
            assert not done
            await own.manage("PUT", "squall/memory", {"watermark": 1 << 28})
            await asyncio.wait_for(asyncio.gather(*waiting), 5)
            assert sorted(str(value) for _, value in endpoint.seen) == ["call", "cast", "taken, and blocks"]

    run(steps())


def test_a_hung_broker_costs_time_and_no_message(own: Place) -> None:
    async def steps() -> None:
        assert own.process is not None
        async with buses(own, heartbeat_s=10.0, rpc_response_timeout_s=600.0) as (client, server):
            endpoint = Endpoint()
            await server.serve("t", endpoint, server="s")
            await client.call("t", "nothing", {})
            own.process.send_signal(signal.SIGSTOP)
            cast = asyncio.create_task(client.cast("t", "echo", {"value": "cast"}))
            # Longer than both sides' patience of two heartbeats of 1 s.
            done, _ = await asyncio.wait([cast], timeout=3.0)
            own.process.send_signal(signal.SIGCONT)
            assert not done
            await asyncio.wait_for(cast, 10)
            assert client.publisher.resent >= 1

            async def arrived() -> bool:
                return [value for _, value in endpoint.seen] == ["cast"]

            await eventually(arrived, within_s=10)
            assert (await client.call("t", "echo", {"value": "call"}))["value"] == "call"

    run(steps())


def test_after_a_broker_restart_everything_is_declared_again_and_waiting_casts_arrive(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    first = start_embedded(tmp_path_factory.mktemp("broker"))
    second: list[Place] = []

    async def steps() -> None:
        assert first.process is not None
        async with buses(first) as (client, server):
            endpoint, hosts = Endpoint(), Endpoint()
            await server.serve("t", endpoint, server="s")
            await server.serve_many("compute", hosts, servers=["h1", "h2"])
            await client.call("t", "nothing", {})
            first.process.kill()
            first.process.wait(5)
            cast = asyncio.create_task(client.cast("t", "echo", {"value": "cast"}))
            call = asyncio.create_task(client.call("compute", "echo", {"value": "call"}, server="h2"))
            await asyncio.wait([cast, call], timeout=0.3)
            assert not cast.done()
            assert not call.done()
            options = ("--listen", f"127.0.0.1:{first.address.port}")
            second.append(start_embedded(tmp_path_factory.mktemp("broker"), *options))
            await asyncio.wait_for(cast, 10)
            # The request may have gone out before its server was back: then it is lost, as with the real driver.
            await asyncio.wait([call], timeout=1)

            async def works() -> bool:
                try:
                    await client.call("compute", "echo", {"value": "again"}, server="h2", timeout_s=5)
                    await client.call("t", "echo", {"value": "again"}, timeout_s=5)
                except MessagingTimeout:
                    return False
                return True

            await eventually(works, within_s=10)
            call.cancel()
            await asyncio.wait([call])
            assert client.publisher.link.reconnects >= 1

    try:
        run(steps(), timeout_s=40)
    finally:
        stop_embedded(first)
        for place in second:
            stop_embedded(place)


def test_deleted_queues_are_declared_again(own: Place) -> None:
    async def steps() -> None:
        async with buses(own) as (client, server):
            await server.serve("t", Endpoint(), server="s")
            await client.call("t", "nothing", {})
            for queue in ("t", "t.s", client.reply_queue):
                assert (await own.manage("DELETE", f"queues/%2F/{queue}"))[0] == 204

            async def works() -> bool:
                try:
                    await client.call("t", "nothing", {}, timeout_s=3)
                    await client.call("t", "nothing", {}, server="s", timeout_s=3)
                except MessagingTimeout:
                    return False
                return True

            await eventually(works)
            assert client.listener.link.reconnects == 0

    run(steps())


def test_a_reply_whose_queue_is_gone_is_tried_again_until_it_is_back(own: Place) -> None:
    async def steps() -> None:
        async with buses(own) as (client, server):
            endpoint = Endpoint()
            await server.serve("t", endpoint, server="s")
            await client.call("t", "nothing", {})
            call = asyncio.create_task(client.call("t", "hang", {}))

            async def runs() -> bool:
                return endpoint.running == 1

            await eventually(runs)
            await own.manage("DELETE", f"queues/%2F/{client.reply_queue}")
            endpoint.gate.set()
            await asyncio.wait_for(call, 5)

    run(steps())


def test_a_reply_to_a_caller_that_is_gone_is_given_up(own: Place) -> None:
    async def steps() -> None:
        async with buses(own, 1, missing_queue_retry_s=5.0) as (server,):
            await server._send_reply("reply_gone", {"result": 1, "failure": None, "ending": True, "_msg_id": "m"})
            start = asyncio.get_running_loop().time()
            await server._send_reply("reply_gone", {"result": 1, "failure": None, "ending": True, "_msg_id": "m"})
            assert asyncio.get_running_loop().time() - start < 0.1

    run(steps())


def test_a_fanout_exchange_that_vanished_is_declared_again(own: Place) -> None:
    async def steps() -> None:
        async with buses(own) as (client, server):
            await client.cast("agents", "echo", {"value": 0}, fanout=True)
            endpoint = Endpoint()
            await server.serve("agents", endpoint, server="s")
            await client.cast("agents", "echo", {"value": 1}, fanout=True)
            await own.manage("DELETE", "exchanges/%2F/agents_fanout")
            await client.cast("agents", "echo", {"value": 2}, fanout=True)
            await client.cast("agents", "echo", {"value": 3}, fanout=True)
            assert 1 in [value for _, value in endpoint.seen]

    run(steps())


def test_closed_connections_come_back_and_calls_in_flight_survive(own: Place) -> None:
    async def steps() -> None:
        async with buses(own) as (client, server):
            endpoint = Endpoint()
            await server.serve("t", endpoint, server="s")
            await client.call("t", "nothing", {})
            call = asyncio.create_task(client.call("t", "hang", {}))

            async def runs() -> bool:
                return endpoint.running == 1

            await eventually(runs)
            _, connections = await own.manage("GET", "connections")
            for connection in connections:
                name = connection["name"].replace(" ", "%20").replace(">", "%3E")
                await own.manage("DELETE", f"connections/{name}")
            endpoint.gate.set()
            await asyncio.wait_for(call, 5)

    run(steps())


def test_what_was_taken_dies_with_its_server(own: Place) -> None:
    async def steps() -> None:
        async with buses(own, 1) as (client,):
            async with buses(own, 1) as (server,):
                endpoint = Endpoint()
                await server.serve("t", endpoint, server="s", concurrency=1)
                for _ in range(3):
                    await client.cast("t", "hang", {})

                async def taken() -> bool:
                    return endpoint.running == 1 and server._servers[0].backlog == 2

                await eventually(taken)
            _, queue = await own.manage("GET", "queues/%2F/t")
            assert queue["messages"] == 0

    run(steps())


def test_a_closed_bus_says_so(own: Place) -> None:
    async def steps() -> None:
        async with buses(own, 1) as (client,):
            pass
        with pytest.raises(ConnectionLost, match="closed"):
            await client.cast("t", "echo", {})
        channel = await own.channel()
        await channel.request(commands.Queue.Declare(queue="still alive"))
        await channel.connection.close()

    run(steps())


def test_a_refused_message_fails_alone(own: Place) -> None:
    async def steps() -> None:
        async with buses(own) as (client, server):
            endpoint = Endpoint()
            await server.serve("t", endpoint, server="s")
            await client.call("t", "nothing", {})
            # The user may still write to `nova` and to reply queues, no longer to `cinder`.
            limits = {"configure": ".*", "write": "^(nova|amq.default)$", "read": ".*"}
            await own.manage("PUT", "permissions/%2F/openstack", limits)
            good = [client.cast("t", "echo", {"value": number}) for number in range(20)]
            bad = [client.cast("t", "echo", {"value": "bad"}, exchange="cinder") for _ in range(3)]
            results = await asyncio.gather(*bad, *good, return_exceptions=True)
            assert [type(result) for result in results[:3]] == [MessageDeliveryFailure] * 3
            assert results[3:] == [None] * 20
            assert "403 ACCESS_REFUSED - access to exchange 'cinder'" in str(results[0])
            await client.call("t", "nothing", {})
            assert {value for _, value in endpoint.seen} == set(range(20))

    run(steps())
