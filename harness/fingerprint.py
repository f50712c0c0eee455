"""What a run was made with: so that nobody compares apples with pears, and anybody can repeat it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

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
    """Versions, commit and machine; nothing that names its user."""
    return {
        "versions": {"python": platform.python_version(), **{part: _version(part) for part in _PARTS}},
        "commit": _commit(),
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


def _commit() -> str | None:
    """The commit of the checkout that runs, with `+` when it has been changed; None outside a checkout."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(home), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(home), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
