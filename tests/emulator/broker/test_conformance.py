"""What a client may rely on: the same on the embedded broker and on RabbitMQ, through every client library."""

from __future__ import annotations

import asyncio

import pytest

from tests.emulator.broker.clients import CLIENTS, Client, Refused
from tests.emulator.broker.place import Place, eventually
from tests.emulator.broker.stage import Stage

QUORUM = {"x-queue-type": "quorum"}


async def until_ready(client: Client, queue: str, count: int) -> None:
    """Wait until `count` messages are ready; RabbitMQ counts with a small delay."""

    async def is_so() -> bool:
        return await client.ready(queue) == count

    await eventually(is_so)


async def until_gone(client: Client, queue: str) -> None:
    async def is_so() -> bool:
        return not await client.is_there(queue)

    await eventually(is_so, every_s=0.05)


async def until_expired(client: Client, queue: str) -> None:
    """As `until_gone`, by requests that do not count as use of the queue, as declaring it would."""

    async def is_so() -> bool:
        try:
            await client.bind(queue, "amq.direct", "k")
        except Refused as refused:
            await client.reopen_channel()
            return refused.code == 404
        return False

    await eventually(is_so, every_s=0.05)


# --- exchanges and bindings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "bindings", "key", "reached"),
    [
        ("direct", {"a": "k", "b": "k.l", "c": "#"}, "k", "a"),
        ("topic", {"a": "x.*", "b": "x.#", "c": "#.z"}, "x.y", "ab"),
        ("topic", {"a": "x.*", "b": "x.#", "c": "#.z"}, "x", "b"),
        ("topic", {"a": "x.*", "b": "x.#", "c": "#.z"}, "x.y.z", "bc"),
        ("topic", {"a": "*", "b": "", "c": "*.*"}, "", "b"),
        ("fanout", {"a": "k", "b": "", "c": "other"}, "k", "abc"),
    ],
)
async def test_an_exchange_routes_by_its_type(
    stage: Stage, kind: str, bindings: dict[str, str], key: str, reached: str
) -> None:
    async with stage.client() as client:
        exchange = stage.name(kind)
        await client.declare_exchange(exchange, kind, auto_delete=True)
        for queue, pattern in bindings.items():
            await client.declare_queue(stage.name(queue), exclusive=True)
            await client.bind(stage.name(queue), exchange, pattern)
        await client.send(exchange, key, b"m")
        assert [queue for queue in "abc" if await client.ready(stage.name(queue))] == list(reached)


async def test_the_default_exchange_routes_to_the_queue_that_the_key_names(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"m")
        assert await client.ready(queue) == 1


async def test_a_message_reaches_a_queue_once_however_many_bindings_match(stage: Stage) -> None:
    async with stage.client() as client:
        outer, inner, queue = stage.name("outer"), stage.name("inner"), await stage.queue(client)
        for exchange in (outer, inner):
            await client.declare_exchange(exchange, "topic", auto_delete=True)
        for key in ("a.*", "a.b", "#"):
            await client.bind(queue, outer, key)
        await client.bind(queue, inner, "a.b")
        await client.bind_exchange(inner, outer, "a.b")
        await client.send(outer, "a.b", b"m")
        assert await client.ready(queue) == 1


async def test_an_exchange_passes_on_to_an_exchange_that_is_bound_to_it(stage: Stage) -> None:
    async with stage.client() as client:
        outer, inner, queue = stage.name("outer"), stage.name("inner"), await stage.queue(client)
        for exchange, kind in ((outer, "topic"), (inner, "fanout")):
            await client.declare_exchange(exchange, kind, auto_delete=True)
        await client.bind(queue, inner, "")
        await client.bind_exchange(inner, outer, "a.#")
        await client.send(outer, "a.b", b"in")
        await client.send(outer, "b", b"out")
        assert await client.ready(queue) == 1


