"""Where state is kept, and for whom there is no such place."""

from pathlib import Path

import pytest

from faults.places import state_directory


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SQUALL_STATE_DIR", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(FileNotFoundError, match="no home directory; set SQUALL_STATE_DIR"):
        state_directory()
    monkeypatch.setenv("SQUALL_STATE_DIR", "/var/tmp/mine")
    assert state_directory() == Path("/var/tmp/mine")
