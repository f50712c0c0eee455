"""A MariaDB of the tests' own."""

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.emulator import schemas
from harness.emulator.settings import DatabaseSettings
from tests.servers.processes import Processes, ServerFailed, accepts, as_user, port, program, unprivileged

VARIABLES = ("SQUALL_TEST_MARIADB",)
READY_WITHIN_S = 60.0
_INSTALL = ("mariadb-install-db", "mysql_install_db")
_SERVER = ("mariadbd", "mysqld")


def is_installed() -> bool:
    return program(*_SERVER) is not None and program(*_INSTALL) is not None


def start(processes: Processes) -> dict[str, str]:
    """Returns what the environment must say of an empty server. Raises: ServerFailed."""
    user = unprivileged("mysql")
    home = processes.folder("mariadb", user)
    data, number, password = home / "data", port(), secrets.token_hex(12)
    install, server = program(*_INSTALL), program(*_SERVER)
    assert install is not None
    assert server is not None
    done = subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        **as_user(user),
    )
    if done.returncode != 0:
        raise ServerFailed(f"{install}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    first = home / "first.sql"  # run before anybody can connect
    first.touch(mode=0o600)
    first.write_text(
        f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
        f"CREATE USER squall@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON *.* TO squall@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    if user is not None:
        shutil.chown(first, user)
    processes.start(
        "mariadb",
        [
            *(server, "--no-defaults", f"--datadir={data}", f"--socket={home}/socket", f"--pid-file={home}/pid"),
            *("--bind-address=127.0.0.1", f"--port={number}", "--skip-name-resolve", f"--init-file={first}"),
            *("--max-connections=1000", "--performance-schema=off", "--skip-log-bin"),
            *("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=32M"),
            "--innodb-flush-log-at-trx-commit=0",  # nothing of it is kept: spare the disk
        ],
        user=user,
    )
    processes.wait("mariadb", lambda: accepts(number), READY_WITHIN_S)
    return {"SQUALL_TEST_MARIADB": f"mysql://squall:{password}@127.0.0.1:{number}"}


@contextlib.contextmanager
def databases() -> Iterator[DatabaseSettings]:
    """Settings for a cloud whose databases have names of their own; they are dropped after the block."""
    made = settings(prefix=f"squall_{secrets.token_hex(4)}_")
    try:
        yield msgspec.structs.replace(made)
    finally:
        asyncio.run(schemas.drop(made))


def settings(**more: Any) -> DatabaseSettings:
    """How the emulator reaches the server that the environment names."""
    parts = urlsplit(os.environ["SQUALL_TEST_MARIADB"])
    host, number = parts.hostname or "127.0.0.1", parts.port or 3306
    return DatabaseSettings(
        dialect="mysql",
        embedded=False,
        host=host,
        port=number,
        server_host=host,
        server_port=number,
        user=parts.username or "root",
        password=parts.password or "",
        **more,
    )
