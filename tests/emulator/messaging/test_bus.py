"""RPC over `Bus`: what the services rely on, on the embedded broker and on RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from pamqp import commands

from harness.emulator.messaging import (
    Address,
    Bus,
    BusSettings,
    CallContext,
    MessagingTimeout,
    RemoteError,
    envelope,
)
from harness.emulator.messaging import server as server_module
from harness.wire import amqp
from tests.emulator.broker.inbox import Inbox, depth, send
from tests.emulator.broker.place import Place, eventually, run


class Endpoint:
    """Records what it is asked for."""

    rpc_version = "1.3"

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []
        self.running = self.most = 0
        self.gate = asyncio.Event()

    async def echo(self, context: CallContext, value: object) -> object:
        self.seen.append((context.server, value))
        return {"value": value, "request_id": context.request_id, "roles": context.roles, "extra": context.extra}

    async def fail(self, context: CallContext) -> None:
        raise LookupError("no host", 7)

    async def hang(self, context: CallContext) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1

    async def nothing(self, context: CallContext) -> None:
        return None

    def _secret(self) -> None: ...


def settings(place: Place, **changes: Any) -> BusSettings:
    values: dict[str, Any] = {"address": place.address, "time_scale": 0.1, "name": "test", "notifications": True}
    return BusSettings(**(values | changes))


@asynccontextmanager
async def buses(place: Place, count: int = 2, **changes: Any) -> AsyncIterator[list[Bus]]:
    made = [Bus(settings(place, **changes)) for _ in range(count)]
    await asyncio.gather(*(bus.start() for bus in made))
    try:
        yield made
    finally:
        await asyncio.gather(*(bus.close() for bus in made))


def test_a_call_carries_arguments_context_and_result(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange = place.name("conductor"), place.name("nova")
            await server.serve(topic, Endpoint(), server="c1", exchange=exchange)
            context = CallContext("req-1", "u", "p", ("admin", "member"), True, extra={"global_request_id": "req-0"})
            answer = await client.call(topic, "echo", {"value": [1, "ä", None]}, exchange=exchange, context=context)
            assert answer == {
                "value": [1, "ä", None],
                "request_id": "req-1",
                "roles": ["admin", "member"],
                "extra": {"global_request_id": "req-0"},
            }
            assert await client.call(topic, "nothing", {}, exchange=exchange, server="c1") is None
            await cleanup(place, topic)

    run(steps())


def test_a_remote_exception_arrives_with_its_class_and_text(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange = place.name("t"), place.name("x")
            await server.serve(topic, Endpoint(), server="s", exchange=exchange)
            no_version = "Endpoint does not support RPC version"
            for method, version, wanted in [
                ("fail", "1.0", ("LookupError", "('no host', 7)")),
                ("absent", "1.0", ("NoSuchMethod", "Endpoint does not support RPC method absent")),
                ("_secret", "1.0", ("NoSuchMethod", "Endpoint does not support RPC method _secret")),
                ("echo", "1.4", ("UnsupportedVersion", f"{no_version} 1.4. Attempted method: echo")),
                ("echo", "2.0", ("UnsupportedVersion", f"{no_version} 2.0. Attempted method: echo")),
                ("echo", "1.3", ("TypeError", "Endpoint.echo() missing 1 required positional argument: 'value'")),
            ]:  # fmt: skip
                with pytest.raises(RemoteError) as caught:
                    await client.call(topic, method, {}, exchange=exchange, version=version)
                assert (caught.value.exc_type, caught.value.message) == wanted
            await cleanup(place, topic)

    run(steps())


def test_casts_reach_one_server_a_named_server_or_all(place: Place) -> None:
    async def steps() -> None:
        async with buses(place, 3) as (client, first, second):
            topic, exchange = place.name("t"), place.name("x")
            one, two = Endpoint(), Endpoint()
            await first.serve(topic, one, server="one", exchange=exchange)
            await second.serve(topic, two, server="two", exchange=exchange)
            for number in range(10):
                await client.cast(topic, "echo", {"value": number}, exchange=exchange)
            await client.cast(topic, "echo", {"value": "two only"}, server="two", exchange=exchange)
            await client.cast(topic, "echo", {"value": "all"}, fanout=True)

            async def arrived() -> bool:
                return len(one.seen) + len(two.seen) == 13

            await eventually(arrived)
            assert sorted(value for _, value in one.seen + two.seen if isinstance(value, int)) == list(range(10))
            # Competing consumers take turns.
            assert abs(len(one.seen) - len(two.seen)) <= 1
            assert [seen for seen in two.seen if isinstance(seen[1], str)] == [("two", "two only"), ("two", "all")]
            await cleanup(place, topic)

    run(steps())


def test_many_simulated_servers_share_a_channel_and_know_who_was_asked(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange, endpoint = place.name("compute"), place.name("x"), Endpoint()
            hosts = [f"host-{number}" for number in range(200)]
            await server.serve_many(topic, endpoint, servers=hosts, exchange=exchange)
            for host in (hosts[0], hosts[77], hosts[-1]):
                await client.call(topic, "echo", {"value": 1}, server=host, exchange=exchange)
            assert [seen[0] for seen in endpoint.seen] == [hosts[0], hosts[77], hosts[-1]]
            await cleanup(place, *(f"{topic}.{host}" for host in hosts))

    run(steps())


def test_a_call_without_an_answer_times_out_after_the_scaled_timeout(place: Place) -> None:
    async def steps() -> None:
        async with buses(place, rpc_response_timeout_s=5.0) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=exchange)
            start = asyncio.get_running_loop().time()
            with pytest.raises(MessagingTimeout, match=f"reply {client.reply_queue} to message ID"):
                await client.call(topic, "hang", {}, exchange=exchange)
            assert 0.5 <= asyncio.get_running_loop().time() - start < 1.5
            with pytest.raises(MessagingTimeout):
                await client.call(topic, "hang", {}, exchange=exchange, timeout_s=1)
            # The late answers find nobody and do no harm.
            endpoint.gate.set()
            assert (await client.call(topic, "echo", {"value": 1}, exchange=exchange))["value"] == 1
            await cleanup(place, topic)

    run(steps())


def test_a_request_that_nobody_took_in_time_is_not_done_later(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            channel = await place.channel()
            await channel.request(commands.Exchange.Declare(exchange=exchange, exchange_type="topic"))
            await channel.request(commands.Queue.Declare(queue=topic))
            await channel.request(commands.Queue.Bind(queue=topic, exchange=exchange, routing_key=topic))
            with pytest.raises(MessagingTimeout):
                await client.call(topic, "echo", {"value": "call"}, exchange=exchange, timeout_s=1)
            await client.cast(topic, "echo", {"value": "cast"}, exchange=exchange)
            await server.serve(topic, endpoint, server="s", exchange=exchange)
            await client.call(topic, "echo", {"value": "now"}, exchange=exchange)
            assert [value for _, value in endpoint.seen] == ["cast", "now"]
            await cleanup(place, topic)
            await channel.connection.close()

    run(steps())


def test_no_more_requests_run_at_once_than_the_server_has_threads(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=exchange, concurrency=4)
            calls = [asyncio.create_task(client.call(topic, "hang", {}, exchange=exchange)) for _ in range(12)]

            async def all_taken() -> bool:
                return endpoint.running == 4 and server._servers[0].backlog == 8

            await eventually(all_taken)
            endpoint.gate.set()
            await asyncio.gather(*calls)
            assert endpoint.most == 4
            await cleanup(place, topic)

    run(steps())


def test_a_request_that_arrives_twice_is_done_once(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=exchange)
            message = {"method": "echo", "args": {"value": 1}, "version": "1.0", "_unique_id": "a" * 32}
            channel = await place.channel()
            for _ in range(3):
                await send(channel, exchange, topic, envelope.wrap(message), properties=envelope.PROPERTIES)
            await client.call(topic, "echo", {"value": 2}, exchange=exchange)
            assert [value for _, value in endpoint.seen] == [1, 2]
            await channel.connection.close()
            await cleanup(place, topic)

    run(steps())


def test_rubbish_is_dropped_and_service_goes_on(place: Place) -> None:
    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=exchange)
            channel = await place.channel()
            version_3 = b'{"oslo.version": "3.0", "oslo.message": "{}"}'
            for body in (b"", b"\xff", b"[]", b"7", version_3, b'{"oslo.version": "2.0", "oslo.message": "["}', b"{}"):
                await send(channel, exchange, topic, body)
            await client.call(topic, "echo", {"value": 2}, exchange=exchange)
            assert await depth(channel, topic) == 0
            await channel.connection.close()
            await cleanup(place, topic)

    run(steps())


def test_notifications_wait_in_their_queue_in_oslos_form(place: Place) -> None:
    async def steps() -> None:
        async with buses(place, 1) as (client,):
            exchange = place.name("x")
            channel = await place.channel()
            inbox = Inbox(channel)
            await client.notify("compute.instance.create.end", {"a": 1}, publisher_id="compute.h1", exchange=exchange)
            await channel.request(commands.Basic.Consume(queue="notifications.info", no_ack=True))
            body = (await inbox.take(1))[0]
            outer = orjson.loads(body)
            message = orjson.loads(outer["oslo.message"])
            assert outer["oslo.version"] == "2.0"
            kept = {name: message[name] for name in ("event_type", "payload", "publisher_id", "priority")}
            assert kept == {
                "event_type": "compute.instance.create.end",
                "payload": {"a": 1},
                "publisher_id": "compute.h1",
                "priority": "INFO",
            }
            assert {"message_id", "timestamp", "_unique_id"} <= set(message)
            await channel.request(commands.Queue.Delete(queue="notifications.info"))
            await channel.connection.close()

    run(steps())


def test_queues_are_declared_as_the_real_driver_declares_them(broker: Place) -> None:
    place = Place(broker.address, broker.management)

    async def steps() -> None:
        async with buses(place, 1, time_scale=1.0) as (bus,):
            topic = place.name("t")
            await bus.serve(topic, Endpoint(), server="s", exchange=place.name("x"))
            await bus.call(topic, "nothing", {}, exchange=place.name("x"))
            _, queues = await place.manage("GET", "queues")
            mine = {q["name"]: q for q in queues if place.mark in q["name"] or q["name"] == bus.reply_queue}
            fanout = next(name for name in mine if "_fanout_" in name)
            shown = {name: (q["durable"], q["auto_delete"], q["arguments"]) for name, q in mine.items()}
            assert shown == {
                topic: (False, False, {}),
                f"{topic}.s": (False, False, {}),
                fanout: (False, False, {"x-expires": 1_800_000}),
                bus.reply_queue: (False, False, {"x-expires": 1_800_000}),
            }
            _, exchanges = await place.manage("GET", "exchanges/%2F")
            kinds = {e["name"]: (e["type"], e["auto_delete"]) for e in exchanges if place.mark in e["name"]}
            assert kinds == {place.name("x"): ("topic", False), f"{topic}_fanout": ("fanout", True)}
        _, queues = await place.manage("GET", "queues")
        assert fanout not in {queue["name"] for queue in queues}

    run(steps())


def test_a_lost_cast_is_reported_as_sent(broker: Place) -> None:
    place = Place(broker.address, broker.management)

    async def steps() -> None:
        async with buses(place) as (client, server):
            topic, endpoint = place.name("t"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=place.name("x"))
            client.drop_cast = lambda _topic, method: method == "echo"
            await client.cast(topic, "echo", {"value": "lost"}, exchange=place.name("x"))
            client.drop_cast = None
            await client.call(topic, "echo", {"value": "kept"}, exchange=place.name("x"))
            assert [value for _, value in endpoint.seen] == ["kept"]

    run(steps())


async def cleanup(place: Place, *queues: str) -> None:
    """Delete topic queues: they outlive their servers, as the real ones do."""
    channel = await place.channel(confirms=False)
    names = [name for queue in queues for name in (queue, f"{queue}.s", f"{queue}.c1", f"{queue}.one", f"{queue}.two")]
    await channel.request_all([commands.Queue.Delete(queue=name) for name in names])
    await channel.request(commands.Exchange.Delete(exchange=place.name("x")))
    await channel.request(commands.Exchange.Delete(exchange=place.name("nova")))
    await channel.connection.close()


def test_the_address_never_shows_the_password() -> None:
    assert "hidden" not in repr(Address("h", 1, "u", "hidden"))
    assert "hidden" not in repr(BusSettings(Address("h", 1, "u", "hidden")))


def test_the_envelope_passes_what_json_has_no_word_for() -> None:
    message = {"args": {"set": {1}, "tuple": (1, 2), "object": amqp.FrameError("x")}}
    assert envelope.unwrap(envelope.wrap(message)) == {
        "args": {"set": [1], "tuple": [1, 2], "object": "501 FRAME_ERROR - x"}
    }


def test_properties_built_by_hand_read_as_pamqp_reads_them() -> None:
    for properties, name, value in [
        (envelope.expiring(60_000), "expiration", "60000"),
        (envelope.identified("17"), "message_id", "17"),
    ]:
        read = amqp.decode_properties(amqp.content_header(3, properties))
        fixed = (read.content_type, read.content_encoding, read.headers, read.delivery_mode, read.priority)
        assert fixed == ("application/json", "utf-8", {}, 2, 0)
        assert getattr(read, name) == value


def test_a_flooded_server_leaves_the_rest_in_the_queue(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "BACKLOG_MAX", 8)

    async def steps() -> None:
        async with buses(place, prefetch=4) as (client, server):
            topic, exchange, endpoint = place.name("t"), place.name("x"), Endpoint()
            await server.serve(topic, endpoint, server="s", exchange=exchange, concurrency=1)
            for _ in range(50):
                await client.cast(topic, "hang", {}, exchange=exchange)
            channel = await place.channel()

            async def is_full() -> bool:
                return server._servers[0].backlog >= 8

            await eventually(is_full)
            # One runs, eight wait, and no more than the prefetch count is on its way.
            assert server._servers[0].backlog <= 12
            assert await depth(channel, topic) >= 37
            endpoint.gate.set()

            async def all_done() -> bool:
                return server._servers[0].handled == 50

            await eventually(all_done)
            await channel.connection.close()
            await cleanup(place, topic)

    run(steps())
