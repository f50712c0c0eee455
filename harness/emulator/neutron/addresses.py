"""Address allocation: a random one of the first 1,000 free addresses of a subnet's pools, as neutron's IPAM.

The primary key of `ipallocations` decides; what is kept here only says where to try. Neutron's driver reads every
allocation of the subnet for each port; this one reads them once in a process, follows what the process does itself,
and reads again when it learns that it is behind (a conflict, or nothing left), so that its cost stays flat.
"""

import asyncio
import ipaddress
import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from harness.emulator.database import Database, Statement, in_list
from harness.emulator.neutron import schema

WINDOW = 1000  # neutron.ipam.drivers.neutrondb_ipam.driver.MAX_WIN
_SPAN_MAX = 1 << 20  # addresses of one pool that are looked at: a /64 has more than anybody will use
_SUBNETS_MAX = 4096
_CONFLICTS_MAX = 3  # taken addresses met before all are read again

_USED = Statement(
    select(schema.ipallocations.c.ip_address).where(schema.ipallocations.c.subnet_id == bindparam("subnet_id"))
)
_USED_AMONG = Statement(
    select(schema.ipallocations.c.ip_address).where(
        schema.ipallocations.c.subnet_id == bindparam("subnet_id"),
        in_list(schema.ipallocations.c.ip_address, "addresses"),
    )
)
_ANY_USED = Statement(
    select(schema.ipallocations.c.ip_address).where(schema.ipallocations.c.subnet_id == bindparam("subnet_id")).limit(1)
)


