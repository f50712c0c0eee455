"""AMQP 0-9-1 framing: one codec for the lean client, the embedded broker and the fault proxy.

The frames that travel with every message (basic.publish, deliver, ack, confirms, content header and body) are packed
and parsed here by `struct`; everything rarer goes through pamqp. A parser holds the bytes of at most one unfinished
frame, refuses frames above the negotiated size, and names what is wrong with a malformed one (`FrameError`, 501).

Source: AMQP 0-9-1 specification, chapters 2.3 and 4.2; RabbitMQ's documented extensions (confirms, connection.blocked).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pamqp import base, commands, decode, encode, exceptions, header

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

FRAME_MAX: Final = 131_072
"""Bytes, header and end mark included: what RabbitMQ proposes."""
FRAME_OVERHEAD: Final = 8
FRAME_MIN: Final = 4_096
"""Bytes: the least that both sides must accept; also the limit before connection.tune is done."""

# (class << 16) | method, as the first four bytes of a method frame read as one integer.
BASIC_PUBLISH: Final = 60 << 16 | 40
BASIC_RETURN: Final = 60 << 16 | 50
BASIC_DELIVER: Final = 60 << 16 | 60
BASIC_ACK: Final = 60 << 16 | 80
BASIC_NACK: Final = 60 << 16 | 120

_FRAME: Final = struct.Struct(">BHI")
_PUBLISH_HEAD: Final = struct.Struct(">HHH")
_ACK: Final = struct.Struct(">BHIHHQBB")
_TAG_FLAG: Final = struct.Struct(">QB")
_CONTENT: Final = struct.Struct(">HHQ")
_HEADER_FRAME: Final = struct.Struct(">BHIHHQ")
_END: Final = b"\xce"
_U64: Final = struct.Struct(">Q")
_U32: Final = struct.Struct(">I")

Frame = tuple[int, int, bytes]
"""(type, channel, payload)"""


class AmqpError(Exception):
    """A reply code of the protocol, with the text that goes on the wire.

    Args:  code: 3xx/4xx/5xx reply code. text: reply text, for instance `NOT_FOUND - no queue 'x' in vhost '/'`.
           class_id, method_id: the method that caused it, 0 when none did.
    The peer's connection or channel is closed after it, see `closes_connection`.
    """

    HARD: Final = frozenset({320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541})

    def __init__(self, code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.class_id = class_id
        self.method_id = method_id

    @property
    def closes_connection(self) -> bool:
        """True for connection exceptions ("hard errors"); the others close only their channel."""
        return self.code in self.HARD


class FrameError(AmqpError):
    """The bytes do not follow the framing rules (501): nothing after them can be trusted, the connection must end."""

    def __init__(self, text: str) -> None:
        super().__init__(501, f"FRAME_ERROR - {text}")


class FrameParser:
    """Cuts a byte stream into frames.

    Args:  limit: largest whole frame in bytes; raise it after connection.tune by assigning `limit`.
    """

    __slots__ = ("_rest", "limit")

    def __init__(self, limit: int = FRAME_MAX) -> None:
        self.limit = limit
        self._rest = b""

    @property
    def pending(self) -> int:
        """Bytes held of a frame that is not complete yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`, in order.

        Raises:  FrameError on an unknown frame type, a frame above `limit` or a missing end mark. Frames completed
                 before the bad one in the same call are dropped with it: the connection is over anyway.
        """
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        append, unpack, limit = frames.append, _FRAME.unpack_from, self.limit
        start, end = 0, len(data)
        while end - start >= 7:
            kind, channel, size = unpack(data, start)
            stop = start + 7 + size
            if kind not in _KINDS:
                raise FrameError(f"frame type {kind} is none of method, header, body, heartbeat; channel {channel}")
            if size + FRAME_OVERHEAD > limit:
                raise FrameError(f"frame of {size + FRAME_OVERHEAD} bytes is above the limit of {limit}")
            if stop >= end:
                break
            if data[stop] != FRAME_END:
                raise FrameError(f"frame on channel {channel} ends with 0x{data[stop]:02x}, wanted 0xce")
            append((kind, channel, data[start + 7 : stop]))
            start = stop + 1
        self._rest = data[start:] if start else data
        return frames


_KINDS: Final = frozenset({METHOD, HEADER, BODY, HEARTBEAT})


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame as bytes; the exact inverse of what `FrameParser` returns."""
    return b"%b%b\xce" % (_FRAME.pack(kind, channel, len(payload)), payload)


def shortstr(text: str) -> bytes:
    """A short string: one length byte and UTF-8. Raises ValueError above 255 bytes."""
    raw = text.encode()
    if len(raw) > 255:
        raise ValueError(f"short string of {len(raw)} bytes, at most 255 are allowed: {text[:40]!r}...")
    return bytes((len(raw),)) + raw


# --- cold methods -----------------------------------------------------------------------------------------------------


def method_frame(channel: int, method: base.Frame) -> bytes:
    """Any method as a frame, by pamqp. Raises ValueError or TypeError when an argument does not fit its field."""
    return frame(METHOD, channel, _U32.pack(method.index) + method.marshal())


def decode_method(payload: bytes) -> base.Frame:
    """The method in a method frame's payload.

    Raises:  AmqpError 540 for an unknown method, 501 FRAME_ERROR when its arguments do not parse (RabbitMQ's code).
    """
    if len(payload) < 4:
        raise FrameError(f"method frame of {len(payload)} bytes")
    index = int.from_bytes(payload[:4], "big")
    kind = commands.INDEX_MAPPING.get(index)
    if kind is None:
        raise AmqpError(540, f"NOT_IMPLEMENTED - method {index >> 16}.{index & 0xFFFF}", index >> 16, index & 0xFFFF)
    method: base.Frame = kind()
    try:
        method.unmarshal(payload[4:])
    except (ValueError, IndexError, struct.error, exceptions.PAMQPException) as error:
        text = f"FRAME_ERROR - arguments of {method.name} do not parse: {error}"
        raise AmqpError(501, text[:255], index >> 16, index & 0xFFFF) from error
    return method


# --- content ----------------------------------------------------------------------------------------------------------


def encode_properties(properties: commands.Basic.Properties) -> bytes:
    """Property flags and values, the part of a content header after the body size."""
    return bytes(properties.marshal())


def decode_properties(header_payload: bytes) -> commands.Basic.Properties:
    """The properties in a content header frame's payload. Raises AmqpError 502 when they do not parse."""
    content = header.ContentHeader()
    try:
        content.unmarshal(header_payload)
    except (ValueError, IndexError, struct.error, exceptions.PAMQPException) as error:
        raise AmqpError(502, f"SYNTAX_ERROR - content header does not parse: {error}"[:255], 60, 40) from error
    return content.properties


def content_header(body_size: int, properties: bytes) -> bytes:
    """A content header frame's payload for class basic; `properties` come from `encode_properties`."""
    return _CONTENT.pack(60, 0, body_size) + properties


def body_size(header_payload: bytes) -> int:
    """The body size that a content header announces. Raises FrameError when it is too short or not of class basic."""
    if len(header_payload) < 14:
        raise FrameError(f"content header of {len(header_payload)} bytes, at least 14 are needed")
    class_id, _, size = _CONTENT.unpack_from(header_payload)
    if class_id != 60:
        raise FrameError(f"content header of class {class_id}, wanted 60")
    return int(size)


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int = FRAME_MAX) -> bytes:
    """Content header and body frames of one message, bodies cut so that no frame is above `frame_max` bytes."""
    size = len(body)
    head = _HEADER_FRAME.pack(HEADER, channel, 12 + len(properties), 60, 0, size)
    if size + FRAME_OVERHEAD <= frame_max:
        if not size:
            return b"%b%b\xce" % (head, properties)
        return b"%b%b\xce%b%b\xce" % (head, properties, _FRAME.pack(BODY, channel, size), body)
    room = frame_max - FRAME_OVERHEAD
    parts = [head, properties, _END]
    parts.extend(frame(BODY, channel, body[at : at + room]) for at in range(0, size, room))
    return b"".join(parts)


# --- hot methods ------------------------------------------------------------------------------------------------------


class Publish(NamedTuple):
    """basic.publish. `route` is the wire form of exchange and routing key, ready to be sent on in a deliver."""

    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    route: bytes


class Deliver(NamedTuple):
    """basic.deliver."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str


def route_bytes(exchange: str, routing_key: str) -> bytes:
    """Exchange and routing key as they stand in publish, deliver and return."""
    return shortstr(exchange) + shortstr(routing_key)


def split_route(route: bytes) -> tuple[str, str]:
    """Exchange and routing key of `route_bytes`. Raises AmqpError 501 when the lengths do not add up."""
    at = route[0] + 1 if route else 0
    if not route or at >= len(route) or at + 1 + route[at] != len(route):
        raise AmqpError(501, "FRAME_ERROR - exchange and routing key do not parse", 60, 40)
    try:
        return route[1:at].decode(), route[at + 1 :].decode()
    except UnicodeDecodeError as error:
        raise AmqpError(501, f"FRAME_ERROR - name is not UTF-8: {error.reason}", 60, 40) from error


def publish_frame(channel: int, route: bytes, *, mandatory: bool = False) -> bytes:
    """basic.publish to `route`; the content frames must follow at once on the same channel."""
    return frame(METHOD, channel, b"%b%b%c" % (_PUBLISH_HEAD.pack(60, 40, 0), route, mandatory))


def decode_publish(payload: bytes) -> Publish:
    """basic.publish from a method frame's payload. Raises AmqpError 501 when it does not parse."""
    route = payload[6:-1]
    exchange, routing_key = split_route(route)
    bits = payload[-1]
    return Publish(exchange, routing_key, bool(bits & 1), bool(bits & 2), route)


def deliver_head(consumer_tag: str) -> bytes:
    """The part of basic.deliver that stays the same for one consumer."""
    return b"\x00\x3c\x00\x3c" + shortstr(consumer_tag)


def deliver_frame(channel: int, head: bytes, delivery_tag: int, redelivered: bool, route: bytes) -> bytes:
    """basic.deliver; `head` comes from `deliver_head`, `route` from the publish."""
    size = len(head) + 9 + len(route)
    return b"%b%b%b%b\xce" % (
        _FRAME.pack(METHOD, channel, size),
        head,
        _TAG_FLAG.pack(delivery_tag, redelivered),
        route,
    )


def decode_deliver(payload: bytes) -> Deliver:
    """basic.deliver from a method frame's payload. Raises AmqpError 502 when it does not parse."""
    try:
        at = 5 + payload[4]
        tag, redelivered = _TAG_FLAG.unpack_from(payload, at)
        exchange, routing_key = split_route(payload[at + 9 :])
        return Deliver(payload[5:at].decode(), tag, bool(redelivered), exchange, routing_key)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise AmqpError(502, f"SYNTAX_ERROR - basic.deliver does not parse: {error}"[:255], 60, 60) from error


def deliver_key(payload: bytes) -> tuple[bytes, int]:
    """Consumer tag (bytes) and delivery tag of a basic.deliver: all that the client's hot path needs."""
    at = 5 + payload[4]
    return payload[5:at], _U64.unpack_from(payload, at)[0]


def ack_frame(channel: int, delivery_tag: int, *, multiple: bool = False) -> bytes:
    """basic.ack: from a consumer, or a publisher confirm from the broker."""
    return _ACK.pack(METHOD, channel, 13, 60, 80, delivery_tag, multiple, FRAME_END)


def decode_ack(payload: bytes) -> tuple[int, int]:
    """Delivery tag and flag byte of basic.ack (1 multiple) or basic.nack (1 multiple, 2 requeue).

    Raises:  AmqpError 501 when it is too short.
    """
    if len(payload) < 13:
        raise AmqpError(501, "FRAME_ERROR - basic.ack or nack is too short", 60, 80)
    tag, flags = _TAG_FLAG.unpack_from(payload, 4)
    return tag, flags


def encode_table(table: dict[str, object]) -> bytes:
    """A field table, as in queue arguments; for tests and filters that rewrite frames."""
    return bytes(encode.field_table(table))


def decode_table(data: bytes) -> dict[str, object]:
    """The field table at the start of `data`. Raises AmqpError 502 when it does not parse."""
    try:
        return dict(decode.field_table(data)[1])
    except (ValueError, IndexError, struct.error) as error:
        raise AmqpError(502, f"SYNTAX_ERROR - field table does not parse: {error}"[:255]) from error
