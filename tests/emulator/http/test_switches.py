"""Truth switches of one process: seeded, changed live, guarded, and taken back when a lease is not renewed."""

import asyncio
from typing import Any

import orjson
import pytest

from harness.emulator.http.control import ControlApp
from harness.emulator.runtime import Runtime
from harness.emulator.settings import Settings, TruthSettings

TOKEN = "a token for the tests only"


def runtime_of(seed: int = 1, role: str = "api", index: int = 0, **truth: float) -> Runtime:
    return Runtime(Settings(seed=seed, control_token=TOKEN, truth=TruthSettings(**truth)), role, index)


def decisions(runtime: Runtime, switch: str, count: int = 200) -> list[bool]:
    return [runtime.strikes(switch) for _ in range(count)]


def test_the_same_seed_strikes_alike_whatever_else_is_rolled() -> None:
    one, other = runtime_of(lost_cast=0.3, leaked_allocation=0.3), runtime_of(lost_cast=0.3, leaked_allocation=0.3)
    alone = decisions(one, "lost_cast")
    mixed = []
    for _ in range(200):
        other.rng.random()
        other.dice("build").random()
        other.strikes("leaked_allocation")
        mixed.append(other.strikes("lost_cast"))
    assert mixed == alone
    assert 30 < sum(alone) < 90
    assert decisions(runtime_of(seed=2, lost_cast=0.3), "lost_cast") != alone


def test_processes_and_switches_roll_dice_of_their_own() -> None:
    everything = dict.fromkeys(TruthSettings.__struct_fields__, 0.5)
    runtimes = [runtime_of(role=role, index=index, **everything) for role in ("api", "compute") for index in (0, 1)]
    rolled = [tuple(decisions(runtime, switch)) for runtime in runtimes for switch in everything]
    assert len(set(rolled)) == len(rolled)


def test_a_switch_that_is_turned_on_again_decides_as_the_first_time() -> None:
    runtime = runtime_of()
    assert not any(decisions(runtime, "lost_cast"))
    runtime.change_truth(TruthSettings(lost_cast=0.5))
    first = decisions(runtime, "lost_cast")
    runtime.change_truth(TruthSettings(lost_cast=0.5, created_500=0.5))  # it stays on, so its dice roll on
    assert decisions(runtime, "lost_cast") != first
    runtime.change_truth(TruthSettings())
    runtime.change_truth(TruthSettings(lost_cast=0.5))
    assert decisions(runtime, "lost_cast") == first


def test_build_times_and_spawn_failures_repeat_with_the_seed() -> None:
    one, other = runtime_of(role="compute"), runtime_of(role="compute")
    other.dice("spawn_failure").random()  # the kinds do not move each other
    assert [one.dice("build").random() for _ in range(20)] == [other.dice("build").random() for _ in range(20)]


async def call(app: ControlApp, method: str, document: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    """One request without a socket."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"body": b"" if document is None else orjson.dumps(document), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-squall-token", token.encode())] if token else []
    await app({"method": method, "path": "/__squall/truth", "headers": headers}, receive, send)
    return sent[0]["status"], orjson.loads(sent[1]["body"])


@pytest.mark.parametrize("token", ["", "wrong"])
def test_nobody_reads_or_turns_a_switch_without_the_token(token: str) -> None:
    async def scenario() -> None:
        runtime = runtime_of()
        app = ControlApp(runtime, "api")
        assert (await call(app, "GET", token=token))[0] == 401
        assert (await call(app, "PUT", {"lost_cast": 1}, token=token))[0] == 401
        assert runtime.truth == TruthSettings()

    asyncio.run(scenario())


def test_a_cloud_without_a_token_takes_no_orders() -> None:
    async def scenario() -> None:
        app = ControlApp(Runtime(Settings(), "api"), "api")
        assert (await call(app, "PUT", {"lost_cast": 1}, token=""))[0] == 401

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [{"lost_cast": 2}, {"lost_cast": True}, {"nothing": 1}, [1], "lost_cast", None]
    + [{"lost_cast": 1, "lease_s": lease} for lease in (0, -1, "long", 1e9)],
)
def test_what_is_no_switch_or_no_probability_is_refused_and_changes_nothing(wrong: Any) -> None:
    async def scenario() -> None:
        runtime = runtime_of(created_500=0.5)
        status, _ = await call(ControlApp(runtime, "api"), "PUT", wrong)
        assert (status, runtime.truth) == (400, TruthSettings(created_500=0.5))

    asyncio.run(scenario())


def test_a_lease_that_nobody_renews_turns_back_what_was_turned_under_it() -> None:
    async def scenario() -> None:
        app = ControlApp(runtime_of(created_500=0.5), "api")
        assert (await call(app, "PUT", {"lost_cast": 1, "created_500": 1, "lease_s": 0.05}))[1]["lost_cast"] == 1
        assert (await call(app, "PUT", {"leaked_allocation": 1}))[0] == 200  # under no lease
        await asyncio.sleep(0.1)  # a loop's timers go off in order
        now = (await call(app, "GET"))[1]
        assert (now["lost_cast"], now["created_500"], now["leaked_allocation"]) == (0, 0.5, 1)

    asyncio.run(scenario())


def test_a_lease_is_renewed_without_naming_a_switch_and_a_renewal_alone_turns_nothing_on() -> None:
    async def scenario() -> None:
        app = ControlApp(runtime_of(), "api")
        assert (await call(app, "PUT", {"lease_s": 0.05}))[1]["lost_cast"] == 0
        await call(app, "PUT", {"lost_cast": 1, "lease_s": 0.05})
        assert (await call(app, "PUT", {"lease_s": 3600}))[1]["lost_cast"] == 1
        await asyncio.sleep(0.1)  # the first lease would be over
        assert (await call(app, "GET"))[1]["lost_cast"] == 1
        await call(app, "PUT", {"lost_cast": 0})
        app.switches.stop()

    asyncio.run(scenario())
