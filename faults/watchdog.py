"""`python -m faults.watchdog --journal FILE`: undoes a run's faults when its nemesis cannot.

Started by the nemesis before the first injection, in a session of its own. When the nemesis is dead, every open fault
is undone at once; when it lives but hangs, each is undone `GRACE_S` after its limit. It ends when the journal does.
Exit codes: 0 when nothing is open, 4 when something could not be undone within `GIVE_UP_S` (`squall heal` still can).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from faults.healing import HealReport, heal_journal
from faults.journal import Journal

LOOK_EVERY_S = 0.25
GRACE_S = 5.0
GIVE_UP_S = 600.0


def main(arguments: list[str] | None = None) -> int:
    """Watch; see the module."""
    parser = argparse.ArgumentParser(prog="python -m faults.watchdog")
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args(arguments)
    # Ctrl-C and a closing terminal are the nemesis's business; this process is what is left when that fails.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("watching", flush=True)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the starter's pipe may close
    return watch(Journal(options.journal))


def watch(journal: Journal) -> int:
    """Until the journal ends."""
    orphaned_at: float | None = None
    while True:
        is_orphaned = False
        try:
            state = journal.read()
            if state is None:
                return 0
            is_orphaned = not state.owner_is_alive
            heal_journal(journal, "watchdog", HealReport(), None if is_orphaned else GRACE_S)
        except Exception as error:  # a disk that fails, or a bug: nobody comes after us, so go on
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        if is_orphaned:
            orphaned_at = orphaned_at or time.monotonic()
            if time.monotonic() - orphaned_at > GIVE_UP_S:
                return 4
        time.sleep(LOOK_EVERY_S)


def start(journal: Journal, ready_within_s: float = 20.0) -> int:
    """Start a watchdog over `journal` and wait until it watches. Returns its pid.

    Raises:  OSError when it does not come up; then nothing may be injected.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("SQUALL_TOKEN", "SQUALL_CONTROL")}
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.watchdog", "--journal", str(journal.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    assert process.stdout is not None
    timer = time.monotonic() + ready_within_s
    os.set_blocking(process.stdout.fileno(), False)
    while process.stdout.read() != b"watching\n":
        if process.poll() is not None or time.monotonic() > timer:
            process.kill()
            raise OSError("the watchdog did not start; nothing was injected")
        time.sleep(0.02)
    process.stdout.close()
    return process.pid


if __name__ == "__main__":
    sys.exit(main())
