"""The `squall` command."""

import argparse
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_PACKAGES = ("faults", "harness", "locustfiles", "reports")
_USAGE = 2
_SERVICE_TYPES = ("identity", "image", "placement", "compute", "network")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (README.md)."""
    if shadowed := _shadowed():
        print(f"squall: {shadowed}", file=sys.stderr)
        return _USAGE
    if sys.platform == "win32":
        print("squall: Windows is not supported; run it in WSL or on Linux", file=sys.stderr)
        return _USAGE
    options = _parser().parse_args(arguments)
    # Imports wait for the command: `squall heal` must not load a plotting stack, nor die of a broken one.
    from harness import commands

    try:
        with _ends_in_order():
            if options.command == "run":
                _warn_of_checkers()
            return commands.COMMANDS[options.command](options)
    except commands.REFUSALS as error:
        print(f"squall: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print("squall: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            raise  # no file of the user's, so a mistake of ours: with its traceback
        print(f"squall: {error.filename}: {error.strerror}", file=sys.stderr)
        return _USAGE


@contextlib.contextmanager
def _ends_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP are like Ctrl-C: what a command has half done is taken back. `nohup` stays what it is."""
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _warn_of_checkers() -> None:
    """Says before a run which questions it will leave unanswered. Our own are all there: a test sees to that."""
    from harness import extensions

    if extensions.installed(extensions.CHECKERS):
        from harness.checkers import registry

        for line in registry.unusable():
            print(f"squall: {line}; its answer will be unknown", file=sys.stderr)


