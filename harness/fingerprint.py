"""What a run was made with: so that nobody compares apples with pears, and anybody can repeat it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from harness import extensions

_HOME = Path(__file__).resolve().parent.parent
_PACKAGES = ("faults", "harness", "locustfiles", "reports")
_PARTS = (
    "squall",
    "locust",
    "openstacksdk",
    "keystoneauth1",
    "gevent",
    "pandas",
    "pyarrow",
    "falcon",
    "asyncpg",
    "uvloop",
)


def fingerprint() -> dict[str, Any]:
    """Versions, commit, what other packages add, and machine; nothing that names its user."""
    return {
        "versions": {"python": platform.python_version(), **{part: _version(part) for part in _PARTS}},
        "commit": commit(_HOME),
        "extensions": extensions.described(),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        },
    }


def _version(part: str) -> str | None:
    try:
        return importlib.metadata.version(part)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(home: Path) -> str | None:
    """The commit of the checkout that runs, with `+` when it is not what runs; None outside a checkout.

    That is when a file has been changed, or when our packages have one that git does not know: it may be a fault, a
    checker or a scenario, which are found by being there.
    """
    if not (home / ".git").exists():
        return None
    try:
        head = _git(home, "rev-parse", "HEAD")
        changed = _git(home, "status", "--porcelain", "--untracked-files=no")
        unknown = _git(home, "ls-files", "--others", "--exclude-standard", "--", *_PACKAGES)
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed or unknown else "")


def _git(home: Path, *arguments: str) -> str:
    command = ["git", "-C", str(home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
