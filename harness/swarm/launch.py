"""Locust as a library: a master with its workers, or one process that is both, for a plan the engine wrote."""

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.os
from locust import User, task
from locust.env import Environment

from harness.control import Link, connect
from harness.swarm.conductor import Conductor
from harness.swarm.worker import Worker

log = logging.getLogger("squall.swarm")
FROM_WORKERS = ("squall_prepared", "squall_second", "squall_expect", "squall_accepted", "squall_forget", "squall_done")
CONNECT_S = 30.0
END_S = 10.0


class LoadUser(User):  # type: ignore[misc]
    """Locust's unit of load. The arrivals themselves come from the pacer, fixed in advance; this one only stands for
    its share in Locust's page."""

    @task  # type: ignore[untyped-decorator]
    def stand_by(self) -> None:
        gevent.sleep(3600)


def run_master(plan_path: Path) -> int:
    """Master of a run: starts plan["workers"] workers here, follows the engine; returns exit code.

    Raises: OSError, KeyError when there is no engine to talk to.
    """
    plan = json.loads(plan_path.read_text())
    link = connect()
    environment = Environment(user_classes=[LoadUser])
    runner = environment.create_master_runner("127.0.0.1", 0)
    names: dict[int, str] = {}
    arrived = gevent.event.Event()

    def hello(environment: Any, msg: Any) -> None:
        names[msg.data["index"]] = msg.node_id
        arrived.set()

    def send(kind: str, data: Mapping[str, Any], index: int | None) -> None:
        for each in list(names) if index is None else [index]:
            runner.send_message(kind, dict(data), names[each])

    runner.register_message("squall_hello", hello)
    workers = int(plan["workers"])
    conductor = Conductor(plan, workers, send, link)
    for kind in FROM_WORKERS:
        runner.register_message(kind, _to_conductor(lambda: conductor, kind))
    logs = Path(plan["run_dir"]) / "logs"
    logs.mkdir(exist_ok=True)
    children = [_start_worker(runner.server.port, index, logs) for index in range(workers)]
    try:
        with gevent.Timeout(CONNECT_S, False):
            while len(names) < workers and all(child.poll() is None for child in children):
                arrived.wait(0.2)
                arrived.clear()
        if len(names) < workers:
            log.error("only %d of %d workers came up; see %s", len(names), workers, logs)
            return 2
        runner.start(workers, workers)
        conductor.start()
        gevent.spawn(conductor.listen)
        gevent.spawn(_watch_children, children, conductor)
        conductor.is_finished.wait()
        if conductor.failure:
            log.error("%s", conductor.failure)
        return 2 if conductor.failure else 0
    finally:
        runner.quit()
        _end(children)
        link.close()


def run_worker(master: str, index: int) -> int:
    """A worker process: lives as long as its parent holds the other end of its standard input, and its master lives."""
    host, _, port = master.rpartition(":")
    environment = Environment(user_classes=[LoadUser])
    workers: list[Worker] = []
    gevent.spawn(_end_with_parent, workers)  # first: Locust asks a dead master for minutes before it gives up
    runner = environment.create_worker_runner(host, int(port))
    worker = Worker(runner.send_message, environment.stats)
    workers.append(worker)
    serve(runner, lambda: worker)
    runner.send_message("squall_hello", {"index": index})
    runner.greenlet.join()
    return 0


def connect_local(plan: dict[str, Any], link: Link, environment: Any) -> Conductor:
    """A conductor and its one worker in this process, joined without a wire between them."""
    worker: Worker
    conductor: Conductor

    def to_worker(kind: str, data: Mapping[str, Any], index: int | None) -> None:
        del index
        gevent.spawn(_dispatch, worker, kind, data)

    conductor = Conductor(plan, 1, to_worker, link)
    worker = Worker(conductor.on_worker, environment.stats)
    return conductor


def serve(runner: Any, worker: Callable[[], Worker]) -> None:
    """Let a Locust worker runner hand our messages to `worker()`; what takes long runs beside the others."""
    for kind in ("squall_prepare", "squall_go", "squall_seen", "squall_fault", "squall_stop"):

        def listener(environment: Any, msg: Any, kind: str = kind) -> None:
            del environment
            _dispatch(worker(), kind, msg.data)

        runner.register_message(kind, listener, concurrent=kind in ("squall_prepare", "squall_stop"))


def _dispatch(worker: Worker, kind: str, data: Mapping[str, Any]) -> None:
    match kind:
        case "squall_prepare":
            worker.prepare(data)
        case "squall_go":
            worker.go(data)
        case "squall_seen":
            worker.seen(data)
        case "squall_fault":
            worker.fault(data)
        case "squall_stop":
            worker.stop(data)


def _to_conductor(conductor: Callable[[], Conductor | None], kind: str) -> Callable[..., None]:
    def listener(environment: Any, msg: Any) -> None:
        del environment
        current = conductor()
        if current is not None:
            current.on_worker(kind, msg.data)

    return listener


def _start_worker(port: int, index: int, logs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness.swarm", "worker", "--master", f"127.0.0.1:{port}", "--index", str(index)]
    with (logs / f"worker-{index}.log").open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)


def _watch_children(children: list[subprocess.Popen[bytes]], conductor: Conductor) -> None:
    while not conductor.is_finished.is_set():
        for index, child in enumerate(children):
            if child.poll() is not None:
                conductor.lost(index)
        gevent.sleep(0.25)


def _end_with_parent(workers: list[Worker]) -> None:
    """The parent holds our standard input open; its end is ours, after what we know is written."""
    gevent.os.make_nonblocking(0)
    with contextlib.suppress(OSError):
        while gevent.os.nb_read(0, 1):
            pass
    with contextlib.suppress(Exception), gevent.Timeout(END_S, False):
        for worker in workers:
            worker.stop({"drain_s": 0})
    os._exit(1)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.stdin is not None:
            child.stdin.close()
    for child in children:
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(END_S)
