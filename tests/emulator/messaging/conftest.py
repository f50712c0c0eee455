"""The brokers of the broker tests."""

from tests.emulator.broker.conftest import broker, own, place

__all__ = ["broker", "own", "place"]
