"""The queues that the services of a cloud leave on their broker: topics, and one for each server of a topic."""

from pamqp import commands

from harness.emulator.messaging.connection import Address, Connection
from harness.emulator.neutron.plugin_rpc import PLUGIN_TOPIC, REPORTS_TOPIC
from harness.emulator.settings import Settings

ANSWERS_WITHIN_S = 10.0


def names(settings: Settings) -> list[str]:
    """Every queue that outlives its process. Reply and fanout queues expire by themselves."""
    plugins = [f"neutron-rpc-{index}" for index in range(settings.networks)]
    servers = {
        "conductor": _numbered("conductor", settings.conductors),
        "scheduler": _numbered("scheduler", settings.schedulers),
        "compute": settings.hypervisors.hosts(),
        PLUGIN_TOPIC: plugins,
        REPORTS_TOPIC: plugins,
    }
    found = [f"{topic}.{server}" for topic, each in servers.items() for server in each]
    return [*servers, *found, "notifications.info"]


async def delete_all(address: Address, queues: list[str]) -> None:
    """Delete these queues, with what is in them; those that are not there are no error. Raises: ConnectionLost."""
    connection = await Connection.open(address, name="squall clean-up", timeout_s=ANSWERS_WITHIN_S)
    try:
        channel = await connection.channel(timeout_s=ANSWERS_WITHIN_S)
        await channel.request_all([commands.Queue.Delete(queue=name) for name in queues], timeout_s=ANSWERS_WITHIN_S)
    finally:
        await connection.close()


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{index}" if index else name for index in range(count)]
