"""A connection of bare frames: what no client library would send, and all that a broker answers, in order."""

from __future__ import annotations

import asyncio
from typing import Any

from pamqp import base
from pamqp.commands import Basic, Channel
from pamqp.commands import Connection as Conn

from harness.wire import amqp
from tests.emulator.broker.place import Place

CAPABILITIES: dict[str, object] = {
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
GONE = "gone"
"""What `hear` says when the broker has closed the socket."""


class Wire:
    """One socket."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self._reader, self._writer = reader, writer
        self._parser = amqp.FrameParser()
        self._frames: list[amqp.Frame] = []
        self._limits = 0  # basic.qos without an answer: the last one is the marker

    @classmethod
    async def socket(cls, place: Place) -> Wire:
        """A socket on which nothing has been said yet."""
        return cls(place, *await asyncio.open_connection(place.address.host, place.address.port))

    @classmethod
    async def open(
        cls,
        place: Place,
        *,
        channels: int = 1,
        heartbeat_s: int = 0,
        frame_max: int = amqp.FRAME_MAX,
        channel_max: int = 2047,
    ) -> Wire:
        """An open connection with that many channels, 1 and up."""
        wire = await cls.socket(place)
        wire.tell(amqp.PROTOCOL_HEADER)
        await wire.expect(Conn.Start)
        wire.tell((0, cls.login_of(place)))
        await wire.expect(Conn.Tune)
        wire.tell((0, Conn.TuneOk(channel_max, frame_max, heartbeat_s)), (0, Conn.Open(place.address.virtual_host)))
        await wire.expect(Conn.OpenOk)
        for number in range(1, channels + 1):
            wire.tell((number, Channel.Open()))
            await wire.expect(Channel.OpenOk)
        return wire

    @property
    def port(self) -> int:
        """Our end's, by which a broker lists the connection."""
        return int(self._writer.get_extra_info("sockname")[1])

    @staticmethod
    def login_of(place: Place) -> Conn.StartOk:
        """The answer to connection.start."""
        address = place.address
        response = f"\0{address.user}\0{address.password}"
        return Conn.StartOk({"capabilities": CAPABILITIES}, "PLAIN", response, "en_US")

    def tell(self, *said: bytes | base.Frame | tuple[int, base.Frame]) -> None:
        """Send bytes as they are, a method on channel 1, or (channel, method)."""
        for one in said:
            if isinstance(one, bytes):
                self._writer.write(one)
            else:
                number, method = one if isinstance(one, tuple) else (1, one)
                self._limits += isinstance(method, Basic.Qos)
                self._writer.write(amqp.method_frame(number, method))

    async def frame(self, *, within_s: float = 5.0) -> amqp.Frame | None:
        """The next frame, heartbeats included; None when the socket is closed. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not self._frames:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._frames = self._parser.feed(data)
        return self._frames.pop(0)

    async def method(self, *, within_s: float = 5.0) -> tuple[int, base.Frame] | None:
        """The next method and its channel, content and heartbeats skipped; None when the socket is closed."""
        while (frame := await self.frame(within_s=within_s)) is not None:
            if frame[0] == amqp.METHOD:
                return frame[1], amqp.decode_method(frame[2])
        return None

    async def expect(self, kind: type, *, within_s: float = 5.0) -> Any:
        """The next method, which must be of this kind."""
        heard = await self.method(within_s=within_s)
        assert heard is not None, GONE
        assert isinstance(heard[1], kind), line(heard[1])
        return heard[1]

    async def until(self, kind: type) -> Any:
        """The next method of this kind; others are skipped."""
        while (heard := await self.method()) is not None:
            if isinstance(heard[1], kind):
                return heard[1]
        raise AssertionError(GONE)

    async def hear(self, *, channel: int = 1) -> list[str]:
        """All that the broker has to say so far, one line a method, up to a close or to the answer to a marker.

        The marker, a basic.qos on `channel`, is not among the lines.
        """
        self.tell((channel, Basic.Qos(0, 0, False)))
        lines: list[str] = []
        while (heard := await self.method()) is not None:
            number, method = heard
            self._limits -= isinstance(method, Basic.QosOk)
            if isinstance(method, Basic.QosOk) and not self._limits:
                return lines
            lines.append(line(method))
            if isinstance(method, Channel.Close):
                self.tell((number, Channel.CloseOk()))
                return lines
            if isinstance(method, Conn.Close):
                self.tell((0, Conn.CloseOk()))
                return lines
        return [*lines, GONE]

    async def close(self) -> None:
        """Drop the socket."""
        self._writer.close()


def line(method: base.Frame) -> str:
    """A method as text: name and arguments that say something."""
    if isinstance(method, Channel.Close | Conn.Close):
        return f"{method.name} {method.reply_code} {method.reply_text} ({method.class_id}.{method.method_id})"
    said = (f"{name}={value!r}" for name, value in method if value not in (None, "", False, {}))
    return " ".join([method.name, *said])
