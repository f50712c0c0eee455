"""The control port of every emulator process: its gauges, and its truth switches. Loopback, guarded by a token.

    GET /__squall/gauges    slots, pools, event loop lag, as one JSON object
    GET /__squall/truth     the truth switches
    PUT /__squall/truth     change some of them: {"lost_cast": 0.01}; with "lease_s": 10 only for so long, unless
                            {"lease_s": 10} alone renews it: a controller that dies leaves nothing on

The token goes in `X-Squall-Token`. Not part of any OpenStack API, and on a port of its own.
"""

import asyncio
import hmac
import resource
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson

from harness.emulator.settings import TruthSettings

if TYPE_CHECKING:
    from harness.emulator.runtime import Runtime

LAG_EVERY_S = 0.25
_BODY_MAX = 65_536
LeaseSeconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class LagMeter:
    """How late the event loop wakes up: the longest delay since somebody last asked."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + LAG_EVERY_S
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def take_s(self) -> float:
        """The worst delay since the last call, in seconds."""
        worst, self._worst_s = self._worst_s, 0.0
        return worst

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._worst_s = max(self._worst_s, loop.time() - self._due)
        self._due = loop.time() + LAG_EVERY_S
        self._timer = loop.call_at(self._due, self._tick)


class Switchboard:
    """Turns the truth switches of one process, and those under a lease back when nobody has renewed it."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._before: dict[str, float] = {}  # of the switches under the lease
        self._timer: asyncio.TimerHandle | None = None

    def shown(self) -> dict[str, float]:
        """All switches."""
        found: dict[str, float] = msgspec.to_builtins(self._runtime.truth)
        return found

    def change(self, wanted: Any) -> None:
        """Carry out the document of a PUT.  Raises: ValueError or TypeError; nothing has changed then."""
        if not isinstance(wanted, dict):
            raise TypeError(f"wanted an object of switches, got {type(wanted).__name__}")
        lease_s = None
        if "lease_s" in wanted:
            lease_s = msgspec.convert(wanted["lease_s"], LeaseSeconds)
        switches = {name: value for name, value in wanted.items() if name != "lease_s"}
        before = self.shown()
        self._runtime.change_truth(msgspec.convert({**before, **switches}, TruthSettings))
        for name in switches:
            if lease_s is None:
                self._before.pop(name, None)
            else:
                self._before.setdefault(name, before[name])
        if lease_s is not None and self._before:
            self.stop()
            self._timer = asyncio.get_running_loop().call_later(lease_s, self._end_lease)

    def stop(self) -> None:
        """No lease ends any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _end_lease(self) -> None:
        self._runtime.change_truth(msgspec.structs.replace(self._runtime.truth, **self._before))
        self._before = {}


class ControlApp:
    """ASGI application of the control port."""

    def __init__(self, runtime: "Runtime", name: str) -> None:
        self._runtime = runtime
        self._name = name
        self._token = runtime.settings.control_token.encode()
        self.lag = LagMeter()
        self.switches = Switchboard(runtime)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = dict(scope["headers"]).get(b"x-squall-token", b"")
        if not self._token or not hmac.compare_digest(token, self._token):
            await _answer(send, 401, {"error": "wrong or missing X-Squall-Token"})
            return
        match (scope["method"], scope["path"]):
            case ("GET", "/__squall/gauges"):
                await _answer(send, 200, self.gauges())
            case ("GET", "/__squall/truth"):
                await _answer(send, 200, self.switches.shown())
            case ("PUT", "/__squall/truth"):
                await self._change_truth(receive, send)
            case _:
                await _answer(send, 404, {"error": "no such thing here"})

    def gauges(self) -> dict[str, Any]:
        """What is used now, and the peaks since the last call."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        services: dict[str, Any] = {}
        for name, app in self._runtime.apps.items():
            slots = app.slots
            used_peak, queued_peak = slots.take_peaks()
            services[name] = {
                "slots_used": slots.used,
                "slots_used_peak": used_peak,
                "slots_max": slots.max,
                "queued": slots.queued,
                "queued_peak": queued_peak,
                "queue_max": slots.queue_max,
                "served": slots.served,
                "refused": slots.refused,
                "abandoned": slots.abandoned,
                "answers": {str(status): count for status, count in sorted(app.answers.items())},
            }
        return {
            "process": self._name,
            "monotonic_ns": time.monotonic_ns(),
            "loop_lag_s": round(self.lag.take_s(), 6),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 6),
            "services": services,
            "databases": {
                name: {
                    "used": database.pool.used,
                    "open": database.pool.size,
                    "max": database.pool.size_max,
                    "queued": database.pool.queued,
                }
                for name, database in self._runtime.databases.items()
            },
        }

    async def _change_truth(self, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more and len(body) <= _BODY_MAX:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            self.switches.change(orjson.loads(body))
        except (ValueError, TypeError) as error:
            await _answer(send, 400, {"error": str(error)})
            return
        await _answer(send, 200, self.switches.shown())


async def _answer(send: Any, status: int, document: Any) -> None:
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
