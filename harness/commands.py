"""What each command does: parse what it was given, call the part that does the work, print what a person needs."""

import argparse
import contextlib
import json
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
from faults.errors import JournalOpen
from faults.places import private_directory
from harness import checkers
from harness.checkers import registry
from harness.cloud import janitor, session
from harness.cloud.errors import CloudError
from harness.control import Link, connect
from harness.experiment import Cloud, ExperimentInvalid, json_schema, load
from harness.fingerprint import fingerprint
from harness.plan import check_expected, check_faults, check_scenarios, make_plan
from harness.progress import Progress
from harness.rundir import RunDirectory, RunDirectoryError
from harness.targets import check_targets, load_targets
from harness.unfinished import in_doubt
from harness.venue import Venue, VenueUnavailable

if TYPE_CHECKING:
    from harness.emulator.settings import Settings

REFUSALS = (ExperimentInvalid, RunDirectoryError, VenueUnavailable, CloudError, JournalOpen)

EXIT_UNKNOWN = 3
EXIT_NOT_HEALED = 4


def run(options: argparse.Namespace) -> int:
    """`squall run`: returns the verdict's exit code."""
    from harness.engine import Engine, Options, reports_command

    source = load(options.experiment)
    experiment = source.experiment
    if options.seed is not None:
        experiment.seed = options.seed
    if options.admin_cloud is not None and options.cloud is None and experiment.cloud.emulator is not None:
        raise ExperimentInvalid("wanted --cloud beside --admin-cloud: the bundled cloud has its own administrator")
    if options.cloud is not None:
        experiment.cloud = Cloud(name=options.cloud, admin=options.admin_cloud or experiment.cloud.admin)
    if options.targets is not None:
        if experiment.cloud.emulator is not None and not (options.database or options.broker):
            raise ExperimentInvalid("wanted --cloud beside --targets: the bundled cloud brings its own targets")
        experiment.targets = {**experiment.targets, **load_targets(options.targets)}
    check_targets(experiment.targets, options.targets or options.experiment)
    plan = make_plan(source)
    venue = Venue(experiment.cloud, experiment, _backends(options))
    check_faults(source, plan, venue.known_targets())
    check_expected(source, registry.codes())
    _check_free(options.metrics_port)
    if options.dry_run:
        check_scenarios(source, plan)  # last: it takes a second or two
        print(json.dumps(plan, indent=2))
        return 0
    if still_open := faults.open_faults():
        raise ExperimentInvalid(
            "faults of an earlier run are still in force: " + ", ".join(still_open) + "; run: squall heal"
        )
    run_id = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
    control_file = private_directory("running") / f"{run_id}.json"
    run_dir = RunDirectory.create(options.run_dir or Path("runs") / f"{experiment.name.replace(' ', '-')}-{run_id}")
    plan.update(run_id=run_id, mark=f"squall-{run_id}", run_dir=str(run_dir.path.resolve()))
    venue.keep_logs(run_dir.path / "logs" / "cloud")
    engine = Engine(
        source,
        plan,
        run_dir,
        venue,
        Progress(sys.stderr),
        Options(options.attach, options.metrics_port, options.keep, control_file),
    )
    try:
        run_dir.write_bytes("experiment.yaml", source.text.encode())
        check_scenarios(source, plan)  # last: it takes a second or two
        verdict = engine.run()
    except BaseException as error:
        if engine.has_begun and isinstance(error, RunDirectoryError):
            print(f"squall: {error}; the run cannot be judged; see squall heal, squall clean", file=sys.stderr)
            return EXIT_UNKNOWN
        if not engine.has_begun:
            run_dir.discard()
            if options.run_dir is None:
                with contextlib.suppress(OSError):
                    run_dir.path.parent.rmdir()  # if it was made for this run
        raise
    reported = reports_command(run_dir.path).returncode == 0
    _print_verdict(verdict, run_dir)
    if not reported:
        print(f"squall: the report could not be written; try: squall report '{run_dir.path}'", file=sys.stderr)
    return int(verdict["exit_code"])


