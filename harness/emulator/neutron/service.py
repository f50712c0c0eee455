"""What the resources of neutron's API share: database, address allocation, notifiers."""

import os
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from harness.emulator.http import ApiError
from harness.emulator.neutron.addresses import Addresses
from harness.emulator.neutron.agent_notifier import AgentNotifier
from harness.emulator.neutron.nova_notifier import NovaNotifier
from harness.emulator.neutron.retry import retry_db_errors
from harness.emulator.runtime import Runtime

T = TypeVar("T")


class Neutron:
    """One neutron-server worker."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.settings = runtime.settings
        self.database = runtime.database("neutron")
        self.addresses = Addresses(self.database, runtime.rng)
        self.agents = AgentNotifier(runtime)
        self.nova = NovaNotifier(runtime)

    async def retrying(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run a change as neutron's API does: again, when the database gave way under it."""
        return await retry_db_errors(call, self.settings, self.runtime.rng)

    def after_create(self) -> None:
        """The truth switch `created_500`: what was asked for is done, the answer says it failed."""
        if self.runtime.strikes("created_500"):
            raise ApiError(500)


def new_id() -> str:
    return str(uuid.uuid4())


def new_mac() -> str:
    """An address with neutron's base_mac. Not from the seeded dice: a restarted process must not repeat itself."""
    low = os.urandom(3).hex()
    return f"fa:16:3e:{low[:2]}:{low[2:4]}:{low[4:]}"
