"""A virtual host: its exchanges, queues and bindings, and the way from a publish to the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.emulator.broker import arguments as rules
from harness.emulator.broker.queues import Queue
from harness.emulator.broker.users import set_limits
from harness.wire.amqp import AmqpError, split_route

if TYPE_CHECKING:
    from harness.emulator.broker.server import Ledger
    from harness.emulator.broker.session import Session

EXCHANGE_TYPES = ("direct", "topic", "fanout")
ROUTE_CACHE = 200_000
"""Entries kept of route -> queues; beyond it the cache starts anew."""


class Exchange:
    """Bindings of one exchange. Destinations are queues or, for exchange-to-exchange bindings, exchanges."""

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, object] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments or {}
        self.bindings: dict[str, dict[Destination, None]] = {}
        self._patterns: dict[str, list[str]] = {}

    def bind(self, key: str, destination: Destination) -> None:
        """Add a binding; adding it twice is adding it once."""
        self.bindings.setdefault(key, {})[destination] = None
        if self.kind == "topic" and ("*" in key or "#" in key):
            self._patterns[key] = topic_words(key)

    def unbind(self, key: str, destination: Destination) -> bool:
        """Remove a binding. Returns False when there was none."""
        bound = self.bindings.get(key)
        if bound is None or destination not in bound:
            return False
        del bound[destination]
        if not bound:
            del self.bindings[key]
            self._patterns.pop(key, None)
        return True

    def match(self, key: str) -> Iterator[Destination]:
        """Destinations of a message with this routing key; one may come more than once."""
        if self.kind == "fanout":
            for bound in self.bindings.values():
                yield from bound
            return
        yield from self.bindings.get(key, ())
        if self._patterns:
            words = topic_words(key)
            for pattern, parts in self._patterns.items():
                if pattern != key and topic_matches(parts, words):
                    yield from self.bindings[pattern]


Destination = Queue | Exchange


class VirtualHost:
    """Names and routes of one virtual host."""

    def __init__(self, name: str, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.name = name
        self.max_connections: int | None = None
        self.max_queues: int | None = None
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Exchange] = {"": Exchange("", "direct", durable=True)}
        for kind in EXCHANGE_TYPES:
            self.exchanges[f"amq.{kind}"] = Exchange(f"amq.{kind}", kind, durable=True)
        self._sources: dict[Destination, dict[tuple[Exchange, str], None]] = {}
        self._routes: dict[bytes, tuple[Queue, ...] | None] = {}
        self._ledger = ledger
        self._clock = clock

    def route(self, route: bytes) -> tuple[Queue, ...]:
        """Queues that a publish to `route` reaches.

        Raises:  AmqpError 404 when the exchange does not exist, 403 when it is internal, 502 on malformed names.
        """
        try:
            queues = self._routes[route]
        except KeyError:
            queues = self._resolve(route)
        if queues is None:
            name = split_route(route)[0]
            raise AmqpError(404, f"NOT_FOUND - no exchange '{name}' in vhost '{self.name}'", 60, 40)
        return queues

    def _resolve(self, route: bytes) -> tuple[Queue, ...] | None:
        name, key = split_route(route)
        found: tuple[Queue, ...] | None
        if name == "":
            queue = self.queues.get(key)
            found = () if queue is None else (queue,)
        elif (exchange := self.exchanges.get(name)) is None:
            found = None
        elif exchange.internal:
            text = f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '{self.name}'"
            raise AmqpError(403, text, 60, 40)
        else:
            found = _collect(exchange, key)
        if len(self._routes) >= ROUTE_CACHE:
            self._routes.clear()
        self._routes[route] = found
        return found

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by RabbitMQ's names."""
        return set_limits({"max-connections": self.max_connections, "max-queues": self.max_queues})

    # --- exchanges ----------------------------------------------------------------------------------------------------

    def exchange(self, name: str, class_id: int = 40, method_id: int = 10) -> Exchange:
        """The exchange of that name. Raises AmqpError 404."""
        found = self.exchanges.get(name)
        if found is None:
            text = f"NOT_FOUND - no exchange '{name}' in vhost '{self.name}'"
            raise AmqpError(404, text, class_id, method_id)
        return found

    def declare_exchange(self, wanted: Exchange) -> None:
        """Create an exchange, or check that the one of that name is the same.

        Raises:  AmqpError 403 for a reserved name, 406 when it exists with other settings, 503 for an unknown type.
        """
        if wanted.kind not in EXCHANGE_TYPES:
            raise AmqpError(503, f"COMMAND_INVALID - unknown exchange type '{wanted.kind}'", 40, 10)
        found = self.exchanges.get(wanted.name)
        if found is not None:
            where = f"exchange '{wanted.name}' in vhost '{self.name}'"
            for name, received, current in [
                ("type", wanted.kind, found.kind),
                ("durable", wanted.durable, found.durable),
                ("auto_delete", wanted.auto_delete, found.auto_delete),
                ("internal", wanted.internal, found.internal),
            ]:
                rules.check_same(where, name, received, current, 40)
            name = "alternate-exchange"
            rules.check_same_argument(where, name, wanted.arguments.get(name), found.arguments.get(name), 40)
            return
        if wanted.name.startswith("amq."):
            text = f"ACCESS_REFUSED - exchange name '{wanted.name}' contains reserved prefix 'amq.*'"
            raise AmqpError(403, text, 40, 10)
        self.exchanges[wanted.name] = wanted
        self._routes.clear()

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; a missing one is no error. Raises AmqpError 403 or 406."""
        if name == "":
            raise AmqpError(403, "ACCESS_REFUSED - operation not permitted on the default exchange", 40, 20)
        if name.startswith("amq."):
            text = f"ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '{self.name}' not allowed"
            raise AmqpError(403, text, 40, 20)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.bindings:
            text = f"PRECONDITION_FAILED - exchange '{name}' in vhost '{self.name}' in use"
            raise AmqpError(406, text, 40, 20)
        del self.exchanges[name]
        for key, bound in exchange.bindings.items():
            for destination in bound:
                self._sources[destination].pop((exchange, key), None)
        exchange.bindings.clear()
        self._drop_bindings_to(exchange)
        self._routes.clear()

    # --- bindings -----------------------------------------------------------------------------------------------------

    def bind(self, source: Exchange, key: str, destination: Destination) -> None:
        """Bind `destination` to `source`."""
        source.bind(key, destination)
        self._sources.setdefault(destination, {})[source, key] = None
        self._routes.clear()

    def unbind(self, source: Exchange, key: str, destination: Destination) -> None:
        """Remove a binding; a missing one is no error. An auto-delete exchange goes with its last binding."""
        if source.unbind(key, destination):
            self._sources[destination].pop((source, key), None)
            self._routes.clear()
            self._delete_if_unused(source)

    def bindings(self) -> Iterator[tuple[Exchange, str, Destination]]:
        """All explicit bindings."""
        for exchange in self.exchanges.values():
            for key, bound in exchange.bindings.items():
                for destination in bound:
                    yield exchange, key, destination

    # --- queues -------------------------------------------------------------------------------------------------------

    def queue(self, name: str, session: Session | None = None, class_id: int = 50, method_id: int = 10) -> Queue:
        """The queue of that name. Raises AmqpError 404, or 405 when it is exclusive to another connection."""
        found = self.queues.get(name)
        if found is None:
            text = f"NOT_FOUND - no queue '{name}' in vhost '{self.name}'"
            raise AmqpError(404, text, class_id, method_id)
        if found.owner is not None and session is not None and found.owner is not session:
            raise self._locked(name, class_id, method_id)
        return found

    def _locked(self, name: str, class_id: int, method_id: int) -> AmqpError:
        text = (
            f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '{self.name}'. "
            "It could be originally declared on another connection or the exclusive property value does not match "
            "that of the original declaration."
        )
        return AmqpError(405, text[:255], class_id, method_id)

    def declare_queue(
        self,
        name: str,
        session: Session,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: dict[str, object],
    ) -> Queue:
        """Create a queue, or check that the one of that name is the same.

        A queue that is exclusive is not durable, whatever was asked for.
        Raises:  AmqpError 405 when locked, 406 when it exists with other settings, or cannot be what is wanted.
        """
        where = f"queue '{name}' in vhost '{self.name}'"
        if name in self.queues:
            found = self.queue(name, session)
            if exclusive != (found.owner is not None):
                raise self._locked(name, 50, 10)
            rules.check_same(where, "durable", durable and not exclusive, found.durable, 50)
            rules.check_same(where, "auto_delete", auto_delete, found.auto_delete, 50)
            rules.check_same_queue(where, arguments, found.arguments)
            found.touch()
            return found
        rules.check_queue(where, arguments)
        rules.check_type(where, arguments, durable=durable, exclusive=exclusive, auto_delete=auto_delete)
        if self.max_queues is not None and len(self.queues) >= self.max_queues:
            text = f"PRECONDITION_FAILED - cannot declare queue '{name}': queue limit in vhost '{self.name}' "
            raise AmqpError(406, f"{text}({self.max_queues}) is reached", 50, 10)
        queue = Queue(
            name,
            self._ledger,
            durable=durable and not exclusive,
            auto_delete=auto_delete,
            owner=session if exclusive else None,
            arguments=arguments,
            clock=self._clock,
        )
        self.queues[queue.name] = queue
        self._routes.clear()
        return queue

    def delete_queue(self, queue: Queue) -> int:
        """Delete a queue: consumers are told, messages are dropped. Returns how many were ready."""
        if queue.is_deleted:
            return 0
        queue.is_deleted = True
        del self.queues[queue.name]
        count = queue.purge()
        for consumer in list(queue.consumers):
            consumer.channel.cancelled_by_broker(consumer)
        queue.consumers.clear()
        self._drop_bindings_to(queue)
        self._routes.clear()
        return count

    def _drop_bindings_to(self, destination: Destination) -> None:
        for source, key in self._sources.pop(destination, {}):
            source.unbind(key, destination)
            self._delete_if_unused(source)

    def _delete_if_unused(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.bindings and self.exchanges.get(exchange.name) is exchange:
            self.delete_exchange(exchange.name)


def topic_words(key: str) -> list[str]:
    """The words of a routing key or pattern; an empty one has none."""
    return key.split(".") if key else []


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Topic match by words: `*` is one word, `#` any number of words, also none.

    The set of reachable pattern positions is carried along, so the cost is pattern times words whatever the pattern.
    """
    reachable = _skip_hashes(pattern, {0})
    for word in words:
        following: set[int] = set()
        for at in reachable:
            if at == len(pattern):
                continue
            if pattern[at] == "#":
                following.add(at)
            elif pattern[at] in ("*", word):
                following.add(at + 1)
        reachable = _skip_hashes(pattern, following)
        if not reachable:
            return False
    return len(pattern) in reachable


def _skip_hashes(pattern: list[str], positions: set[int]) -> set[int]:
    reached = set(positions)
    for at in positions:
        step = at
        while step < len(pattern) and pattern[step] == "#":
            step += 1
            reached.add(step)
    return reached


def _collect(exchange: Exchange, key: str) -> tuple[Queue, ...]:
    found: dict[Queue, None] = {}
    seen = {exchange}
    todo = [exchange]
    while todo:
        for destination in todo.pop().match(key):
            if isinstance(destination, Queue):
                found[destination] = None
            elif destination not in seen:
                seen.add(destination)
                todo.append(destination)
    return tuple(found)
