"""A master and two workers, whole processes, against a small cloud; this test is their engine."""

import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.control import ControlServer, Link
from harness.core.clock import S, monotonic_ns
from harness.core.ledger import read_ledgers
from harness.rundir import RunDirectory
from tests.cloud.small_cloud import SmallCloud, small_cloud, write_clouds_yaml

ROOT = Path(__file__).resolve().parents[2]
MARK = "squall-t1"


def swarm(name: str, scenario: str, arrivals: dict[str, Any], end_s: float, **options: Any) -> dict[str, Any]:
    return {
        "name": name, "scenario": scenario, "arrivals": arrivals, "start_ns": 0, "end_ns": round(end_s * S),
        "options": options, "max_in_flight": 500, "deadline_s": 10.0,
    }  # fmt: skip


class Engine:
    """The other end of the control messages."""

    def __init__(
        self, run_dir: Path, clouds_yaml: Path, swarms: list[dict[str, Any]], level: str = "adapter", workers: int = 2
    ) -> None:
        self.run = RunDirectory.create(run_dir)
        plan = {
            "run_id": "t1", "mark": MARK, "run_dir": str(run_dir), "seed": 7, "level": level, "ready": "port_active",
            "workers": workers, "cloud": "small", "region": None, "project": None, "swarms": swarms, "drain_s": 20,
        }  # fmt: skip
        self.run.write_json("plan.json", plan)
        self.inbox: queue.Queue[tuple[Link, dict[str, Any]]] = queue.Queue()
        self.seconds: list[dict[str, Any]] = []
        self.control = ControlServer(
            lambda link, message: self.inbox.put((link, message)),
            lambda link: self.inbox.put((link, {"type": "closed"})),
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.swarm", "master", "--plan", str(run_dir / "plan.json")],
            env={**os.environ, **self.control.environment(), "OS_CLIENT_CONFIG_FILE": str(clouds_yaml)},
            cwd=ROOT,
        )
        self.link: Link | None = None

    def await_type(self, *kinds: str, within_s: float = 60.0) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.link, message = self.inbox.get(timeout=left)
            except queue.Empty:
                break
            if message["type"] == "second":
                self.seconds.append(message)
            if message["type"] in kinds:
                return message
        raise AssertionError(f"no {kinds} within {within_s} s; {self.logs()}")

    def say(self, **message: Any) -> None:
        assert self.link is not None
        self.link.send(message)

    def go(self) -> None:
        self.say(type="go", epoch_ns=monotonic_ns() + S // 10)

    def stop(self, drain_s: float) -> None:
        self.say(type="stop", reason="end", drain_s=drain_s)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in (self.run.path / "logs").glob("*"))


@contextmanager
def engine(folder: Path, cloud: SmallCloud, swarms: list[dict[str, Any]], **options: Any) -> Iterator[Engine]:
    made = Engine(folder / "run", write_clouds_yaml(cloud, folder), swarms, **options)
    try:
        yield made
    finally:
        made.control.close()
        made.process.kill()
        made.process.wait(10)


