"""`python -m harness.swarm master|worker|check`: the engine starts it, its address in the environment."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from harness.swarm import check, launch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.swarm", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    master = roles.add_parser("master", help="Locust master; starts its own workers")
    master.add_argument("--plan", type=Path, required=True)
    worker = roles.add_parser("worker", help="Locust worker")
    worker.add_argument("--master", required=True, help="HOST:PORT")
    worker.add_argument("--index", type=int, required=True)
    roles.add_parser("check", help="say what is wrong with the scenarios of the plan on standard input")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Ctrl-C reaches the whole group; the engine decides what it means and tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.role == "check":
        return check.run(sys.stdin, sys.stdout)
    if options.role == "master":
        return launch.run_master(options.plan)
    return launch.run_worker(options.master, options.index)


if __name__ == "__main__":
    sys.exit(main())