class Exhausted(Exception):
    """No address of the subnet's pools is free."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """What allocation needs to know of a subnet. `pools` are inclusive."""

    id: str
    network_id: str
    cidr: str
    pools: tuple[tuple[str, str], ...]

    def has_in_pool(self, address: str) -> bool:
        at = int(ipaddress.ip_address(address))
        return any(int(ipaddress.ip_address(low)) <= at <= int(ipaddress.ip_address(high)) for low, high in self.pools)


class _Pool:
    """The addresses of one pool: which are used, as far as known, and the window that the next one comes from."""

    __slots__ = ("_beyond", "_family", "first", "used", "window")

    def __init__(self, first: str, last: str) -> None:
        start = ipaddress.ip_address(first)
        self._family = type(start)
        self.first = int(start)
        self.used = bytearray(min(int(ipaddress.ip_address(last)) - self.first + 1, _SPAN_MAX))
        self.window: list[int] = []
        self._beyond = 0  # where the search for free addresses goes on

    def text(self, offset: int) -> str:
        return str(self._family(self.first + offset))

    def offset(self, address: Any) -> int | None:
        """Position of an `ipaddress` address in this pool."""
        offset = int(address) - self.first
        return offset if isinstance(address, self._family) and 0 <= offset < len(self.used) else None

    def take(self, rng: random.Random) -> int | None:
        """A random free address of the window, marked as used."""
        self._fill()
        while self.window:
            spot = rng.randrange(len(self.window))
            self.window[spot], self.window[-1] = self.window[-1], self.window[spot]
            offset = self.window.pop()
            if not self.used[offset]:
                self.used[offset] = 1
                return offset
            self._fill()
        return None

    def release(self, offset: int) -> None:
        if self.used[offset]:
            self.used[offset] = 0
            if offset < self._beyond:
                self.window.append(offset)

    def _fill(self) -> None:
        while len(self.window) < WINDOW:
            free = self.used.find(0, self._beyond)
            if free < 0:
                self._beyond = len(self.used)
                return
            self.window.append(free)
            self._beyond = free + 1


class _State:
    """What this process knows of one subnet."""

    __slots__ = ("conflicts", "lock", "pending", "pools", "subnet")

    def __init__(self, subnet: Subnet) -> None:
        self.subnet = subnet
        self.pools: list[_Pool] | None = None
        self.pending: set[str] = set()  # given out, not yet in the database
        self.conflicts = 0
        self.lock = asyncio.Lock()

    def spots(self, address: str) -> Iterator[tuple[_Pool, int]]:
        parsed = ipaddress.ip_address(address)
        for pool in self.pools or ():
            offset = pool.offset(parsed)
            if offset is not None:
                yield pool, offset

    def take(self, rng: random.Random) -> str | None:
        for pool in self.pools or ():
            offset = pool.take(rng)
            if offset is not None:
                address = pool.text(offset)
                self.pending.add(address)
                return address
        return None


class Addresses:
    """The free addresses of the subnets this process allocates from.

    Every address that `allocate` gives is handed back by `keep` (it is in the database) or `release`.
    """

    def __init__(self, database: Database, rng: random.Random) -> None:
        self._database = database
        self._rng = rng
        self._states: OrderedDict[str, _State] = OrderedDict()

    async def allocate(self, subnet: Subnet) -> str:
        """An address that seems free.

        Raises: Exhausted, after the database was asked again.
        """
        state = self._state(subnet)
        if state.pools is None:
            async with state.lock:
                if state.pools is None:
                    await self._read(state)
        address = state.take(self._rng)
        if address is None:
            async with state.lock:
                address = state.take(self._rng)
                if address is None:
                    await self._read(state)
                    address = state.take(self._rng)
        if address is None:
            raise Exhausted(subnet.id)
        return address

    async def in_use(self, subnet: Subnet) -> str | None:
        """An address that a port of this subnet has already (for the truth switch), None when there is none."""
        found: str | None = await self._database.fetch_value(_ANY_USED, subnet_id=subnet.id)
        return found

    async def is_used(self, subnet_id: str, address: str) -> bool:
        """Whether the database says that a port has the address."""
        return bool(await self._database.fetch(_USED_AMONG, subnet_id=subnet_id, addresses=[address]))

    def keep(self, subnet_id: str, address: str) -> None:
        """The address is in the database; also for one that was asked for by name."""
        state = self._states.get(subnet_id)
        if state is not None:
            state.pending.discard(address)
            for pool, offset in state.spots(address):
                pool.used[offset] = 1

    def release(self, subnet_id: str, address: str) -> None:
        """The address is free again, or was never taken."""
        state = self._states.get(subnet_id)
        if state is not None:
            state.pending.discard(address)
            for pool, offset in state.spots(address):
                pool.release(offset)

    async def conflict(self, subnet: Subnet, address: str) -> None:
        """The database refused an address: somebody else allocates here; look at the window again."""
        state = self._state(subnet)
        self.keep(subnet.id, address)
        if state.pools is None:
            return
        state.conflicts += 1
        if state.conflicts > _CONFLICTS_MAX:
            async with state.lock:
                if state.conflicts > _CONFLICTS_MAX:
                    await self._read(state)
            return
        candidates = {pool.text(offset): (pool, offset) for pool in state.pools for offset in pool.window}
        if candidates:
            rows = await self._database.fetch(_USED_AMONG, subnet_id=subnet.id, addresses=list(candidates))
            for row in rows:
                pool, offset = candidates[row["ip_address"]]
                pool.used[offset] = 1

    def forget(self, subnet_id: str) -> None:
        """The subnet is gone or its pools have changed."""
        self._states.pop(subnet_id, None)

    def _state(self, subnet: Subnet) -> _State:
        state = self._states.get(subnet.id)
        if state is None or state.subnet != subnet:
            state = self._states[subnet.id] = _State(subnet)
            if len(self._states) > _SUBNETS_MAX:
                self._states.popitem(last=False)
        return state

    async def _read(self, state: _State) -> None:
        rows = await self._database.fetch(_USED, subnet_id=state.subnet.id)
        state.pools = [_Pool(first, last) for first, last in state.subnet.pools]
        for address in (*(row["ip_address"] for row in rows), *state.pending):
            for pool, offset in state.spots(address):
                pool.used[offset] = 1
        state.conflicts = 0
