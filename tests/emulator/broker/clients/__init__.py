"""The same requests to a broker through three client libraries: ours, aio-pika and kombu."""

from tests.emulator.broker.clients.client import Client, Delivery, Refused
from tests.emulator.broker.clients.kombu import Kombu
from tests.emulator.broker.clients.lean import Lean
from tests.emulator.broker.clients.pika import Pika

CLIENTS: dict[str, type[Client]] = {"ours": Lean, "aio-pika": Pika, "kombu": Kombu}

__all__ = ["CLIENTS", "Client", "Delivery", "Refused"]
