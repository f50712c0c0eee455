"""A broker and a client library that a conformance test runs with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.emulator.broker.clients import CLIENTS, Client
from tests.emulator.broker.place import Place


@dataclass(frozen=True)
class Stage:
    """Args: library: a key of `CLIENTS`."""

    place: Place
    library: str

    def name(self, text: str) -> str:
        """A name that no other test has."""
        return self.place.name(text)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connection that is closed after the block."""
        client = await CLIENTS[self.library].open(self.place)
        try:
            yield client
        finally:
            await client.close()

    async def queue(self, client: Client, name: str = "q", *, exclusive: bool = True, **properties: Any) -> str:
        """Declare a queue of the test's own; returns its name. One that is not exclusive is to be deleted."""
        await client.declare_queue(self.name(name), exclusive=exclusive, **properties)
        return self.name(name)