def stop(options: argparse.Namespace) -> int:
    """`squall stop`: asks a running engine to wind down and waits until it says so."""
    links: dict[str, Link] = {}
    for path in sorted(private_directory("running").glob("*.json")):
        try:
            address = json.loads(path.read_text())
            wanted = options.run in (None, path.stem) or Path(options.run).resolve() == Path(address["run_dir"])
            link = connect(address["address"], address["token"])
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its engine was killed, and the guardian with it
        except (OSError, ValueError, KeyError):
            continue  # it is being written, or the run has just ended
        else:
            links[path.stem] = link
            if not wanted:
                del links[path.stem]
                link.close()
    if len(links) != 1:
        names = ", ".join(links) or "none"
        which = f"run '{options.run}'" if options.run else "one run"
        raise ExperimentInvalid(f"wanted {which} to stop; running: {names}; a dead run is undone by: squall heal")
    ((name, link),) = links.items()
    link.send({"type": "stop_request"})
    print(f"run {name} is stopping: faults first, then its resources", flush=True)
    while link.receive() is not None:
        pass
    return 0


def cloud(options: argparse.Namespace) -> int:
    """`squall cloud`: 1 when it could not be done or when something of the cloud is dead, 3 when none runs."""
    from harness.emulator import cloud as emulator
    from harness.emulator import errors
    from harness.emulator.status import ask, show

    state = options.state or private_directory("cloud")
    try:
        match options.action:
            case "up":
                took_s = emulator.up(_settings(options), state)
                print(f"ready after {took_s:.1f} s")
                print(f"export OS_CLIENT_CONFIG_FILE={shlex.quote(str(state / 'clouds.yaml'))} OS_CLOUD=demo")
                return 0
            case "down":
                there = emulator.down(state, wipe=not options.keep)
                print("ended" if there else f"no cloud ran in {state}")
                return 0
            case "stop" | "restart":
                ask(state, {"do": options.action, "name": options.name})
                return 0
            case _:
                return show(state)
    except errors.CloudError as error:
        print(f"squall: {error}", file=sys.stderr)
        return 2 if isinstance(error, errors.CloudRefused) else 1


def _settings(options: argparse.Namespace) -> "Settings":
    from harness.emulator import settings
    from harness.emulator.preparation import free_port

    found = settings.Settings(
        time_scale=options.time_scale,
        hypervisors=settings.HypervisorSettings(count=options.hypervisors),
        conductors=options.conductors,
        schedulers=options.schedulers,
        computes=options.agents,
        networks=options.agents,
    )
    found.give_processes(options.api)
    _backends(options)(found)
    taken: set[int] = set()
    base = settings.DEFAULT_PORT_BASE if options.port_base is None else options.port_base
    for name, port in settings.CONVENTIONAL_PORTS.items():
        found.ports[name] = free_port(taken) if options.free_ports else base + port
    return found


def _backends(options: argparse.Namespace) -> "Callable[[Settings], None]":
    """What puts a cloud on the servers that were given by URL. Raises: ExperimentInvalid."""
    from harness.emulator import backends

    def put(settings: "Settings") -> None:
        try:
            if options.database:
                backends.use_database(settings, options.database)
        except ValueError as error:
            raise ExperimentInvalid(f"--database or SQUALL_DATABASE: {error}") from error
        try:
            if options.broker:
                backends.use_broker(settings, options.broker, options.broker_management)
        except ValueError as error:
            raise ExperimentInvalid(f"--broker or SQUALL_BROKER: {error}") from error

    return put


def report(options: argparse.Namespace) -> int:
    """`squall report`: everything anew from the run directory."""
    from harness.engine import reports_command

    run_dir = RunDirectory.open(options.run)
    verdict = checkers.judge(run_dir)
    run_dir.write_json("verdict.json", verdict)
    if reports_command(run_dir.path).returncode != 0:
        return 1
    _print_verdict(verdict, run_dir)
    return 0


def audit(options: argparse.Namespace) -> int:
    """`squall audit`: the verdict anew, written nowhere; its exit code is the run's."""
    from reports.terminal import verdict_table

    verdict = checkers.judge(RunDirectory.open(options.run))
    print(verdict_table(verdict))
    return int(verdict["exit_code"])


def heal(options: argparse.Namespace) -> int:
    """`squall heal`: undoes, or lists, what the journal says is still open; 4 when something stays open."""
    if options.list:
        still_open = faults.open_faults()
        print("\n".join(still_open) if still_open else "no fault is open")
        return EXIT_NOT_HEALED if still_open else 0
    healed = faults.heal()
    for line in healed.healed:
        print(f"undone: {line}")
    for line in healed.open:
        print(f"STILL OPEN: {line}", file=sys.stderr)
    if not healed.healed and not healed.open:
        print("no fault is open")
    return EXIT_NOT_HEALED if healed.open else 0