def test_a_run_is_recorded_whole(tmp_path: Path) -> None:
    swarms = [
        swarm("one post", "burst", {"kind": "burst", "count": 1}, 0, servers=100, delete=True),
        swarm("posts", "burst", {"kind": "burst", "count": 4}, 0, servers=1),
        swarm("life", "lifecycle", {"kind": "burst", "count": 2}, 0),
        swarm("nets", "network_setup", {"kind": "constant", "rate": 4.0}, 1),
        swarm("reads", "background", {"kind": "poisson", "rate": 40.0}, 1.5, token=1),
        swarm("closed", "background", {"kind": "closed", "users": 3, "pause": 0.2}, 1),
    ]
    with small_cloud() as cloud, engine(tmp_path, cloud, swarms) as run:
        assert run.await_type("ready")["workers"] == 2
        run.go()
        while len(run.seconds) < 2:
            run.await_type("second")
        run.stop(30)
        run.await_type("finished")
        assert run.process.wait(20) == 0, run.logs()
        assert len(cloud.servers) == 4  # of "posts", which leaves them to the clean-up
    assert run.run.torn() == {}

    operations = run.run.read("operations").to_pandas()
    assert operations["error"].isna().all(), operations["error"].dropna().tolist()
    creates = operations[operations["kind"] == "server.create"]
    burst = creates[creates["swarm"] == "one post"]
    assert len(burst) == 100
    assert sorted(burst["name"]) == sorted(f"{MARK}-one-post-0-{number}" for number in range(1, 101))
    assert burst["batch"].nunique() == 1
    assert burst["intended_ns"].eq(0).all()
    assert (burst["sent_ns"] <= burst["accepted_ns"]).all()
    assert (burst["accepted_ns"] <= burst["ready_ns"]).all()
    assert (burst["ready_ns"] <= burst["gone_ns"]).all()
    assert set(burst["ready_level"]) == {"port_active"}
    assert (burst["resolution_ns"] > 0).all()
    assert operations["operation_id"].is_unique
    kinds = operations[operations["swarm"] == "life"]["kind"].value_counts().to_dict()
    done = ["server.create", "server.stop", "server.start", "server.reboot", "server.delete"]
    assert {kind: n for kind, n in kinds.items() if n} == {**dict.fromkeys(done, 2), "server.read": 4}
    reads = operations[operations["kind"] == "server.read"]
    assert set(reads["status"]) == {"ACTIVE"}
    assert reads["resource_id"].isin(creates["resource_id"]).all()
    assert len(operations[operations["kind"] == "network.setup"]) == 4
    assert len(operations[operations["kind"] == "network.teardown"]) == 4
    assert not any(name for name in (n["name"] for n in cloud.things["networks"].values()) if name != "private")

    requests = run.run.read("requests").to_pandas()
    assert {"worker-0", "worker-1", "master"} == set(requests["process"])
    assert (requests["intended_ns"] <= requests["sent_ns"]).all()
    assert (requests["sent_ns"] <= requests["done_ns"]).all()
    assert set(requests[requests["swarm"] == "readiness"]["process"]) == {"master"}
    posted = requests[(requests["swarm"] == "one post") & (requests["route"] == "POST /servers")]
    assert posted["operation_id"].tolist() == [burst["operation_id"].min()]

    health = run.run.read("health").to_pandas()
    wanted = 1 + 4 + 2 + 4
    open_loop = requests[requests["swarm"] == "reads"]
    assert health["intended"].sum() >= wanted + len(open_loop) // 2
    assert health["intended"].sum() == health["started"].sum() + health["dropped"].sum()
    assert sum(second["sent"] for second in run.seconds) <= health["started"].sum()

    arrivals = run.run.read("arrivals").to_pandas()
    assert set(arrivals["fate"]) == {"completed"}
    assert len(arrivals) == health["started"].sum()
    assert not arrivals[["swarm", "number"]].duplicated().any()
    assert (arrivals["intended_ns"] <= arrivals["started_ns"]).all()
    assert (arrivals["started_ns"] <= arrivals["ended_ns"]).all()

    intents = read_ledgers(run.run.path)
    assert sum(intent.count for intent in intents if intent.kind == "server") == 100 + 4 + 2
    assert {intent.mark for intent in intents} == {MARK}


def test_a_lost_worker_is_told_the_run_goes_on_and_ends_with_its_engine(tmp_path: Path) -> None:
    swarms = [swarm("reads", "background", {"kind": "constant", "rate": 20.0}, 60)]
    with small_cloud() as cloud, engine(tmp_path, cloud, swarms, level="stock") as run:
        run.await_type("ready")
        run.go()
        run.await_type("second")
        children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        os.kill(workers[0], 9)
        assert run.await_type("worker_lost")["name"] in ("worker-0", "worker-1")
        run.seconds.clear()
        run.await_type("second")
        run.control.close()  # as when the engine is killed
        assert run.process.wait(30) == 0, run.logs()
    assert not Path(f"/proc/{workers[1]}").exists()
    assert 1 <= len(run.run.torn()) <= 4  # what the killed worker had open, and nothing else
    assert run.run.read("requests").num_rows > 0


def test_a_scenario_that_cannot_be_prepared_ends_the_swarm_with_the_reason(tmp_path: Path) -> None:
    swarms = [swarm("b", "burst", {"kind": "burst", "count": 1}, 0, flavor="m9.huge")]
    with small_cloud() as cloud, engine(tmp_path, cloud, swarms, workers=1) as run:
        run.await_type("closed")
        assert run.process.wait(20) == 2
        assert "m9.huge" in run.logs()
