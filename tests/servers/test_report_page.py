"""report.html in a real browser: it asks for nothing, complains about nothing, and is readable on a telephone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import checkers
from reports.__main__ import write
from tests.reports.synthetic import write_run
from tests.servers.chromium import Page

pytestmark = pytest.mark.servers("Chromium")
BOTTOM_OF = """
const found = [...document.body.querySelectorAll('*')].find(
  one => one.children.length === 0 && one.textContent.trim() === arguments[0]);
return found ? found.getBoundingClientRect().bottom : -1;
"""
OVERFLOWING = """
const width = document.documentElement.clientWidth, found = [];
for (const element of document.body.querySelectorAll('*')) {
  let box = element.getBoundingClientRect();
  if (box.width === 0 || box.right <= width + 1) continue;
  let inside = false;  // of something that scrolls or clips by itself
  for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== 'visible') inside = true;
  if (!inside) found.push(element.tagName + '.' + (element.getAttribute('class') || '') + ' ' + Math.round(box.right));
}
return found.slice(0, 10);
"""
SMALL_TEXT = """
return [...document.querySelectorAll('h1, h2, p, td, th, li')]
  .filter(one => one.offsetWidth && one.innerText.trim() && parseFloat(getComputedStyle(one).fontSize) < 11)
  .map(one => one.innerText.slice(0, 40)).slice(0, 10);
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """report.html of a run that passed and of one that failed."""
    made = {}
    for name, failing in (("PASS", False), ("FAIL", True)):
        run = write_run(tmp_path_factory.mktemp("runs") / name, failing=failing)
        run.write_json("verdict.json", checkers.judge(run))
        write(run.path)
        made[name] = run.path / "report.html"
    return made


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("verdict", ["PASS", "FAIL"])
def test_the_report_shows_its_verdict_and_asks_for_nothing(
    reports: dict[str, Path], browse: Callable[[int], Page], verdict: str, width: int
) -> None:
    page = browse(width)
    page.requests()
    url = reports[verdict].as_uri()
    page.open(url)
    assert page.requests() == [url]
    assert page.console() == []
    assert page.run("return window.innerWidth") == width
    assert 0 < page.run(BOTTOM_OF, verdict) < 900, "the verdict is on the first screen"
    assert page.run(OVERFLOWING) == []
    assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1")
    assert page.run(SMALL_TEXT) == []
    assert page.run("return [...document.querySelectorAll('svg')].filter(one => one.clientWidth > 100).length") > 5


def test_the_report_follows_a_dark_screen(reports: dict[str, Path], browse: Callable[[int], Page]) -> None:
    page = browse(1280)
    page.open(reports["PASS"].as_uri())
    background = "return getComputedStyle(document.body).backgroundColor"
    bright = page.run(background)
    page.developer("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    assert page.run(background) != bright
    assert page.console() == []