def clean(options: argparse.Namespace) -> int:
    """`squall clean`: deletes what carries a run's mark; 1 when something would not go."""
    entry, mark, quiet_s = options.cloud, options.mark, janitor.QUIET_S
    if options.run is not None:
        run_dir = RunDirectory.open(options.run)
        described = run_dir.read_json("run.json")
        if not isinstance(described, dict) or not {"run_id", "cloud"} <= described.keys():
            raise RunDirectoryError(
                f"{options.run}/run.json does not say of which run and cloud it is; give --mark and --cloud instead"
            )
        mark, entry = mark or f"squall-{described['run_id']}", entry or described.get("cloud")
        if not entry:
            print(f"nothing to clean: {described.get('venue', 'its cloud')} went away with the run")
            return 0
        quiet_s = max(quiet_s, _still_in_flight_s(run_dir))
    if not mark or not entry:
        raise ExperimentInvalid("wanted a run directory, or --mark and --cloud; see: squall clean --help")
    if not mark.startswith("squall-"):
        raise ExperimentInvalid(f"wanted a mark that begins with 'squall-', as every run's does; got {mark!r}")
    with contextlib.closing(session.connect(entry)) as connection:
        try:
            connection.project_id  # noqa: B018 - logs in
        except Exception as error:
            raise CloudError(f"cloud '{entry}' cannot be used: {error}; see that it is up, then clean again") from error
        left = janitor.clean(connection, mark, say=print, dry_run=options.dry_run, quiet_s=quiet_s)
    if not left and not options.dry_run:
        print(f"nothing with the mark {mark} is left")
    for resource in left:
        print(f"still there: {resource}", file=sys.stderr)
    return 1 if left else 0


def _still_in_flight_s(run_dir: RunDirectory) -> float:
    """For how many more seconds requests that a run left in flight may still make something; 0 when it left none.

    That long as the control plane's own time-outs last, from the last request, or from the end of the last fault that
    may have held it up.
    """
    doubtful = in_doubt(run_dir)
    paths = [*(run_dir.path / "ledger").glob("*.jsonl"), run_dir.path / "faults.jsonl"]
    last_s = max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
    plan = run_dir.read_json("plan.json") or {}
    left_s = last_s + float(plan.get("stuck_after_s") or 0.0) - time.time()
    if not doubtful or left_s <= 0:
        return 0.0
    print(f"{doubtful} operations were never answered: watching up to {left_s:.0f} s for what they make", flush=True)
    return left_s


def proxy(options: argparse.Namespace) -> int:
    """`squall proxy`: carries TCP links that faults of kind link work on, until SIGTERM or Ctrl-C."""
    from faults.proxy.__main__ import main

    return main(["--config", str(options.config)])


def show_faults(options: argparse.Namespace) -> int:
    """`squall faults list|show NAME`."""
    catalogue = faults.catalogue()
    if options.action == "list":
        width = max(map(len, catalogue))
        for name, kind in sorted(catalogue.items()):
            print(f"{name:{width}}  {kind.effect}")
        return 0
    if options.name not in catalogue:
        raise ExperimentInvalid(f"wanted one of {', '.join(sorted(catalogue))}; got {options.name!r}")
    print(catalogue[options.name].describe())
    return 0


def schema(options: argparse.Namespace) -> int:
    """`squall schema`."""
    print(json.dumps(json_schema(), indent=2))
    return 0


def version(options: argparse.Namespace) -> int:
    """`squall version`."""
    made = fingerprint()
    print(f"squall {made['versions']['squall']} ({made['commit'] or 'no commit'}), Python {made['versions']['python']}")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "stop": stop,
    "cloud": cloud,
    "report": report,
    "audit": audit,
    "heal": heal,
    "clean": clean,
    "faults": show_faults,
    "proxy": proxy,
    "schema": schema,
    "version": version,
}


def _check_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ExperimentInvalid(f"port {port} is in use ({error.strerror}); give --metrics-port another") from None


def _print_verdict(verdict: dict[str, Any], run_dir: RunDirectory) -> None:
    from reports.terminal import verdict_table

    print(verdict_table(verdict))
    report_file = run_dir.path / "report.html"
    print(f"\nreport: {report_file if report_file.is_file() else 'none'}")
