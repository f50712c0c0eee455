"""The one thing of a killed PostgreSQL that outlives its processes and its directory: a System V memory segment.

56 bytes each, but the kernel has only some thousand of them. The server's lock file, `postmaster.pid`, names it; only
the standard library is needed here, because the guardian needs it.
"""

import contextlib
import ctypes
from pathlib import Path

_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0


def release(lock: Path) -> bool:
    """Remove the segment that a lock file names, unless a process still uses it. Returns whether there was one."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        key, segment = (int(word) for word in lock.read_text().splitlines()[6].split())
        for line in _SEGMENTS.read_text().splitlines()[1:]:
            row = [int(word) for word in line.split()[:7]]
            if (row[0], row[1], row[6]) == (key, segment, 0):  # key, id, how many processes are attached
                removed: int = ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)
                return removed == 0
    return False
