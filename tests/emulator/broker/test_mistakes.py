"""Mistakes are answered with RabbitMQ's codes and words: services and faults read them.

Each row is what a client says, and the last thing that the broker says to it. Checked against RabbitMQ 3.10.8.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pamqp import base
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx
from pamqp.commands import Connection as Conn

from harness.emulator.messaging.connection import Connection
from harness.emulator.messaging.errors import ConnectionLost
from harness.wire import amqp
from tests.emulator.broker.place import Place, run
from tests.emulator.broker.wire import Wire, line

Said = bytes | base.Frame | tuple[int, base.Frame]
QUORUM: dict[str, object] = {"x-queue-type": "quorum"}
MINE = Queue.Declare(queue="x", exclusive=True)
ROUTE = amqp.route_bytes("", "x")
CONTENT = amqp.content_frames(1, b"\0\0", b"m")


def publish(exchange: str, key: str, **properties: str) -> bytes:
    content = amqp.content_frames(1, amqp.encode_properties(Basic.Properties(**properties)), b"m")
    return amqp.publish_frame(1, amqp.route_bytes(exchange, key)) + content


def mine(**arguments: object) -> Queue.Declare:
    """An exclusive queue with arguments, `_` for `-`."""
    return Queue.Declare(queue="x", exclusive=True, arguments={k.replace("_", "-"): v for k, v in arguments.items()})


def header(*parts: bytes) -> bytes:
    return amqp.publish_frame(1, ROUTE) + amqp.frame(amqp.HEADER, 1, b"".join(parts))


LOCKED = (
    "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'x' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)
OTHER_QUEUE = (
    "406 PRECONDITION_FAILED - inequivalent arg '{}' for queue 'x' in vhost '/': received {} but current is {}"
)
OTHER_EXCHANGE = OTHER_QUEUE.replace("queue", "exchange")
INVALID = "406 PRECONDITION_FAILED - invalid arg '{}' for queue 'x' in vhost '/': {}"
DEFAULT = "403 ACCESS_REFUSED - operation not permitted on the default exchange"
NO_QUEUE = "404 NOT_FOUND - no queue 'none' in vhost '/'"
NO_EXCHANGE = "404 NOT_FOUND - no exchange 'none' in vhost '/'"
NO_LAST = "404 NOT_FOUND - no previously declared queue"
NO_TAG = "406 PRECONDITION_FAILED - unknown delivery tag 9"

SOFT: list[tuple[str, list[Said], str]] = [
    ("passive queue", [Queue.Declare(queue="none", passive=True)], f"{NO_QUEUE} (50.10)"),
    ("passive, no name", [Queue.Declare(passive=True)], "404 NOT_FOUND - no queue '' in vhost '/' (50.10)"),
    ("passive exchange", [Exchange.Declare(exchange="none", passive=True)], f"{NO_EXCHANGE} (40.10)"),
    ("consume from none", [Basic.Consume(queue="none")], f"{NO_QUEUE} (60.20)"),
    ("get from none", [Basic.Get(queue="none")], f"{NO_QUEUE} (60.70)"),
    ("purge none", [Queue.Purge(queue="none")], f"{NO_QUEUE} (50.30)"),
    ("bind none", [Queue.Bind(queue="none", exchange="amq.topic")], f"{NO_QUEUE} (50.20)"),
    ("bind to none", [MINE, Queue.Bind(queue="x", exchange="none")], f"{NO_EXCHANGE} (50.20)"),
    ("bind none to none", [Queue.Bind(queue="none", exchange="none")], f"{NO_EXCHANGE} (50.20)"),
    ("bind exchange none", [Exchange.Bind(destination="none", source="amq.topic")], f"{NO_EXCHANGE} (40.30)"),
    ("bind exchange to none", [Exchange.Bind(destination="amq.topic", source="none")], f"{NO_EXCHANGE} (40.30)"),
    ("publish to none", [publish("none", "k")], f"{NO_EXCHANGE} (60.40)"),
    ("no last queue: bind", [Queue.Bind(exchange="amq.topic")], f"{NO_LAST} (50.20)"),
    ("no last queue: consume", [Basic.Consume()], f"{NO_LAST} (60.20)"),
    ("no last queue: delete", [Queue.Delete()], f"{NO_LAST} (50.40)"),
    ("no last queue: get", [Basic.Get()], f"{NO_LAST} (60.70)"),
    ("default: declare", [Exchange.Declare(exchange="")], f"{DEFAULT} (40.10)"),
    ("default: passive", [Exchange.Declare(exchange="", passive=True)], f"{DEFAULT} (40.10)"),
    ("default: delete", [Exchange.Delete(exchange="")], f"{DEFAULT} (40.20)"),
    ("default: bind", [MINE, Queue.Bind(queue="x", exchange="")], f"{DEFAULT} (50.20)"),
    ("default: unbind", [MINE, Queue.Unbind(queue="x", exchange="")], f"{DEFAULT} (50.50)"),
    ("default: source", [Exchange.Bind(destination="amq.topic", source="")], f"{DEFAULT} (40.30)"),
    ("default: destination", [Exchange.Bind(destination="", source="amq.topic")], f"{DEFAULT} (40.30)"),
    (
        "reserved exchange",
        [Exchange.Declare(exchange="amq.mine", exchange_type="topic")],
        "403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*' (40.10)",
    ),
    (
        "reserved queue",
        [Queue.Declare(queue="amq.mine")],
        "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*' (50.10)",
    ),
    (
        "system exchange",
        [Exchange.Delete(exchange="amq.topic")],
        "403 ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed (40.20)",
    ),
    (
        "internal exchange",
        [Exchange.Declare(exchange="x", internal=True), publish("x", "k")],
        "403 ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/' (60.40)",
    ),
    (
        "exchange in use",
        [
            Exchange.Declare(exchange="x"),
            MINE,
            Queue.Bind(queue="x", exchange="x"),
            Exchange.Delete(exchange="x", if_unused=True),
        ],
        "406 PRECONDITION_FAILED - exchange 'x' in vhost '/' in use (40.20)",
    ),
    (
        "another exchange type",
        [Exchange.Declare(exchange="x"), Exchange.Declare(exchange="x", exchange_type="topic")],
        OTHER_EXCHANGE.format("type", "'topic'", "'direct'") + " (40.10)",
    ),
    (
        "another exchange durability",
        [Exchange.Declare(exchange="x"), Exchange.Declare(exchange="x", durable=True)],
        OTHER_EXCHANGE.format("durable", "'true'", "'false'") + " (40.10)",
    ),
    (
        "another alternate exchange",
        [Exchange.Declare(exchange="x", arguments={"alternate-exchange": "a"}), Exchange.Declare(exchange="x")],
        OTHER_EXCHANGE.format("alternate-exchange", "none", "the value 'a' of type 'longstr'") + " (40.10)",
    ),
    ("no longer exclusive", [MINE, Queue.Declare(queue="x")], f"{LOCKED} (50.10)"),
    ("now exclusive", [Queue.Declare(queue="x"), MINE], f"{LOCKED} (50.10)"),
    (
        "another durability",
        [Queue.Declare(queue="x"), Queue.Declare(queue="x", durable=True)],
        OTHER_QUEUE.format("durable", "'true'", "'false'") + " (50.10)",
    ),
    (
        "another auto-delete",
        [MINE, Queue.Declare(queue="x", exclusive=True, auto_delete=True)],
        OTHER_QUEUE.format("auto_delete", "'true'", "'false'") + " (50.10)",
    ),
    (
        "an argument more",
        [MINE, mine(x_expires=100_000)],
        OTHER_QUEUE.format("x-expires", "the value '100000' of type 'signedint'", "none") + " (50.10)",
    ),
    (
        "an argument less",
        [mine(x_message_ttl=100), MINE],
        OTHER_QUEUE.format("x-message-ttl", "none", "the value '100' of type 'byte'") + " (50.10)",
    ),
    (
        "another value",
        [mine(x_message_ttl=100), mine(x_message_ttl=200)],
        OTHER_QUEUE.format("x-message-ttl", "'200'", "'100'") + " (50.10)",
    ),
    (
        "another queue type",
        [Queue.Declare(queue="x", durable=True), Queue.Declare(queue="x", durable=True, arguments=QUORUM)],
        OTHER_QUEUE.format("x-queue-type", "the value 'quorum' of type 'longstr'", "none") + " (50.10)",
    ),
    ("x-expires 0", [mine(x_expires=0)], INVALID.format("x-expires", "{value_zero,0} (50.10)")),
    ("x-expires -1", [mine(x_expires=-1)], INVALID.format("x-expires", "{value_negative,-1} (50.10)")),
    (
        "x-message-ttl too long",
        [mine(x_message_ttl=10**12)],
        INVALID.format("x-message-ttl", "{value_too_large,1000000000000} (50.10)"),
    ),
    (
        "x-message-ttl as text",
        [mine(x_message_ttl="1000")],
        INVALID.format("x-message-ttl", '"expected integer, got longstr" (50.10)'),
    ),
    ("x-max-length -1", [mine(x_max_length=-1)], INVALID.format("x-max-length", "{value_negative,-1} (50.10)")),
    ("x-overflow", [mine(x_overflow="soup")], INVALID.format("x-overflow", "invalid_overflow (50.10)")),
    (
        "x-queue-mode",
        [mine(x_queue_mode="soup")],
        INVALID.format("x-queue-mode", "\"unsupported queue mode 'soup'\" (50.10)"),
    ),
    (
        "x-queue-type",
        [mine(x_queue_type="soup")],
        INVALID.format("x-queue-type", "\"unsupported queue type 'soup'\" (50.10)"),
    ),
    (
        "x-queue-type as number",
        [mine(x_queue_type=7)],
        INVALID.format("x-queue-type", "{unacceptable_type,byte} (50.10)"),
    ),
    (
        "routing key of no dead-letter exchange",
        [mine(x_dead_letter_routing_key="k")],
        INVALID.format("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined (50.10)"),
    ),
    (
        "delivery limit of a classic queue",
        [mine(x_delivery_limit=1)],
        "406 PRECONDITION_FAILED - invalid arg 'x-delivery-limit' for queue 'x' in vhost '/' "
        "of queue type rabbit_classic_queue (50.10)",
    ),
    (
        "quorum, not durable",
        [Queue.Declare(queue="x", arguments=QUORUM)],
        "406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'x' in vhost '/' (50.10)",
    ),
    (
        "quorum, exclusive",
        [Queue.Declare(queue="x", durable=True, exclusive=True, arguments=QUORUM)],
        "406 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'x' in vhost '/' (50.10)",
    ),
    (
        "quorum, auto-delete",
        [Queue.Declare(queue="x", durable=True, auto_delete=True, arguments=QUORUM)],
        "406 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'x' in vhost '/' (50.10)",
    ),
    (
        "quorum, no name",
        [Queue.Declare(queue="", durable=True, arguments=QUORUM)],
        "406 PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue (50.10)",
    ),
    (
        "quorum with priorities",
        [Queue.Declare(queue="x", durable=True, arguments=QUORUM | {"x-max-priority": 3})],
        "406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'x' in vhost '/' "
        "of queue type rabbit_quorum_queue (50.10)",
    ),
    (
        "queue not empty",
        [Queue.Declare(queue="x"), publish("", "x"), Queue.Delete(queue="x", if_empty=True)],
        "406 PRECONDITION_FAILED - queue 'x' in vhost '/' not empty (50.40)",
    ),
    (
        "queue in use",
        [Queue.Declare(queue="x"), Basic.Consume(queue="x"), Queue.Delete(queue="x", if_unused=True)],
        "406 PRECONDITION_FAILED - queue 'x' in vhost '/' in use (50.40)",
    ),
    (
        "exclusive consumer",
        [MINE, Basic.Consume(queue="x", consumer_tag="1", exclusive=True), Basic.Consume(queue="x", consumer_tag="2")],
        "403 ACCESS_REFUSED - queue 'x' in vhost '/' in exclusive use (60.20)",
    ),
    ("ack of no delivery", [Basic.Ack(9)], f"{NO_TAG} (60.80)"),
    ("ack of no deliveries", [Basic.Ack(9, True)], f"{NO_TAG} (60.80)"),
    ("nack of no delivery", [Basic.Nack(9)], f"{NO_TAG} (60.120)"),
    ("reject of no delivery", [Basic.Reject(9)], f"{NO_TAG} (60.90)"),
    (
        "second ack",
        [MINE, publish("", "x"), Basic.Get(queue="x"), Basic.Ack(1), Basic.Ack(1)],
        "406 PRECONDITION_FAILED - unknown delivery tag 1 (60.80)",
    ),
    (
        "expiration as word",
        [publish("", "x", expiration="soon")],
        "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer (60.40)",
    ),
    (
        "expiration with a fraction",
        [publish("", "x", expiration="1.5")],
        "406 PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,\".5\"} (60.40)",
    ),
    (
        "expiration in the past",
        [publish("", "x", expiration="-1")],
        "406 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1} (60.40)",
    ),
    (
        "somebody else's user id",
        [publish("", "x", user_id="nobody")],
        "406 PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was '{user}' (60.40)",
    ),
]

UNIMPLEMENTED = "503 COMMAND_INVALID - unimplemented method"
CONTENT_FIRST = "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0.0)"
NO_HEADER = (
    "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead ({place})"
)
NO_BODY = "505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60.40)"
RUNNING = "504 CHANNEL_ERROR - unexpected method in connection state running"

HARD: list[tuple[str, list[Said], str]] = [
    (
        "unknown exchange type",
        [Exchange.Declare(exchange="x", exchange_type="soup")],
        "503 COMMAND_INVALID - unknown exchange type 'soup' (40.10)",
    ),
    ("prefetch size", [Basic.Qos(1, 0, False)], "540 NOT_IMPLEMENTED - prefetch_size!=0 (1) (60.10)"),
    ("flow off", [Channel.Flow(False)], "540 NOT_IMPLEMENTED - active=false (20.20)"),
    ("recover without requeue", [Basic.Recover(False)], "540 NOT_IMPLEMENTED - requeue=false (60.110)"),
    (
        "immediate",
        [amqp.frame(amqp.METHOD, 1, b"\0\x3c\0\x28\0\0" + ROUTE + b"\2") + CONTENT],
        "540 NOT_IMPLEMENTED - immediate=true (60.40)",
    ),
    (
        "delete a quorum queue if empty",
        [Queue.Declare(queue="x", durable=True, arguments=QUORUM), Queue.Delete(queue="x", if_empty=True)],
        "540 NOT_IMPLEMENTED - cannot delete queue 'x' in vhost '/'. queue.delete operations with if-empty flag set "
        "are not supported by quorum queues (50.40)",
    ),
    (
        "limit of a channel that consumes a quorum queue",
        [
            Queue.Declare(queue="x", durable=True, arguments=QUORUM),
            Basic.Qos(0, 9, True),
            Basic.Consume(queue="x", consumer_tag="1"),
        ],
        "540 NOT_IMPLEMENTED - queue 'x' in vhost '/' does not support global qos (60.20)",
    ),
    (
        "consumer tag in use",
        [MINE, Basic.Consume(queue="x", consumer_tag="1"), Basic.Consume(queue="x", consumer_tag="1")],
        "530 NOT_ALLOWED - attempt to reuse consumer tag '1' (60.20)",
    ),
    ("second open", [Channel.Open()], "504 CHANNEL_ERROR - second 'channel.open' seen (20.10)"),
    ("queue method on channel 0", [(0, MINE)], f"{RUNNING} (50.10)"),
    ("second connection.open", [(0, Conn.Open("/"))], f"{RUNNING} (10.40)"),
    ("connection method on channel 1", [Conn.Close(200, "", 0, 0)], f"{UNIMPLEMENTED} (10.50)"),
    ("method of a broker", [Basic.QosOk()], f"{UNIMPLEMENTED} (60.11)"),
    ("close-ok unasked for", [Channel.CloseOk()], f"{UNIMPLEMENTED} (20.41)"),
    ("delivery from a client", [Basic.Deliver("c", 1, False, "", "")], NO_HEADER.format(place="60.60")),
    ("header without a publish", [amqp.frame(amqp.HEADER, 1, amqp.content_header(1, b"\0\0"))], CONTENT_FIRST),
    ("body without a publish", [amqp.frame(amqp.BODY, 1, b"m")], CONTENT_FIRST),
    ("publish after a publish", [amqp.publish_frame(1, ROUTE) * 2], NO_HEADER.format(place="60.40")),
    ("declare after a publish", [amqp.publish_frame(1, ROUTE), MINE], NO_HEADER.format(place="60.40")),
    ("body after a publish", [amqp.publish_frame(1, ROUTE), amqp.frame(amqp.BODY, 1, b"m")], NO_HEADER),
    ("ack after a header", [header(amqp.content_header(1, b"\0\0")), Basic.Ack(1)], NO_BODY),
    ("body too long", [header(amqp.content_header(1, b"\0\0")), amqp.frame(amqp.BODY, 1, b"mm")], NO_BODY),
    (
        "header of another class",
        [header(b"\0\x32\0\0", bytes(8), b"\0\0")],
        "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60.40)",
    ),
    ("heartbeat on channel 1", [b"\x08\0\1\0\0\0\0\xce"], "505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0.0)"),
]

BROKEN: list[tuple[str, bytes]] = [
    ("unknown frame type", b"\x07\0\1\0\0\0\0\xce"),
    ("wrong end mark", b"\1\0\1\0\0\0\4\0\x3c\0\x0a\0"),
    ("above the frame limit", b"\3\0\1\x7f\0\0\0\0"),
    ("heartbeat with content", b"\x08\0\0\0\0\0\1x\xce"),
    ("method too short for a number", amqp.frame(amqp.METHOD, 1, b"\0\x3c")),
    ("arguments cut off", amqp.frame(amqp.METHOD, 1, b"\0\x32\0\x0a\0\0\5ab")),
    ("name that is no UTF-8", amqp.frame(amqp.METHOD, 1, b"\0\x32\0\x0a\0\0\2\xff\xfe\4\0\0\0\0")),
    ("header too short", header(b"\0\x3c\0\0")),
]

NO_MISTAKE: list[tuple[str, list[Said], list[str]]] = [
    ("an exclusive queue is never durable", [MINE, Queue.Declare(queue="x", exclusive=True, durable=True)], ["x", "x"]),
    ("a classic queue may say so", [MINE, mine(x_queue_type="classic")], ["x", "x"]),
    ("unknown arguments do not count", [mine(soup=1), MINE], ["x", "x"]),
    ("deleting what is not there", [Queue.Delete(queue="none"), Exchange.Delete(exchange="none")], ["Delete"] * 2),
    (
        "unbinding what is not bound",
        [MINE, Queue.Unbind(queue="x", exchange="none"), Queue.Unbind(queue="none", exchange="amq.topic")],
        ["x", "UnbindOk", "UnbindOk"],
    ),
    ("cancelling no consumer", [Basic.Cancel("none")], ["CancelOk consumer_tag='none'"]),
    ("acknowledging all of nothing", [Basic.Ack(0, True)], []),
    ("confirms, asked for twice", [Confirm.Select(), Confirm.Select()], ["SelectOk", "SelectOk"]),
    ("flow on", [Channel.Flow(True)], ["FlowOk active=True"]),
]


def rows(table: list[tuple[str, list[Said], str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("said", "answer"), [row[1:] for row in table], ids=[row[0] for row in table])


@rows(SOFT)
def test_soft_errors_close_the_channel_only(place: Place, said: list[Said], answer: str) -> None:
    async def steps() -> None:
        wire = await Wire.open(place)
        await tidy(wire)
        wire.tell(*said)
        heard = await wire.hear()
        assert heard[-1] == f"Channel.Close {answer.replace('{user}', place.address.user)}"
        wire.tell((2, Channel.Open()))
        await wire.expect(Channel.OpenOk)
        await tidy(wire, channel=2)
        await wire.close()

    run(steps())


@rows(HARD)
def test_hard_errors_close_the_connection(place: Place, said: list[Said], answer: str) -> None:
    async def steps() -> None:
        wire = await Wire.open(place)
        await tidy(wire)
        wire.tell(*said)
        heard = await wire.hear()
        assert heard[-1] == f"Connection.Close {answer.format(place='60.40')}"
        assert await wire.method() is None
        after = await Wire.open(place)
        await tidy(after)
        await after.close()

    run(steps())


@pytest.mark.parametrize("data", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_frame_closes_the_connection_with_a_frame_error(place: Place, data: bytes) -> None:
    async def steps() -> None:
        wire = await Wire.open(place)
        wire.tell(data)
        heard = await wire.hear()
        assert heard[-1].startswith("Connection.Close 501 FRAME_ERROR - ")
        await wire.close()

    run(steps())


@pytest.mark.parametrize(
    "said",
    [MINE, Channel.Close(200, "", 0, 0), Channel.CloseOk()],
    ids=["declare", "close", "close-ok"],
)
def test_a_channel_must_be_opened_first(place: Place, said: base.Frame) -> None:
    async def steps() -> None:
        wire = await Wire.open(place)
        wire.tell((7, said))
        close = line(await wire.expect(Conn.Close))
        number = f"{said.index >> 16}.{said.index & 0xFFFF}"
        assert close == f"Connection.Close 504 CHANNEL_ERROR - expected 'channel.open' ({number})"
        await wire.close()

    run(steps())


@pytest.mark.parametrize(("said", "answers"), [r[1:] for r in NO_MISTAKE], ids=[r[0] for r in NO_MISTAKE])
def test_what_looks_like_a_mistake_and_is_none(place: Place, said: list[Said], answers: list[str]) -> None:
    async def steps() -> None:
        wire = await Wire.open(place)
        await tidy(wire)
        wire.tell(*said)
        heard = await wire.hear()
        assert len(heard) == len(answers)
        assert all(wanted in got for wanted, got in zip(answers, heard, strict=True)), heard
        await wire.close()

    run(steps())


def test_channels_are_counted_whatever_their_numbers(place: Place) -> None:
    async def steps() -> None:
        wire = await Wire.open(place, channels=0, channel_max=2)
        wire.tell((4, Channel.Open()), (9, Channel.Open()), (2, Channel.Open()))
        await wire.expect(Channel.OpenOk)
        await wire.expect(Channel.OpenOk)
        assert line(await wire.expect(Conn.Close)) == (
            "Connection.Close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated "
            "channel_max (2) (0.0)"
        )
        await wire.close()

    run(steps())


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x01\x00\x00"])
def test_another_protocol_is_told_which_one_is_spoken_here(place: Place, said: bytes) -> None:
    async def steps() -> None:
        reader, writer = await asyncio.open_connection(place.address.host, place.address.port)
        writer.write(said)
        assert await asyncio.wait_for(reader.readexactly(8), 5) == amqp.PROTOCOL_HEADER
        writer.close()

    run(steps())


STRANGERS: dict[str, list[Said]] = {
    "unknown mechanism": [(0, Conn.StartOk({}, "SOUP", "x", "en_US"))],
    "response that is none": [(0, Conn.StartOk({}, "PLAIN", "no zero bytes", "en_US"))],
    "wrong password, and no way to be told so": [(0, Conn.StartOk({}, "PLAIN", "\0nobody\0wrong", "en_US"))],
    "tune-ok before the login": [(0, Conn.TuneOk(0, 0, 0))],
    "channel before the login": [(1, Channel.Open())],
    "frame above the limit": [b"\1\0\0\x7f\0\0\0\0"],
    "unknown frame type": [b"\x09\0\0\0\0\0\0\xce"],
}


def test_who_fails_to_come_in_is_told_nothing_and_held_up(place: Place) -> None:
    async def held_up(said: list[Said]) -> bool:
        wire = await Wire.socket(place)
        wire.tell(amqp.PROTOCOL_HEADER)
        await wire.expect(Conn.Start)
        start = asyncio.get_running_loop().time()
        wire.tell(*said)
        while (heard := await wire.method(within_s=8)) is not None:
            if not isinstance(heard[1], Conn.Tune):
                return False
        return asyncio.get_running_loop().time() - start > 2

    async def steps() -> None:
        login = (0, Wire.login_of(place))
        frame_sizes: dict[str, list[Said]] = {
            f"frames of {size} bytes": [login, (0, Conn.TuneOk(2047, size, 0))]
            for size in (amqp.FRAME_MIN - 1, amqp.FRAME_MAX + 1)
        }
        strangers = STRANGERS | frame_sizes
        held = await asyncio.gather(*(held_up(said) for said in strangers.values()))
        assert dict(zip(strangers, held, strict=True)) == dict.fromkeys(strangers, True)

    run(steps())


def test_a_wrong_password_is_refused(place: Place) -> None:
    async def steps() -> None:
        with pytest.raises(ConnectionLost, match=r"403 ACCESS_REFUSED - Login was refused using auth.* PLAIN"):
            await Connection.open(replace(place.address, password="wrong"), timeout_s=5)

    run(steps())


def test_a_virtual_host_that_is_not_there_is_refused(place: Place) -> None:
    async def steps() -> None:
        with pytest.raises(ConnectionLost, match="530 NOT_ALLOWED - vhost nowhere not found"):
            await Connection.open(replace(place.address, virtual_host="nowhere"), timeout_s=5)

    run(steps())


def test_the_embedded_broker_offers_no_transactions(broker: Place) -> None:
    async def steps() -> None:
        wire = await Wire.open(broker)
        wire.tell(Tx.Select())
        text = "540 NOT_IMPLEMENTED - Tx.Select is not offered by this broker (90.10)"
        assert (await wire.hear())[-1] == f"Connection.Close {text}"
        await wire.close()

    run(steps())


async def tidy(wire: Wire, *, channel: int = 1) -> None:
    """Delete what the rows declare."""
    for method in (Queue.Delete(queue="x"), Exchange.Delete(exchange="x")):
        wire.tell((channel, method))
        assert (await wire.method()) is not None
