"""oslo.messaging 18 on both brokers, and with `Bus` on the other side: it is one and the same envelope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import oslo_messaging
import pytest

from harness.emulator.messaging import CallContext, RemoteError
from tests.emulator.broker.place import Place, eventually, run
from tests.emulator.messaging.oslo import oslo
from tests.emulator.messaging.test_bus import buses, cleanup

PAIRS = [("oslo", "oslo"), ("oslo", "ours"), ("ours", "oslo")]
KINDS = {
    "classic": {},
    "durable": {"durable_queues": True},
    "quorum": {"quorum_queues": True},
    "all quorum": {"quorum_queues": True, "transient_quorum_queues": True},
}
OPTIONS = {
    "durable_queues": "amqp_durable_queues",
    "quorum_queues": "rabbit_quorum_queue",
    "transient_quorum_queues": "rabbit_transient_quorum_queue",
}


class OsloEndpoint:
    """What `OurEndpoint` is, for oslo.messaging."""

    target = oslo_messaging.Target(version="1.3")

    def __init__(self) -> None:
        self.seen: list[object] = []

    def echo(self, context: dict[str, Any], value: object) -> object:
        self.seen.append(value)
        return {"value": value, "request_id": context.get("request_id")}

    def fail(self, context: dict[str, Any]) -> None:
        raise LookupError("no host")


class OurEndpoint:
    """An endpoint of `Bus`."""

    rpc_version = "1.3"

    def __init__(self) -> None:
        self.seen: list[object] = []

    async def echo(self, context: CallContext, value: object) -> object:
        self.seen.append(value)
        return {"value": value, "request_id": context.request_id}

    async def fail(self, context: CallContext) -> None:
        raise LookupError("no host")

    async def hang(self, context: CallContext) -> None:
        await asyncio.Event().wait()


class Sides:
    """A caller and servers on one topic, each of either library."""

    def __init__(self, place: Place, stack: AsyncExitStack, caller: str, **kind: bool) -> None:
        self.topic, self.exchange = place.name("t"), place.name("x")
        self._place, self._stack, self._kind, self._caller = place, stack, kind, caller

    async def start(self) -> None:
        self._ours, self._oslo = await self._side(self._caller)

    async def _side(self, library: str) -> tuple[Any, Any]:
        if library == "ours":
            [bus] = await self._stack.enter_async_context(buses(self._place, 1, time_scale=1.0, **self._kind))
            return bus, None
        options = {OPTIONS[name]: value for name, value in self._kind.items()}
        return None, await self._stack.enter_async_context(oslo(self._place, **options))

    async def serve(self, library: str, server: str = "s") -> Any:
        """Returns the endpoint that is served."""
        bus, theirs = await self._side(library)
        endpoint: Any = OurEndpoint() if bus else OsloEndpoint()
        if bus:
            await bus.serve(self.topic, endpoint, server=server, exchange=self.exchange)
        else:
            await theirs.serve(endpoint, topic=self.topic, server=server, exchange=self.exchange)
        return endpoint

    async def call(self, method: str, *, request_id: str = "", **args: object) -> Any:
        if self._ours:
            context = CallContext(request_id=request_id)
            return await self._ours.call(self.topic, method, args, exchange=self.exchange, context=context)
        context = {"request_id": request_id}
        return await self._oslo.call(self.topic, method, exchange=self.exchange, context=context, **args)

    async def cast(self, method: str, *, server: str | None = None, fanout: bool = False, **args: object) -> None:
        if self._ours:
            await self._ours.cast(self.topic, method, args, server=server, fanout=fanout, exchange=self.exchange)
        else:
            await self._oslo.cast(self.topic, method, server=server, fanout=fanout, exchange=self.exchange, **args)


@asynccontextmanager
async def sides(place: Place, caller: str, **kind: bool) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        made = Sides(place, stack, caller, **kind)
        await made.start()
        yield made
    await cleanup(place, made.topic)


async def until_seen(endpoint: Any, *values: object) -> None:
    async def is_so() -> bool:
        return sorted(endpoint.seen, key=str) == sorted(values, key=str)

    await eventually(is_so)


@pytest.mark.parametrize(("caller", "server"), PAIRS)
def test_a_call_carries_arguments_context_and_result(place: Place, caller: str, server: str) -> None:
    async def steps() -> None:
        async with sides(place, caller) as both:
            await both.serve(server)
            value = {"text": "ä", "list": [1, None, True], "table": {"k": 1.5}}
            answer = await both.call("echo", request_id="req-1", value=value)
            assert answer == {"value": value, "request_id": "req-1"}

    run(steps())


@pytest.mark.parametrize(("caller", "server"), PAIRS)
def test_casts_go_to_one_server_to_a_named_one_or_to_all(place: Place, caller: str, server: str) -> None:
    async def steps() -> None:
        async with sides(place, caller) as both:
            one, two = await both.serve(server, "one"), await both.serve(server, "two")
            await both.cast("echo", server="one", value="one")
            await both.cast("echo", fanout=True, value="all")
            await until_seen(one, "one", "all")
            await until_seen(two, "all")
            await both.cast("echo", value="either")

            async def one_has_it() -> bool:
                return (one.seen + two.seen).count("either") == 1

            await eventually(one_has_it)

    run(steps())


@pytest.mark.parametrize("server", ["oslo", "ours"])
def test_an_exception_reaches_oslo_as_what_it_was(place: Place, server: str) -> None:
    async def steps() -> None:
        async with sides(place, "oslo") as both:
            await both.serve(server)
            with pytest.raises(LookupError, match="no host"):
                await both.call("fail")

    run(steps())


def test_an_exception_of_oslo_reaches_us_with_its_class_and_text(place: Place) -> None:
    async def steps() -> None:
        async with sides(place, "ours") as both:
            await both.serve("oslo")
            with pytest.raises(RemoteError) as caught:
                await both.call("fail")
            assert (caught.value.exc_type, caught.value.module, caught.value.message) == (
                "LookupError",
                "builtins",
                "no host",
            )

    run(steps())


@pytest.mark.parametrize(("caller", "server"), PAIRS)
def test_a_method_that_is_not_there_is_named_alike(place: Place, caller: str, server: str) -> None:
    async def steps() -> None:
        async with sides(place, caller) as both:
            await both.serve(server)
            with pytest.raises((RemoteError, oslo_messaging.RemoteError)) as caught:
                await both.call("absent")
            assert "NoSuchMethod Endpoint does not support RPC method absent" in str(caught.value)

    run(steps())


def test_oslo_gives_up_a_call_to_us_that_is_not_answered_in_time(place: Place) -> None:
    async def steps() -> None:
        async with AsyncExitStack() as stack:
            [bus] = await stack.enter_async_context(buses(place, 1))
            theirs = await stack.enter_async_context(oslo(place, timeout_s=1))
            topic, exchange = place.name("t"), place.name("x")
            await bus.serve(topic, OurEndpoint(), server="s", exchange=exchange)
            with pytest.raises(oslo_messaging.MessagingTimeout):
                await theirs.call(topic, "hang", exchange=exchange)
        await cleanup(place, topic)

    run(steps())


@pytest.mark.parametrize("kind", KINDS)
def test_queues_of_each_kind_are_declared_as_oslo_declares_them(place: Place, kind: str) -> None:
    async def steps() -> None:
        # On the same queues and exchanges: the broker refuses whoever is second and declares them otherwise.
        async with sides(place, "ours", **KINDS[kind]) as both:
            theirs, ours = await both.serve("oslo"), await both.serve("ours")
            for value in range(4):
                await both.call("echo", value=value)
            assert sorted(theirs.seen + ours.seen) == [0, 1, 2, 3]
            await both.cast("echo", fanout=True, value="all")

            async def all_have_it() -> bool:
                return "all" in theirs.seen and "all" in ours.seen

            await eventually(all_have_it)

    run(steps())
