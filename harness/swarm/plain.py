"""Plain Locust - `locust -f locustfiles/burst.py`, headless or with the web page - drives the same engine.

Start makes a run: an engine of its own is spawned, which takes this Locust as its swarm and writes a run directory of
its own. Stop winds that run up as Ctrl-C does: no new arrivals, faults undone, resources deleted. What Locust calls the
number of users is the arrival rate per second here, together over all open-loop swarms of the experiment.
"""

import contextlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import yaml
from locust import User, events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from harness.cloud.session import auth_url
from harness.control import connect
from harness.swarm.conductor import Conductor
from harness.swarm.launch import FROM_WORKERS, LoadUser, connect_local, serve
from harness.swarm.scenario import Scenario, experiment_path
from harness.swarm.worker import Worker

log = logging.getLogger("squall.locust")
ENGINE_UP_S = 180.0
ENGINE_END_S = 600.0
RATE_KEYS = ("rate", "from", "to")


def locust_user(scenario: type[Scenario]) -> type[User]:
    """The user class by which Locust knows a scenario; a locustfile assigns it to a name of its own."""
    name = "".join(word.capitalize() for word in scenario.name.split("_")) + "ArrivalsPerSecond"
    return type(name, (LoadUser,), {"__doc__": scenario.__doc__, "__module__": __name__, "scenario": scenario})


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_arguments(parser: Any) -> None:
    # Locust's page can start load and asks for no password: on this machine only, unless told otherwise.
    parser.set_defaults(web_host="127.0.0.1")
    parser.add_argument("--experiment", default="", help="experiment file to run; empty: the one the scenario declares")
    parser.add_argument("--cloud", default="", help="entry of clouds.yaml; empty: what the experiment says")
    parser.add_argument("--admin-cloud", default="", help="entry whose user may read what only an admin may, for audit")
    parser.add_argument(
        "--number-of-users-is",
        default="arrivals per second",
        help="Open loop: 'Number of users' is the arrival rate per second, over all swarms of the experiment",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def _attach(environment: Any, runner: Any, **_: Any) -> None:
    scenario = next((user.scenario for user in environment.user_classes if hasattr(user, "scenario")), None)
    if scenario is None:
        return  # this Locust runs something else
    if isinstance(runner, WorkerRunner):
        _attach_worker(environment, runner)
    elif isinstance(runner, (MasterRunner, LocalRunner)):
        Attached(environment, runner, scenario)


def _attach_worker(environment: Any, runner: Any) -> None:
    current = [Worker(runner.send_message, environment.stats)]

    def worker() -> Worker:
        return current[0]

    def renew(environment: Any, msg: Any) -> None:
        """Each run gets a worker without the last one's past."""
        del msg
        current[0] = Worker(runner.send_message, environment.stats)

    runner.register_message("squall_new", renew)
    serve(runner, worker)


class Attached:
    """Locust's master, or its only process, with the engine of the run that is on."""

    def __init__(self, environment: Any, runner: Any, scenario: type[Scenario]) -> None:
        self._environment, self._runner, self._scenario = environment, runner, scenario
        self._engine: subprocess.Popen[bytes] | None = None
        self._conductor: Conductor | None = None
        self._link: Any = None
        options = environment.parsed_options
        rate = base_rate(self._experiment())
        if rate and not options.num_users:
            options.num_users = options.spawn_rate = max(1, round(rate))
        self._show_host()
        environment.events.test_start.add_listener(self._start)
        environment.events.test_stop.add_listener(self._stop)
        environment.events.quitting.add_listener(self._quit)
        if isinstance(runner, MasterRunner):
            for kind in FROM_WORKERS:
                runner.register_message(kind, self._listener(kind))

    def _show_host(self, entry: str = "", clouds_file: str | None = None) -> None:
        """What the page calls the host: where users log in. A bundled cloud has such a place only during its run."""
        entry = entry or str(self._environment.parsed_options.cloud or cloud_of(self._experiment()) or "")
        found = auth_url(entry, clouds_file) if entry else None
        for user in self._environment.user_classes:
            user.host = found or "the bundled cloud"
        self._environment.host = found

    def _experiment(self) -> Path:
        given = str(self._environment.parsed_options.experiment or "")
        return Path(given).resolve() if given else experiment_path(self._scenario)

    def _listener(self, kind: str) -> Any:
        def listener(environment: Any, msg: Any) -> None:
            del environment
            if self._conductor is not None:
                self._conductor.on_worker(kind, msg.data)

        return listener

    def _start(self, **_: Any) -> None:
        if self._engine is not None and self._engine.poll() is None:
            log.warning("the last run is still being wound up; start again when it has ended")
            gevent.spawn_later(0.1, self._runner.stop)
            return
        gevent.spawn(self._run)

    def _run(self) -> None:
        options = self._environment.parsed_options
        self._link = None  # the last run's
        with tempfile.TemporaryDirectory(prefix="squall-locust-") as folder:
            control = Path(folder) / "control.json"
            experiment = at_rate(self._experiment(), options.num_users or 0, Path(folder))
            command = [sys.executable, "-m", "harness.cli", "run", str(experiment), "--attach", str(control)]
            if options.cloud:
                command += ["--cloud", str(options.cloud)]
            if options.admin_cloud:
                command += ["--admin-cloud", str(options.admin_cloud)]
            self._engine = engine = subprocess.Popen(command)
            address = self._await(control, engine)
            if address is not None:
                self._serve(address)
            with contextlib.suppress(subprocess.TimeoutExpired):
                engine.wait(ENGINE_END_S)
        self._show_host()
        self._environment.process_exit_code = engine.poll()
        log.info("the run ended with exit code %s", engine.poll())
        if options.headless:
            self._runner.quit()
        elif self._runner.state not in ("ready", "stopped", "stopping"):
            self._runner.stop()

    def _await(self, control: Path, engine: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """The engine's address, once its cloud is up; None when it refuses the experiment (it says why itself)."""
        with gevent.Timeout(ENGINE_UP_S, False):
            while engine.poll() is None:
                with contextlib.suppress(OSError, ValueError):
                    return dict(json.loads(control.read_text()))
                gevent.sleep(0.1)
        if engine.poll() is None:
            log.error("the engine is not ready after %g s: giving up", ENGINE_UP_S)
            engine.terminate()
        return None

    def _serve(self, address: Mapping[str, Any]) -> None:
        plan = json.loads(Path(address["plan"]).read_text())
        plan["clouds_file"] = address.get("clouds_file")  # the engine's own cloud is none that our environment knows
        self._show_host(plan["cloud"], plan["clouds_file"])
        self._link = link = connect(address["address"], address["token"])
        if isinstance(self._runner, MasterRunner):
            names = list(self._runner.clients)

            def send(kind: str, data: Mapping[str, Any], index: int | None) -> None:
                for each in range(len(names)) if index is None else [index]:
                    self._runner.send_message(kind, dict(data), names[each])

            send("squall_new", {}, None)
            self._conductor = Conductor(plan, len(names), send, link)
            gevent.spawn(self._watch_workers, self._conductor, names)
        else:
            self._conductor = connect_local(plan, link, self._environment)
        self._conductor.start()
        gevent.spawn(self._conductor.listen)
        self._conductor.is_finished.wait()
        if self._conductor.failure:
            log.error("%s", self._conductor.failure)
            with contextlib.suppress(OSError):
                link.send({"type": "stop_request"})
        link.close()

    def _watch_workers(self, conductor: Conductor, names: list[str]) -> None:
        missing: dict[str, int] = {}
        while not conductor.is_finished.is_set():
            for index, name in enumerate(names):
                there = name in self._runner.clients and self._runner.clients[name].state != "missing"
                missing[name] = 0 if there else missing.get(name, 0) + 1
                # Locust says missing after three seconds: a worker that was only stopped comes back.
                if missing[name] > 10:
                    conductor.lost(index)
            gevent.sleep(1.0)

    def _stop(self, **_: Any) -> None:
        """Stop in the page, or the end of --run-time: asks the engine to wind the run up."""
        if self._engine is None or self._engine.poll() is not None:
            return
        if self._link is None:
            self._engine.terminate()  # it does not listen yet; this ends the start of its cloud at once
            return
        with contextlib.suppress(OSError):
            self._link.send({"type": "stop_request"})

    def _quit(self, **_: Any) -> None:
        """Locust ends: not before the engine has cleaned up."""
        self._stop()
        if self._engine is not None:
            try:
                self._environment.process_exit_code = self._engine.wait(ENGINE_END_S)
            except subprocess.TimeoutExpired:
                log.error("the engine still runs; it goes on by itself, see its run directory")


def cloud_of(experiment: Path) -> str | None:
    """The entry of clouds.yaml that an experiment runs against; None for the bundled cloud."""
    cloud = _load(experiment).get("cloud")
    name = cloud.get("name") if isinstance(cloud, dict) else None
    return name if isinstance(name, str) else None


def base_rate(experiment: Path) -> float:
    """The arrivals per second of an experiment's open-loop swarms, together; a ramp counts as its end."""
    return sum(_rate(swarm) for swarm in _load(experiment).get("swarms") or [])


def at_rate(experiment: Path, rate: float, folder: Path) -> Path:
    """The experiment with its swarms' rates scaled to `rate` in all: itself, where that changes nothing."""
    base = base_rate(experiment)
    if not base or not rate or round(base) == round(rate):
        return experiment
    document = _load(experiment)
    for swarm in document["swarms"]:
        if _rate(swarm):
            arrivals = swarm["arrivals"]
            arrivals.update({key: arrivals[key] * rate / base for key in RATE_KEYS if key in arrivals})
    scaled = folder / experiment.name
    scaled.write_text(yaml.safe_dump(document, sort_keys=False))
    return scaled


def _rate(swarm: Any) -> float:
    arrivals = swarm.get("arrivals") if isinstance(swarm, dict) else None
    found = arrivals.get("rate", arrivals.get("to", 0)) if isinstance(arrivals, dict) else 0
    return float(found) if isinstance(found, (int, float)) else 0.0


def _load(experiment: Path) -> dict[str, Any]:
    """What can be read of an experiment; the engine is the one to say what is wrong with it."""
    with contextlib.suppress(OSError, yaml.YAMLError):
        document = yaml.safe_load(experiment.read_text())
        if isinstance(document, dict):
            return document
    return {}