def _shadowed() -> str | None:
    """What is wrong when one of our top-level packages is another's of the same name; None when all are ours."""
    home = Path(__file__).resolve().parent.parent
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if origin != home / name:
            found = origin or "nothing"
            return (
                f"wanted package '{name}' from {home / name}; Python finds {found}. Another file or package of that "
                "name comes first in sys.path: leave that folder, rename it, or unset PYTHONPATH"
            )
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="squall", description="Does the cloud still serve its users in a storm?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run an experiment, judge it and write the report")
    run.add_argument("experiment", type=Path, help="YAML file, see experiments/")
    run.add_argument(
        "--cloud", metavar="NAME", help="entry of clouds.yaml to run against instead of the experiment's cloud"
    )
    run.add_argument("--admin-cloud", metavar="NAME", help="entry whose user may read what only an admin may (audit)")
    run.add_argument("--targets", type=Path, metavar="FILE", help="what faults may touch there, docs/real-clouds.md")
    _add_backends(run)
    run.add_argument("--run-dir", type=Path, metavar="DIR", help="new directory for this run (default: runs/NAME-TIME)")
    run.add_argument("--seed", type=_seed, metavar="N", help="instead of the experiment's")
    run.add_argument(
        "--metrics-port", type=_port, default=0, metavar="PORT", help="Prometheus on loopback (default: any)"
    )
    run.add_argument("--keep", action="store_true", help="leave what the run made in the cloud, for a look at it")
    run.add_argument(
        "--dry-run", action="store_true", help="check everything that needs no cloud, print the plan, stop"
    )
    run.add_argument("--attach", type=Path, metavar="FILE", help=argparse.SUPPRESS)

    stop = commands.add_parser("stop", help="stop a running run: no new load, undo faults, delete its resources")
    stop.add_argument("run", nargs="?", help="run id or directory (default: the only one that runs)")

    cloud = commands.add_parser("cloud", help="the bundled cloud by itself")
    actions = cloud.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="start it; says where its clouds.yaml is")
    up.add_argument("--hypervisors", type=_count, default=1000, metavar="N", help="simulated computes (default: 1000)")
    up.add_argument("--time-scale", type=_share, default=1.0, metavar="F", help="0.1: its timers run ten times faster")
    _add_backends(up)
    up.add_argument(
        "--api",
        type=_processes,
        default={},
        metavar="SERVICE=N,...",
        help="API processes of their own, 4 request slots each: compute=2,network=1 (default: one for all)",
    )
    for name in ("conductors", "schedulers", "agents"):
        up.add_argument(f"--{name}", type=_few, default=1, metavar="N", help=f"processes of {name} (default: 1)")
    ports = up.add_mutually_exclusive_group()
    ports.add_argument(
        "--port-base",
        type=_port_base,
        metavar="N",
        help="its API ports are N + 5000, 9292, 8778, 8774 and 9696 (default: 20000)",
    )
    ports.add_argument("--free-ports", action="store_true", help="its API ports are any that are free")
    status = actions.add_parser("status", help="what runs of it; 1 when something of it is dead, 3 when nothing runs")
    down = actions.add_parser("down", help="end it and remove its data")
    down.add_argument("--keep", action="store_true", help="keep data, settings and logs: the next up goes on with them")
    stop = actions.add_parser("stop", help="end one of its processes until it is restarted")
    restart = actions.add_parser("restart", help="kill one of its processes and start it again; waits until it serves")
    for action in (stop, restart):
        action.add_argument("name", help="as status shows it")
    for action in (up, status, down, stop, restart):
        action.add_argument("--state", type=Path, metavar="DIR", help="where it keeps its state (default: per user)")

    for name, text in (
        ("report", "write report.html, junit.xml and summary.md of a run anew, from its data alone"),
        ("audit", "judge a run anew, from its data alone"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("run", type=Path, help="run directory")

    heal = commands.add_parser("heal", help="undo every fault that a dead run left behind, from the journal")
    heal.add_argument("--list", action="store_true", help="only show what is open")

    clean = commands.add_parser("clean", help="delete what a run made, found by its mark")
    clean.add_argument("run", nargs="?", type=Path, help="run directory")
    clean.add_argument("--mark", help="prefix of names, when the run directory is lost: squall-RUNID")
    clean.add_argument("--cloud", metavar="NAME", help="entry of clouds.yaml (default: the run's own)")
    clean.add_argument("--dry-run", action="store_true", help="only show what would be deleted")

    proxy = commands.add_parser("proxy", help="carry links of a cloud of yours, for faults on them; Ctrl-C ends it")
    proxy.add_argument("config", type=Path, help="JSON file, see docs/faults.md")

    faults = commands.add_parser("faults", help="the catalogue of faults")
    faults.add_argument("action", choices=("list", "show"))
    faults.add_argument("name", nargs="?")

    commands.add_parser("schema", help="JSON Schema of experiment files, for editors")
    commands.add_parser("version", help="version and commit")
    return parser


def _add_backends(command: argparse.ArgumentParser) -> None:
    servers = command.add_argument_group("servers of the bundled cloud", "default: PostgreSQL and a broker of its own")
    servers.add_argument(
        "--database",
        default=os.environ.get("SQUALL_DATABASE"),
        metavar="URL",
        help="mysql:// or postgresql://USER:PASSWORD@HOST:PORT/PREFIX; rather in SQUALL_DATABASE, others see commands",
    )
    servers.add_argument(
        "--broker",
        default=os.environ.get("SQUALL_BROKER"),
        metavar="URL",
        help="amqp://USER:PASSWORD@HOST:PORT/VHOST; rather in SQUALL_BROKER",
    )
    servers.add_argument(
        "--broker-management", type=_port, metavar="PORT", help="of RabbitMQ's management API (default: 15672)"
    )


def _processes(text: str) -> dict[str, int]:
    """`compute=2,network=1`; the services by their types in the catalog."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in _SERVICE_TYPES or name in found or not count.isdigit() or not 1 <= int(count) <= 64:
            raise argparse.ArgumentTypeError(
                f"wanted SERVICE=N,... of {', '.join(_SERVICE_TYPES)}, N from 1 to 64; got {part!r}"
            )
        found[name] = int(count)
    return found


def _few(text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError(f"wanted a number from 1 to 64; got {text!r}")


def _seed(text: str) -> int:
    if text.isdigit() and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(f"wanted a whole number from 0 to 2^63 - 1; got {text!r}")


def _port(text: str) -> int:
    if text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"wanted a port from 0 to 65535; got {text!r}")


def _port_base(text: str) -> int:
    if text.isdigit() and int(text) <= 65535 - 9696:
        return int(text)
    raise argparse.ArgumentTypeError(f"wanted a number from 0 to {65535 - 9696}; got {text!r}")


def _count(text: str) -> int:
    if text.isdigit() and 1 <= int(text) <= 20_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"wanted a number from 1 to 20000; got {text!r}")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"wanted a number above 0, up to 1; got {text!r}")


if __name__ == "__main__":
    sys.exit(main())
