"""Usable means what its level says; a failed poll is no news; one list a tick however many wait."""

import pytest

from harness.cloud.api import Api
from harness.cloud.readiness import LONGEST_TICK_S, REFRESH_S, SHORTEST_TICK_S, Watcher
from harness.cloud.session import Cloud
from harness.core.clock import MS, FakeClock, S
from tests.cloud.small_cloud import SmallCloud

MARK = "squall-r"


class Bench:
    """A watcher on a clock that stands still."""

    def __init__(self, cloud: Cloud, level: str) -> None:
        self.clock = FakeClock(S)
        self.watcher = Watcher(Api(cloud, clock=self.clock), mark=MARK, level=level)

    def ticks(self, count: int = 1, gap_ns: int = 200 * MS) -> list[tuple[int, str, str]]:
        found = []
        for _ in range(count):
            self.clock.advance(gap_ns)
            found += [(seen.operation_id, seen.event, seen.status) for seen in self.watcher.tick()]
        return found


def test_active_is_reached_at_the_list_that_says_so(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 2
    small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 7)
    assert bench.ticks(2) == []
    assert bench.watcher.statuses() == {"BUILD": 1}
    bench.clock.advance(300 * MS)
    (seen,) = bench.watcher.tick()
    assert (seen.operation_id, seen.event, seen.status, seen.at_ns) == (7, "reached", "ACTIVE", bench.clock.now_ns())
    assert seen.resolution_ns == 300 * MS
    assert bench.watcher.is_idle


def test_port_active_waits_for_the_port(small: SmallCloud, fast: Cloud) -> None:
    server = small.add_server(f"{MARK}-1", status="ACTIVE", **{"OS-EXT-STS:task_state": None})
    bench = Bench(fast, "port_active")
    bench.watcher.expect(f"{MARK}-1", 7)
    assert bench.ticks(2) == []
    small.activate(server)
    assert bench.ticks() == [(7, "reached", "ACTIVE")]


@pytest.mark.parametrize("count", [1, 500])
def test_one_list_of_servers_and_one_of_ports_per_tick(small: SmallCloud, fast: Cloud, count: int) -> None:
    small.lists_until_active = 1
    bench = Bench(fast, "port_active")
    for number in range(count):
        small.add_server(f"{MARK}-{number}")
        bench.watcher.expect(f"{MARK}-{number}", number)
    assert bench.ticks() == []
    assert len(bench.ticks()) == count
    pages = 1 if count < 50 else 2  # the empty page says that there are no more
    assert small.counted("GET", "/servers/detail") == 2 * pages
    assert small.counted("GET", "/ports") == 1


def test_only_changes_are_listed_until_it_is_time_for_a_whole_list(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 10**6
    small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 7)
    bench.ticks(3)
    assert small.counted("GET", "changes-since") == 2
    bench.ticks(1, gap_ns=round(REFRESH_S * S) + 1)
    assert small.counted("GET", "changes-since") == 2
    assert small.counted("GET", "/servers/detail") == 4


def test_a_failed_poll_says_nothing_of_any_server(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 1
    small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 7)
    assert bench.ticks() == []
    small.fail = lambda method, path: 503 if "servers" in path else None
    assert bench.ticks(3) == []
    assert bench.watcher.failed_polls == 3
    small.fail = lambda method, path: None
    bench.clock.advance(S)
    (seen,) = bench.watcher.tick()
    assert seen.event == "reached"
    assert seen.resolution_ns == S + 600 * MS  # since the last list that did answer


def test_error_and_gone_are_told_with_the_reason(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 10**6
    broken = small.add_server(f"{MARK}-1")
    doomed = small.add_server(f"{MARK}-2")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 1)
    bench.watcher.expect(f"{MARK}-2", 2, until="gone")
    assert bench.ticks() == []
    broken |= {"status": "ERROR", "fault": {"message": "No valid host"}, "OS-EXT-STS:task_state": None}
    small.answer("DELETE", f"/v2.1/servers/{doomed['id']}", None)
    bench.clock.advance(MS)
    found = {seen.operation_id: seen for seen in bench.watcher.tick()}
    assert (found[1].event, found[1].detail) == ("error", "No valid host")
    assert (found[2].event, found[2].status) == ("gone", "DELETED")


