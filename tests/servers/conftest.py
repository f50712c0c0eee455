"""Fixtures of the tests that are about MariaDB, RabbitMQ and Chromium themselves."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.chromium import Page, page


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[[int], Page]]:
    """Opens windows of a given width in px; they close with the test. For tests marked servers("Chromium")."""
    with ExitStack() as stack:
        count = iter(range(100))

        def opened(width: int) -> Page:
            profile = tmp_path / f"profile-{next(count)}"
            return stack.enter_context(page(os.environ["SQUALL_TEST_CHROMEDRIVER"], profile, width=width))

        yield opened
