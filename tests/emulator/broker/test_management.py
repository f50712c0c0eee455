"""The management API: whatever the embedded broker says and does, RabbitMQ says and does in the same form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from pamqp import commands
from pamqp.commands import Basic, Channel, Confirm, Queue

from harness.emulator.messaging.connection import Address
from harness.telemetry.broker import Management
from harness.wire import amqp
from tests.emulator.broker.place import Place, eventually
from tests.emulator.broker.wire import Wire, line

TOTALS = {"messages": int, "messages_ready": int, "messages_unacknowledged": int}
STATS = {"publish": int, "deliver_get": int, "ack": int}
RIGHTS = {"configure": str, "write": str, "read": str}
# What is claimed, whole: the embedded broker says no more than this, and RabbitMQ no less.
CLAIMED: dict[str, Any] = {
    "overview": {
        "management_version": str,
        "product_name": str,
        "product_version": str,
        "cluster_name": str,
        "node": str,
        "object_totals": {"channels": int, "connections": int, "consumers": int, "exchanges": int, "queues": int},
        "queue_totals": TOTALS,
        "message_stats": STATS,
    },
    "nodes": {
        "name": str,
        "type": str,
        "running": bool,
        "os_pid": str,
        "mem_used": int,
        "mem_limit": int,
        "mem_alarm": bool,
        "disk_free_alarm": bool,
        "partitions": list,
        "uptime": int,
    },
    "queues": {
        "name": str,
        "vhost": str,
        "type": str,
        "durable": bool,
        "auto_delete": bool,
        "exclusive": bool,
        "arguments": {"x-expires": int},
        "consumers": int,
        "state": str,
        **TOTALS,
        "message_bytes_ready": int,
        "message_stats": STATS,
    },
    "connections": {
        "name": str,
        "vhost": str,
        "user": str,
        "state": str,
        "channels": int,
        "peer_host": str,
        "peer_port": int,
        "protocol": str,
        "timeout": int,
        "frame_max": int,
        "channel_max": int,
        "client_properties": {"capabilities": dict},
        "recv_oct": int,
        "send_oct": int,
    },
    "channels": {
        "name": str,
        "number": int,
        "connection_details": {"name": str, "peer_host": str, "peer_port": int},
        "vhost": str,
        "user": str,
        "state": str,
        "confirm": bool,
        "transactional": bool,
        "consumer_count": int,
        "messages_unacknowledged": int,
        "prefetch_count": int,
        "global_prefetch_count": int,
    },
    "exchanges/%2F": {
        "name": str,
        "vhost": str,
        "type": str,
        "durable": bool,
        "auto_delete": bool,
        "internal": bool,
        "arguments": dict,
    },
    "users": {"name": str, "tags": list, "limits": dict},
    "vhosts": {"name": str},
    "permissions": {"user": str, "vhost": str, **RIGHTS},
}


def fits(document: Any, claimed: Any) -> bool:
    """Whether a document has all claimed fields, each of its type; a list must have an element, and all must fit."""
    if isinstance(claimed, dict):
        return isinstance(document, dict) and all(
            name in document and fits(document[name], kind) for name, kind in claimed.items()
        )
    return type(document) is claimed


def unclaimed(document: Any, claimed: Any) -> list[str]:
    """Fields of a document that are not claimed."""
    if not isinstance(claimed, dict):
        return []
    return [
        f"{name}.{more}".rstrip(".")
        for name, value in document.items()
        for more in ([""] if name not in claimed else unclaimed(value, claimed[name]))
    ]


@asynccontextmanager
async def in_use(place: Place) -> AsyncIterator[Wire]:
    """A connection whose queue has one message ready, two at a consumer, and one acknowledged."""
    wire = await Wire.open(place)
    queue = place.name("q")
    wire.tell(Queue.Declare(queue=queue, arguments={"x-expires": 60_000}), Confirm.Select(), Basic.Qos(0, 2, False))
    content = amqp.content_frames(1, b"\0\0", b"12345")
    wire.tell((amqp.publish_frame(1, amqp.route_bytes("", queue)) + content) * 4)
    wire.tell(Basic.Consume(queue=queue, consumer_tag="c"))
    await wire.until(Basic.Deliver)
    wire.tell(Basic.Ack(1))
    try:
        yield wire
    finally:
        wire.tell(Queue.Delete(queue=queue))
        await wire.until(Queue.DeleteOk)
        await wire.close()


async def listed(place: Place, path: str) -> list[Any]:
    _, document = await place.manage("GET", path)
    return document if isinstance(document, list) else [document]


@pytest.mark.parametrize("path", CLAIMED)
async def test_each_field_that_is_claimed_is_there(place: Place, path: str) -> None:
    async with in_use(place):

        async def is_so() -> bool:
            return any(fits(one, CLAIMED[path]) for one in await listed(place, path))

        await eventually(is_so, within_s=12)


@pytest.mark.parametrize("path", CLAIMED)
async def test_no_field_is_there_that_is_not_claimed(broker: Place, path: str) -> None:
    place = Place(broker.address, broker.management, broker.process)
    async with in_use(place):
        assert [unclaimed(one, CLAIMED[path]) for one in await listed(place, path)][-1] == []


async def test_a_queue_counts_its_messages_and_what_became_of_them(place: Place) -> None:
    async with in_use(place):
        wanted = {"messages": 3, "messages_ready": 1, "messages_unacknowledged": 2, "consumers": 1}
        stats = {"publish": 4, "deliver_get": 3, "ack": 1}

        async def is_so() -> bool:
            _, queue = await place.manage("GET", f"queues/%2F/{place.name('q')}")
            got = queue.get("message_stats", {})
            return {name: queue.get(name) for name in wanted} == wanted and {k: got.get(k) for k in stats} == stats

        await eventually(is_so, within_s=12)


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", "queues/%2F/none", None, 404),
        ("GET", "connections/none", None, 404),
        ("GET", "permissions/%2F/nobody", None, 404),
        ("GET", "users/nobody", None, 404),
        ("GET", "health/checks/alarms", None, 200),
        ("GET", "health/checks/local-alarms", None, 200),
        ("GET", "nothing", None, 404),
        ("DELETE", "queues/%2F/none", None, 404),
        ("DELETE", "queues/%2F/none/contents", None, 404),
        ("DELETE", "connections/none", None, 404),
        ("DELETE", "exchanges/%2F/none", None, 404),
        ("DELETE", "exchanges/%2F/amq.topic", None, 401),
        ("DELETE", "users/nobody", None, 404),
        ("DELETE", "vhosts/none", None, 404),
        ("DELETE", "overview", None, 405),
        ("PUT", "overview", {}, 405),
        ("PUT", "user-limits/openstack/soup", {"value": 1}, 400),
        ("PUT", "user-limits/openstack/max-channels", {"value": "a"}, 400),
        ("PUT", "user-limits/openstack/max-channels", {}, 400),
        ("PUT", "user-limits/nobody/max-channels", {"value": 1}, 400),
        ("PUT", "vhost-limits/none/max-queues", {"value": 1}, 404),
        ("PUT", "vhost-limits/%2F/soup", {"value": 1}, 400),
        ("PUT", "permissions/%2F/nobody", {"configure": "", "write": "", "read": ""}, 400),
        ("PUT", "permissions/none/openstack", {"configure": "", "write": "", "read": ""}, 400),
        ("PUT", "permissions/%2F/openstack", {"configure": ""}, 400),
        ("PUT", "permissions/%2F/openstack", {"configure": "(", "write": "", "read": ""}, 400),
        ("PUT", "users/new", {"password": "x"}, 400),
    ],
)
async def test_a_request_is_answered_with_rabbitmqs_status(
    place: Place, verb: str, path: str, body: object, status: int
) -> None:
    assert (await place.manage(verb, path, body))[0] == status


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("vhost-limits/{v}/max-connections", {"value": 5}, ("vhost-limits/{v}", {"max-connections": 5})),
        ("vhost-limits/{v}/max-queues", {"value": 0}, ("vhost-limits/{v}", {"max-queues": 0})),
        ("user-limits/{u}/max-connections", {"value": 5}, ("user-limits/{u}", {"max-connections": 5})),
        ("user-limits/{u}/max-channels", {"value": 5}, ("user-limits/{u}", {"max-channels": 5})),
    ],
)
async def test_a_limit_is_set_shown_and_taken_away(
    place: Place, path: str, body: object, shown: tuple[str, dict[str, int]]
) -> None:
    names = {"v": place.name("v"), "u": place.name("u")}
    async with somewhere(place, **names):
        where = shown[0].format(**names)
        assert (await place.manage("PUT", path.format(**names), body))[0] == 204
        assert [one["value"] for one in (await place.manage("GET", where))[1]] == [shown[1]]
        assert (await place.manage("DELETE", path.format(**names)))[0] == 204
        assert (await place.manage("GET", where))[1] == []


async def test_a_limit_refuses_the_next_one_in_rabbitmqs_words(place: Place) -> None:
    names = {"v": place.name("v"), "u": place.name("u")}
    async with somewhere(place, **names) as inside:
        user, vhost = names["u"], names["v"]
        for limit, text in [
            (
                f"vhost-limits/{vhost}/max-connections",
                f"access to vhost '{vhost}' refused for user '{user}': connection",
            ),
            (f"user-limits/{user}/max-connections", f"connection refused for user '{user}': user connection"),
        ]:
            await place.manage("PUT", limit, {"value": 0})
            with pytest.raises(AssertionError, match=rf"530 NOT_ALLOWED - {text} limit \(0\) is reached"):
                await Wire.open(inside)
            await place.manage("DELETE", limit)
        wire = await Wire.open(inside)
        await place.manage("PUT", f"user-limits/{user}/max-channels", {"value": 1})
        await place.manage("PUT", f"vhost-limits/{vhost}/max-queues", {"value": 0})
        wire.tell(Queue.Declare(queue="q", exclusive=True))
        assert line(await wire.expect(Channel.Close)) == (
            f"Channel.Close 406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost '{vhost}' (0) "
            "is reached (50.10)"
        )
        await wire.close()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ([Queue.Declare(queue="q")], "queue 'q'"),
        ([Queue.Delete(queue="none")], "queue 'none'"),
        ([Basic.Consume(queue="none")], "queue 'none'"),
        ([commands.Exchange.Declare(exchange="x")], "exchange 'x'"),
        ([commands.Exchange.Unbind(destination="x", source="y")], "exchange 'x'"),
        (
            [amqp.publish_frame(1, amqp.route_bytes("", "q")) + amqp.content_frames(1, b"\0\0", b"m")],
            "exchange 'amq.def",
        ),
    ],
)
async def test_what_is_not_permitted_is_refused_whether_it_is_there_or_not(
    place: Place, said: list[Any], kind: str
) -> None:
    names = {"v": place.name("v"), "u": place.name("u")}
    async with somewhere(place, **names) as inside:
        await place.manage("PUT", f"permissions/{names['v']}/{names['u']}", dict.fromkeys(RIGHTS, "^$"))
        wire = await Wire.open(inside)
        wire.tell(*said)
        heard = (await wire.hear())[-1]
        assert heard.startswith(f"Channel.Close 403 ACCESS_REFUSED - access to {kind}")
        assert f"in vhost '{names['v']}' refused for user '{names['u']}'" in heard
        await wire.close()


async def test_deleting_a_connection_closes_it_with_a_reason(place: Place) -> None:
    victim = await Wire.open(place)

    async def name() -> str:
        found = [one["name"] for one in await listed(place, "connections") if one.get("peer_port") == victim.port]
        return found[0] if found else ""

    async def is_listed() -> bool:
        return bool(await name())

    await eventually(is_listed, within_s=12)
    assert (await place.manage("DELETE", f"connections/{quote(await name(), safe='')}"))[0] == 204
    text = "Connection.Close 320 CONNECTION_FORCED - Closed via management plugin (0.0)"
    assert line(await victim.expect(commands.Connection.Close)) == text
    await victim.close()


async def test_purging_and_deleting_a_queue(place: Place) -> None:
    wire = await Wire.open(place)
    queue = place.name("p")
    wire.tell(Queue.Declare(queue=queue))
    await wire.expect(Queue.DeclareOk)
    wire.tell(Confirm.Select(), amqp.publish_frame(1, amqp.route_bytes("", queue)))
    wire.tell(amqp.content_frames(1, b"\0\0", b"m"), Basic.Consume(queue=queue, consumer_tag="c"))
    await wire.hear()
    assert (await place.manage("DELETE", f"queues/%2F/{queue}/contents"))[0] == 204
    assert (await place.manage("DELETE", f"queues/%2F/{queue}"))[0] == 204
    await wire.until(Basic.Cancel)
    await wire.close()


async def test_deleting_a_user_closes_its_connections(place: Place) -> None:
    names = {"v": place.name("v"), "u": place.name("u")}
    async with somewhere(place, **names) as inside:
        wire = await Wire.open(inside)
        assert (await place.manage("DELETE", f"users/{names['u']}"))[0] == 204
        text = f"Connection.Close 320 CONNECTION_FORCED - user '{names['u']}' is deleted (0.0)"
        assert line(await wire.expect(commands.Connection.Close)) == text
        await wire.close()


async def test_a_wrong_password_is_not_authorised(place: Place) -> None:
    wrong = Place(Address(place.address.host, place.address.port, place.address.user, "wrong"), place.management)
    assert (await wrong.manage("GET", "overview"))[0] == 401


async def test_the_gauges_read_both_brokers(place: Place) -> None:
    assert place.management is not None
    host, port = place.management
    source = Management(f"http://{host}:{port}", place.address.user, place.address.password)
    async with in_use(place):

        async def counts() -> bool:
            read = {gauge.name: gauge.value for gauge in await source.read()}
            return read["ready"] >= 1 and read["unacked"] >= 2 and read["connections"] >= 1 and read["alarms"] == 0

        await eventually(counts, within_s=12)
    await source.close()


@asynccontextmanager
async def somewhere(place: Place, *, v: str, u: str) -> AsyncIterator[Place]:
    """A virtual host and a user of its own, gone after the block."""
    await place.manage("PUT", f"vhosts/{v}")
    await place.manage("PUT", f"users/{u}", {"password": "secret-enough", "tags": ""})
    await place.manage("PUT", f"permissions/{v}/{u}", dict.fromkeys(RIGHTS, ".*"))
    try:
        yield Place(Address(place.address.host, place.address.port, u, "secret-enough", v), place.management)
    finally:
        await place.manage("DELETE", f"vhosts/{v}")
        await place.manage("DELETE", f"users/{u}")
