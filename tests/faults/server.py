"""Runs a real database or broker for the tests and writes its pid file. Also the targets' restart command.

It stays as the server's parent and reaps it: where pid 1 does not, PostgreSQL takes its dead predecessor for alive.

    python -m tests.faults.server postgresql|broker|mariadb|rabbitmq DIR
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness.emulator import postgres
from harness.emulator.settings import DatabaseSettings

ROOT = Path(__file__).resolve().parents[2]


def restart_argv(kind: str, directory: Path) -> list[str]:
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.faults.server", kind, str(directory)]


def start_postgresql(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    settings = DatabaseSettings(server_port=data["port"], password=data["password"], max_connections=40, fsync=False)
    place = postgres.prepare(directory, postgres.find_binaries(), ephemeral=False)
    postgres.initialise(place, settings, directory / "log")
    process = postgres.start(place, settings, directory / "log")
    write_pid(directory, process.pid)
    process.wait()


def start_broker(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    (directory / "password").write_text(data["password"] + "\n")
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness.emulator.broker", "--listen", f"127.0.0.1:{data['port']}"),
                *("--management", "127.0.0.1:0", "--password-file", str(directory / "password")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=ROOT,
        )
    write_pid(directory, process.pid)
    process.wait()


def start_mariadb(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    datadir = directory / "data"
    with open(directory / "log", "ab") as log:
        if not datadir.exists():
            install = ["mariadb-install-db", "--no-defaults", f"--datadir={datadir}", "--user=root", "--skip-test-db"]
            subprocess.run(install, check=True, stdout=log, stderr=log)
        init = directory / "init.sql"
        init.write_text(
            f"CREATE USER IF NOT EXISTS squall@'127.0.0.1' IDENTIFIED BY '{data['password']}';\n"
            "GRANT ALL ON *.* TO squall@'127.0.0.1';\n"
            "CREATE DATABASE IF NOT EXISTS squall;\n"
        )
        process = subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", "--user=root", f"--datadir={datadir}", f"--port={data['port']}"),
                *("--bind-address=127.0.0.1", f"--socket={directory}/socket", f"--init-file={init}"),
                *("--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_pid(directory, process.pid)
    process.wait()


def start_rabbitmq(directory: Path) -> None:
    data = json.loads((directory / "server.json").read_text())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(data["epmd_port"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(data["dist_port"]),
        "RABBITMQ_NODENAME": f"squall{data['port']}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(data["port"]),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "logs"),
        "RABBITMQ_PID_FILE": str(directory / "rabbit.pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "none"),
    }
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    write_pid(directory, process.pid)
    process.wait()


def write_pid(directory: Path, pid: int) -> None:
    """Whole, and before the server answers: whoever sees it answer finds its pid."""
    part = directory / "pid.part"
    part.write_text(str(pid))
    part.replace(directory / "pid")


def wait_for(condition, within_s: float, what: str = "") -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        time.sleep(0.02)


if __name__ == "__main__":
    os.chdir("/")
    start = {
        "postgresql": start_postgresql,
        "broker": start_broker,
        "mariadb": start_mariadb,
        "rabbitmq": start_rabbitmq,
    }
    start[sys.argv[1]](Path(sys.argv[2]))
