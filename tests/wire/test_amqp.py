"""The AMQP codec: what is packed here is what pamqp reads, and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp import frame as reference

from harness.wire import amqp
from harness.wire.amqp import AmqpError, FrameError, FrameParser

names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-_.", max_size=60)
tags = st.integers(min_value=1, max_value=2**63 - 1)


def only_payload(data: bytes) -> bytes:
    [(_, _, payload)] = FrameParser().feed(data)
    return payload


@given(exchange=names, key=names, mandatory=st.booleans(), channel=st.integers(1, 2047))
def test_publish_reads_like_pamqp_writes_it(exchange: str, key: str, mandatory: bool, channel: int) -> None:
    ours = amqp.publish_frame(channel, amqp.route_bytes(exchange, key), mandatory=mandatory)
    theirs = reference.marshal(commands.Basic.Publish(0, exchange, key, mandatory), channel)
    assert ours == theirs
    read = amqp.decode_publish(only_payload(theirs))
    assert (read.exchange, read.routing_key, read.mandatory, read.immediate) == (exchange, key, mandatory, False)


@given(tag=names, number=tags, redelivered=st.booleans(), exchange=names, key=names)
def test_deliver_reads_like_pamqp_writes_it(tag: str, number: int, redelivered: bool, exchange: str, key: str) -> None:
    ours = amqp.deliver_frame(7, amqp.deliver_head(tag), number, redelivered, amqp.route_bytes(exchange, key))
    assert ours == reference.marshal(commands.Basic.Deliver(tag, number, redelivered, exchange, key), 7)
    payload = only_payload(ours)
    assert amqp.decode_deliver(payload) == (tag, number, redelivered, exchange, key)
    assert amqp.deliver_key(payload) == (tag.encode(), number)


@given(number=tags, multiple=st.booleans())
def test_ack_reads_like_pamqp_writes_it(number: int, multiple: bool) -> None:
    ours = amqp.ack_frame(3, number, multiple=multiple)
    assert ours == reference.marshal(commands.Basic.Ack(number, multiple), 3)
    assert amqp.decode_ack(only_payload(ours)) == (number, multiple)


@given(body=st.binary(max_size=20_000), limit=st.integers(amqp.FRAME_MIN, 9_000))
def test_a_body_is_cut_to_the_frame_size_and_comes_back_whole(body: bytes, limit: int) -> None:
    properties = amqp.encode_properties(commands.Basic.Properties(content_type="text/plain", delivery_mode=2))
    data = amqp.content_frames(5, properties, body, limit)
    head, *rest = FrameParser(limit).feed(data)
    assert amqp.body_size(head[2]) == len(body)
    assert head[2][12:] == properties
    assert amqp.decode_properties(head[2]).content_type == "text/plain"
    assert b"".join(payload for _, _, payload in rest) == body
    assert all(kind == amqp.BODY for kind, _, _ in rest)


@given(data=st.data())
def test_frames_do_not_depend_on_how_the_stream_is_cut(data: st.DataObject) -> None:
    route = amqp.route_bytes("nova", "compute.host-1")
    stream = (
        amqp.publish_frame(1, route)
        + amqp.content_frames(1, b"\x00\x00", b"x" * 300)
        + amqp.HEARTBEAT_FRAME
        + amqp.ack_frame(2, 9, multiple=True)
        + amqp.method_frame(3, commands.Queue.Declare(queue="q", arguments={"x-expires": 1_800_000}))
    )
    whole = FrameParser().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = FrameParser()
    pieces = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        pieces.extend(parser.feed(stream[start:stop]))
    assert pieces == whole
    assert parser.pending == 0
    assert b"".join(amqp.frame(*piece) for piece in whole) == stream


def test_cold_methods_survive_the_round_trip() -> None:
    method = commands.Queue.Declare(queue="reply_1", arguments={"x-expires": 1_800_000}, auto_delete=True)
    read = amqp.decode_method(only_payload(amqp.method_frame(1, method)))
    assert isinstance(read, commands.Queue.Declare)
    assert (read.queue, read.auto_delete, read.arguments) == ("reply_1", True, {"x-expires": 1_800_000})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame type 71"),
        (b"\x01\x00\x01\x7f\xff\xff\xff", "above the limit"),
        (b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\x0a\xcd", "wanted 0xce"),
    ],
)
def test_a_malformed_frame_is_named(data: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says) as caught:
        FrameParser(4096).feed(data)
    assert caught.value.code == 501
    assert caught.value.closes_connection


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00\x3c\x00\x28\x00\x00\x05nova",
        b"\x00\x3c\x00\x28\x00\x00\x04nova\x09short\x00",
        b"\x00\x3c\x00\x28\x00\x00\x04\xff\xff\xff\xff\x00\x00",
    ],
)
def test_a_malformed_publish_is_a_frame_error(payload: bytes) -> None:
    with pytest.raises(AmqpError, match="501 FRAME_ERROR"):
        amqp.decode_publish(payload)


@given(st.binary(max_size=80))
def test_any_method_payload_is_read_or_refused_with_a_reply_code(payload: bytes) -> None:
    for read in (amqp.decode_method, amqp.decode_publish, amqp.decode_deliver, amqp.decode_ack, amqp.body_size):
        codes = set()
        try:
            read(payload)
        except AmqpError as error:
            codes.add(error.code)
        assert codes <= {501, 502, 540}


def test_the_parser_holds_one_frame_at_most() -> None:
    parser = FrameParser(amqp.FRAME_MIN)
    assert parser.feed(b"\x03\x00\x01\x00\x00\x0f\xf8" + b"x" * 4_000) == []
    assert parser.pending == 4_007
    assert len(parser.feed(b"x" * 88 + b"\xce")) == 1
    assert parser.pending == 0


def test_only_hard_errors_close_the_connection() -> None:
    assert {code: AmqpError(code, "").closes_connection for code in (312, 403, 404, 405, 406, 501, 530, 540)} == {
        312: False, 403: False, 404: False, 405: False, 406: False, 501: True, 530: True, 540: True,
    }  # fmt: skip
