"""Arguments of queues and exchanges: which are refused, and what must be the same when declared again.

The texts are RabbitMQ's, word for word; clients read them. Types of numbers are named after what carries them on the
wire in the shortest form. Checked against RabbitMQ 3.10.8 on 2026-11-30.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.wire.amqp import AmqpError

Arguments = Mapping[str, object]

QUORUM: Final = "quorum"
LONGEST_MS: Final = 4_294_967_295
QUEUE_TYPES: Final = ("classic", QUORUM)
_COMPARED: Final = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-queue-type",
)
_LEAST: Final = {
    "x-expires": 1,
    "x-message-ttl": 0,
    "x-max-length": 0,
    "x-max-length-bytes": 0,
    "x-max-priority": 0,
    "x-delivery-limit": 0,
}
_DURATIONS: Final = ("x-expires", "x-message-ttl")
_FOREIGN: Final = {
    "classic": ("x-delivery-limit",),
    QUORUM: ("x-max-priority", "x-queue-mode"),
}
"""Arguments that belong to queues of another type."""
_CHOICES: Final = {
    "x-queue-mode": (("default", "lazy"), "\"unsupported queue mode '{}'\""),
    "x-overflow": (("drop-head", "reject-publish", "reject-publish-dlx"), "invalid_overflow"),
    "x-queue-type": (QUEUE_TYPES, "\"unsupported queue type '{}'\""),
}


def queue_type(arguments: Arguments) -> str:
    """`classic` or `quorum`."""
    return str(arguments.get("x-queue-type", "classic"))


def check_queue(where: str, arguments: Arguments) -> None:
    """Refuse arguments of a queue that no queue can have.

    Args:    where: as in `queue 'q' in vhost '/'`.
    Raises:  AmqpError 406.
    """
    for name, least in _LEAST.items():
        value = arguments.get(name)
        if value is not None and (problem := _number_problem(value, least, name in _DURATIONS)):
            raise _invalid(name, where, problem)
    for name, (allowed, text) in _CHOICES.items():
        value = arguments.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise _invalid(name, where, f"{{unacceptable_type,{type_name(value)}}}")
        if value not in allowed:
            raise _invalid(name, where, text.format(value))
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        raise _invalid("x-dead-letter-routing-key", where, "routing_key_but_no_dlx_defined")


def check_type(where: str, arguments: Arguments, *, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    """Refuse what a queue of its type cannot have, and what a quorum queue cannot be. Raises AmqpError 406."""
    kind = queue_type(arguments)
    for name in _FOREIGN[kind]:
        if name in arguments:
            text = f"PRECONDITION_FAILED - invalid arg '{name}' for {where} of queue type rabbit_{kind}_queue"
            raise AmqpError(406, text[:255], 50, 10)
    if kind != QUORUM:
        return
    wrong = "auto-delete" if auto_delete else "exclusive-owner" if exclusive else "" if durable else "non-durable"
    if wrong:
        raise AmqpError(406, f"PRECONDITION_FAILED - invalid property '{wrong}' for {where}"[:255], 50, 10)


def check_same_queue(where: str, received: Arguments, current: Arguments) -> None:
    """Refuse to declare a queue again with other arguments; those that no queue knows do not count."""
    for name in _COMPARED:
        wanted, found = received.get(name), current.get(name)
        if name == "x-queue-type" and {wanted, found} <= {None, "classic"}:
            continue
        check_same_argument(where, name, wanted, found, 50)


def check_same_argument(where: str, name: str, received: object, current: object, class_id: int) -> None:
    """Refuse an argument that differs; each is shown with its type when the other is missing. Raises AmqpError 406."""
    if received is not None and current is not None:
        check_same(where, name, received, current, class_id)
    elif received is not current:
        raise _inequivalent(where, name, _typed(received), _typed(current), class_id)


def check_same(where: str, name: str, received: object, current: object, class_id: int) -> None:
    """Refuse a property that differs. Raises AmqpError 406."""
    if received != current:
        raise _inequivalent(where, name, f"'{_plain(received)}'", f"'{_plain(current)}'", class_id)


def type_name(value: object) -> str:
    """RabbitMQ's name of a field's type."""
    if isinstance(value, int) and not isinstance(value, bool):
        for name, low, high in _INTEGERS:
            if low <= value <= high:
                return name
        return "long"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "void")


_INTEGERS: Final = (
    ("byte", -(2**7), 2**7 - 1),
    ("short", -(2**15), 2**15 - 1),
    ("unsignedshort", 0, 2**16 - 1),
    ("signedint", -(2**31), 2**31 - 1),
    ("unsignedint", 0, 2**32 - 1),
)
_TYPES: Final = (
    (bool, "bool"),
    (str, "longstr"),
    (float, "float"),
    (bytes, "binary"),
    (dict, "table"),
    (list, "array"),
)


def _number_problem(value: object, least: int, is_duration: bool) -> str:
    """Erlang's word for what is wrong with a number; empty when nothing is."""
    if isinstance(value, bool) or not isinstance(value, int):
        return f'"expected integer, got {type_name(value)}"'
    if value < 0:
        return f"{{value_negative,{value}}}"
    if value < least:
        return f"{{value_zero,{value}}}"
    if is_duration and value > LONGEST_MS:
        return f"{{value_too_large,{value}}}"
    return ""


def _invalid(name: str, where: str, problem: str) -> AmqpError:
    return AmqpError(406, f"PRECONDITION_FAILED - invalid arg '{name}' for {where}: {problem}"[:255], 50, 10)


def _inequivalent(where: str, name: str, received: str, current: str, class_id: int) -> AmqpError:
    text = f"PRECONDITION_FAILED - inequivalent arg '{name}' for {where}: received {received} but current is {current}"
    return AmqpError(406, text[:255], class_id, 10)


def _typed(value: object) -> str:
    return "none" if value is None else f"the value '{_plain(value)}' of type '{type_name(value)}'"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
