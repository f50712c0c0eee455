"""The fault of docs/faults.md, installed as the page says, through the contract of all faults."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import registry
from tests.faults import test_contract as contract
from tests.faults import test_watch as watch
from tests.faults.test_watch import Run, run
from tests.outside import ROOT, documented, importable, install

__all__ = ["run"]
NAME = "database.no_writes"


@pytest.fixture(autouse=True)
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    code, entries = documented("faults.md")
    folder = tmp_path_factory.mktemp("site")
    install(folder, {"my_package/__init__.py": "", "my_package/no_writes.py": code}, entries)
    monkeypatch.setattr(registry, "_found", {})
    with importable(folder):
        yield folder


@pytest.fixture
def own_environment(own_environment: dict[str, str], site: Path) -> dict[str, str]:
    return {**own_environment, "PYTHONPATH": f"{ROOT}:{site}"}


def test_it_is_visible_while_on_and_gone_after(servers: dict[str, dict[str, Any]]) -> None:
    contract.test_visible_while_on_gone_after_a_body_that_raises_and_undo_twice_is_undo_once(NAME, servers)


def test_a_second_one_is_refused(servers: dict[str, dict[str, Any]]) -> None:
    contract.test_a_second_injection_is_refused_or_adds_up_as_declared(NAME, servers)


@pytest.mark.parametrize(("event", "watched"), [(event, "alone") for event in contract.STEPS] + [("bites", "watched")])
def test_it_is_healed_after_kill_9_in_each_step(
    event: str,
    watched: str,
    servers: dict[str, dict[str, Any]],
    tmp_path: Path,
    own_environment: dict[str, str],
) -> None:
    contract.test_healed_after_kill_9_in_each_step(NAME, event, watched, servers, tmp_path, own_environment)


def test_that_something_else_ends_it_is_noticed(servers: dict[str, dict[str, Any]], run: Callable[..., Run]) -> None:
    watch.test_whatever_ends_it_before_its_time_is_noticed(NAME, servers, run)
