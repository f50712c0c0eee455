"""Address allocation and retries without HTTP: several workers on one database, truth switches, database errors."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson
import pytest
from sqlalchemy import func, select

from harness.emulator import schemas
from harness.emulator.database import DBConnectionError, DBDeadlock, DBError, Statement
from harness.emulator.http import ApiError, Caller
from harness.emulator.neutron import networks, port_create, port_update, ports, schema, subnets
from harness.emulator.neutron.addresses import Addresses, Subnet
from harness.emulator.neutron.retry import retry_db_errors
from harness.emulator.neutron.service import Neutron
from harness.emulator.runtime import Runtime
from harness.emulator.settings import DatabaseSettings, NeutronSettings, Settings, TruthSettings

USER = Caller(user_id="u", project_id="p", roles=frozenset(("member", "reader")))
COUNT = Statement(select(func.count()).select_from(schema.ipallocations))


@pytest.fixture(scope="module")
def database(postgres: DatabaseSettings) -> DatabaseSettings:
    settings = msgspec.structs.replace(postgres, prefix="alloc_")
    asyncio.run(schemas.create(settings, ("neutron",)))
    return settings


@pytest.fixture
def settings(database: DatabaseSettings) -> Settings:
    return Settings(database=database, neutron=NeutronSettings(retry_first_s=0.01))


async def workers(settings: Settings, count: int) -> AsyncIterator[Neutron]:
    for index in range(count):
        yield Neutron(Runtime(settings, "api", index))


async def a_network(neutron: Neutron, cidr: str) -> str:
    (values,), _ = networks.RESOURCE.created({"network": {"name": "n"}}, USER)
    network_id: str = (await networks.create(neutron, USER, values))["id"]
    (values,), _ = subnets.RESOURCE.created({"subnet": {"network_id": network_id, "ip_version": 4, "cidr": cidr}}, USER)
    await subnets.create(neutron, USER, values)
    return network_id


async def a_port(neutron: Neutron, network_id: str) -> dict[str, Any]:
    (values,), _ = ports.RESOURCE.created({"port": {"network_id": network_id}}, USER)
    return await neutron.retrying(lambda: port_create.create(neutron, USER, values.copy()))


def address(port: dict[str, Any]) -> str:
    found: str = orjson.loads(orjson.dumps(port["fixed_ips"]))[0]["ip_address"]
    return found


async def test_two_workers_share_a_subnet_down_to_its_last_address(settings: Settings) -> None:
    one, other = [worker async for worker in workers(settings, 2)]
    network_id = await a_network(one, "198.18.0.0/25")  # 125 addresses for 125 ports
    made = await asyncio.gather(*(a_port((one, other)[n % 2], network_id) for n in range(125)))
    assert len({address(port) for port in made}) == 125
    with pytest.raises(ApiError) as refused:
        await a_port(one, network_id)
    assert refused.value.fields["type"] == "IpAddressGenerationFailure"
    await port_update_remove(other, made[7]["id"])
    assert address(await a_port(one, network_id)) == address(made[7])
    await one.runtime.close()
    await other.runtime.close()


async def port_update_remove(neutron: Neutron, port_id: str) -> None:
    """Delete a port without telling agents: there is no broker here."""
    await ports.DELETE.run(neutron.database, which=port_id)


async def test_the_truth_switch_gives_an_address_twice(settings: Settings) -> None:
    (neutron,) = [worker async for worker in workers(settings, 1)]
    network_id = await a_network(neutron, "198.18.1.0/24")
    first = address(await a_port(neutron, network_id))
    before = await neutron.database.fetch_value(COUNT)
    neutron.runtime.truth = TruthSettings(duplicate_fixed_address=1.0)
    assert address(await a_port(neutron, network_id)) == first
    assert await neutron.database.fetch_value(COUNT) == before  # past the guard
    neutron.runtime.truth = TruthSettings()
    assert address(await a_port(neutron, network_id)) != first
    await neutron.runtime.close()


async def test_a_created_port_may_be_answered_with_500(settings: Settings) -> None:
    (neutron,) = [worker async for worker in workers(settings, 1)]
    neutron.runtime.truth = TruthSettings(created_500=1.0)
    with pytest.raises(ApiError) as refused:
        neutron.after_create()
    assert refused.value.status == 500
    await neutron.runtime.close()


async def test_the_window_is_the_first_thousand_free_addresses(settings: Settings) -> None:
    runtime = Runtime(settings, "api")
    addresses = Addresses(runtime.database("neutron"), random.Random(1))
    subnet = Subnet("s", "n", "10.0.0.0/16", (("10.0.0.2", "10.0.255.254"),))
    taken = [await addresses.allocate(subnet) for _ in range(100)]
    assert len(set(taken)) == 100
    last = max(int(one.split(".")[2]) * 256 + int(one.split(".")[3]) for one in taken)
    assert 200 < last <= 2 + 1000 + 100
    for one in taken:
        addresses.release("s", one)
    await runtime.close()


@pytest.mark.parametrize("error", [DBDeadlock("40P01"), DBConnectionError("gone")])
async def test_a_call_is_run_again_after_a_database_error(settings: Settings, error: DBError) -> None:
    runs = 0

    async def call() -> str:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise error
        return "done"

    assert await retry_db_errors(call, settings, random.Random(1)) == "done"
    assert runs == 3


async def test_retries_end(settings: Settings) -> None:
    runs = 0
    few = msgspec.structs.replace(settings, neutron=NeutronSettings(retry_attempts=3, retry_first_s=0.001))

    async def call() -> None:
        nonlocal runs
        runs += 1
        raise DBDeadlock("40P01")

    with pytest.raises(DBDeadlock):
        await retry_db_errors(call, few, random.Random(1))
    assert runs == 4


async def test_a_change_meets_another_change_and_both_are_kept(settings: Settings) -> None:
    (neutron,) = [worker async for worker in workers(settings, 1)]
    network_id = await a_network(neutron, "198.18.2.0/24")
    port_id = (await a_port(neutron, network_id))["id"]
    wanted: list[dict[str, Any]] = [{"name": "a"}, {"description": "b"}, {"device_id": "c"}]
    await asyncio.gather(
        *(
            neutron.retrying(lambda values=values: port_update.change(neutron, USER, port_id, values))  # type: ignore[misc]
            for values in wanted
        )
    )
    row = await ports.get(neutron, USER, port_id)
    assert (row["name"], row["description"], row["device_id"], row["revision_number"]) == ("a", "b", "c", 4)
    await neutron.runtime.close()
