"""What a cloud asks of the machine before it starts."""

import resource
import subprocess
import sys
from pathlib import Path

ASK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from harness.emulator.errors import CloudRefused
from harness.emulator.preparation import allow_open_files
try:
    allow_open_files()
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except CloudRefused as error:
    print(error)
"""


def _ask(soft: int, hard: int) -> str:
    root = Path(__file__).resolve().parents[2]
    return subprocess.check_output([sys.executable, "-c", ASK, str(soft), str(hard)], text=True, cwd=root).strip()


def test_a_low_limit_of_open_files_is_raised() -> None:
    hard = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert _ask(256, hard) == str(hard)


def test_a_limit_that_a_burst_would_meet_is_refused() -> None:
    assert _ask(256, 256).startswith("wanted at least 1024 open files for each process; this shell allows 256.")