async def test_an_unbound_queue_gets_nothing_more(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.bind(queue, "amq.topic", stage.name("k"))
        await client.send("amq.topic", stage.name("k"), b"0")
        await client.unbind(queue, "amq.topic", stage.name("k"))
        await client.send("amq.topic", stage.name("k"), b"1")
        assert await client.ready(queue) == 1


async def test_an_auto_delete_exchange_goes_with_its_last_binding(stage: Stage) -> None:
    async with stage.client() as client:
        exchange, queue = stage.name("x"), await stage.queue(client)
        await client.declare_exchange(exchange, "direct", auto_delete=True)
        await client.bind(queue, exchange, "k")
        await client.send(exchange, "k", b"m")
        await client.unbind(queue, exchange, "k")
        with pytest.raises(Refused, match="NOT_FOUND - no exchange"):
            await client.publish(exchange, "k", b"m")


async def test_what_is_declared_again_in_the_same_way_is_the_same(stage: Stage) -> None:
    async with stage.client() as client:
        for _ in range(2):
            await client.declare_exchange(stage.name("x"), "topic", durable=True)
            await client.declare_queue(stage.name("q"), durable=True, arguments={"x-expires": 60_000})
        await client.delete_exchange(stage.name("x"))
        assert await client.delete_queue(stage.name("q")) == 0


async def test_what_is_declared_again_in_another_way_closes_the_channel(stage: Stage) -> None:
    async with stage.client() as client:
        await client.declare_queue(stage.name("q"), auto_delete=True)
        with pytest.raises(Refused, match="406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue"):
            await client.declare_queue(stage.name("q"), auto_delete=True, durable=True)
        await client.reopen_channel()
        await client.delete_queue(stage.name("q"))


# --- confirms and returns ---------------------------------------------------------------------------------------------


async def test_an_unroutable_mandatory_message_comes_back(stage: Stage) -> None:
    async with stage.client() as client:
        assert not await client.publish("", stage.name("nobody"), b"m", mandatory=True)


async def test_an_unroutable_message_is_confirmed_and_dropped(stage: Stage) -> None:
    async with stage.client() as client:
        assert await client.publish("", stage.name("nobody"), b"m")


async def test_a_mandatory_message_that_reaches_a_queue_does_not_come_back(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        assert await client.publish("", queue, b"m", mandatory=True)
        assert await client.ready(queue) == 1


async def test_publishing_to_no_exchange_closes_the_channel_only(stage: Stage) -> None:
    async with stage.client() as client:
        with pytest.raises(Refused, match="404 NOT_FOUND - no exchange"):
            await client.publish(stage.name("none"), "k", b"m")
        await client.reopen_channel()
        assert await client.publish("", stage.name("nobody"), b"m")


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_arrive_in_the_order_in_which_they_were_sent(stage: Stage) -> None:
    async with stage.client() as client:
        queue, bodies = await stage.queue(client), [b"%d" % number for number in range(50)]
        await client.send("", queue, *bodies)
        await client.consume(queue, no_ack=True)
        assert await client.bodies(50) == bodies


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 2_600], ids=["empty", "small", "many frames"])
async def test_a_body_of_any_size_arrives_whole(stage: Stage, body: bytes) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.consume(queue, no_ack=True)
        await client.send("", queue, body)
        assert (await client.take()).body == body


