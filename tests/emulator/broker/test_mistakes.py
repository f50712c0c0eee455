"""Mistakes are answered with RabbitMQ's codes and words: services and faults read them."""

from __future__ import annotations

import asyncio

import pytest
from pamqp import base
from pamqp.commands import Basic, Channel, Exchange, Queue

from harness.emulator.messaging.connection import Connection
from harness.emulator.messaging.errors import ChannelClosed, ConnectionLost
from harness.wire import amqp
from tests.emulator.broker.place import Place, run

NO_QUEUE = "NOT_FOUND - no queue 'none' in vhost '{vhost}'"
NO_EXCHANGE = "NOT_FOUND - no exchange 'none' in vhost '{vhost}'"
OTHER = "PRECONDITION_FAILED - inequivalent arg"
SOFT: dict[str, tuple[list[base.Frame], int, str]] = {
    "passive queue": ([Queue.Declare(queue="none", passive=True)], 404, NO_QUEUE),
    "consume": ([Basic.Consume(queue="none")], 404, NO_QUEUE),
    "passive exchange": ([Exchange.Declare(exchange="none", passive=True)], 404, NO_EXCHANGE),
    "bind": ([Queue.Declare(queue="x", exclusive=True), Queue.Bind(queue="x", exchange="none")], 404, NO_EXCHANGE),
    "type": (
        [Exchange.Declare(exchange="amq.topic", exchange_type="direct", durable=True)],
        406,
        f"{OTHER} 'type' for exchange 'amq.topic' in vhost '{{vhost}}': received 'direct' but current is 'topic'",
    ),
    "durability": (
        [Exchange.Declare(exchange="amq.topic", exchange_type="topic")],
        406,
        f"{OTHER} 'durable' for exchange 'amq.topic' in vhost '{{vhost}}': received 'false' but current is 'true'",
    ),
    "arguments": (
        [
            Queue.Declare(queue="x", exclusive=True),
            Queue.Declare(queue="x", exclusive=True, arguments={"x-expires": 100_000}),
        ],
        406,
        f"{OTHER} 'x-expires' for queue 'x' in vhost '{{vhost}}': "
        "received the value '100000' of type 'signedint' but current is none",
    ),
    "zero": (
        [Queue.Declare(queue="x", arguments={"x-expires": 0})],
        406,
        "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'x' in vhost '{vhost}': {{value_zero,0}}",
    ),
    "reserved exchange": (
        [Exchange.Declare(exchange="amq.mine", exchange_type="topic")],
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    ),
    "reserved queue": (
        [Queue.Declare(queue="amq.mine")],
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    ),
    "system exchange": (
        [Exchange.Delete(exchange="amq.topic")],
        403,
        "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '{vhost}' not allowed",
    ),
    "default exchange": (
        [Exchange.Declare(exchange="", exchange_type="direct")],
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    "exclusive consumer": (
        [
            Queue.Declare(queue="x", exclusive=True),
            Basic.Consume(queue="x", consumer_tag="1", exclusive=True),
            Basic.Consume(queue="x", consumer_tag="2"),
        ],
        403,
        "ACCESS_REFUSED - queue 'x' in vhost '{vhost}' in exclusive use",
    ),
}

HARD: dict[str, tuple[list[base.Frame], str]] = {
    "unknown type": (
        [Exchange.Declare(exchange="x", exchange_type="soup")],
        "503 COMMAND_INVALID - unknown exchange type 'soup'",
    ),
    "prefetch size": ([Basic.Qos(1, 0, False)], "540 NOT_IMPLEMENTED - prefetch_size!=0 (1)"),
    "flow off": ([Channel.Flow(False)], "540 NOT_IMPLEMENTED - active=false"),
    "second open": ([Channel.Open()], "504 CHANNEL_ERROR - second 'channel.open' seen"),
    "consumer tag": (
        [
            Queue.Declare(queue="x", exclusive=True),
            Basic.Consume(queue="x", consumer_tag="1"),
            Basic.Consume(queue="x", consumer_tag="1"),
        ],
        "530 NOT_ALLOWED - attempt to reuse consumer tag '1'",
    ),
}


@pytest.mark.parametrize("case", SOFT)
def test_soft_errors_close_the_channel_only(place: Place, case: str) -> None:
    methods, code, text = SOFT[case]

    async def steps() -> None:
        channel = await place.channel()
        *before, last = methods
        await channel.request_all(before)
        with pytest.raises(ChannelClosed) as caught:
            await channel.request(last, timeout_s=5)
        assert (caught.value.code, caught.value.text) == (code, text.format(vhost=place.address.virtual_host))
        again = await channel.connection.channel()
        await again.request(Queue.Declare(queue=place.name("after"), exclusive=True))
        await channel.connection.close()

    run(steps())


@pytest.mark.parametrize("case", HARD)
def test_hard_errors_close_the_connection(place: Place, case: str) -> None:
    methods, text = HARD[case]

    async def steps() -> None:
        channel = await place.channel()
        *before, last = methods
        await channel.request_all(before)
        with pytest.raises(ConnectionLost) as caught:
            await channel.request(last, timeout_s=5)
        assert text in str(caught.value)

    run(steps())


@pytest.mark.parametrize(
    ("route", "expiration", "says"),
    [
        (("none", "k"), None, "404 NOT_FOUND - no exchange 'none' in vhost "),
        (("", "k"), "soon", "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
    ],
)
def test_a_bad_publish_closes_the_channel(
    place: Place, route: tuple[str, str], expiration: str | None, says: str
) -> None:
    async def steps() -> None:
        channel = await place.channel()
        properties = amqp.encode_properties(Basic.Properties(expiration=expiration))
        with pytest.raises(ChannelClosed) as caught:
            await asyncio.wait_for(channel.publish(amqp.route_bytes(*route), properties, b"m"), 5)
        assert says in str(caught.value)
        await channel.connection.close()

    run(steps())


def test_an_unknown_delivery_tag_closes_the_channel(place: Place) -> None:
    async def steps() -> None:
        channel = await place.channel()
        channel.connection.write(amqp.ack_frame(channel.number, 77))
        reason = await asyncio.wait_for(channel.closed, 5)
        assert str(reason) == "406 PRECONDITION_FAILED - unknown delivery tag 77"
        await channel.connection.close()

    run(steps())


def test_a_wrong_password_or_virtual_host_is_refused(place: Place) -> None:
    async def steps() -> None:
        address = place.address
        wrong = type(address)(address.host, address.port, address.user, "wrong", address.virtual_host)
        with pytest.raises(ConnectionLost, match=r"403 ACCESS_REFUSED - Login was refused using auth.* PLAIN"):
            await Connection.open(wrong, timeout_s=5)
        nowhere = type(address)(address.host, address.port, address.user, address.password, "nowhere")
        with pytest.raises(ConnectionLost, match="530 NOT_ALLOWED - vhost nowhere not found"):
            await Connection.open(nowhere, timeout_s=5)

    run(steps())
