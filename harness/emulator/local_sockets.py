"""Unix sockets between the processes of one cloud, beside TCP: a round trip costs them half the CPU (decision 0006).

Who is outside of the cloud, or finds a server by URL, uses TCP; where a path is too long for a socket, everyone does.
"""

import os
import socket
from pathlib import Path

MAX_BYTES = 100  # the kernel takes 107


def are_possible(directory: Path) -> bool:
    """Whether a socket can be made in a directory: some shared and network file systems have none."""
    probe = directory / f".probe-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(probe))
        probe.unlink()
    except OSError:  # too long a path, too
        return False
    return True


def path(directory: Path, name: str) -> str:
    """Where a socket lies; empty when the path is too long for one: then there is TCP only."""
    whole = str(directory.absolute() / name)
    return whole if len(os.fsencode(whole)) <= MAX_BYTES else ""


def of_postgres(directory: Path, port: int) -> str:
    """As `path`, with the name that PostgreSQL gives its socket and that its clients look for."""
    return path(directory, f".s.PGSQL.{port}")
