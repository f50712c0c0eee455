"""What a run says that it was made with: nothing that took part in it is left out."""

import subprocess
from pathlib import Path

import pytest

from harness.fingerprint import commit, fingerprint
from tests.outside import importable, install


def git(home: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(home), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for package in ("faults", "harness", "locustfiles", "reports"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_checkout_is_its_commit_whatever_lies_beside_the_packages(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("mine")
    (checkout / "faults" / "__pycache__").mkdir()
    (checkout / "faults" / "__pycache__" / "x.pyc").write_text("")
    assert commit(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "path", ["faults/database/mine.py", "harness/checkers/audit/mine.py", "locustfiles/mine.py", "reports/mine.py"]
)
def test_a_file_that_git_does_not_know_in_a_package_is_a_change(checkout: Path, path: str) -> None:
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / path).write_text("")
    assert commit(checkout) == git(checkout, "rev-parse", "HEAD") + "+"


def test_a_file_that_was_changed_is_a_change_and_no_checkout_has_no_commit(checkout: Path, tmp_path: Path) -> None:
    (checkout / "harness" / "__init__.py").write_text("# changed")
    assert str(commit(checkout)).endswith("+")
    assert commit(tmp_path / "harness") is None


def test_what_other_packages_add_is_named_with_its_version_and_not_loaded(tmp_path: Path) -> None:
    assert fingerprint()["extensions"] == []
    entries = {
        "squall.faults": {"acme.slow": "acme.slow"},
        "squall.checkers": {"b": "acme:B", "a": "acme:A"},
        "squall.scenarios": {"rename": "acme:Rename"},
    }
    with importable(install(tmp_path, {"acme/__init__.py": "raise RuntimeError"}, entries)):
        found = fingerprint()["extensions"]
    owner = {"distribution": "acme", "version": "1.2"}
    assert found == [
        {"group": "squall.faults", "name": "acme.slow", "value": "acme.slow", **owner},
        {"group": "squall.checkers", "name": "a", "value": "acme:A", **owner},
        {"group": "squall.checkers", "name": "b", "value": "acme:B", **owner},
        {"group": "squall.scenarios", "name": "rename", "value": "acme:Rename", **owner},
    ]
