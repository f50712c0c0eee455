"""Latency on one link of a fault proxy: what `database.latency` and `broker.latency` share."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from faults.errors import InjectionFailed, TargetUnfit, UndoFailed
from faults.fault import Fault, Means, UndoRecord
from faults.means.control import ControlRefused, ProxyControl
from faults.parameters import Parameter
from faults.probes import TCP_PROVES_NOTHING, probe
from faults.secret import Secret
from faults.targets import ProbeMeans, Target
from harness.core.units import format_ns

LEASE_S = 10.0  # the proxy clears the toxic so long after the nemesis stopped renewing
MS = 1_000_000
_PROBE_S = 5.0
_SERVER_S = 2.0
_SAMPLES = 3


class LinkLatency(Fault):
    """Delay what goes through one link, by the proxy's latency toxic."""

    needs: ClassVar[tuple[Means, ...]] = ("link", "probe")
    stacks = True
    parameters = (
        Parameter("latency", "duration", "added to what each side hears from the other", at_least=MS),
        Parameter("jitter", "duration", "uniform, plus or minus; bytes are never reordered", "0 ms"),
        Parameter(
            "direction",
            "choice",
            "whose words are late: the server's (downstream), the clients' (upstream), or both: twice per round trip",
            "downstream",
            ("downstream", "upstream", "both"),
        ),
        Parameter("connections", "ratio", "share of connections that it acts on", 1.0),
    )
    undo_text = "the toxic is deleted; it also ends by itself when the nemesis stops renewing its lease (10 s)"

    def __init__(self, params: dict[str, Any] | None = None, key: str = "") -> None:
        super().__init__(params, key)
        self._normal_ns = 0
        self._evidence = ""

    def prepare(self, target: Target) -> UndoRecord:
        assert target.link is not None
        assert target.probe is not None
        control = ProxyControl(target.link.control, target.link.token)
        try:
            link = control.link(target.link.name)
        except (OSError, ControlRefused) as error:
            raise TargetUnfit(f"link '{target.link.name}' at {target.link.control}: {error}") from error
        if not link["enabled"]:
            raise TargetUnfit(f"link '{target.link.name}' is disabled")
        self._normal_ns = self._round_trip_ns(target.probe, link["listen"])
        if self._normal_ns == 0:
            raise TargetUnfit(f"{target.probe.protocol} does not answer through link '{target.link.name}'")
        return UndoRecord(
            self.name,
            {
                "control": control.address,
                "token": msgspec.to_builtins(target.link.token.lasting()),
                "link": target.link.name,
                "listen": link["listen"],
                "toxics": [self._toxic_name(stream) for stream in self._streams()],
                "controller": self._controller(),
                "added_ns": self._added_ns(),
                "normal_ns": self._normal_ns,
                "probe": _probe_record(target.probe),
            },
        )

    def inject(self, target: Target) -> None:
        assert target.link is not None
        control = ProxyControl(target.link.control, target.link.token)
        for stream in self._streams():
            lease = {"controller": self._controller(), "lease_s": LEASE_S}
            try:
                control.add_toxic(target.link.name, {**self._toxic(stream), **lease})
            except (OSError, ControlRefused) as error:
                raise InjectionFailed(f"latency on link '{target.link.name}': {error}") from error

    def bites(self, target: Target) -> bool:
        """A round trip through the link takes at least 0.8 of what was added longer than one past it, at this moment.

        Not longer than before: a server that was busy then and is idle now would hide the fault.
        """
        assert target.link is not None
        assert target.probe is not None
        link = ProxyControl(target.link.control, target.link.token).link(target.link.name)
        past_ns = self._round_trip_ns(target.probe, target.probe.address)
        through_ns = self._round_trip_ns(target.probe, link["listen"])
        self._evidence = f"round trip {through_ns / MS:.1f} ms through the link, {past_ns / MS:.1f} ms past it"
        return bool(past_ns and through_ns - past_ns >= 0.8 * self._added_ns())

    def still_on(self, target: Target) -> bool:
        """The proxy still has every toxic as it was set: one that was started again has none.

        Not a round trip: the database may be hung or dead meanwhile by another fault.
        """
        assert target.link is not None
        try:
            link = ProxyControl(target.link.control, target.link.token).link(target.link.name)
        except ConnectionRefusedError:
            self._evidence = f"the proxy at {target.link.control} is gone"
            return False
        except ControlRefused as refused:
            self._evidence = str(refused)
            return False
        there = {toxic["name"]: toxic for toxic in link["toxics"]}
        wanted = [self._toxic(stream) for stream in self._streams()]
        kept = sum(wish["name"] in there and wish.items() <= there[wish["name"]].items() for wish in wanted)
        state = "" if link["enabled"] else " and is disabled"
        self._evidence = f"link '{target.link.name}' has {kept} of {len(wanted)} toxics as they were set{state}"
        return bool(kept == len(wanted) and link["enabled"])

    def keep_alive(self, record: UndoRecord) -> None:
        _control_of(record).renew(record.data["controller"])

    def problems(self, target: Target, duration_ns: int) -> list[str]:
        assert target.probe is not None
        found = []
        latency, jitter = self.params["latency"], self.params["jitter"]
        if latency - jitter < MS:
            found.append(
                f"parameter 'jitter': wanted at least 1 ms below latency ({format_ns(latency)}), else some answers are "
                f"not late at all and nothing can be proved; got {format_ns(jitter)}"
            )
        if self.params["connections"] == 0:
            found.append("parameter 'connections': wanted a share above zero, else nothing is late; got 0")
        proof_ns = _SAMPLES * (latency + jitter) * len(self._streams())
        if proof_ns > duration_ns:
            found.append(
                f"parameter 'latency': its proof waits for {_SAMPLES} late answers, {format_ns(proof_ns)} in all; "
                f"wanted that within `for` ({format_ns(duration_ns)}); lower it or hold the fault longer"
            )
        if target.probe.protocol == "tcp":
            found.append(f"its target's probe: {TCP_PROVES_NOTHING}")
        if target.probe.protocol == "mysql" and self._streams() == ("upstream",) and not target.probe.user:
            found.append(
                "parameter 'direction': MySQL greets first, so the way upstream shows only after a login; give the "
                "target's probe user and password, or use direction: both"
            )
        return found

    def undo(self, record: UndoRecord) -> None:
        try:
            for toxic in record.data["toxics"]:
                _control_of(record).remove_toxic(record.data["link"], toxic)
        except ConnectionRefusedError:
            return  # the proxy is gone, and its toxics with it
        except (OSError, ControlRefused, TargetUnfit) as error:
            raise UndoFailed(
                f"toxic on link '{record.data['link']}' at {record.data['control']}: {error}; still delayed until its "
                f"lease of {LEASE_S:g} s ends; run: squall heal"
            ) from error

    def is_gone(self, record: UndoRecord) -> bool:
        try:
            toxics = [toxic["name"] for toxic in _control_of(record).link(record.data["link"])["toxics"]]
        except ConnectionRefusedError:
            return True
        except ControlRefused as refused:
            return refused.status == 404
        except (OSError, TargetUnfit):
            return False
        if set(toxics) & set(record.data["toxics"]):
            return False
        if toxics:
            return True  # another fault is still on the same link: the round trip says nothing about ours
        means = msgspec.convert(record.data["probe"], ProbeMeans)
        if not probe(means, _SERVER_S).is_healthy:
            return True  # the toxic is off, and that the server itself is silent is another fault's doing
        now_ns = self._round_trip_ns(means, record.data["listen"])
        return bool(0 < now_ns < record.data["normal_ns"] + max(record.data["added_ns"] // 2, 200 * MS))

    def evidence(self) -> str:
        return self._evidence

    def _streams(self) -> tuple[str, ...]:
        direction = self.params["direction"]
        return ("upstream", "downstream") if direction == "both" else (direction,)

    def _added_ns(self) -> int:
        """By how much every round trip is longer, at the least."""
        return int(self.params["latency"] - self.params["jitter"]) * len(self._streams())

    def _toxic(self, stream: str) -> dict[str, Any]:
        """A toxic as Toxiproxy's JSON has it."""
        return {
            "name": self._toxic_name(stream),
            "type": "latency",
            "stream": stream,
            "toxicity": self.params["connections"],
            "attributes": {"latency": self.params["latency"] / MS, "jitter": self.params["jitter"] / MS},
        }

    def _toxic_name(self, stream: str) -> str:
        return f"squall-{self.key or self.name}-{stream}"

    def _controller(self) -> str:
        return f"squall-{self.key or self.name}"

    def _round_trip_ns(self, means: ProbeMeans, address: str) -> int:
        """The quickest of a few answers, which waited for nobody; the slowest if only a share of connections is meant.

        0 when one fails.
        """
        if means.protocol != "mysql" or self.params.get("direction") != "upstream":
            means = msgspec.structs.replace(means, user="")
        timeout_s = _PROBE_S + 3 * self.params.get("latency", 0) / 1e9
        taken = []
        for _ in range(_SAMPLES):
            result = probe(means, timeout_s, address)
            if not result.is_healthy:
                return 0
            taken.append(result.took_ns)
        return int(max(taken) if self.params.get("connections", 1) < 1 else min(taken))


def _control_of(record: UndoRecord) -> ProxyControl:
    return ProxyControl(record.data["control"], msgspec.convert(record.data["token"], Secret))


def _probe_record(means: ProbeMeans) -> dict[str, Any]:
    return {"protocol": means.protocol, "address": means.address}
