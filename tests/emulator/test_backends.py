"""Servers of others, by URL: what is refused before anything of theirs, or of ours, is touched."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.cli import main
from harness.emulator import backends, schemas
from harness.emulator.database import Database
from harness.emulator.errors import CloudRefused
from harness.emulator.settings import DatabaseSettings, Settings
from tests.servers import mariadb, rabbitmq

Up = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Up:
    """Runs `cloud up` with options; returns the one line with which it refuses."""

    def up(*options: str) -> str:
        assert main(["cloud", "up", "--state", str(tmp_path / "state"), "--free-ports", *options]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("squall: ")
        assert not (tmp_path / "state").exists()
        return said.err

    return up


@pytest.mark.parametrize(
    ("option", "url", "says"),
    [
        ("--database", "somewhere", "wanted mysql://USER:PASSWORD@HOST:PORT/PREFIX or postgresql://...; got no scheme"),
        ("--database", "sqlite:///file", "got sqlite, no host, no user"),
        ("--database", "mysql://127.0.0.1:3306", "got mysql, a host, no user"),
        ("--database", "mysql://u:secret@127.0.0.1:many/", "its host or port cannot be read"),
        ("--database", "mysql://u:sec#ret@127.0.0.1/", "'#', '/', '?' and '@' are written %23"),
        ("--database", "mysql://u:secret@127.0.0.1/a/b", "wanted a prefix of at most 32 small letters, digits and _"),
        ("--database", "mysql://u:secret@127.0.0.1/?charset=latin1", "and nothing behind it"),
        ("--broker", "amqps://u:secret@127.0.0.1/", "wanted amqp://USER:PASSWORD@HOST:PORT/VHOST; got amqps"),
        ("--broker", "rabbit://u:secret@127.0.0.1/", "got rabbit, a host, a user"),
    ],
)
def test_a_url_is_refused_without_repeating_its_password(refused: Up, option: str, url: str, says: str) -> None:
    said = refused(option, url)
    assert says in said
    assert option in said
    assert "sec" not in said.replace("seconds", "")


def test_a_server_that_is_not_there_is_named(refused: Up) -> None:
    assert "mysql://u@127.0.0.1:1: " in refused("--database", "mysql://u:secret@127.0.0.1:1/")
    assert "postgresql://u@127.0.0.1:1: " in refused("--database", "postgresql://u:secret@127.0.0.1:1/")
    assert "amqp://u@127.0.0.1:1" in refused("--broker", "amqp://u:secret@127.0.0.1:1/")


def test_a_prefix_goes_before_each_database_and_a_virtual_host_is_taken_as_it_is() -> None:
    settings = Settings()
    backends.use_database(settings, "mariadb://me:p%40ss@db.example/one_")
    backends.use_broker(settings, "amqp://me:p%3Fss@mq.example:5673/a%2Fb", 15673)
    database, broker = settings.database, settings.broker
    assert (database.dialect, database.host, database.port, database.password) == ("mysql", "db.example", 3306, "p@ss")
    assert (database.prefix, database.embedded) == ("one_", False)
    assert (broker.host, broker.port, broker.virtual_host, broker.password) == ("mq.example", 5673, "a/b", "p?ss")
    assert (broker.management_port, broker.embedded) == (15673, False)


@pytest.mark.servers("MariaDB")
def test_databases_of_a_real_control_plane_are_never_touched(refused: Up) -> None:
    theirs = mariadb.settings(prefix="real_")
    run(theirs, "CREATE DATABASE real_nova_api", "CREATE TABLE real_nova_api.flavors (id INTEGER)")
    try:
        said = refused("--database", f"{os.environ['SQUALL_TEST_MARIADB']}/real_")
        assert "database real_nova_api is there, and no bundled cloud made it; try mysql://" in said
        asyncio.run(schemas.drop_marked(theirs))
        assert asyncio.run(schemas.owned(theirs)) == {"nova_api": False}
    finally:
        run(theirs, "DROP DATABASE real_nova_api")


@pytest.mark.servers("MariaDB")
def test_databases_of_another_cloud_are_taken_over_only_when_it_is_gone() -> None:
    settings = Settings(database=mariadb.settings(prefix="twice_"))

    async def body() -> None:
        await schemas.create(settings.database, ("keystone",))
        other = Database("keystone", settings.database)
        await other.run("SELECT 1")
        with pytest.raises(CloudRefused, match="database twice_keystone is there, and another bundled cloud uses it"):
            await asyncio.to_thread(backends.check, settings, kept=False)
        await asyncio.to_thread(backends.check, settings, kept=True)
        await other.close()
        await asyncio.to_thread(backends.check, settings, kept=False)

    try:
        asyncio.run(body())
    finally:
        asyncio.run(schemas.drop(settings.database, ("keystone",)))


@pytest.mark.servers("MariaDB", "RabbitMQ")
def test_a_user_who_is_not_let_in_is_told_by_whom(refused: Up) -> None:
    place = os.environ["SQUALL_TEST_MARIADB"].rpartition("@")[2]
    assert "Access denied for user 'nobody'" in refused("--database", f"mysql://nobody:secret@{place}/")
    place = os.environ["SQUALL_TEST_RABBITMQ"].rpartition("@")[2].rstrip("/")
    assert "ACCESS_REFUSED" in refused("--broker", f"amqp://nobody:secret@{place}/")
    where = rabbitmq.settings()
    said = refused("--broker", f"amqp://{where.user}:{where.password}@{place}/nowhere")
    assert "NOT_ALLOWED - vhost nowhere not found" in said


def run(settings: DatabaseSettings, *statements: str) -> None:
    async def body() -> None:
        database = Database("", msgspec.structs.replace(settings, prefix=""))
        for statement in statements:
            await database.run(statement)
        await database.close()

    asyncio.run(body())
