"""`Runtime`: what every service and worker of the emulator is given, one for each process."""

import random
import zlib
from typing import TYPE_CHECKING, Any

from harness.emulator.database import Database
from harness.emulator.http.auth import TokenValidator
from harness.emulator.http.client import HTTPClient
from harness.emulator.http.service import ServiceClient, ServiceToken
from harness.emulator.settings import DATABASES, SERVICES, Settings, TruthSettings

if TYPE_CHECKING:
    from harness.emulator.messaging import Bus

# What `lost_cast` may lose: each leaves a server in BUILD, with nobody to notice.
BUILD_CASTS = frozenset(("schedule_and_build_instances", "build_and_run_instance", "build_instances"))


class Runtime:
    """Settings, databases, bus, HTTP, dice and truth switches of one process.

    Args: role: name of the process, "api", "conductor"; index: its number where a role has several.
    """

    def __init__(self, settings: Settings, role: str, index: int = 0) -> None:
        self.settings = settings
        self.role = role
        self.index = index
        # hash() of text differs from process to process; crc32 does not.
        self.rng = random.Random((settings.seed << 32) ^ zlib.crc32(f"{role}:{index}".encode()))
        self.http = HTTPClient()
        self.truth: TruthSettings = settings.truth
        self._dice: dict[str, random.Random] = {}
        self.apps: dict[str, Any] = {}  # service -> ServiceApp hosted here; read by the gauges
        self._databases: dict[str, Database] = {}
        self._tokens: dict[str, ServiceToken] = {}
        self._bus: Bus | None = None

    def database(self, name: str) -> Database:
        """The logical database of that name, one pool for each process. Raises: KeyError for an unknown name."""
        found = self._databases.get(name)
        if found is None:
            if name not in DATABASES:
                raise KeyError(f"no database {name!r}; there are {', '.join(DATABASES)}")
            found = self._databases[name] = Database(name, self.settings.database, scale=self.settings.time_scale)
        return found

    @property
    def databases(self) -> dict[str, Database]:
        """Those in use so far."""
        return self._databases

    @property
    def bus(self) -> "Bus":
        """The message bus of this process; `process.py` has connected it before a role starts."""
        if self._bus is None:
            from harness.emulator.messaging import Bus  # keystone and glance have no use for it

            self._bus = Bus.of(self.settings, name=f"{self.role}-{self.index}")
            self._bus.drop_cast = lambda _topic, method: method in BUILD_CASTS and self.strikes("lost_cast")
        return self._bus

    def service(self, name: str, user: str) -> ServiceClient:
        """A client of service `name` that acts as service user `user` ("nova", "neutron", ...)."""
        if name not in SERVICES:
            raise KeyError(f"no service {name!r}; there are {', '.join(SERVICES)}")
        return ServiceClient(self.settings, self.http, name, self._token(user))

    def token_validator(self, user: str) -> TokenValidator:
        """The token middleware of one service; each service has a cache of its own."""
        return TokenValidator(self.settings, self.http, self._token(user))

    def scaled(self, seconds: float) -> float:
        """A duration of the real control plane, in this cloud's seconds."""
        return self.settings.scaled(seconds)

    def dice(self, purpose: str) -> random.Random:
        """Dice for one purpose, seeded for it and this process: their n-th roll is the same whatever else is rolled."""
        found = self._dice.get(purpose)
        if found is None:
            found = self._dice[purpose] = random.Random(f"{self.settings.seed}:{self.role}:{self.index}:{purpose}")
        return found

    def strikes(self, switch: str) -> bool:
        """Whether a truth switch strikes this time, by dice of its own that begin anew when it is turned on."""
        probability: float = getattr(self.truth, switch)
        return probability > 0 and self.dice(switch).random() < probability

    def change_truth(self, truth: TruthSettings) -> None:
        """Turn switches. The same seed decides alike from the moment that one is turned on, whatever went before."""
        for switch in TruthSettings.__struct_fields__:
            if not getattr(self.truth, switch):
                self._dice.pop(switch, None)
        self.truth = truth

    async def close(self) -> None:
        """Close bus, connections and pools."""
        if self._bus is not None:
            await self._bus.close()
        await self.http.close()
        for database in self._databases.values():
            await database.close()

    def _token(self, user: str) -> ServiceToken:
        found = self._tokens.get(user)
        if found is None:
            found = self._tokens[user] = ServiceToken(self.settings, self.http, user)
        return found
