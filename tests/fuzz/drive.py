"""Drives one embedded cloud with hostile traffic, in open loop, and stops at the first thing that must not be."""

import asyncio
import random
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from harness.emulator.cloud import EmbeddedCloud
from harness.emulator.http import HTTPClient
from harness.emulator.messaging import MessagingError
from harness.emulator.messaging.connection import Address
from tests.fuzz import amqp, connection
from tests.fuzz.grammar import Grammar, Request
from tests.fuzz.watch import Growth, Logs, Processes

WITHIN_S = 30.0  # for an answer; the clouds driven here give up on slow clients after a few seconds
LOOK_EVERY_S = 2.0
WEIGH_EVERY_S = 5.0
TOKEN_EVERY_S = 600.0
BROKER_SHARE = 0.05  # of the arrivals
BEFORE_KEPT = 20  # requests sent before the one that failed
# The real service answers 500 as well: neutron 29 to the tags of what is not there, and to a change of a rule.
KNOWN_500 = re.compile(r"\w+ /v2\.0/[a-z_-]+/\{identity\}/tags.*|PUT /v2\.0/security-group-rules/\{identity\}")


@dataclass
class Finding:
    """What went wrong first, and the bytes that were sent."""

    what: str
    request: Request | None = None
    before: list[Request] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Findings that look alike are one: same route and status, same last line of a traceback."""
        return (self.request.name, self.what[:12]) if self.request else ("", self.what.rpartition("\n")[2][:60])


@dataclass
class Result:
    """What was sent and came back. `late_s_max`: how far behind its schedule an arrival left."""

    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)  # 0: hung up on without one
    late_s_max: float = 0.0
    findings: list[Finding] = field(default_factory=list)  # all different; one, unless told to go on
    growth: list[Growth] = field(default_factory=list)


class Drive:
    """One run.

    Args:
        rate_per_s: arrivals, requests and the broker's clients together. connections: at the same time.
        goes_on: whether it looks for more after the first finding.
    """

    def __init__(
        self, cloud: EmbeddedCloud, seed: int, *, rate_per_s: float, connections: int, goes_on: bool = False
    ) -> None:
        self._goes_on = goes_on
        self.cloud = cloud
        self.rng = random.Random(seed)
        self.grammar = Grammar(random.Random(seed + 1))
        self.rate_per_s = rate_per_s
        self.result = Result()
        self.logs = Logs(cloud.state / "logs")
        self.processes = Processes(cloud)
        self._free = asyncio.Semaphore(connections)
        self._before: deque[Request] = deque(maxlen=BEFORE_KEPT)
        self._tokens: dict[bytes, bytes] = {}
        self._found = asyncio.Event()
        broker = cloud.settings.broker
        self._broker = Address(broker.host, broker.port, broker.user, broker.password, broker.virtual_host)

    async def run(self, for_s: float) -> Result:
        """Returns at the end of the time, or soon after a finding."""
        await self.log_in()
        watching = asyncio.ensure_future(self._watch())
        async with asyncio.TaskGroup() as attacks:
            try:
                await self._arrive(attacks, for_s)
            finally:
                watching.cancel()
        await self._look()
        self.result.growth = self.processes.growth()
        fat = [str(growth) for growth in self.result.growth if growth.is_too_much]
        if fat:
            self._report("memory grows: " + "; ".join(fat))
        return self.result

    async def _arrive(self, attacks: asyncio.TaskGroup, for_s: float) -> None:
        began = time.monotonic()
        due = 0.0
        while due < for_s and not self._found.is_set():
            due += self.rng.expovariate(self.rate_per_s)
            await asyncio.sleep(began + due - time.monotonic())
            await self._free.acquire()
            self.result.late_s_max = max(self.result.late_s_max, time.monotonic() - began - due)
            on_broker = self.rng.random() < BROKER_SHARE
            attacks.create_task(
                self._one(self._on_broker(random.Random(self.rng.random())) if on_broker else self._request())
            )

    async def _one(self, attack: "asyncio._CoroutineLike[None]") -> None:
        try:
            await attack
        finally:
            self._free.release()

    async def _request(self) -> None:
        request = self.grammar.request()
        self._before.append(request)
        self.result.sent[request.service] += 1
        port = self.cloud.settings.ports[request.service]
        parts = tuple(part if isinstance(part, float) else self.with_token(part) for part in request.parts)
        try:
            answer = await connection.send(
                self.cloud.settings.host, port, parts, WITHIN_S, is_silent=request.may_be_silent
            )
        except TimeoutError:
            self._report(f"no answer within {WITHIN_S:.0f} s", request)
            return
        except OSError as error:
            self._report(f"no connection: {error}", request)
            return
        for status in answer.statuses or [0]:
            self.result.statuses[status] += 1
            if status >= 500 and status not in (501, 505) and not KNOWN_500.fullmatch(request.name):
                self._report(f"status {status}: {str(answer.document)[:300]}", request)
        if not request.may_be_silent:
            self.grammar.seen.answered(request, answer.statuses, answer.document)

    async def _on_broker(self, rng: random.Random) -> None:
        self.result.sent["broker"] += 1
        try:
            data, wrong = await amqp.attack(self._broker, rng)
        except (OSError, TimeoutError, MessagingError) as error:
            data, wrong = b"", f"no connection to the broker: {error!r}"
        if wrong:
            self._report(f"broker: {wrong}", Request("broker", "frames", (data,)))

    def with_token(self, part: bytes) -> bytes:
        for word, token in self._tokens.items():
            part = part.replace(word, token)
        return part

    async def log_in(self) -> None:
        http = HTTPClient()
        settings = self.cloud.settings
        for word, user, password in (
            (b"@ADMIN@", "admin", settings.admin_password),
            (b"@MEMBER@", "demo", settings.demo_password),
        ):
            domain = {"id": "default"}
            identity = {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": domain, "password": password}},
            }
            body = {"auth": {"identity": identity, "scope": {"project": {"name": user, "domain": domain}}}}
            answer = await http.request("POST", f"{settings.auth_url}/auth/tokens", json=body, timeout_s=WITHIN_S)
            if answer.status == 201:
                self._tokens[word] = answer.headers["x-subject-token"].encode()
            else:
                self._report(f"{user} gets no token: {answer.status} {answer.body[:200]!r}")
        await http.close()

    async def _watch(self) -> None:
        began = time.monotonic()
        weighed = logged_in = began
        while True:
            await self._look()
            now = time.monotonic()
            if now - weighed >= WEIGH_EVERY_S:
                weighed = now
                await asyncio.to_thread(self.processes.weigh, now - began)
            if now - logged_in >= TOKEN_EVERY_S:
                logged_in = now
                await self.log_in()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        for look in (self.logs.traceback, self.processes.check):
            if wrong := await asyncio.to_thread(look):
                self._report(wrong)

    def _report(self, what: str, request: Request | None = None) -> None:
        finding = Finding(what, request, list(self._before))
        if finding.key not in {known.key for known in self.result.findings}:
            self.result.findings.append(finding)
        if not self._goes_on:
            self._found.set()


def save(finding: Finding, directory: Path, mark: str) -> list[Path]:
    """Write what was sent: the request itself, or where none is named, those that came last; newest first."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for number, request in enumerate([finding.request] if finding.request else reversed(finding.before)):
        path = directory / f"{mark}-{number}-{request.service}.bin"
        path.write_bytes(b"".join(part for part in request.parts if isinstance(part, bytes)))
        written.append(path)
    return written
