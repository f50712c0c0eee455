"""Where state that outlives a run is kept: $SQUALL_STATE_DIR, $XDG_STATE_HOME/squall or ~/.local/state/squall."""

from __future__ import annotations

import os
from pathlib import Path


def state_directory() -> Path:
    """The directory itself; it may not exist yet."""
    if own := os.environ.get("SQUALL_STATE_DIR"):
        return Path(own)
    if xdg := os.environ.get("XDG_STATE_HOME"):
        return Path(xdg) / "squall"
    return Path.home() / ".local" / "state" / "squall"


def private_directory(name: str) -> Path:
    """`name` in it, made with mode 0700."""
    path = state_directory() / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
