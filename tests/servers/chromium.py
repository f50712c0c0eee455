"""Headless Chromium through chromedriver's own HTTP protocol (W3C WebDriver): what a page shows, says and asks for."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.servers.processes import Processes, accepts, port, program

VARIABLES = ("SQUALL_TEST_CHROMEDRIVER",)
READY_WITHIN_S = 30.0
PAGE_WITHIN_S = 60.0
_BROWSER = ("chromium", "chromium-browser")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the standard gives to references to elements
_FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-breakpad",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class PageFailed(Exception):
    """The browser refused a command, or a page did not come to what was waited for."""


def is_installed() -> bool:
    return program(*_BROWSER) is not None and program("chromedriver") is not None


def start(processes: Processes) -> dict[str, str]:
    """Start chromedriver; browsers are its children. Raises: ServerFailed."""
    driver, number = program("chromedriver"), port()
    assert driver is not None
    home = str(processes.folder("chromium"))
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home}
    processes.start("chromedriver", [driver, f"--port={number}"], env=environment)
    processes.wait("chromedriver", lambda: accepts(number), READY_WITHIN_S)
    return {"SQUALL_TEST_CHROMEDRIVER": f"http://127.0.0.1:{number}"}


class Page:
    """One browser window with a profile of its own. Its logs are read once: each call returns what is new."""

    def __init__(self, driver: str, profile: Path, *, width: int, height: int = 900) -> None:
        self._base = driver
        options = {
            "binary": program(*_BROWSER),
            "args": [*_FLAGS, f"--user-data-dir={profile}", f"--window-size={max(width, 500)},{height}"],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base = f"{driver}/session/{session['sessionId']}"
        # A window is never narrower than 500 px; a telephone is.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.developer("Emulation.setDeviceMetricsOverride", metrics)

    def developer(self, command: str, parameters: dict[str, Any]) -> Any:
        """A command of Chromium's own protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url: str) -> None:
        """Returns when the page and what it asks for at once are loaded."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns, as JSON."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self) -> str:
        """What a reader sees."""
        return str(self.run("return document.body.innerText"))

    def click(self, xpath: str) -> None:
        """Click as a user does: fails on what is covered or not to be seen. Waits for the element."""
        self._ask("POST", f"/element/{self._find(xpath)}/click", {})

    def type(self, xpath: str, text: str) -> None:
        """Put text in place of what a field holds."""
        element = self._find(xpath)
        all_of_it = "\ue009a\ue000"  # Control+A
        self._ask("POST", f"/element/{element}/value", {"text": all_of_it + text})

    def wait(self, script: str, *arguments: Any, within_s: float = PAGE_WITHIN_S) -> Any:
        """The first true answer of a script. Raises: PageFailed, with what the page shows instead."""
        deadline = time.monotonic() + within_s
        while not (answer := self.run(script, *arguments)):
            if time.monotonic() > deadline:
                raise PageFailed(f"not within {within_s:.0f} s: {script}\nthe page shows:\n{self.text()[:2000]}")
            time.sleep(0.1)
        return answer

    def console(self) -> list[str]:
        """Warnings and errors of the page, and of what it failed to load."""
        rows = self._ask("POST", "/se/log", {"type": "browser"})
        return [f"{row['level']}: {row['message']}" for row in rows if row["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """URLs that the page has asked for, itself included; what it carries in itself (data:) is no request."""
        rows = [json.loads(row["message"])["message"] for row in self._ask("POST", "/se/log", {"type": "performance"})]
        urls = [row["params"]["request"]["url"] for row in rows if row["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def close(self) -> None:
        self._ask("DELETE", "", None)

    def _find(self, xpath: str, within_s: float = 20.0) -> str:
        deadline = time.monotonic() + within_s
        while True:
            try:
                found = self._ask("POST", "/element", {"using": "xpath", "value": xpath})
                return str(found[_ELEMENT])
            except PageFailed as error:
                if time.monotonic() > deadline:
                    raise PageFailed(f"{error}\nthe page shows:\n{self.text()[:2000]}") from None
                time.sleep(0.1)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base + path, content, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PAGE_WITHIN_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise PageFailed(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}") from None


@contextlib.contextmanager
def page(driver: str, profile: Path, *, width: int) -> Iterator[Page]:
    """A window that is closed after the block."""
    opened = Page(driver, profile, width=width)
    try:
        yield opened
    finally:
        opened.close()


def severe(messages: Sequence[str]) -> list[str]:
    """The errors among what `Page.console` returned."""
    return [message for message in messages if message.startswith("SEVERE")]
