"""Where state that outlives a run is kept: $SQUALL_STATE_DIR, $XDG_STATE_HOME/squall or ~/.local/state/squall."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def state_directory() -> Path:
    """The directory itself; it may not exist yet.

    Raises: FileNotFoundError for a user without a home, as containers have them, who has named no directory.
    """
    if own := os.environ.get("SQUALL_STATE_DIR"):
        return Path(own)
    if xdg := os.environ.get("XDG_STATE_HOME"):
        return Path(xdg) / "squall"
    try:
        return Path.home() / ".local" / "state" / "squall"
    except RuntimeError:
        reason = "this user has no home directory; set SQUALL_STATE_DIR to a directory that outlives a run"
        raise FileNotFoundError(errno.ENOENT, reason, "~/.local/state/squall") from None


def private_directory(name: str) -> Path:
    """`name` in it, made with mode 0700."""
    path = state_directory() / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
