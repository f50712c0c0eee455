"""`python -m reports RUN`: writes report.html, junit.xml and summary.md into a run directory, from its data alone."""

import argparse
import sys
from pathlib import Path

from harness.rundir import RunDirectory, RunDirectoryError
from reports import frames, html, junit, markdown


def write(path: Path) -> list[Path]:
    """Writes all documents of a run.

    Returns: what was written.
    Raises:  RunDirectoryError when it is no run directory; OSError when it cannot be written.
    """
    run = frames.load(path)
    directory = RunDirectory(path)
    documents = {"report.html": html.render, "junit.xml": junit.render, "summary.md": markdown.render}
    for name, render in documents.items():
        directory.write_bytes(name, render(run).encode())
    return [path / name for name in documents]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    options = parser.parse_args()
    try:
        for path in write(options.run):
            print(path)
    except (RunDirectoryError, OSError) as error:
        print(f"squall: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