async def test_a_message_says_how_it_came_and_with_what(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.bind(queue, "amq.topic", f"{queue}.#")
        headers = {"n": 7, "text": "ä", "list": [1, "a"], "table": {"k": True}}
        await client.publish("amq.topic", f"{queue}.a.b", b"m", headers=headers)
        await client.consume(queue)
        got = await client.take()
        assert (got.exchange, got.routing_key, got.redelivered) == ("amq.topic", f"{queue}.a.b", False)
        assert (got.content_type, got.headers) == ("text/plain", headers)


async def test_get_takes_one_message_or_says_that_there_is_none(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1")
        got = [await client.get(queue) for _ in range(3)]
        assert [one and one.body for one in got] == [b"0", b"1", None]


async def test_purge_and_delete_count_what_they_drop(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1", b"2")
        assert await client.purge(queue) == 3
        await client.send("", queue, b"3")
        assert await client.delete_queue(queue) == 1


async def test_purge_leaves_what_is_not_acknowledged(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1")
        taken = await client.get(queue)
        assert taken is not None
        assert await client.purge(queue) == 1
        await client.reject(taken, requeue=True)
        await until_ready(client, queue, 1)


# --- prefetch ---------------------------------------------------------------------------------------------------------


async def test_prefetch_holds_messages_back_until_they_are_acknowledged(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, *(b"%d" % number for number in range(5)))
        await client.limit(2)
        await client.consume(queue)
        first, second = [await client.take() for _ in range(2)]
        await until_ready(client, queue, 3)
        await client.ack(second)
        assert await client.bodies(1) == [b"2"]
        await client.ack(first)
        assert await client.bodies(1) == [b"3"]
        await until_ready(client, queue, 1)


async def test_prefetch_is_for_each_consumer_unless_it_is_for_the_channel(stage: Stage) -> None:
    async with stage.client() as client:
        queues = [await stage.queue(client, name) for name in "ab"]
        for queue in queues:
            await client.send("", queue, b"0", b"1", b"2")
        await client.limit(1)
        for queue in queues:
            await client.consume(queue)
        assert await client.bodies(2) == [b"0", b"0"]
        assert [await client.ready(queue) for queue in queues] == [2, 2]


async def test_prefetch_of_a_channel_counts_the_deliveries_of_all_its_consumers(stage: Stage) -> None:
    async with stage.client() as client:
        queues = [await stage.queue(client, name) for name in "ab"]
        for queue in queues:
            await client.send("", queue, b"0", b"1", b"2")
        await client.limit(4, whole_channel=True)
        for queue in queues:
            await client.consume(queue)
        taken = [await client.take() for _ in range(4)]

        async def all_but_four_wait() -> bool:
            return sum([await client.ready(queue) for queue in queues]) == 2

        await eventually(all_but_four_wait)
        await client.ack(taken[-1], multiple=True)
        assert len(await client.bodies(2)) == 2


async def test_prefetch_does_not_hold_back_what_needs_no_acknowledgement(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.limit(1)
        await client.consume(queue, no_ack=True)
        await client.send("", queue, b"0", b"1", b"2")
        assert await client.bodies(3) == [b"0", b"1", b"2"]


# --- acknowledgements and redelivery ----------------------------------------------------------------------------------


async def test_an_acknowledged_message_does_not_come_back(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1")
        await client.consume(queue)
        first, _ = [await client.take() for _ in range(2)]
        await client.ack(first)
        await client.reopen_channel()
        await until_ready(client, queue, 1)


async def test_an_acknowledgement_may_be_for_all_up_to_a_message(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1", b"2")
        await client.consume(queue)
        taken = [await client.take() for _ in range(3)]
        await client.ack(taken[1], multiple=True)
        await client.reopen_channel()
        await until_ready(client, queue, 1)
        again = await client.get(queue)
        assert again is not None
        assert again.body == b"2"


async def test_a_message_that_is_requeued_comes_back_to_its_place_marked_as_redelivered(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1", b"2")
        first = await client.get(queue)
        assert first is not None
        await client.reject(first, requeue=True)
        await until_ready(client, queue, 3)
        await client.consume(queue)
        seen = [await client.take() for _ in range(3)]
        assert [(one.body, one.redelivered) for one in seen] == [(b"0", True), (b"1", False), (b"2", False)]


async def test_a_message_that_is_rejected_for_good_is_gone(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, b"0", b"1")
        first = await client.get(queue)
        assert first is not None
        await client.reject(first, requeue=False)
        await client.reopen_channel()
        await until_ready(client, queue, 1)


async def test_unacknowledged_messages_return_in_order_when_their_channel_closes(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.send("", queue, *(b"%d" % number for number in range(5)))
        await client.limit(3)
        await client.consume(queue)
        first, *_ = [await client.take() for _ in range(3)]
        await client.ack(first)
        await client.take()
        await client.reopen_channel()
        await until_ready(client, queue, 4)
        await client.consume(queue)
        again = [await client.take() for _ in range(4)]
        assert [one.body for one in again] == [b"1", b"2", b"3", b"4"]
        assert [one.redelivered for one in again] == [True, True, True, False]


async def test_unacknowledged_messages_return_when_their_connection_closes(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, exclusive=False)
        await client.send("", queue, b"0", b"1")
        async with stage.client() as other:
            await other.consume(queue)
            await other.bodies(2)
        await until_ready(client, queue, 2)
        again = await client.get(queue)
        assert again is not None
        assert (again.body, again.redelivered) == (b"0", True)
        await client.delete_queue(queue)


# --- time -------------------------------------------------------------------------------------------------------------


async def test_messages_of_a_queue_with_a_ttl_expire(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, arguments={"x-message-ttl": 100})
        await client.send("", queue, b"m")
        await until_ready(client, queue, 0)


async def test_a_message_expires_by_its_own_ttl_and_the_others_stay(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.publish("", queue, b"expires", expiration_ms=100)
        await client.send("", queue, b"stays")
        await until_ready(client, queue, 1)
        await client.consume(queue)
        assert await client.bodies(1) == [b"stays"]


async def test_the_shorter_of_both_ttls_counts(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, arguments={"x-message-ttl": 100})
        await client.publish("", queue, b"m", expiration_ms=60_000)
        await until_ready(client, queue, 0)


async def test_a_message_without_time_reaches_a_waiting_consumer_only(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        await client.publish("", queue, b"nobody waits", expiration_ms=0)
        await until_ready(client, queue, 0)
        await client.consume(queue)
        await client.publish("", queue, b"somebody waits", expiration_ms=0)
        assert await client.bodies(1) == [b"somebody waits"]


async def test_an_unused_queue_expires(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, exclusive=False, arguments={"x-expires": 150})
        await until_expired(client, queue)


async def test_a_queue_with_a_consumer_does_not_expire(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(client, exclusive=False, arguments={"x-expires": 150})
        unused = await stage.queue(client, "unused", exclusive=False, arguments={"x-expires": 1_000})
        await client.consume(queue)
        await until_expired(other, unused)
        assert await other.is_there(queue)
        await client.delete_queue(queue)


# --- whose queues -----------------------------------------------------------------------------------------------------


async def test_an_exclusive_queue_is_its_connections_own(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(client)
        with pytest.raises(Refused, match="405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"):
            await other.declare_queue(queue, passive=True)


async def test_an_exclusive_queue_goes_with_its_connection(stage: Stage) -> None:
    async with stage.client() as client:
        async with stage.client() as other:
            queue = await stage.queue(other)
        await until_gone(client, queue)


async def test_an_auto_delete_queue_goes_with_its_last_consumer(stage: Stage) -> None:
    async with stage.client() as client:
        queue, _, _ = await client.declare_queue(stage.name("auto"), auto_delete=True)
        assert await client.is_there(queue)
        tags = [await client.consume(queue) for _ in range(2)]
        await client.cancel(tags[0])
        assert await client.is_there(queue)
        await client.cancel(tags[1])
        await until_gone(client, queue)


async def test_an_auto_delete_queue_goes_when_its_consumers_connection_closes(stage: Stage) -> None:
    async with stage.client() as client:
        async with stage.client() as other:
            queue, _, _ = await other.declare_queue(stage.name("auto"), auto_delete=True)
            await other.consume(queue)
        await until_gone(client, queue)


async def test_a_queue_without_a_name_is_given_one(stage: Stage) -> None:
    async with stage.client() as client:
        queue, _, _ = await client.declare_queue("", exclusive=True)
        assert queue.startswith("amq.gen-")
        await client.send("", queue, b"m")
        assert await client.ready(queue) == 1


# --- consumers --------------------------------------------------------------------------------------------------------


async def test_consumers_take_turns(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(client, exclusive=False)
        await client.consume(queue, no_ack=True)
        await other.consume(queue, no_ack=True)
        await client.send("", queue, *(b"%d" % number for number in range(10)))
        assert sorted(await client.bodies(5) + await other.bodies(5)) == [b"%d" % number for number in range(10)]
        await client.delete_queue(queue)


async def test_a_queue_counts_its_consumers(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        tag = await client.consume(queue)
        assert (await client.declare_queue(queue, passive=True))[2] == 1
        await client.cancel(tag)
        assert (await client.declare_queue(queue, passive=True))[2] == 0


async def test_a_cancelled_consumer_gets_nothing_more_and_keeps_what_it_has(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client)
        tag = await client.consume(queue)
        await client.send("", queue, b"0")
        taken = await client.take()
        await client.cancel(tag)
        await client.send("", queue, b"1")
        assert await client.ready(queue) == 1
        await client.ack(taken)
        await client.reopen_channel()
        await until_ready(client, queue, 1)


async def test_an_exclusive_consumer_is_the_only_one(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(client, exclusive=False)
        await client.consume(queue, exclusive=True)
        with pytest.raises(Refused, match=r"403 ACCESS_REFUSED - queue .* in vhost .* in exclusive use"):
            await other.consume(queue)
        await client.delete_queue(queue)


async def test_deleting_a_queue_cancels_its_consumers(stage: Stage) -> None:
    async with stage.client() as client, stage.client() as other:
        queue = await stage.queue(client, exclusive=False)
        await client.consume(queue)
        await other.delete_queue(queue)
        await client.cancelled()


# --- quorum queues ----------------------------------------------------------------------------------------------------


async def test_a_quorum_queue_keeps_and_redelivers_messages(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, exclusive=False, durable=True, arguments=QUORUM)
        await client.send("", queue, b"0", b"1")
        await client.limit(2)
        await client.consume(queue)
        first, _ = [await client.take() for _ in range(2)]
        await client.ack(first)
        await client.reopen_channel()
        await client.limit(2)
        await client.consume(queue)
        again = await client.take()
        assert (again.body, again.redelivered) == (b"1", True)
        await client.delete_queue(queue)


async def test_a_quorum_queue_may_be_bound_to_an_exchange_that_is_not_durable(stage: Stage) -> None:
    async with stage.client() as client:
        queue = await stage.queue(client, exclusive=False, durable=True, arguments=QUORUM)
        await client.declare_exchange(stage.name("x"), "topic", auto_delete=True)
        await client.bind(queue, stage.name("x"), "k")
        await client.send(stage.name("x"), "k", b"m")
        await until_ready(client, queue, 1)
        await client.delete_queue(queue)


@pytest.mark.parametrize(
    ("wrong", "properties"),
    [("non-durable", {}), ("auto-delete", {"durable": True, "auto_delete": True})],
)
async def test_a_quorum_queue_must_be_durable_and_may_not_go_by_itself(
    stage: Stage, wrong: str, properties: dict[str, bool]
) -> None:
    async with stage.client() as client:
        with pytest.raises(Refused, match=f"406 PRECONDITION_FAILED - invalid property '{wrong}' for queue"):
            await client.declare_queue(stage.name("q"), arguments=QUORUM, **properties)


# --- the connection ---------------------------------------------------------------------------------------------------


def test_every_library_is_tried() -> None:
    assert set(CLIENTS) == {"ours", "aio-pika", "kombu"}


async def test_idle_connections_live_on_heartbeats(place: Place) -> None:
    # All at once, and longer than two heartbeats: the deadline after which either side gives up.
    opened = [await kind.open(place, heartbeat_s=1) for kind in (CLIENTS["ours"], CLIENTS["aio-pika"])]
    await asyncio.sleep(3.2)
    for client in opened:
        await client.declare_queue(place.name(client.name), exclusive=True)
        await client.close()
