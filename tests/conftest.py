"""The tests marked `servers`: what they need is started once, before the first that needs it, and surely ended.

`pytest.mark.servers("MariaDB", "RabbitMQ", "Chromium")` names what a test needs. The environment says where it is:

    SQUALL_TEST_MARIADB=mysql://user:password@host:port
    SQUALL_TEST_RABBITMQ=amqp://user:password@host:port/vhost
    SQUALL_TEST_RABBITMQ_MANAGEMENT=http://host:port

and a server that it names already is used as it is. A run says at its end which of these tests it left out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.servers import chromium, mariadb, rabbitmq
from tests.servers.processes import Processes, ServerFailed

SERVERS = {"MariaDB": mariadb, "RabbitMQ": rabbitmq, "Chromium": chromium}
_processes = pytest.StashKey[Processes]()
START_TIMEOUT_S = 300  # of a test that may be the one for which servers and a whole cloud are started
_provided = pytest.StashKey[dict[str, str]]()  # server -> why it is not there, empty when it is
_left_out = pytest.StashKey[Counter[str]]()


def needed(item: pytest.Item) -> list[str]:
    """The servers that a test needs. Raises: pytest.UsageError for a mark that names none, or one that is not known."""
    named = [name for mark in item.iter_markers("servers") for name in mark.args or ("",)]
    if unknown := set(named).difference(SERVERS):
        raise pytest.UsageError(f"{item.nodeid}: wanted servers({', '.join(SERVERS)}), got {sorted(unknown)}")
    return [name for name in SERVERS if name in named]


@pytest.fixture(scope="session")
def processes(pytestconfig: pytest.Config) -> Processes:
    """Processes of this session, for what a test starts besides the servers."""
    return _session_processes(pytestconfig)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The servers of a test are there before any of its fixtures is made."""
    config = item.config
    provided = config.stash.setdefault(_provided, {})
    for name in needed(item):
        if name not in provided:
            provided[name] = _provide(config, name)
        if provided[name]:
            pytest.fail(provided[name], pytrace=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who asks for these tests by name gets errors where a server is not installed; anybody else leaves them out."""
    for item in items:
        if needed(item) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S))
    if "servers" in config.option.markexpr:
        return
    missing = {name for name, server in SERVERS.items() if not server.is_installed()}
    left_out = [item for item in items if not missing.isdisjoint(needed(item))]
    if left_out:
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if names := needed(item):
            item.config.stash.setdefault(_left_out, Counter())[" + ".join(names)] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(_left_out, None)
    if left_out:
        terminalreporter.section("not covered by this run")
        for names, count in sorted(left_out.items()):
            terminalreporter.line(f"{count:>5} tests on {names}")
        terminalreporter.line("Run them with: make test-full (as root; it installs these servers from Debian).")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _processes in config.stash:
        config.stash[_processes].close()


def _session_processes(config: pytest.Config) -> Processes:
    if _processes not in config.stash:
        config.stash[_processes] = Processes()
    return config.stash[_processes]


def _provide(config: pytest.Config, name: str) -> str:
    if not SERVERS[name].is_installed():
        return f"{name} is not installed; run tests/install-servers.sh"
    if all(os.environ.get(variable) for variable in SERVERS[name].VARIABLES):
        return ""
    try:
        os.environ.update(SERVERS[name].start(_session_processes(config)))
    except (ServerFailed, OSError) as error:
        return f"{name} could not be started: {error}"
    return ""
