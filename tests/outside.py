"""A package of somebody else's, installed as pip would: modules and a dist-info with entry points, in a folder."""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]


def install(site: Path, files: Mapping[str, str], entries: Mapping[str, Mapping[str, str]], name: str = "acme") -> Path:
    """Lay the package out in `site`, which has to come to sys.path (and PYTHONPATH, for child processes).

    Args:    files: path -> text. entries: group -> name of the entry point -> what it names.
    """
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    info = site / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
        for group, found in entries.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return site


@contextmanager
def importable(site: Path) -> Iterator[None]:
    """Here and in child processes that get our environment; as if it had never been, afterwards."""
    names = {path.stem for path in site.iterdir()}
    found = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    with patch.dict(os.environ, found), patch.object(sys, "path", [str(site), *sys.path]):
        yield
    for module in [module for module in sys.modules if module.split(".")[0] in names]:
        del sys.modules[module]


def documented(page: str) -> tuple[str, dict[str, dict[str, str]]]:
    """The one whole file under "Adding" of a page of docs/, and the entry points that its TOML gives."""
    return block(page, "python"), tomllib.loads(block(page, "toml"))["project"]["entry-points"]


def block(page: str, language: str) -> str:
    """The first block of a language under "Adding" of a page of docs/."""
    _, _, adding = (ROOT / "docs" / page).read_text().partition("\n## Adding")
    _, found, rest = adding.partition(f"```{language}\n")
    assert found, f"{page}: no block of {language}"
    return rest.split("```", 1)[0]