def test_what_vanishes_without_a_trace_is_gone_at_the_next_whole_list(small: SmallCloud, fast: Cloud) -> None:
    server = small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    small.lists_until_active = 10**6
    bench.watcher.expect(f"{MARK}-1", 1, until="gone")
    bench.ticks()
    del small.servers[server["id"]]
    assert bench.ticks() == []
    assert bench.ticks(1, gap_ns=round(REFRESH_S * S) + 1) == [(1, "gone", "GONE")]


def test_a_server_that_was_renamed_is_the_same_server(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 1
    server = small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 1)
    assert bench.ticks(2) == [(1, "reached", "ACTIVE")]
    server |= {"name": f"{MARK}-other", "status": "SHUTOFF", "OS-EXT-STS:task_state": None}
    bench.watcher.expect(f"{MARK}-1", 2, until="SHUTOFF")
    assert bench.ticks(1, gap_ns=round(REFRESH_S * S) + 1) == [(2, "reached", "SHUTOFF")]
    assert bench.watcher.statuses() == {"SHUTOFF": 1}
    bench.watcher.expect(f"{MARK}-1", 3, until="gone")
    small.answer("DELETE", f"/v2.1/servers/{server['id']}", None)
    assert bench.ticks() == [(3, "gone", "DELETED")]
    assert bench.watcher.statuses() == {}


def test_a_list_from_before_the_wait_does_not_end_it(small: SmallCloud, fast: Cloud) -> None:
    small.lists_until_active = 1
    server = small.add_server(f"{MARK}-1")
    bench = Bench(fast, "active")
    bench.watcher.expect(f"{MARK}-1", 1)
    assert bench.ticks(2) == [(1, "reached", "ACTIVE")]
    server |= {"status": "SHUTOFF", "OS-EXT-STS:task_state": None}
    bench.watcher.expect(f"{MARK}-1", 2, until="SHUTOFF")
    assert bench.ticks() == [(2, "reached", "SHUTOFF")]
    server["OS-EXT-STS:task_state"] = "powering-on"
    bench.watcher.expect(f"{MARK}-1", 3, until="ACTIVE")
    assert bench.ticks(2) == []


def test_unknown_is_no_news_and_idle_asks_nothing(small: SmallCloud, fast: Cloud) -> None:
    server = small.add_server(f"{MARK}-1")
    small.lists_until_active = 10**6
    bench = Bench(fast, "active")
    assert bench.ticks(3) == []
    assert small.counted("GET", "/servers/detail") == 0
    bench.watcher.expect(f"{MARK}-1", 1)
    bench.ticks()
    server["status"] = "UNKNOWN"
    assert bench.ticks(2) == []
    assert bench.watcher.statuses() == {"BUILD": 1}


def test_the_tick_grows_with_what_a_list_costs(small: SmallCloud, fast: Cloud) -> None:
    class Slow(FakeClock):
        cost_ns = 0

        def now_ns(self) -> int:
            self.advance(self.cost_ns)
            return super().now_ns()

    clock = Slow(S)
    watcher = Watcher(Api(fast, clock=clock), mark=MARK, level="active")
    watcher.expect(f"{MARK}-1", 1)
    watcher.tick()
    assert watcher.wait_s == SHORTEST_TICK_S
    clock.cost_ns = 50 * MS
    for _ in range(5):
        watcher.tick()
    usual_s = watcher.wait_s
    assert SHORTEST_TICK_S < usual_s < LONGEST_TICK_S
    clock.cost_ns = 5 * S
    watcher.tick()
    assert watcher.wait_s == usual_s, "one list that hung is no measure of the next"
    for _ in range(4):
        watcher.tick()
    assert watcher.wait_s == LONGEST_TICK_S
