"""The files that the pages of docs/ give are formatted, linted and typed as ours; what they do is tested elsewhere."""

import subprocess
import sys
from pathlib import Path

from tests.outside import ROOT, documented

PAGES = ("faults.md", "checkers.md", "scenarios.md")


def test_the_files_of_the_pages_are_formatted_linted_and_strictly_typed(tmp_path: Path) -> None:
    files = []
    for page in PAGES:
        code, _ = documented(page)
        files.append(tmp_path / f"my_{page.removesuffix('.md')}.py")
        files[-1].write_text(code)
    settings = ROOT / "pyproject.toml"
    for tool in (
        ["ruff", "format", "--diff", "--no-cache", "--config", settings],
        ["ruff", "check", "--no-cache", "--config", settings],
        ["mypy", "--strict", "--config-file", settings],
    ):
        command = [sys.executable, "-m", *map(str, tool), *map(str, files)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
