"""A database server and a broker of somebody else's, given by URL: are they fit, and what is left in them at the end.

    mysql://USER:PASSWORD@HOST:PORT/PREFIX        MariaDB 10.11 or newer; PREFIX, if any, begins each database's name
    postgresql://USER:PASSWORD@HOST:PORT/PREFIX   PostgreSQL 14 or newer
    amqp://USER:PASSWORD@HOST:PORT/VHOST          RabbitMQ 3.10 or newer; VHOST is one of the cloud's own, or "/"

Databases of the cloud carry a mark. Only what is marked is ever dropped or written to: a real control plane's databases
have the same names.
"""

import asyncio
import re
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from harness.emulator import queues, schemas
from harness.emulator.database import DBError
from harness.emulator.errors import CloudError, CloudRefused
from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.messaging.errors import ConnectionLost
from harness.emulator.settings import BrokerSettings, DatabaseSettings, Settings

DIALECTS: dict[str, Literal["mysql", "postgresql"]] = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
OLDEST = {"mysql": (10, 11), "postgresql": (14, 0), "RabbitMQ": (3, 10)}
ANSWERS_WITHIN_S = 10.0
_PORTS = {"mysql": 3306, "postgresql": 5432, "amqp": 5672}
_PREFIX = re.compile(r"^[a-z0-9_]{0,32}$")


def use_database(settings: Settings, url: str) -> None:
    """Have a cloud use the SQL server at a URL. Raises: ValueError, which does not repeat a password."""
    parts = _split(url, (*DIALECTS,), "mysql://USER:PASSWORD@HOST:PORT/PREFIX or postgresql://...")
    prefix = unquote(parts.path.lstrip("/"))
    if not _PREFIX.match(prefix):
        raise ValueError(f"wanted a prefix of at most 32 small letters, digits and _; got {prefix!r}")
    settings.database.dialect = DIALECTS[parts.scheme]
    settings.database.prefix = prefix
    _place(settings.database, parts, _PORTS[settings.database.dialect])


def use_broker(settings: Settings, url: str, management_port: int | None = None) -> None:
    """Have a cloud use the AMQP broker at a URL.

    Args: management_port: of its management API on the same host, for gauges. Raises: ValueError as `use_database`.
    """
    parts = _split(url, ("amqp",), "amqp://USER:PASSWORD@HOST:PORT/VHOST")
    settings.broker.virtual_host = unquote(parts.path[1:]) or "/"
    settings.broker.management_port = management_port or 15672
    _place(settings.broker, parts, _PORTS["amqp"])


def _place(where: DatabaseSettings | BrokerSettings, parts: SplitResult, default_port: int) -> None:
    where.embedded = False
    where.host = where.server_host = parts.hostname or ""
    where.port = where.server_port = parts.port or default_port
    where.user, where.password = unquote(parts.username or ""), unquote(parts.password or "")


def check(settings: Settings, *, kept: bool) -> None:
    """Ask the servers given by URL whether this cloud can use them.

    Args: kept: this cloud has been there before, and goes on with what it left.
    Raises: CloudRefused with what is missing; nothing was changed.
    """
    if settings.database.embedded and settings.broker.embedded:
        return
    asyncio.run(_check(settings, kept=kept))


def forget(settings: Settings) -> None:
    """Drop this cloud's databases and queues. Raises: CloudError when something of them stays."""
    if settings.database.embedded and settings.broker.embedded:
        return
    asyncio.run(_forget(settings))


async def _check(settings: Settings, *, kept: bool) -> None:
    if not settings.database.embedded:
        await _check_database(settings.database, kept=kept)
    if not settings.broker.embedded:
        await _check_broker(settings.broker)


async def _check_database(database: DatabaseSettings, *, kept: bool) -> None:
    direct = _direct(database)
    where = f"{database.dialect}://{database.user}@{database.server_host}:{database.server_port}"
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            text = await schemas.server_version(direct)
            owned = {} if kept else await schemas.owned(direct)
            used = sorted(await schemas.sessions(direct, owned))
    except TimeoutError:
        raise CloudRefused(f"{where}: no answer within {ANSWERS_WITHIN_S:.0f} s; is it the right address?") from None
    except DBError as error:
        raise CloudRefused(f"{where}: {error}; see to it that it runs and lets this user in") from error
    if _version(text) < OLDEST[database.dialect]:
        oldest = ".".join(map(str, OLDEST[database.dialect]))
        raise CloudRefused(f"{where}: wanted version {oldest} or newer; got {text}")
    for name, is_ours in owned.items():
        if not is_ours or name in used:
            why = "another bundled cloud uses it" if is_ours else "no bundled cloud made it"
            other = f"{database.dialect}://...:{database.server_port}/{database.prefix or 'squall'}_"
            raise CloudRefused(f"{where}: database {database.prefix}{name} is there, and {why}; try {other}")


async def _check_broker(broker: BrokerSettings) -> None:
    address = _address(broker)
    try:
        connection = await Connection.open(address, name="squall check", timeout_s=ANSWERS_WITHIN_S)
    except ConnectionLost as error:
        raise CloudRefused(
            f"{error}; see to it that it runs, that the virtual host exists and lets this user in"
        ) from error
    try:
        product = str(connection.server_properties.get("product", ""))
        text = str(connection.server_properties.get("version", ""))
        if product == "RabbitMQ" and _version(text) < OLDEST["RabbitMQ"]:
            raise CloudRefused(f"{address!r}: wanted RabbitMQ 3.10 or newer; got {text}")
    finally:
        await connection.close()


async def _forget(settings: Settings) -> None:
    try:
        if not settings.database.embedded:
            async with asyncio.timeout(6 * ANSWERS_WITHIN_S):
                await schemas.drop_marked(_direct(settings.database))
        if not settings.broker.embedded:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await queues.delete_all(_address(settings.broker), queues.names(settings))
    except (DBError, ConnectionLost, TimeoutError) as error:
        raise CloudError(
            f"databases {settings.database.prefix}* or queues of this cloud are still on their servers: "
            f"{error or type(error).__name__}; the next cloud there drops them first"
        ) from error


def _direct(database: DatabaseSettings) -> DatabaseSettings:
    """Past the proxy, which may not run."""
    return msgspec.structs.replace(database, host=database.server_host, port=database.server_port, socket="")


def _address(broker: BrokerSettings) -> Address:
    return Address(broker.server_host, broker.server_port, broker.user, broker.password, broker.virtual_host)


def _split(url: str, schemes: tuple[str, ...], wanted: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port that is no number shows only when it is read
    except ValueError as error:
        # The error may hold a part of the password.
        hint = "in a password '#', '/', '?' and '@' are written %23, %2F, %3F and %40"
        raise ValueError(f"wanted {wanted}; its host or port cannot be read; {hint}") from error
    if parts.scheme not in schemes or not parts.hostname or not parts.username:
        has = [f"{'a' if part else 'no'} {name}" for name, part in (("host", parts.hostname), ("user", parts.username))]
        raise ValueError(f"wanted {wanted}; got {parts.scheme or 'no scheme'}, {', '.join(has)}")
    if parts.query or parts.fragment:
        raise ValueError(f"wanted {wanted} and nothing behind it; got '?' or '#'")
    return parts


def _version(text: str) -> tuple[int, ...]:
    found: Any = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
