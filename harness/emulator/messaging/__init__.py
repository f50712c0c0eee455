"""Messaging of the emulated services: RPC and notifications as oslo.messaging does them, on a lean AMQP client."""

from harness.emulator.messaging.bus import Bus, BusSettings
from harness.emulator.messaging.connection import Address
from harness.emulator.messaging.envelope import CallContext
from harness.emulator.messaging.errors import (
    MessageDeliveryFailure,
    MessageUndeliverable,
    MessagingError,
    MessagingTimeout,
    NoSuchMethod,
    RemoteError,
    UnsupportedVersion,
)

__all__ = [
    "Address",
    "Bus",
    "BusSettings",
    "CallContext",
    "MessageDeliveryFailure",
    "MessageUndeliverable",
    "MessagingError",
    "MessagingTimeout",
    "NoSuchMethod",
    "RemoteError",
    "UnsupportedVersion",
]
